//! Functions that read `attributes` by the name of a field, whichever way its dots are spelled:
//! `{"a.b":1}` and `{"a":{"b":1}}` both have `a.b`; of an array every element is a value.
//!
//! | | |
//! |---|---|
//! | `attribute_text(attributes, 'a.b')` | the first value as text |
//! | `attribute_number(attributes, 'a.b')` | the first value that is a number or the text of one |
//! | `attribute_values(attributes, 'a.b')` | all values, as a list of texts |
//! | `attribute_matches(attributes, 'a.b', 'regex')` | whether a value matches as a whole |

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, ListBuilder, StringBuilder, StringViewArray,
};
use arrow::datatypes::{DataType, Field};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use serde_json::Value;

use super::{literal_text, strings, whole_regex};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Take {
    Text,
    Number,
    Values,
    Matches,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AttributeFunction {
    take: Take,
    signature: Signature,
}

impl AttributeFunction {
    pub(super) const ALL: [Take; 4] = [Take::Text, Take::Number, Take::Values, Take::Matches];

    pub(super) fn new(take: Take) -> Self {
        let arguments = if take == Take::Matches { 3 } else { 2 };
        let signature = Signature::new(TypeSignature::String(arguments), Volatility::Immutable);
        Self { take, signature }
    }
}

impl ScalarUDFImpl for AttributeFunction {
    fn name(&self) -> &str {
        match self.take {
            Take::Text => "attribute_text",
            Take::Number => "attribute_number",
            Take::Values => "attribute_values",
            Take::Matches => "attribute_matches",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.take {
            Take::Text => DataType::Utf8View,
            Take::Number => DataType::Float64,
            Take::Values => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
            Take::Matches => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let objects = strings(&args.args[0].to_array(args.number_rows)?)?;
        let key = literal_text(self.name(), &args.args[1])?;
        let found = objects.iter().map(|object| object.map_or_else(Vec::new, |o| values(o, &key)));
        let answer: ArrayRef = match self.take {
            Take::Text => {
                Arc::new(found.map(|v| v.into_iter().next()).collect::<StringViewArray>())
            }
            Take::Number => {
                let number = |v: Vec<String>| v.iter().find_map(|text| number(text));
                Arc::new(found.map(number).collect::<Float64Array>())
            }
            Take::Values => {
                let mut lists = ListBuilder::new(StringBuilder::new());
                for values in found {
                    let any = !values.is_empty();
                    values.into_iter().for_each(|value| lists.values().append_value(value));
                    lists.append(any);
                }
                Arc::new(lists.finish())
            }
            Take::Matches => {
                let regex = whole_regex(&literal_text(self.name(), &args.args[2])?)?;
                let any = |v: Vec<String>| {
                    (!v.is_empty()).then(|| v.iter().any(|value| regex.is_match(value)))
                };
                Arc::new(found.map(any).collect::<BooleanArray>())
            }
        };
        Ok(ColumnarValue::Array(answer))
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// All values of a field, nulls and objects left out.
fn values(object: &str, key: &str) -> Vec<String> {
    let mut found = vec![];
    // Most rows lack most keys: the last part of the name is nowhere in the text then. A key may be
    // spelled with escapes.
    let last = key.rsplit('.').next().unwrap_or(key);
    if (object.contains(last) || object.contains('\\'))
        && let Ok(object) = serde_json::from_str(object)
    {
        collect(&object, Some(key), &mut found);
    }
    found
}

fn collect(value: &Value, key: Option<&str>, found: &mut Vec<String>) {
    match (value, key) {
        (Value::Array(items), key) => items.iter().for_each(|item| collect(item, key, found)),
        (Value::Object(object), Some(key)) => {
            if let Some(value) = object.get(key) {
                collect(value, None, found);
            }
            for (at, _) in key.match_indices('.') {
                if let Some(inner @ (Value::Object(_) | Value::Array(_))) = object.get(&key[..at]) {
                    collect(inner, Some(&key[at + 1..]), found);
                }
            }
        }
        (Value::String(text), None) => found.push(text.clone()),
        (Value::Number(number), None) => found.push(number.to_string()),
        (Value::Bool(truth), None) => found.push(truth.to_string()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_however_its_dots_are_spelled() {
        for (object, key, expected) in [
            (r#"{"a":{"b":1}}"#, "a.b", vec!["1"]),
            (r#"{"a.b":"x"}"#, "a.b", vec!["x"]),
            (r#"{"a":{"b.c":{"d":true}}}"#, "a.b.c.d", vec!["true"]),
            (r#"{"a":["x",["y"],null,2]}"#, "a", vec!["x", "y", "2"]),
            (r#"{"a":[{"b":1},{"b":2}]}"#, "a.b", vec!["1", "2"]),
            (r#"{"\u0061":3}"#, "a", vec!["3"]),
            (r#"{"a":{"b":1}}"#, "a", vec![]),
            (r#"{"a":null}"#, "a", vec![]),
            ("no object", "a", vec![]),
        ] {
            assert_eq!(values(object, key), expected, "{key} of {object}");
        }
    }
}
