//! Functions of DataFusion that make much out of little, bounded: `repeat('x', 1000000000)` takes a gigabyte a row,
//! which the account of its query does not show.
//!
//! Before one is called, what each row may become at most is told from its arguments: [`Makes`]. Rows are taken
//! a few at a time where all at once may be too much, and refused where one may.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

/// Bytes that are made at once, and of one row.
const AT_ONCE_BYTES_MAX: u64 = 64 << 20;
/// Bytes that are made of the rows of one batch beyond those that are given.
const BATCH_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a value of an array that is no text.
const VALUE_BYTES: u64 = 8;
const CHARACTER_BYTES_MAX: u64 = 4;
/// Of a day.
const DAY_NANOS: u64 = 86_400_000_000_000;

const BOUNDED: [(&str, Makes); 10] = [
    ("repeat", Makes::Copies),
    ("array_repeat", Makes::Copies),
    ("lpad", Makes::Characters),
    ("rpad", Makes::Characters),
    ("array_resize", Makes::Values),
    ("range", Makes::Steps),
    ("generate_series", Makes::Steps),
    ("replace", Makes::Replaced),
    ("regexp_replace", Makes::Replaced),
    ("array_to_string", Makes::Joined),
];

/// What a function makes of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Makes {
    /// So many copies of a value: `(value, count)`.
    Copies,
    /// A text of so many characters: `(text, count, …)`.
    Characters,
    /// An array of so many values: `(array, count, …)`.
    Values,
    /// The numbers from one to another: `(start, stop, step)`.
    Steps,
    /// A text in which another stands wherever something was: `(text, what, by, …)`.
    Replaced,
    /// The values of an array with a text between them: `(array, between, …)`.
    Joined,
}

/// Puts the bounds around the functions that are registered.
pub(super) fn bound(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for (name, makes) in BOUNDED {
        let inner = registry.udf(name)?;
        registry.register_udf(Arc::new(Bounded { inner, makes }.into()))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    makes: Makes,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, context)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_array = |value: &ColumnarValue| matches!(value, ColumnarValue::Array(_));
        let rows = if args.args.iter().any(is_array) { args.number_rows } else { 1 };
        let most = self.makes.of_rows(&args.args, rows)?;
        let all = most.iter().fold(0_u64, |all, row| all.saturating_add(*row));
        if all <= AT_ONCE_BYTES_MAX {
            return self.inner.invoke_with_args(args);
        }
        let given = |value: &ColumnarValue| match value {
            ColumnarValue::Array(array) => array.get_array_memory_size() as u64,
            ColumnarValue::Scalar(_) => 0,
        };
        let bytes_max = BATCH_BYTES_MAX + args.args.iter().map(given).sum::<u64>();
        let (mut made, mut bytes) = (vec![], 0);
        for range in pieces(&most) {
            if most[range.start] > AT_ONCE_BYTES_MAX || bytes > bytes_max {
                return exec_err!(
                    "{} would make too much: at most {} MiB of a row, and {} MiB of a few thousand rows",
                    self.name(),
                    AT_ONCE_BYTES_MAX >> 20,
                    BATCH_BYTES_MAX >> 20
                );
            }
            let part = sliced(&args, range.start, range.len());
            let part = self.inner.invoke_with_args(part)?.into_array(range.len())?;
            bytes += part.get_array_memory_size() as u64;
            made.push(part);
        }
        let made: Vec<&dyn Array> = made.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&made)?))
    }
}

/// Rows one after the other that may become as much as is made at once; a row of more stands alone.
fn pieces(most: &[u64]) -> Vec<std::ops::Range<usize>> {
    let (mut pieces, mut start, mut bytes) = (vec![], 0, 0_u64);
    for (row, of_row) in most.iter().enumerate() {
        bytes = bytes.saturating_add(*of_row);
        if bytes > AT_ONCE_BYTES_MAX && row > start {
            pieces.push(start..row);
            (start, bytes) = (row, *of_row);
        }
    }
    pieces.push(start..most.len());
    pieces
}

fn sliced(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let slice = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        scalar => scalar.clone(),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(slice).collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: rows,
        return_field: Arc::clone(&args.return_field),
        config_options: Arc::clone(&args.config_options),
    }
}

