//! The words of a whole file in a few kilobytes, for the list of a table's files: a search leaves most
//! files closed for it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::dictionary::Dictionary;
use super::needle::{ColumnParts, Search};
use super::rows::Size;

/// The part of a file's bytes that the text of its words may take in the list. A small file is looked
/// into instead, until it is merged with others.
const SHARE_MAX: f64 = 1.0 / 64.0;

/// Words of letters alone, by text column: all that the column's dictionary has.
#[derive(Debug)]
pub struct FileWords {
    columns: BTreeMap<String, Dictionary>,
}

impl FileWords {
    /// From what [`crate::EncodedFile::words`] is; `None` where it is of another version, or none at all.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let columns: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
        let decode = |(column, text): (String, String)| {
            Some((column, Dictionary::decode(&STANDARD.decode(text).ok()?).ok()?))
        };
        Some(Self { columns: columns.into_iter().map(decode).collect::<Option<_>>()? })
    }

    /// Whether any row of the file may be one that is looked for.
    #[must_use]
    pub fn may_have(&self, search: &Search) -> bool {
        let parts = |column: &str| {
            let dictionary = Some(self.columns.get(column)?);
            Some(ColumnParts::Words { dictionary, filters: None })
        };
        let one_page = Size { rows: 1, page_rows: 1 };
        !search.rows(&parts, one_page).is_empty()
    }

    /// Bytes that it holds in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|(name, words)| name.len() + words.bytes()).sum()
    }
}

/// The text of the dictionaries, each of one page, of a file of `file_bytes`; `None` without any, and
/// where it would be too long.
pub(super) fn to_text(dictionaries: &[(&str, Vec<u8>)], file_bytes: usize) -> Option<String> {
    let columns: BTreeMap<&str, String> =
        dictionaries.iter().map(|(column, bytes)| (*column, STANDARD.encode(bytes))).collect();
    let text = serde_json::to_string(&columns).ok()?;
    let is_short = text.len() as f64 <= file_bytes as f64 * SHARE_MAX;
    (!columns.is_empty() && is_short).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::dictionary::{DictionaryBuilder, Form, Seen, words_bytes_max};
    use super::super::needle::Needle;
    use super::*;

    fn builder(of: &[&str], words_bytes_max: usize) -> DictionaryBuilder {
        let mut builder = DictionaryBuilder::new(words_bytes_max);
        for (page, word) in of.iter().enumerate() {
            builder.add(word.as_bytes(), Seen { page, row: page as u32, form: Form::Word }, &mut 0);
        }
        builder
    }

    fn words(of: &[&str]) -> FileWords {
        let all = builder(of, words_bytes_max(0)).encode_as_one_page().unwrap();
        FileWords::parse(&to_text(&[("message", all.unwrap())], 1 << 20).unwrap()).unwrap()
    }

    fn may_have(words: &FileWords, column: &str, part: &str) -> bool {
        let needle = Needle::part(part, false, false);
        words.may_have(&Search::Has { column: column.to_owned(), needle })
    }

    #[test]
    fn a_file_may_have_the_words_of_any_of_its_pages_and_no_other() {
        let words = words(&["error", "disk", "disk"]);
        assert!(may_have(&words, "message", "rror"));
        assert!(may_have(&words, "message", "full disk") == may_have(&words, "message", "full"));
        assert!(!may_have(&words, "message", "quetzal"));
        assert!(may_have(&words, "message", "58213"), "numbers are not known");
        assert!(may_have(&words, "other", "quetzal"), "nor are other columns");
    }

    #[test]
    fn there_are_none_where_the_dictionary_had_no_room_for_a_word() {
        let of = |bytes| builder(&["error", "disk"], bytes).encode_as_one_page().unwrap();
        assert!(of(6).is_none());
        assert!(of(60).is_some());
    }

    #[test]
    fn a_text_that_is_too_long_for_its_file_is_left_out() {
        let dictionary = ("message", vec![0; 300]);
        assert_eq!(to_text(std::slice::from_ref(&dictionary), 20_000), None);
        assert!(to_text(&[dictionary], 50_000).is_some());
        assert_eq!(to_text(&[], 200_000), None);
        assert!(FileWords::parse("{\"message\":\"AAAA\"}").is_none());
    }
}
