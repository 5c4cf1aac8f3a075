use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::query::Bool;

fn options(operator: Operator) -> Options {
    Options {
        fields: vec![("message".to_owned(), 1.0)],
        operator,
        lenient: false,
        minimum: None,
        zone: None,
        edits: Edits::Auto(3, 6),
        prefix: 0,
        flags: Flags::default(),
    }
}

fn read(text: &str) -> Query {
    query_string(text, &options(Operator::Or)).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn word(field: &str, text: &str) -> Query {
    Query::Match { field: field.to_owned(), words: Words::of(text) }
}

fn both(parts: Bool) -> Query {
    Query::Bool(Box::new(parts))
}

#[test]
fn clauses_are_joined_as_the_classic_parser_joins_them() {
    let w = |text| word("message", text);
    for (text, expected) in [
        ("a", w("a")),
        ("a b", both(Bool { should: vec![w("a"), w("b")], ..Bool::default() })),
        (
            "a AND b OR c",
            both(Bool { must: vec![w("a"), w("b")], should: vec![w("c")], ..Bool::default() }),
        ),
        (
            "+a -b !c NOT d",
            both(Bool {
                must: vec![w("a")],
                must_not: vec![w("b"), w("c"), w("d")],
                ..Bool::default()
            }),
        ),
        (
            "a && (b || c)",
            both(Bool {
                must: vec![w("a"), both(Bool { should: vec![w("b"), w("c")], ..Bool::default() })],
                ..Bool::default()
            }),
        ),
        (
            "level:(error OR warn)",
            both(Bool {
                should: vec![word("level", "error"), word("level", "warn")],
                ..Bool::default()
            }),
        ),
        (r"a\:b", w("a:b")),
        ("ANDROID", w("ANDROID")),
        ("a^2", Query::Boost(Box::new(w("a")), 2.0)),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
    let and = query_string("a b OR c", &options(Operator::And)).unwrap();
    let Query::Bool(and) = and else { panic!("{and:?}") };
    assert_eq!((and.must.len(), and.should.len()), (1, 2));
}

#[test]
fn terms_are_patterns_ranges_and_phrases() {
    let field = || "f".to_owned();
    let range = |range| Query::Range { field: field(), range };
    use crate::query::{Pattern, Range};
    for (text, expected) in [
        (
            "f:[1 TO 5}",
            range(Range { gte: Some(json!("1")), lt: Some(json!("5")), ..Range::default() }),
        ),
        ("f:{* TO \"x y\"]", range(Range { lte: Some(json!("x y")), ..Range::default() })),
        ("f:>=10", range(Range { gte: Some(json!("10")), ..Range::default() })),
        ("f:*", Query::Exists { field: field() }),
        ("_exists_:f", Query::Exists { field: field() }),
        ("*:*", Query::MatchAll),
        ("*", Query::MatchAll),
        (
            "f:\"a \\\"b\"",
            Query::Phrase {
                field: field(),
                text: "a \"b".into(),
                last_is_prefix: false,
                lenient: false,
            },
        ),
        (
            "f:ab*c?",
            Query::Pattern {
                field: field(),
                pattern: Pattern::Wildcard("ab*c?".into()),
                any_case: false,
                lenient: false,
            },
        ),
        (
            "f:/a.+\\/b/",
            Query::Pattern {
                field: field(),
                pattern: Pattern::Regexp("a.+/b".into()),
                any_case: false,
                lenient: false,
            },
        ),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
    assert!(matches!(
        read("f:eror~1"),
        Query::Match { words: Words { fuzziness: Some(_), .. }, .. }
    ));
    for text in ["(a", "a)", "\"a", "f:", "AND a", "f:[1 TO", "a:b:c", "a^x", "/a"] {
        assert!(query_string(text, &options(Operator::Or)).is_err(), "{text}");
    }
}

#[test]
fn simple_texts_never_fail() {
    let w = |text| word("message", text);
    let simple = |text| simple_query_string(text, &options(Operator::Or));
    assert_eq!(simple("a + b"), both(Bool { must: vec![w("a"), w("b")], ..Bool::default() }));
    assert_eq!(simple("a | b"), both(Bool { should: vec![w("a"), w("b")], ..Bool::default() }));
    assert_eq!(simple("-a"), both(Bool { must_not: vec![w("a")], ..Bool::default() }));
    assert_eq!(simple("(a"), w("a"));
    assert_eq!(simple("a)"), w("a"));
    let with = |flags: &str, text| {
        let flags = Flags::parse(flags).unwrap();
        simple_query_string(text, &Options { flags, ..options(Operator::Or) })
    };
    assert_eq!(with("NONE", "a + -b*"), w("a + -b*"));
    assert_eq!(
        with("WHITESPACE|NOT", "-a"),
        both(Bool { must_not: vec![w("a")], ..Bool::default() })
    );
    assert_eq!(with("WHITESPACE|NOT", "a|b*"), w("a|b*"));
    assert_eq!(with("ALL", "a | b"), simple("a | b"));
    assert!(Flags::parse("SOME").is_err());
}

#[test]
fn patterns_match_what_they_say() {
    let is = |regex: String, text: &str| format!("{regex} {text}");
    assert_eq!(is(wildcard("a*b?c"), ""), "a.*b.c ");
    assert_eq!(wildcard(r"a\*b"), r"a\*b");
    assert_eq!(like("a*b?"), Some("a%b_".to_owned()));
    assert_eq!(like("100%"), None);
    assert_eq!(regexp("a.^b$").unwrap(), r"a.\^b\$");
    assert_eq!(regexp("[a-c].{3,6}").unwrap(), "[a-c].{3,6}");
    assert_eq!(regexp("[a-c^]\"x.y\"").unwrap(), r"[a-c\^]x\.y");
    assert!(regexp("~a").is_err() && regexp("[a").is_err() && regexp("a{9").is_err());
    assert!(
        wildcard_is_match("log*-?", "logs-?")
            && wildcard_is_match("*", "")
            && wildcard_is_match("a*a", "aa")
    );
    assert!(!wildcard_is_match("a*a", "a") && !wildcard_is_match("log", "logs"));
}

proptest! {
    #[test]
    fn nothing_panics(text in "[a-c *?:\"\\\\/()\\[\\]{}^~+!|&<>=0-9ANDORT.é-]{0,40}") {
        let _ = query_string(&text, &options(Operator::Or));
        let _ = simple_query_string(&text, &options(Operator::And));
        let _ = regexp(&text);
        let _ = (wildcard(&text), like(&text), longest_literal(&text));
    }

    #[test]
    fn what_is_escaped_is_read_as_it_was(text in "[a-z:()\\[\\]+!*?\"~^/ -]{1,20}") {
        let escaped: String = text.chars().flat_map(|c| {
            [(!c.is_alphanumeric()).then_some('\\'), Some(c)].into_iter().flatten()
        }).collect();
        prop_assert_eq!(read(&escaped), word("message", &text));
    }
}
