//! The values of JSON numbers, where 64 bits carry them without loss.

/// A number as it was spelled, already validated.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    pub text: &'a str,
    /// Spelled without fraction and exponent.
    pub integer: bool,
}

/// Integers up to this magnitude are the same number as a float, and print as it.
pub const INT_EXACT_MAX: i64 = 1 << 53;

/// Decimal digits that every float carries (`DBL_DIG`).
const FLOAT_DIGITS: usize = 15;

impl Number<'_> {
    /// The value when it is spelled as an integer and 64 bits hold it. `-0` is none: its sign would
    /// be lost.
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        if !self.integer || self.text == "-0" {
            return None;
        }
        self.text.parse().ok()
    }

    /// The value as a float when the float prints back as the same number.
    pub fn as_f64(&self) -> Option<f64> {
        let value: f64 = self.text.parse().ok().filter(|v: &f64| v.is_finite())?;
        if self.text.len() <= FLOAT_DIGITS && !self.text.contains(['e', 'E']) {
            return Some(value);
        }
        let spelled = Decimal::of(self.text)?;
        let sure = spelled.digits.len() <= FLOAT_DIGITS && (-290..290).contains(&spelled.exponent);
        (sure || Decimal::of(&format!("{value:e}"))? == spelled).then_some(value)
    }

    /// The value as an integer when it is one, however spelled, and a float would be exact too.
    pub fn as_integral(&self) -> Option<i64> {
        if let Some(value) = self.as_i64() {
            return Some(value);
        }
        let value = self.as_f64()?;
        let exact = value.fract() == 0.0 && value.abs() < INT_EXACT_MAX as f64;
        (exact && !(value == 0.0 && value.is_sign_negative())).then_some(value as i64)
    }
}

/// A decimal number in a form of which each value has one: 0.digits × 10^exponent, the digits
/// without leading and trailing zeros.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = whole.bytes().chain(fraction.bytes());
        let leading = all.clone().take_while(|d| *d == b'0').count();
        let mut digits: Vec<u8> = all.skip(leading).collect();
        digits.truncate(digits.iter().rposition(|d| *d != b'0').map_or(0, |last| last + 1));
        let exponent = match digits.is_empty() {
            true => 0,
            false => i64::from(exponent) + whole.len() as i64 - leading as i64,
        };
        Some(Self { negative, digits, exponent })
    }
}
