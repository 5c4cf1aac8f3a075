//! Formats of numbers, as a request's `format` names them: the patterns of Java's `DecimalFormat` that
//! are in use, `#,##0.00`, `0.0%`, `$0`.

/// How numbers are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NumberFormat {
    before: String,
    after: String,
    groups: bool,
    whole_min: usize,
    decimals_min: usize,
    decimals_max: usize,
    percent: bool,
}

impl NumberFormat {
    /// `None` when it is no pattern.
    pub fn parse(pattern: &str) -> Option<Self> {
        let pattern = pattern.split(';').next().unwrap_or(pattern);
        let of_number = |c: char| matches!(c, '#' | '0' | ',' | '.');
        let start = pattern.find(of_number)?;
        let length = pattern[start..].find(|c: char| !of_number(c));
        let end = length.map_or(pattern.len(), |length| start + length);
        let (before, digits, after) = (&pattern[..start], &pattern[start..end], &pattern[end..]);
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        if after.contains(of_number) || decimals.contains([',', '.']) {
            return None;
        }
        let zeros = |text: &str| text.chars().filter(|c| *c == '0').count();
        Some(Self {
            percent: before.contains('%') || after.contains('%'),
            before: before.replace('\'', ""),
            after: after.replace('\'', ""),
            groups: whole.contains(','),
            whole_min: zeros(whole),
            decimals_min: zeros(decimals),
            decimals_max: decimals.len(),
        })
    }

    pub fn format(&self, number: f64) -> String {
        let number = if self.percent { number * 100.0 } else { number };
        let text = format!("{:.*}", self.decimals_max, number.abs());
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        let mut decimals = decimals.to_owned();
        while decimals.len() > self.decimals_min && decimals.ends_with('0') {
            decimals.pop();
        }
        let whole = whole.trim_start_matches('0');
        let whole = format!("{}{whole}", "0".repeat(self.whole_min.saturating_sub(whole.len())));
        let whole = if self.groups { grouped(&whole) } else { whole };
        let point = if decimals.is_empty() { "" } else { "." };
        let is_zero = whole.chars().chain(decimals.chars()).all(|c| matches!(c, '0' | ','));
        let sign = if number < 0.0 && !is_zero { "-" } else { "" };
        format!("{sign}{}{whole}{point}{decimals}{}", self.before, self.after)
    }
}

/// With a comma before each three digits.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A double as Java prints it in keys: `50.0`, `0.1`, `1.0E7`.
pub(super) fn plain(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, power)) if digits.contains('.') => format!("{digits}E{power}"),
        Some((digits, power)) => format!("{digits}.0E{power}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_show_numbers() {
        for (pattern, number, text) in [
            ("0", 12.6, "13"),
            ("0.00", 1.0, "1.00"),
            ("#,##0.##", 1_234_567.5, "1,234,567.5"),
            ("$0.0", -3.16, "-$3.2"),
            ("0.0%", 0.255, "25.5%"),
            ("#.##", 0.5, ".5"),
            ("000", 7.0, "007"),
            ("0 ms", -0.2, "0 ms"),
        ] {
            assert_eq!(NumberFormat::parse(pattern).unwrap().format(number), text, "{pattern}");
        }
        assert_eq!(NumberFormat::parse("yyyy"), None);
    }

    #[test]
    fn keys_are_printed_as_doubles() {
        for (number, text) in [
            (50.0, "50.0"),
            (-0.5, "-0.5"),
            (1e7, "1.0E7"),
            (1.4543712e12, "1.4543712E12"),
            (0.0, "0.0"),
        ] {
            assert_eq!(plain(number), text);
        }
    }
}
