//! Regular expressions: the texts that every match holds.

use loglake_format::index::{Needle, Search};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::{all, any, has};

/// What a text must hold to match.
pub(super) fn search(column: &str, pattern: &str, any_case: bool) -> Search {
    match ParserBuilder::new().case_insensitive(any_case).build().parse(pattern) {
        Ok(hir) => of(column, &hir),
        // The query fails for it, or the engine knows more than this parser.
        Err(_) => Search::Anything,
    }
}

fn of(column: &str, hir: &Hir) -> Search {
    match hir.kind() {
        HirKind::Concat(parts) => of_sequence(column, parts),
        HirKind::Alternation(ways) => any(ways.iter().map(|way| of(column, way))),
        HirKind::Capture(capture) => of(column, &capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => of(column, &repetition.sub),
        _ => characters(hir).map_or(Search::Anything, |text| of_text(column, &text)),
    }
}

/// Neighbouring characters make one text.
fn of_sequence(column: &str, parts: &[Hir]) -> Search {
    let mut searches = vec![];
    let mut text = String::new();
    for part in parts {
        match characters(part) {
            Some(characters) => text.push_str(&characters),
            None => {
                searches.push(of_text(column, &std::mem::take(&mut text)));
                searches.push(of(column, part));
            }
        }
    }
    searches.push(of_text(column, &text));
    all(searches)
}

fn of_text(column: &str, text: &str) -> Search {
    let needle = Needle::part(text, false, false);
    match needle.narrows_words() {
        true => has(column, needle),
        false => Search::Anything,
    }
}

/// The one text, but for the case of its letters, that a part stands for.
fn characters(part: &Hir) -> Option<String> {
    match part.kind() {
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        HirKind::Class(Class::Unicode(class)) => {
            let mut letter = None;
            for range in class.ranges() {
                if range.end() as u32 - range.start() as u32 > 1 {
                    return None;
                }
                for character in range.start()..=range.end() {
                    // As the index folds texts.
                    let folded = match character {
                        '\u{212a}' => 'k',
                        '\u{17f}' => 's',
                        other => other.to_ascii_lowercase(),
                    };
                    if *letter.get_or_insert(folded) != folded {
                        return None;
                    }
                }
            }
            letter.filter(char::is_ascii_alphabetic).map(String::from)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Search {
        has("message", Needle::part(text, false, false))
    }

    #[test]
    fn texts_between_what_varies() {
        let of = |pattern| search("message", pattern, false);
        assert_eq!(of("took .* seconds"), Search::All(vec![part("took "), part(" seconds")]));
        assert_eq!(of("^error$"), part("error"));
        assert_eq!(of("timeout|refused"), Search::Any(vec![part("timeout"), part("refused")]));
        assert_eq!(of("(user)+ (gone)?"), part("user"));
        assert_eq!(of(r"\d+"), Search::Anything);
        assert_eq!(of("timeout|.*"), Search::Anything);
        assert_eq!(of("(unclosed"), Search::Anything);
    }

    #[test]
    fn case_is_no_difference() {
        let of = |pattern, any_case| search("message", pattern, any_case);
        assert_eq!(of("(?i)Kiosk", false), part("kiosk"));
        assert_eq!(of("KIOSK", true), part("kiosk"));
        assert_eq!(of("[ab]cdx", false), part("cdx"));
    }
}
