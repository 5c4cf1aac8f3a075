//! The text of statements: where one ends, and where in it a mistake is.

/// Where a piece of SQL text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Code,
    /// Within `'…'` or `"…"`: the byte that ends it.
    Quotes(u8),
    LineComment,
    /// `/* … */`; they nest in SQL.
    BlockComment(usize),
}

/// The text between two `;`.
struct Piece<'a> {
    text: &'a str,
    /// Whether it is more than white space and comments.
    has_code: bool,
}

/// The pieces of a text, at least one, and where the text ends.
fn pieces(text: &str) -> (Vec<Piece<'_>>, In) {
    let bytes = text.as_bytes();
    let (mut pieces, mut state) = (vec![], In::Code);
    let (mut start, mut at, mut has_code) = (0, 0, false);
    while at < bytes.len() {
        if state == In::Code && bytes[at] == b';' {
            pieces.push(Piece { text: &text[start..at], has_code });
            at += 1;
            (start, has_code) = (at, false);
            continue;
        }
        let (next, step) = advance(state, bytes[at], bytes.get(at + 1).copied());
        let in_code = state == In::Code && matches!(next, In::Code | In::Quotes(_));
        has_code |= in_code && !bytes[at].is_ascii_whitespace();
        state = next;
        at += step;
    }
    pieces.push(Piece { text: &text[start..], has_code });
    (pieces, state)
}

/// Where the text is after a byte, and how many bytes were used for that.
fn advance(state: In, byte: u8, following: Option<u8>) -> (In, usize) {
    match (state, byte, following) {
        (In::Code, quote @ (b'\'' | b'"'), _) => (In::Quotes(quote), 1),
        (In::Code, b'-', Some(b'-')) => (In::LineComment, 2),
        (In::Code, b'/', Some(b'*')) => (In::BlockComment(1), 2),
        // A doubled quote ends and begins again.
        (In::Quotes(quote), byte, _) if byte == quote => (In::Code, 1),
        (In::LineComment, b'\n', _) => (In::Code, 1),
        (In::BlockComment(depth), b'/', Some(b'*')) => (In::BlockComment(depth + 1), 2),
        (In::BlockComment(1), b'*', Some(b'/')) => (In::Code, 2),
        (In::BlockComment(depth), b'*', Some(b'/')) => (In::BlockComment(depth - 1), 2),
        (state, ..) => (state, 1),
    }
}

/// The statements of a text, without the `;` that end them; empty ones are left out.
pub(super) fn split(text: &str) -> Vec<&str> {
    let (pieces, _) = pieces(text);
    pieces.into_iter().filter(|piece| piece.has_code).map(|piece| piece.text.trim()).collect()
}

/// Whether the text ends with a whole statement: a `;` with nothing but comments after it.
pub(super) fn is_complete(text: &str) -> bool {
    let (pieces, state) = pieces(text);
    let rest_is_blank = pieces.last().is_none_or(|rest| !rest.has_code);
    rest_is_blank && matches!(state, In::Code | In::LineComment)
}

/// The line of a mistake with a caret below its column (both from 1, columns in characters).
pub(super) fn pointed(sql: &str, line: usize, column: usize) -> Option<String> {
    let text = sql.lines().nth(line.checked_sub(1)?)?;
    let before: String = text
        .chars()
        .take(column.checked_sub(1)?)
        // A tab is as wide below as above.
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    Some(format!("  {text}\n  {before}^"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_quotes_and_comments() {
        let text = "SELECT ';' AS \"a;b\"; -- not; here\n/* nor; /* here; */ ; */ SELECT 'it''s;'";
        assert_eq!(
            split(text),
            ["SELECT ';' AS \"a;b\"", "-- not; here\n/* nor; /* here; */ ; */ SELECT 'it''s;'"]
        );
        assert_eq!(split(" ;; -- nothing\n ; /* at all */"), Vec::<&str>::new());
    }

    #[test]
    fn a_statement_is_complete_at_its_semicolon() {
        for text in ["SELECT 1;", "SELECT 1; -- done", "SELECT ';'; /* */ ", "", "  ", "-- c"] {
            assert!(is_complete(text), "{text:?}");
        }
        for text in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "/* ;", "SELECT 1 -- ;"] {
            assert!(!is_complete(text), "{text:?}");
        }
    }

    #[test]
    fn the_caret_is_below_the_mistake() {
        assert_eq!(
            pointed("SELECT *\n\tFROM lgos", 2, 7).as_deref(),
            Some("  \tFROM lgos\n  \t     ^")
        );
        assert_eq!(pointed("SELECT é, x", 1, 11).as_deref(), Some("  SELECT é, x\n            ^"));
        assert_eq!(pointed("SELECT", 3, 1), None);
    }

    proptest! {
        #[test]
        fn pieces_come_from_the_text_in_order(text in "[a;'\"/*\n é-]{0,30}") {
            let mut rest = text.as_str();
            for piece in split(&text) {
                let at = rest.find(piece);
                prop_assert!(at.is_some());
                rest = &rest[at.unwrap_or(0) + piece.len()..];
            }
            is_complete(&text);
        }
    }
}