impl Makes {
    /// Bytes that each row may become at most.
    fn of_rows(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        let arrays = args.iter().map(|value| value.to_array(rows));
        let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
        let (first, second, third) = match arrays.as_slice() {
            // `range(n)` begins at none.
            [stop] if self == Self::Steps => (&new_null_array(stop.data_type(), rows), stop, None),
            [first, second, rest @ ..] => (first, second, rest.first()),
            _ => return Ok(vec![0; rows]),
        };
        Ok(match self {
            Self::Copies => {
                let (count, bytes) = (counts(second)?, bytes(first));
                (0..rows).map(|row| count(row).saturating_mul(bytes(row))).collect()
            }
            Self::Characters | Self::Values => {
                let each = if self == Self::Values { VALUE_BYTES } else { CHARACTER_BYTES_MAX };
                let count = counts(second)?;
                (0..rows).map(|row| count(row).saturating_mul(each)).collect()
            }
            Self::Steps => {
                let steps = steps(first, second, third)?;
                (0..rows).map(|row| steps(row).saturating_mul(VALUE_BYTES)).collect()
            }
            Self::Replaced => {
                let by = third.map(bytes);
                let text = bytes(first);
                let of_row = |row| {
                    let by = by.as_ref().map_or(0, |by| by(row));
                    // Before and after each character, and in its place a part of the text for each reference.
                    (text(row) + 1).saturating_mul(by.saturating_add(1))
                };
                (0..rows).map(of_row).collect()
            }
            Self::Joined => {
                let (between, array) = (bytes(second), bytes(first));
                let count = values(first);
                let of_row =
                    |row| count(row).saturating_mul(between(row)).saturating_add(array(row));
                (0..rows).map(of_row).collect()
            }
        })
    }
}

/// Whole numbers as they are, those below none as none, and those past what is counted as the most there is.
fn counts(array: &ArrayRef) -> Result<impl Fn(usize) -> u64 + use<>> {
    let (array, numbers) = (Arc::clone(array), numbers(array)?);
    Ok(move |row| match &numbers {
        Some(numbers) if numbers.is_valid(row) => numbers.value(row).max(0) as u64,
        Some(_) if array.is_valid(row) => u64::MAX,
        _ => 0,
    })
}

