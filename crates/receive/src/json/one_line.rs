//! JSON texts as lines.

use std::borrow::Cow;

/// The same JSON text without line feeds. Outside of strings line breaks are white space. Within strings they
/// are a mistake, and stay one: a carriage return is as wrong there, and ends no line.
pub fn on_one_line(json: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        return Cow::Borrowed(json);
    }
    let (mut is_string, mut is_escaped) = (false, false);
    let byte = |byte: &u8| {
        is_string ^= *byte == b'"' && !is_escaped;
        is_escaped = is_string && *byte == b'\\' && !is_escaped;
        match byte {
            b'\n' | b'\r' => {
                if is_string {
                    b'\r'
                } else {
                    b' '
                }
            }
            byte => *byte,
        }
    };
    Cow::Owned(json.iter().map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_are_white_space_or_a_mistake() {
        for (json, line) in [
            ("{\"a\":1}", "{\"a\":1}"),
            ("{\n\"a\":\r\n[1,\n2]}", "{ \"a\":  [1, 2]}"),
            (r#"{"a":"\"\\"}"#, r#"{"a":"\"\\"}"#),
            ("{\"a\\\\\":\n\"b\\\"\nc\"}", "{\"a\\\\\": \"b\\\"\rc\"}"),
        ] {
            assert_eq!(on_one_line(json.as_bytes()), line.as_bytes(), "{json}");
        }
    }
}
