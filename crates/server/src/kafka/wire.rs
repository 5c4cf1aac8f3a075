//! Requests and answers in Kafka's primitive types, of the versions before "flexible" ones.
//!
//! Read by hand, not by a generated crate: those reserve memory for as many elements as a request says
//! it has, before anybody has shown a token (`docs/adr/0010-kafka.md`).

use loglake_receive::kafka::{Reader, Short};

/// Elements of all arrays of one request.
const ELEMENTS_MAX: usize = 10_000;

/// A request that is not as its version says. Its connection is closed, as Kafka does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it ends too soon, or a text is not UTF-8")]
    Short,
    #[error("it has more than {ELEMENTS_MAX} elements")]
    TooMany,
}

impl From<Short> for Malformed {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

/// The fields of a request, from front to back.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: Reader<'a>,
    elements_left: usize,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: Reader::new(bytes), elements_left: ELEMENTS_MAX }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.bytes.rest()
    }

    pub(super) fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.bytes.i8()? != 0)
    }

    pub(super) fn i8(&mut self) -> Result<i8, Malformed> {
        Ok(self.bytes.i8()?)
    }

    pub(super) fn i16(&mut self) -> Result<i16, Malformed> {
        Ok(self.bytes.i16()?)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(self.bytes.i32()?)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(self.bytes.i64()?)
    }

    pub(super) fn nullable_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        let Ok(length) = usize::try_from(self.bytes.i16()?) else { return Ok(None) };
        let text = self.bytes.take(length)?;
        str::from_utf8(text).map(Some).map_err(|_| Malformed::Short)
    }

    /// A string; null counts as empty.
    pub(super) fn string(&mut self) -> Result<&'a str, Malformed> {
        Ok(self.nullable_string()?.unwrap_or_default())
    }

    /// Bytes; null counts as empty.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let Ok(length) = usize::try_from(self.bytes.i32()?) else { return Ok(&[]) };
        Ok(self.bytes.take(length)?)
    }

    /// An array; `None` for null.
    pub(super) fn nullable_array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<Vec<T>>, Malformed> {
        let Ok(count) = usize::try_from(self.bytes.i32()?) else { return Ok(None) };
        self.elements_left = self.elements_left.checked_sub(count).ok_or(Malformed::TooMany)?;
        let mut elements = vec![];
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// An array; null counts as empty.
    pub(super) fn array<T>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        Ok(self.nullable_array(element)?.unwrap_or_default())
    }
}

/// An answer that is being written, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer(Vec<u8>);

impl Answer {
    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.i8(value.into())
    }

    pub(super) fn i8(&mut self, value: i8) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// A string, cut at what its length can say.
    pub(super) fn string(&mut self, value: &str) -> &mut Self {
        let value = &value[..value.floor_char_boundary(i16::MAX as usize)];
        self.i16(value.len() as i16).raw(value.as_bytes())
    }

    pub(super) fn nullable_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.i32(value.len() as i32).raw(value)
    }

    pub(super) fn array<T>(
        &mut self,
        elements: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut element: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        let elements = elements.into_iter();
        self.i32(elements.len() as i32);
        for each in elements {
            element(self, each);
        }
        self
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_alone_reserves_nothing() {
        let claims_much = i32::MAX.to_be_bytes();
        let mut fields = Fields::new(&claims_much);
        assert_eq!(fields.array(|f| f.i64()), Err(Malformed::TooMany));
        let mut fields = Fields::new(&[0, 0, 1, 0, 7]);
        assert_eq!(fields.array(|f| f.i8()), Err(Malformed::Short));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut answer = Answer::default();
        answer.bool(true).i16(-2).i32(3).i64(-4).string("ä").nullable_string(None).bytes(b"xyz");
        answer.array([1_i8, 2], |a, n| {
            a.i8(n);
        });
        let bytes = answer.into_bytes();
        let mut fields = Fields::new(&bytes);
        assert_eq!(fields.bool(), Ok(true));
        assert_eq!((fields.i16(), fields.i32(), fields.i64()), (Ok(-2), Ok(3), Ok(-4)));
        assert_eq!((fields.string(), fields.nullable_string()), (Ok("ä"), Ok(None)));
        assert_eq!((fields.bytes(), fields.array(|f| f.i8())), (Ok(&b"xyz"[..]), Ok(vec![1, 2])));
        assert!(fields.rest().is_empty());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut answer = Answer::default();
        answer.string(&"ä".repeat(20_000));
        let bytes = answer.into_bytes();
        assert_eq!(Fields::new(&bytes).string().map(str::len), Ok(32_766));
    }
}
