//! The functions of SQL beyond DataFusion's: those that search texts for words, and a quicker percentile
//! ([`percentile`]). A word is a longest run of letters and digits.
//!
//! | | |
//! |---|---|
//! | `has_token(text, 'word')` | the text has these characters, and no word goes on before or after them |
//! | `match(text, 'two words')` | the text has each of the words, in whatever order and case |
//! | `match_phrase(text, 'two words')` | the text has the words one after the other, in whatever case |
//!
//! Token indexes narrow all three ([`crate::search`]); here they are decided row by row.

mod percentile;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use self::percentile::Percentile;

pub(crate) const HAS_TOKEN: &str = "has_token";
pub(crate) const MATCH: &str = "match";
pub(crate) const MATCH_PHRASE: &str = "match_phrase";

/// Makes the functions known.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    registry.register_udaf(Arc::new(AggregateUDF::from(Percentile::new())))?;
    for test in [Test::HasToken, Test::Match, Test::MatchPhrase] {
        registry.register_udf(Arc::new(ScalarUDF::from(WordFunction::new(test))))?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Test {
    HasToken,
    Match,
    MatchPhrase,
}

impl Test {
    const fn name(self) -> &'static str {
        match self {
            Self::HasToken => HAS_TOKEN,
            Self::Match => MATCH,
            Self::MatchPhrase => MATCH_PHRASE,
        }
    }

    /// The test of a text for what is sought.
    fn of(self, sought: &str) -> Box<dyn Fn(&str) -> bool> {
        match self {
            Self::HasToken => {
                let token = sought.to_owned();
                Box::new(move |text| has_token(text, &token))
            }
            Self::Match => {
                let sought = folded_words(sought);
                Box::new(move |text| {
                    let words = folded_words(text);
                    sought.iter().all(|word| words.contains(word))
                })
            }
            Self::MatchPhrase => {
                let sought = folded_words(sought);
                Box::new(move |text| {
                    let words = folded_words(text);
                    sought.is_empty() || words.windows(sought.len()).any(|run| run == sought)
                })
            }
        }
    }
}

fn has_token(text: &str, token: &str) -> bool {
    let mut matches = text.match_indices(token);
    matches.any(|(at, _)| {
        let goes_on = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !goes_on(text[..at].chars().next_back())
            && !goes_on(text[at + token.len()..].chars().next())
    })
}

fn folded_words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().map(fold).collect()).collect()
}

/// The lower case of a character, where it is one character.
fn fold(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(only), None) => only,
        _ => character,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WordFunction {
    test: Test,
    signature: Signature,
}

impl WordFunction {
    fn new(test: Test) -> Self {
        Self { test, signature: Signature::string(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WordFunction {
    fn name(&self) -> &str {
        self.test.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [texts, sought] =
            datafusion::common::utils::take_function_args(self.name(), args.args)?;
        let texts = strings(&texts.into_array(args.number_rows)?)?;
        let found: BooleanArray = match sought {
            ColumnarValue::Scalar(sought) => match sought.try_as_str().flatten() {
                Some(sought) => {
                    let test = self.test.of(sought);
                    texts.iter().map(|text| text.map(&test)).collect()
                }
                None => BooleanArray::new_null(texts.len()),
            },
            ColumnarValue::Array(sought) => {
                let sought = strings(&sought)?;
                let pairs = texts.iter().zip(&sought);
                pairs.map(|(text, sought)| Some(self.test.of(sought?)(text?))).collect()
            }
        };
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

/// Strings of whatever form as views.
fn strings(array: &ArrayRef) -> Result<StringViewArray> {
    let views = cast(array, &DataType::Utf8View)?;
    Ok(arrow::array::AsArray::as_string_view(&views).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_a_part_of_a_word() {
        for (text, token, there) in [
            ("error: disk full", "error", true),
            ("terror", "error", false),
            ("errors, error", "error", true),
            ("Error", "error", false),
            ("id quetzalcoatl-58213.", "quetzalcoatl-58213", true),
            ("id quetzalcoatl-582131", "quetzalcoatl-58213", false),
            ("größe", "größ", false),
        ] {
            assert_eq!(has_token(text, token), there, "{token:?} in {text:?}");
        }
    }

    #[test]
    fn words_match_in_any_order_and_phrases_in_theirs() {
        let text = "Connection refused by peer 10.0.0.7";
        for (test, sought, there) in [
            (Test::Match, "peer CONNECTION", true),
            (Test::Match, "peers", false),
            (Test::Match, "", true),
            (Test::MatchPhrase, "refused BY peer", true),
            (Test::MatchPhrase, "peer refused", false),
            (Test::MatchPhrase, "10 0", true),
            (Test::MatchPhrase, "", true),
        ] {
            assert_eq!(test.of(sought)(text), there, "{test:?} {sought:?}");
        }
    }
}
