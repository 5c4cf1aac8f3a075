//! Keys of buckets: values that groups have in a plan's rows, and how they are compared and shown.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;
use serde_json::Value;

use crate::ElasticError;

/// One value of a key. Null comes before all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Null,
    Bool(bool),
    Int(i64),
    Real(Real),
    Text(String),
}

/// A double that is equal to itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Real(pub f64);

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Real {}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Key {
    /// Whole numbers as they are, times as milliseconds.
    pub fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::from(i64::from(*flag)),
            Self::Int(number) => Value::from(*number),
            Self::Real(number) => Value::from(number.0),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }

    /// As a number, for pipelines over keys.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Real(number) => Some(number.0),
            Self::Bool(flag) => Some(f64::from(u8::from(*flag))),
            Self::Null | Self::Text(_) => None,
        }
    }

    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// As a constant of a plan.
    pub fn literal(&self) -> Expr {
        match self {
            Self::Null => lit(ScalarValue::Null),
            Self::Bool(flag) => lit(*flag),
            Self::Int(number) => lit(*number),
            Self::Real(number) => lit(number.0),
            Self::Text(text) => lit(ScalarValue::Utf8View(Some(text.clone()))),
        }
    }
}

/// The keys of a column.
///
/// # Errors
/// When it is of a type that no key has.
pub(super) fn keys_of(column: &ArrayRef) -> Result<Vec<Key>, ElasticError> {
    let rows = 0..column.len();
    let each = |key: &dyn Fn(usize) -> Key| {
        let key = |row| if column.is_null(row) { Key::Null } else { key(row) };
        rows.clone().map(key).collect()
    };
    Ok(match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            each(&|row| Key::Bool(values.value(row)))
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            each(&|row| Key::Real(Real(values.value(row))))
        }
        kind if kind.is_integer() => {
            let values = cast(column, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>();
            each(&|row| Key::Int(values.value(row)))
        }
        _ => {
            let values = cast(column, &DataType::Utf8View)?;
            let values = values.as_string_view();
            each(&|row| Key::Text(values.value(row).to_owned()))
        }
    })
}

/// The numbers of a column of states.
///
/// # Errors
/// When it has none.
pub(super) fn numbers_of(column: &ArrayRef) -> Result<Vec<Option<f64>>, ElasticError> {
    let values = cast(column, &DataType::Float64)?;
    Ok(values.as_primitive::<Float64Type>().iter().collect())
}
