use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Reads a whole text with the scanner into serde's tree, values through our own unescaping and
/// numbers.
fn tree(text: &str) -> Result<Value, JsonError> {
    let mut scanner = Scanner::new(text, 100);
    let value = value(&mut scanner, 0)?;
    scanner.end()?;
    Ok(value)
}

fn value(scanner: &mut Scanner<'_>, depth: usize) -> Result<Value, JsonError> {
    Ok(match scanner.peek() {
        Some(b'"') => Value::String(scanner.string()?.value().into_owned()),
        Some(b'{') => {
            scanner.begin_object(depth + 1)?;
            let mut object = serde_json::Map::new();
            let mut first = true;
            while let Some(key) = scanner.next_key(&mut first)? {
                object.insert(key.value().into_owned(), value(scanner, depth + 1)?);
            }
            Value::Object(object)
        }
        Some(b't' | b'f') => Value::Bool(scanner.boolean()?),
        Some(b'-' | b'0'..=b'9') => {
            let number = scanner.number()?;
            match (number.as_i64(), number.as_f64()) {
                (Some(int), _) => int.into(),
                (None, Some(float)) => float.into(),
                (None, None) => serde_json::from_str(number.text).unwrap_or(Value::Null),
            }
        }
        _ => {
            let text = scanner.raw_value(depth)?;
            serde_json::from_str(text).expect("what was validated is JSON")
        }
    })
}

/// JSON, nearly JSON and not JSON.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\"",
        "null",
        "true",
        "false",
        "0",
        "-1.5e3",
        "12",
        " ",
        "\n",
        "\"\\u0041\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"é\"",
        "\"\\x\"",
        "nul",
        "01",
        "1.",
        "-",
        "1e",
        "\"a",
        "\u{1}",
        "\"\u{1}\"",
        "tru",
        "é",
        "\"12345678\\n\"",
        "{\"a\":",
        "[1,",
        "\"a\":",
        "\"\\ude00\"",
        "\"\\u12\"",
        "1e5",
        "\\",
    ]);
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

pub(crate) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Exact in few digits: the oracle reads longer ones to the nearest float but one.
        any::<i32>().prop_map(|v| Value::from(f64::from(v) / 64.0)),
        ".{0,40}".prop_map(Value::from),
        "[ -~]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn accepts_what_serde_accepts_and_nothing_else(text in texts()) {
        let oracle: Result<Value, _> = serde_json::from_str(&text);
        let ours = tree(&text);
        // Numbers past what a float holds are an error to serde only.
        prop_assume!(!oracle.as_ref().is_err_and(|e| e.to_string().contains("out of range")));
        prop_assert_eq!(ours.is_ok(), oracle.is_ok(), "{:?}: {:?} {:?}", text, ours, oracle);
        let raw = { let mut s = Scanner::new(&text, 100); s.raw_value(0).and_then(|_| s.end()) };
        prop_assert_eq!(raw.is_ok(), oracle.is_ok(), "{:?}", text);
        if let Ok(oracle) = oracle {
            prop_assert_eq!(ours.expect("accepted"), tree(&oracle.to_string()).expect("JSON"));
        }
    }

    #[test]
    fn valid_texts_keep_their_values(value in values(), pretty in any::<bool>()) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).expect("JSON"),
            false => value.to_string(),
        };
        prop_assert_eq!(tree(&text).expect("JSON"), value);
    }

    #[test]
    fn one_wrong_byte_is_judged_as_serde_does(value in values(), at in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            let oracle: Result<Value, _> = serde_json::from_str(text);
            // Numbers past what a float holds are an error to serde only.
            let overflow = oracle.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert!(overflow || tree(text).is_ok() == oracle.is_ok(), "{:?}", text);
        }
    }

    #[test]
    fn strings_written_are_strings_read(text in "\\PC{0,30}|[\\x00-\\x7f]{0,40}") {
        let mut json = String::new();
        write_string(&text, &mut json);
        prop_assert_eq!(serde_json::from_str::<String>(&json).expect("a string"), text.as_str());
        let mut scanner = Scanner::new(&json, 1);
        let read = scanner.string().expect("a string").value().into_owned();
        prop_assert_eq!(read, text);
    }

    #[test]
    fn floats_that_print_back_are_kept(value in any::<f64>()) {
        prop_assume!(value.is_finite() && value != 0.0);
        for text in [format!("{value:?}"), format!("{value:e}")] {
            let integer = !text.contains(['.', 'e']);
            let number = Number { text: &text, integer };
            prop_assert_eq!(number.as_f64().map(f64::to_bits), Some(value.to_bits()));
            let longer = match text.split_once('e') {
                Some((digits, exponent)) if digits.contains('.') => format!("{digits}00000000000000000001e{exponent}"),
                Some(_) => continue,
                None => format!("{text}00000000000000000001"),
            };
            prop_assert_eq!(Number { text: &longer, integer: false }.as_f64(), None, "{}", longer);
        }
    }
}

fn number(text: &str) -> Number<'_> {
    let number = Scanner::new(text, 1).number().expect("a number");
    assert_eq!(number.text, text);
    number
}

#[test]
fn numbers_are_values_only_where_nothing_is_lost() {
    assert_eq!(number("9223372036854775807").as_i64(), Some(i64::MAX));
    assert_eq!(number("9223372036854775808").as_i64(), None);
    assert_eq!(number("-0").as_i64(), None);
    assert_eq!(number("-0").as_f64().map(f64::is_sign_negative), Some(true));
    assert_eq!(number("1.10").as_f64(), Some(1.1));
    assert_eq!(number("10000000000000000000").as_f64(), Some(1e19));
    assert_eq!(number("9007199254740993").as_f64(), None);
    assert_eq!(number("0.1000000000000000055511151231257827").as_f64(), None);
    assert_eq!(number("1e400").as_f64(), None);
    assert_eq!(number("1e-400").as_f64(), None);
    assert_eq!(number("0e99999999999").as_f64(), None);
}

#[test]
fn errors_say_where_and_what() {
    for (text, message) in [
        (r#"{"a":1 "b"}"#, "invalid JSON at byte 8: expected `,` or `}`, found `\"`"),
        (r#"{"a""#, "invalid JSON at byte 5: expected `:`, found the end"),
        ("\"a\tb\"", "invalid JSON at byte 3: control character 0x09 in a string"),
        (r#""\ud800x""#, "invalid JSON at byte 2: half of a surrogate pair without the other half"),
        (r#"{"a":tru}"#, "invalid JSON at byte 6: expected `true`, found `t`"),
        ("[1]\u{7f}", "invalid JSON at byte 4: expected the end, found byte 0x7f"),
    ] {
        assert_eq!(tree(text).expect_err("not JSON").to_string(), message);
    }
    let deep = "[".repeat(101);
    assert!(tree(&deep).expect_err("too deep").to_string().contains("deeper than 100 levels"));
}