/// Numbers as they are, and times in nanoseconds; `None` of other types.
fn numbers(array: &ArrayRef) -> Result<Option<Int64Array>> {
    let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let numbers = match array.data_type() {
        kind if kind.is_numeric() => Arc::clone(array),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => cast(array, &nanos)?,
        _ => return Ok(None),
    };
    Ok(Some(cast(&numbers, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
}

/// How far numbers, or times in nanoseconds, are from one another at least; 1 where it is not said.
fn step_sizes(array: &ArrayRef) -> Result<impl Fn(usize) -> u64 + use<>> {
    let numbers = numbers(array)?;
    let intervals = match array.data_type() {
        DataType::Interval(_) => {
            Some(cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?)
        }
        _ => None,
    };
    Ok(move |row| {
        let size = match (&numbers, &intervals) {
            (Some(numbers), _) => numbers.value(row).unsigned_abs(),
            (None, Some(intervals)) => {
                let step = intervals.as_primitive::<IntervalMonthDayNanoType>().value(row);
                let days = u64::from(step.months.unsigned_abs()) * 28
                    + u64::from(step.days.unsigned_abs());
                days.saturating_mul(DAY_NANOS).saturating_add(step.nanoseconds.unsigned_abs())
            }
            _ => 1,
        };
        size.max(1)
    })
}

/// The bytes of each row; of what is no text, of all rows by their number.
fn bytes(array: &ArrayRef) -> impl Fn(usize) -> u64 + use<> {
    let texts = array.data_type().is_string().then(|| cast(array, &DataType::Utf8View).ok());
    let texts = texts.flatten();
    let on_average = (array.get_array_memory_size() / array.len().max(1)).max(1) as u64;
    move |row| match &texts {
        Some(texts) => texts.as_string_view().value(row).len() as u64,
        None => on_average,
    }
}

/// How many values each row's array has.
fn values(array: &ArrayRef) -> impl Fn(usize) -> u64 + use<> {
    let array = Arc::clone(array);
    move |row| match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value_length(row).max(0) as u64,
        DataType::LargeList(_) => array.as_list::<i64>().value_length(row).max(0) as u64,
        DataType::FixedSizeList(_, count) => (*count).max(0) as u64,
        _ => 0,
    }
}

/// How many numbers or times there are from the first to the second.
fn steps(
    start: &ArrayRef,
    stop: &ArrayRef,
    step: Option<&ArrayRef>,
) -> Result<impl Fn(usize) -> u64 + use<>> {
    let (start, stop) = (numbers(start)?, numbers(stop)?);
    let step = step.map(step_sizes).transpose()?;
    Ok(move |row| {
        let (Some(start), Some(stop)) = (&start, &stop) else { return 0 };
        let start = if start.is_valid(row) { start.value(row) } else { 0 };
        start.abs_diff(stop.value(row)) / step.as_ref().map_or(1, |step| step(row))
    })
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::session;

    async fn asked(sql: &str) -> Result<String> {
        let context = SessionContext::new_with_state(session::functions()?);
        let rows = context.sql(sql).await?.collect().await?;
        Ok(pretty_format_batches(&rows)?.to_string())
    }

    const MANY: &str = "from unnest(range(0, 1000)) as many(n)";

    #[tokio::test]
    async fn what_would_take_too_much_is_refused() {
        for call in [
            "repeat('x', 1000000000)",
            "repeat('x', n + 1000000)",
            "lpad('x', 100000000)",
            "rpad('x', n + 1000000, 'y')",
            "array_repeat(n, 100000000)",
            "array_repeat('x', n + 1000000)",
            "array_resize([n], 100000000)",
            "range(100000000)",
            "range(0, n + 100000000, 3)",
            "generate_series(1, n + 1000000)",
            "generate_series(timestamp '2026-01-01', timestamp '2027-01-01', interval '1' second)",
            "replace(repeat('a', 1000000), 'a', repeat('b', 1000000))",
            "replace(repeat('a', 1000), 'a', repeat('b', n + 1000))",
            "regexp_replace(repeat('a', 1000000), 'a', repeat('b', 1000000), 'g')",
            "array_to_string(range(0, 100000), repeat('x', 1000000))",
        ] {
            let sql = format!("select {call} {MANY}");
            let Err(error) = asked(&sql).await else { panic!("{call} was answered") };
            assert!(error.to_string().contains("too much"), "{call}: {error}");
        }
    }

    #[tokio::test]
    async fn what_may_be_much_and_is_not_is_made_piece_by_piece() {
        let text = "repeat('ab', 100 + n)";
        let by = "repeat('c', 1000)";
        // Of each row it may be 300 KB.
        for (call, expected) in [
            (format!("replace({text}, 'x', {by})"), text.to_owned()),
            (format!("regexp_replace({text}, 'x', {by}, 'g')"), text.to_owned()),
        ] {
            let sql =
                format!("select count(*), count(case when {call} = {expected} then 1 end) {MANY}");
            let answer = asked(&sql).await.unwrap();
            assert_eq!(answer.matches("1000 ").count(), 2, "{answer}");
        }
    }

    #[tokio::test]
    async fn small_ones_are_as_before() {
        for (call, expected) in [
            ("repeat('ab', 2)", "abab"),
            ("lpad('7', 3, '0')", "007"),
            ("rpad('7', 3)", "7"),
            ("array_repeat('a', 2)", "[a, a]"),
            ("array_resize([1], 3, 0)", "[1, 0, 0]"),
            ("range(3)", "[0, 1, 2]"),
            ("range(5, 0, -2)", "[5, 3, 1]"),
            ("generate_series(1, 3)", "[1, 2, 3]"),
            ("list_repeat(null, 2)", "[, ]"),
            ("repeat('a', -5)", ""),
            ("repeat(null, 5)", ""),
            ("replace('aba', 'a', 'xy')", "xybxy"),
            ("regexp_replace('aba', 'a', 'xy', 'g')", "xybxy"),
            ("array_to_string([1, 2], ', ')", "1, 2"),
            (
                "array_length(generate_series(date '2026-01-01', date '2026-12-31', interval '1' day))",
                "365",
            ),
        ] {
            let answer = asked(&format!("select {call} as answer")).await;
            let answer = answer.unwrap_or_else(|error| panic!("{call}: {error}"));
            assert!(answer.contains(&format!("| {expected}")), "{call}: {answer}");
        }
    }
}
