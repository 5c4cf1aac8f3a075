//! The columns of a batch while it is built: typed builders that are made when a field first has a
//! value, and padded with nulls only when they get the next one.

mod texts;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Array, Int64Builder, PrimitiveBuilder,
};
use arrow::datatypes::{ArrowPrimitiveType, Field, SchemaRef};
use loglake_model::{Column, ColumnType, NameForm, TableSchema};

use self::texts::Texts;
use crate::DecodeContext;
use crate::json::INT_EXACT_MAX;

/// The index of a column of the batch.
pub(crate) type ColumnId = u32;

/// A value that a column may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    String(&'a str),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Scalar<'_> {
    const fn kind(&self) -> ColumnType {
        match self {
            Self::String(_) => ColumnType::String,
            Self::Int(_) => ColumnType::Int64,
            Self::Float(_) => ColumnType::Float64,
            Self::Bool(_) => ColumnType::Bool,
        }
    }
}

/// An integer of an earlier row that its column, a float's since, cannot hold exactly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Displaced {
    pub(crate) row: usize,
    pub(crate) column: ColumnId,
    pub(crate) value: i64,
}

enum Values {
    String(Texts),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Bool(BooleanBuilder),
}

impl Values {
    fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::String => Self::String(Texts::new()),
            ColumnType::Int64 => Self::Int64(Int64Builder::new()),
            ColumnType::Float64 => Self::Float64(Float64Builder::new()),
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
        }
    }

    /// Nulls for all rows before `rows` that have no value yet.
    #[inline]
    fn pad(&mut self, length: usize, rows: usize) {
        let missing = rows - length;
        if missing == 0 {
            return;
        }
        match self {
            Self::String(texts) => texts.append_nulls(missing),
            Self::Int64(builder) => builder.append_nulls(missing),
            Self::Float64(builder) => builder.append_nulls(missing),
            Self::Bool(builder) => builder.append_nulls(missing),
        }
    }

    /// Makes room for the rows that are to come; decides how texts are kept.
    fn settle(&mut self, growth: Growth) {
        match self {
            Self::String(texts) => texts.settle(growth),
            Self::Int64(builder) => *builder = with_room(builder, growth),
            Self::Float64(builder) => *builder = with_room(builder, growth),
            Self::Bool(_) => {}
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::String(texts) => texts.finish(),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
        }
    }
}

fn with_room<T: ArrowPrimitiveType>(
    builder: &mut PrimitiveBuilder<T>,
    growth: Growth,
) -> PrimitiveBuilder<T> {
    let values = builder.finish();
    let mut with_room = PrimitiveBuilder::with_capacity(growth.of(values.len()));
    with_room.append_array(&values);
    with_room
}

/// Of a batch: its rows so far, and about how many it is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Growth {
    /// What is so much of the rows so far, of all of them; with a little more, since memory that is a
    /// little too small is doubled.
    fn of(self, so_far: usize) -> usize {
        let to = self.to.max(self.from) as u128;
        let all = so_far as u128 * (to + to / 16) / self.from.max(1) as u128;
        all as usize
    }
}

struct Building {
    column: Column,
    /// The table has it: its type is decided.
    known: bool,
    /// Rows that have a value or a null.
    length: usize,
    values: Values,
}

/// The columns of a batch that is complete.
pub(crate) struct Finished {
    pub(crate) columns: Vec<(Field, ArrayRef)>,
    /// What earlier rows have to keep in `attributes`.
    pub(crate) displaced: Vec<(Column, Displaced)>,
}

/// The columns of one batch.
pub(crate) struct Columns<'c> {
    schema: &'c TableSchema,
    columns_max: usize,
    new_columns: usize,
    building: Vec<Building>,
    by_name: HashMap<Arc<str>, ColumnId>,
    /// Names of the table's and this batch's columns in small letters; made when first needed.
    taken: Option<HashSet<String>>,
    displaced: Vec<Displaced>,
}

impl<'c> Columns<'c> {
    pub(crate) fn new(context: &DecodeContext<'c>) -> Self {
        Self {
            schema: context.schema,
            columns_max: context.limits.table_columns_max,
            new_columns: 0,
            building: vec![],
            by_name: HashMap::new(),
            taken: None,
            displaced: vec![],
        }
    }

    pub(crate) fn column(&self, id: ColumnId) -> &Column {
        &self.building[id as usize].column
    }

