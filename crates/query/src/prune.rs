//! Which files a query can leave closed, and what is known of a file without opening it.
//!
//! The Delta log's statistics of each file are shown to DataFusion column by column; the partition
//! gives bounds too: exact ones of `date` and `hour`, and of `timestamp` where a file has none.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::PhysicalExpr;
use loglake_model::{DATE, HOUR, StatValue, TIMESTAMP};
use loglake_table::DataFile;

#[derive(Clone, Copy)]
enum Side {
    Min,
    Max,
}

/// The files that may hold a row for which `predicate` holds; all of them when it says nothing
/// that statistics can answer.
pub(crate) fn prune(
    files: Vec<Arc<DataFile>>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    schema: &SchemaRef,
) -> Vec<Arc<DataFile>> {
    let Some(predicate) = predicate else { return files };
    let bounds = FileBounds { files: &files, schema };
    let kept = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(schema))
        .try_build(predicate)
        .and_then(|predicate| predicate.prune(&bounds));
    match kept {
        Ok(kept) => files.into_iter().zip(kept).filter_map(|(f, keep)| keep.then_some(f)).collect(),
        Err(error) => {
            // Statistics only save work: the filter itself is applied to every row anyway.
            tracing::debug!(%error, "no file pruned");
            files
        }
    }
}

/// Files as DataFusion's pruning sees them: one container each.
struct FileBounds<'a> {
    files: &'a [Arc<DataFile>],
    schema: &'a Schema,
}

impl FileBounds<'_> {
    fn bounds(&self, column: &Column, side: Side) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(&column.name).ok()?;
        let unknown = ScalarValue::try_from(field.data_type()).ok()?;
        let bounds = self.files.iter().map(|file| bound(file, field, side));
        ScalarValue::iter_to_array(bounds.map(|b| b.unwrap_or_else(|| unknown.clone()))).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, Side::Min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, Side::Max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let nulls = self.files.iter().map(|file| null_count(file, &column.name));
        Some(Arc::new(UInt64Array::from_iter(nulls)))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|file| file.rows))))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// The least and the greatest value of a column in a file, or values beyond them.
pub(crate) struct Bounds {
    pub(crate) min: ScalarValue,
    pub(crate) max: ScalarValue,
}

/// `None` where they are not known.
pub(crate) fn bounds(file: &DataFile, field: &Field) -> Option<Bounds> {
    let known = |side| bound(file, field, side).filter(|value| !value.is_null());
    Some(Bounds { min: known(Side::Min)?, max: known(Side::Max)? })
}

/// Whether each row of a file has a value in a column.
pub(crate) fn has_no_nulls(file: &DataFile, field: &Field) -> bool {
    !field.is_nullable() || null_count(file, field.name()) == Some(0)
}

fn null_count(file: &DataFile, column: &str) -> Option<u64> {
    match column {
        DATE | HOUR => Some(0),
        _ => file.stats.columns.get(column).map(|stats| stats.null_count),
    }
}

fn bound(file: &DataFile, field: &Field, side: Side) -> Option<ScalarValue> {
    match field.name().as_str() {
        DATE => Some(ScalarValue::Date32(Some(file.partition.day))),
        HOUR => Some(ScalarValue::Int32(file.partition.hour.map(i32::from))),
        name => {
            let stats = file.stats.columns.get(name);
            let value = stats.and_then(|stats| match side {
                Side::Min => stats.min.as_ref(),
                Side::Max => stats.max.as_ref(),
            });
            match value {
                Some(value) => scalar(value, field.data_type()),
                None if name == TIMESTAMP => Some(time_of_partition(file, field, side)),
                None => None,
            }
        }
    }
}

fn time_of_partition(file: &DataFile, field: &Field, side: Side) -> ScalarValue {
    let (from, to) = file.partition.micros();
    let micros = match side {
        Side::Min => from,
        Side::Max => to - 1,
    };
    let zone = match field.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    ScalarValue::TimestampMicrosecond(Some(micros), zone)
}

/// A bound in the type of its column; `None` when it is of another type.
fn scalar(value: &StatValue, kind: &DataType) -> Option<ScalarValue> {
    Some(match (value, kind) {
        (StatValue::Int(v), DataType::Int64) => ScalarValue::Int64(Some(*v)),
        (StatValue::Int(v), DataType::Int16) => ScalarValue::Int16(Some(i16::try_from(*v).ok()?)),
        (StatValue::Float(v), DataType::Float64) => ScalarValue::Float64(Some(*v)),
        (StatValue::Bool(v), DataType::Boolean) => ScalarValue::Boolean(Some(*v)),
        (StatValue::String(v), DataType::Utf8View) => ScalarValue::Utf8View(Some(v.to_string())),
        (StatValue::Timestamp(v), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*v), zone.clone())
        }
        _ => return None,
    })
}

/// What is known of a file's columns `fields`, none of which is a partition column. Rows, nulls
/// and bounds of integers are exact; other bounds may have been rounded outwards.
pub(crate) fn statistics<'a>(
    file: &DataFile,
    fields: impl Iterator<Item = &'a Field>,
) -> Statistics {
    let columns = fields.map(|field| {
        let known = |side| match bound(file, field, side) {
            Some(value) if field.data_type().is_integer() => Precision::Exact(value),
            Some(value) => Precision::Inexact(value),
            None => Precision::Absent,
        };
        let nulls = null_count(file, field.name()).map(|nulls| Precision::Exact(nulls as usize));
        ColumnStatistics::new_unknown()
            .with_min_value(known(Side::Min))
            .with_max_value(known(Side::Max))
            .with_null_count(nulls.unwrap_or(Precision::Absent))
    });
    Statistics {
        num_rows: Precision::Exact(file.rows as usize),
        total_byte_size: Precision::Inexact(file.bytes as usize),
        column_statistics: columns.collect(),
    }
}

/// The last microsecond that a file's rows may have: files are read newest first by it.
pub(crate) fn newest_micros(file: &DataFile) -> i64 {
    match file.stats.columns.get(TIMESTAMP).and_then(|stats| stats.max.as_ref()) {
        Some(StatValue::Timestamp(micros)) => *micros,
        _ => file.partition.micros().1 - 1,
    }
}
