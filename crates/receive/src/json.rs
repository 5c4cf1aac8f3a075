//! A pull scanner of JSON text (RFC 8259) that validates what it passes over and copies nothing.
//!
//! The caller asks for keys and values one after the other and gets slices of the text. Strings are
//! checked as they are passed (control characters, escapes, surrogates without their other half),
//! so unescaping them later cannot fail. Numbers stay text until somebody needs their value.

mod number;
mod one_line;
mod string;
#[cfg(test)]
mod tests;

pub use number::{INT_EXACT_MAX, Number};
pub use one_line::on_one_line;
pub(crate) use string::unescape;
pub use string::{JsonStr, write_string};

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at byte {column}: {problem}")]
pub struct JsonError {
    /// The byte of the text where it goes wrong, from 1.
    pub column: usize,
    pub problem: Problem,
}

/// The ways in which a text is not JSON that can be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("expected {expected}, found {}", Found(*.found))]
    Unexpected { expected: &'static str, found: Option<u8> },
    #[error("control character 0x{0:02x} in a string")]
    ControlCharacter(u8),
    #[error("unknown escape in a string")]
    UnknownEscape,
    #[error("half of a surrogate pair without the other half")]
    LoneSurrogate,
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
}

struct Found(Option<u8>);

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("the end"),
            Some(byte) if byte.is_ascii_graphic() => write!(f, "`{}`", char::from(byte)),
            Some(byte) => write!(f, "byte 0x{byte:02x}"),
        }
    }
}

/// Reads one text from front to back.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth_max: usize,
}

impl<'a> Scanner<'a> {
    /// `depth_max`: levels of objects and arrays, the outermost counted as 1.
    pub fn new(text: &'a str, depth_max: usize) -> Self {
        Self { text, at: 0, depth_max }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn wrong(&self, problem: Problem) -> JsonError {
        JsonError { column: self.at + 1, problem }
    }

    /// The error of this place: something else was expected.
    pub fn unexpected(&self, expected: &'static str) -> JsonError {
        let found = self.text.as_bytes().get(self.at).copied();
        self.wrong(Problem::Unexpected { expected, found })
    }

    /// Takes the `{` of an object that is `depth` levels deep; then call [`Self::next_key`].
    ///
    /// # Errors
    /// When something else is there, or it is too deep.
    #[inline]
    pub fn begin_object(&mut self, depth: usize) -> Result<(), JsonError> {
        if self.peek() != Some(b'{') {
            return Err(self.unexpected("an object"));
        }
        self.check_depth(depth)?;
        self.at += 1;
        Ok(())
    }

    fn check_depth(&self, depth: usize) -> Result<(), JsonError> {
        if depth > self.depth_max {
            return Err(self.wrong(Problem::TooDeep(self.depth_max)));
        }
        Ok(())
    }

    /// The next key of the object that is being read, its colon taken too; `None` at its end.
    /// `first` starts as true and is turned off.
    ///
    /// # Errors
    /// When the text is not that of an object.
    #[inline]
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<JsonStr<'a>>, JsonError> {
        if !self.at_key(first)? {
            return Ok(None);
        }
        self.key().map(Some)
    }

    /// The first half of [`Self::next_key`]: goes to the key's opening quote; false at the end.
    #[inline]
    pub(crate) fn at_key(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if !*first => {
                self.at += 1;
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("a key"));
                }
            }
            Some(b'"') if *first => {}
            _ if *first => return Err(self.unexpected("a key or `}`")),
            _ => return Err(self.unexpected("`,` or `}`")),
        }
        *first = false;
        Ok(true)
    }

    /// The second half: takes the key and its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<JsonStr<'a>, JsonError> {
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Takes the key and its colon if they are exactly this: `spelled` holds nothing that JSON
    /// escapes. False, and nothing taken, if they are not.
    #[inline]
    pub(crate) fn take_key(&mut self, spelled: &str) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let Some(after) = rest.get(1..).and_then(|rest| rest.strip_prefix(spelled.as_bytes()))
        else {
            return false;
        };
        let is_key = after.starts_with(b"\":");
        if is_key {
            self.at += spelled.len() + 3;
        }
        is_key
    }

    /// A string; its opening quote is next.
    ///
    /// # Errors
    /// When it is not a string or not a valid one.
    #[inline]
    pub fn string(&mut self) -> Result<JsonStr<'a>, JsonError> {
        if self.text.as_bytes().get(self.at) != Some(&b'"') {
            return Err(self.unexpected("a string"));
        }
        let start = self.at + 1;
        match string::scan(self.text.as_bytes(), start) {
            Ok(end) => {
                self.at = end.at + 1;
                Ok(JsonStr { raw: &self.text[start..end.at], start, escaped: end.escaped })
            }
            Err((at, problem)) => {
                self.at = at;
                Err(match problem {
                    Some(problem) => self.wrong(problem),
                    None => self.unexpected("the end of a string"),
                })
            }
        }
    }

    /// A number; its first byte is next.
    ///
    /// # Errors
    /// When it is not spelled as JSON spells numbers.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, JsonError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.unexpected("a digit")),
        }
        let mut integer = true;
        if bytes.get(self.at) == Some(&b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Number { text: &self.text[start..self.at], integer })
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.unexpected("a digit"));
        }
        self.at += count;
        Ok(())
    }

    /// `true` or `false`; its first byte is next.
    ///
    /// # Errors
    /// When it is neither.
    pub fn boolean(&mut self) -> Result<bool, JsonError> {
        let value = self.text.as_bytes().get(self.at) == Some(&b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.unexpected(match word {
                "true" => "`true`",
                "false" => "`false`",
                _ => "`null`",
            }));
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes over one value of any kind, validating it, and gives its text. `depth` is the number
    /// of levels that it lies in.
    ///
    /// # Errors
    /// When it is not a valid value, or too deep.
    pub fn raw_value(&mut self, depth: usize) -> Result<&'a str, JsonError> {
        self.peek();
        let start = self.at;
        self.pass(depth)?;
        Ok(&self.text[start..self.at])
    }

    fn pass(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't' | b'f') => self.boolean().map(drop),
            Some(b'n') => self.word("null"),
            Some(b'{') => {
                self.begin_object(depth + 1)?;
                let mut first = true;
                while self.next_key(&mut first)?.is_some() {
                    self.pass(depth + 1)?;
                }
                Ok(())
            }
            Some(b'[') => self.pass_array(depth + 1),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn pass_array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.check_depth(depth)?;
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.pass(depth)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.unexpected("`,` or `]`")),
            }
        }
    }

    /// Checks that nothing but white space follows.
    ///
    /// # Errors
    /// When something does.
    pub fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }
}