    /// The column that takes the values of `name`, when there is one or one can be added; `value`
    /// decides the type of a new one. `None`: the field has its place in `attributes`.
    pub(crate) fn resolve(
        &mut self,
        name: &str,
        form: NameForm,
        value: &Scalar<'_>,
    ) -> Option<ColumnId> {
        if let Some(id) = self.by_name.get(name) {
            return Some(*id);
        }
        if !Column::name_is_usable(name) {
            return None;
        }
        if let Some(column) = self.schema.column(name) {
            return Some(self.push(column.clone(), true));
        }
        if self.schema.columns().len() + self.new_columns >= self.columns_max {
            return None;
        }
        let taken = self.taken.get_or_insert_with(|| {
            self.schema.columns().iter().map(|c| c.name.to_lowercase()).collect()
        });
        if !taken.insert(name.to_lowercase()) {
            return None;
        }
        self.new_columns += 1;
        Some(self.push(Column::new(name, value.kind(), form), false))
    }

    fn push(&mut self, column: Column, known: bool) -> ColumnId {
        let id = self.building.len() as ColumnId;
        self.by_name.insert(Arc::clone(&column.name), id);
        let values = Values::new(column.kind);
        self.building.push(Building { column, known, length: 0, values });
        id
    }

    /// Sets the value of a row; false when the column does not take it. Rows only go up.
    #[inline]
    pub(crate) fn append(&mut self, id: ColumnId, row: usize, value: Scalar<'_>) -> bool {
        let column = &mut self.building[id as usize];
        if let (Values::Int64(_), Scalar::Float(_), false) = (&column.values, &value, column.known)
        {
            widen(column, id, &mut self.displaced);
        }
        let fits = match (&column.values, value) {
            (Values::String(_), Scalar::String(_))
            | (Values::Int64(_), Scalar::Int(_))
            | (Values::Float64(_), Scalar::Float(_))
            | (Values::Bool(_), Scalar::Bool(_)) => true,
            (Values::Float64(_), Scalar::Int(value)) => exact_as_float(value),
            (Values::Int64(_), Scalar::Float(value)) => integral(value).is_some(),
            _ => false,
        };
        if !fits {
            return false;
        }
        column.values.pad(column.length, row);
        column.length = row + 1;
        match (&mut column.values, value) {
            (Values::String(texts), Scalar::String(value)) => texts.append(value),
            (Values::Int64(builder), Scalar::Int(value)) => builder.append_value(value),
            (Values::Int64(builder), Scalar::Float(value)) => builder.append_value(value as i64),
            (Values::Float64(builder), Scalar::Float(value)) => builder.append_value(value),
            (Values::Float64(builder), Scalar::Int(value)) => builder.append_value(value as f64),
            (Values::Bool(builder), Scalar::Bool(value)) => builder.append_value(value),
            _ => return false,
        }
        true
    }

    /// Makes room for the rows that are to come; decides how texts are kept.
    pub(crate) fn settle(&mut self, growth: Growth) {
        self.building.iter_mut().for_each(|column| column.values.settle(growth));
    }

    /// The columns of `rows` rows.
    pub(crate) fn finish(mut self, rows: usize) -> Finished {
        let mut finished = Vec::with_capacity(self.building.len());
        for column in self.building.iter_mut().filter(|column| column.length > 0) {
            column.values.pad(column.length, rows);
            let values = column.values.finish();
            let field = column.column.field().with_data_type(values.data_type().clone());
            finished.push((field, values));
        }
        let displaced = self.displaced.into_iter();
        let displaced = displaced.map(|d| (self.building[d.column as usize].column.clone(), d));
        Finished { columns: finished, displaced: displaced.collect() }
    }
}

/// Makes a column of integers one of floats.
fn widen(column: &mut Building, id: ColumnId, displaced: &mut Vec<Displaced>) {
    let Values::Int64(builder) = &mut column.values else { return };
    let ints: Int64Array = builder.finish();
    let mut floats = Float64Builder::with_capacity(ints.len() + 1);
    for (row, value) in ints.iter().enumerate() {
        match value {
            Some(value) if !exact_as_float(value) => {
                displaced.push(Displaced { row, column: id, value });
                floats.append_null();
            }
            other => floats.append_option(other.map(|value| value as f64)),
        }
    }
    column.column.kind = ColumnType::Float64;
    column.values = Values::Float64(floats);
}

const fn exact_as_float(value: i64) -> bool {
    value.unsigned_abs() <= INT_EXACT_MAX.unsigned_abs()
}

/// The integer that a float is, where nothing is lost by calling it one.
fn integral(value: f64) -> Option<i64> {
    let exact = value.fract() == 0.0 && value.abs() < INT_EXACT_MAX as f64;
    (exact && !(value == 0.0 && value.is_sign_negative())).then_some(value as i64)
}

/// `timestamp`, `nanos`, the columns, `attributes`: the fields of a batch in order.
pub(crate) fn batch_schema(columns: &[(Field, ArrayRef)], attributes: Option<Field>) -> SchemaRef {
    let fields = TableSchema::time_fields().into_iter();
    let fields = fields.chain(columns.iter().map(|(field, _)| field.clone())).chain(attributes);
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}
