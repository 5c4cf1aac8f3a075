//! The functions of SQL beyond DataFusion's: those that search texts for words, here and in [`words`], those
//! over `attributes` ([`attributes`]), a quicker percentile ([`percentile`]), and bounds around those of DataFusion that
//! make much out of little ([`bounded`]). A word is a longest run of letters and digits.
//!
//! | | |
//! |---|---|
//! | `has_token(text, 'word')` | the text has these characters, and no word goes on before or after them |
//! | `match(text, 'two words')` | the text has each of the words, in whatever order and case |
//! | `match_phrase(text, 'two words')` | the text has the words one after the other, in whatever case |
//! | `time_bucket(…)` | the beginning of the interval around a time: [`rounding`] |
//!
//! Token indexes narrow the first three ([`crate::search`]); here they are decided row by row, in texts of ASCII
//! without a look at each word ([`ascii_words`]).

mod ascii_words;
mod attributes;
mod bounded;
mod percentile;
pub(crate) mod record_id;
mod rounding;
mod words;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use datafusion::scalar::ScalarValue;
use memchr::memmem::Finder;

use self::ascii_words::AsciiPhrase;
use self::attributes::AttributeFunction;
use self::percentile::Percentile;
use self::record_id::RecordId;
pub use self::rounding::{Interval, Rounding};
use self::words::TextFunction;

/// Bytes that a compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

pub(crate) const HAS_TOKEN: &str = "has_token";
pub(crate) const MATCH: &str = "match";
pub(crate) const MATCH_PHRASE: &str = "match_phrase";
pub(crate) const MATCH_PHRASE_PREFIX: &str = "match_phrase_prefix";

/// Makes the functions known.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    registry.register_udaf(Arc::new(AggregateUDF::from(Percentile::new())))?;
    for function in scalar() {
        registry.register_udf(Arc::new(function))?;
    }
    bounded::bound(registry)
}

/// The functions of rows.
pub(crate) fn scalar() -> Vec<ScalarUDF> {
    let tests = [Test::HasToken, Test::Match, Test::MatchPhrase].map(WordFunction::new);
    let mut functions: Vec<ScalarUDF> = tests.map(ScalarUDF::from).into();
    functions.extend(TextFunction::ALL.map(|ask| TextFunction::new(ask).into()));
    functions.extend(AttributeFunction::ALL.map(|take| AttributeFunction::new(take).into()));
    functions.push(RecordId::new().into());
    functions.push(rounding::TimeBucket::new().into());
    functions
}

/// A percentile (0 to 1) of numbers (`Float64`), for who builds plans.
pub fn percentile(value: Expr, percentile: f64) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        Arc::new(AggregateUDF::from(Percentile::new())),
        vec![value.clone(), lit(percentile)],
        false,
        None,
        vec![value.sort(true, false)],
        None,
    ))
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
                let token = Finder::new(sought).into_owned();
                Box::new(move |text| has_token(text, &token))
            }
            Self::Match => {
                let sought = folded_words(sought);
                let each: Option<Vec<AsciiPhrase>> =
                    sought.chunks(1).map(AsciiPhrase::new).collect();
                Box::new(move |text| match text.is_ascii() {
                    true => is_there(each.as_deref(), text),
                    false => {
                        let words = folded_words(text);
                        sought.iter().all(|word| words.contains(word))
                    }
                })
            }
            Self::MatchPhrase => {
                let sought = folded_words(sought);
                let phrase = AsciiPhrase::new(&sought).map(|phrase| [phrase]);
                Box::new(move |text| match text.is_ascii() {
                    _ if sought.is_empty() => true,
                    true => is_there(phrase.as_ref().map(|phrase| &phrase[..]), text),
                    false => folded_words(text).windows(sought.len()).any(|run| run == sought),
                })
            }
        }
    }
}

/// Whether a text of ASCII has all the phrases; `None` are such as it cannot have.
fn is_there(phrases: Option<&[AsciiPhrase]>, text: &str) -> bool {
    phrases.is_some_and(|phrases| phrases.iter().all(|phrase| phrase.is_in(text.as_bytes())))
}

fn has_token(text: &str, token: &Finder<'_>) -> bool {
    let mut matches = token.find_iter(text.as_bytes());
    matches.any(|at| {
        // Of the empty token it may be within a character.
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + token.needle().len()..))
        else {
            return false;
        };
        let goes_on = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !goes_on(before.chars().next_back()) && !goes_on(after.chars().next())
    })
}

pub(crate) fn folded_words(text: &str) -> Vec<String> {
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

/// A regular expression of a literal that must match a whole text.
fn whole_regex(pattern: &str) -> Result<regex::Regex> {
    let whole = format!("^(?s:{pattern})$");
    let built = regex::RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| DataFusionError::Plan(format!("regular expression {pattern}: {error}")))
}

/// An argument that is the same for all rows.
fn literal_text(function: &str, argument: &ColumnarValue) -> Result<String> {
    let text = match argument {
        ColumnarValue::Scalar(text) => text.try_as_str().flatten().map(ToOwned::to_owned),
        ColumnarValue::Array(_) => None,
    };
    text.ok_or_else(|| {
        DataFusionError::Plan(format!("{function} takes literals after the first argument"))
    })
}

fn literal_number(function: &str, argument: &ColumnarValue) -> Result<usize> {
    let number = match argument {
        ColumnarValue::Scalar(number) => number.cast_to(&DataType::UInt64)?,
        ColumnarValue::Array(_) => ScalarValue::UInt64(None),
    };
    match number {
        ScalarValue::UInt64(Some(number)) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
        _ => Err(DataFusionError::Plan(format!("{function} takes literal numbers"))),
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
            assert_eq!(has_token(text, &Finder::new(token)), there, "{token:?} in {text:?}");
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
        assert!(Test::Match.of("GRÖßE")("Größe: 10"));
        assert!(!Test::Match.of("größe")("groesse 10"));
    }
}
