//! Rows as hits: what of them is asked for, and how they are shown. Also of `top_hits`.

mod fields;
mod highlight;
mod source;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::logical_expr::Expr;
use loglake_model::{ATTRIBUTES, DATE, HOUR, NANOS, TIMESTAMP};
use serde_json::{Map, Value, json};

use self::fields::{FieldsWanted, TIME};
use self::highlight::Highlight;
use self::source::SourceFilter;
use crate::fields::{ID, INDEX, col};
use crate::query::{Query, marks};
use crate::{ElasticError, Fields};

/// Columns that are of the hit and not of its source begin so.
const BESIDE: &str = "__";
pub(crate) const SCORE: &str = "__score";

pub(crate) fn sort_column(at: usize) -> String {
    format!("{BESIDE}sort{at}")
}

/// What a hit shows: `_source`, `fields`, `docvalue_fields`, `highlight`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HitOptions {
    source: SourceFilter,
    fields: FieldsWanted,
    highlight: Option<Highlight>,
    version: bool,
    sequence: bool,
}

impl HitOptions {
    /// Takes its keys out of a search body (or that of `top_hits`) and leaves the others.
    ///
    /// # Errors
    /// When one is not understood.
    pub fn take(body: &mut Map<String, Value>) -> Result<Self, ElasticError> {
        let stored = body.remove("stored_fields");
        let source = body.remove("_source");
        // Who asks for stored fields and says nothing of the source wants none.
        let source = match (&stored, source) {
            (Some(_), None) => SourceFilter::none(),
            (_, source) => SourceFilter::parse(source.as_ref())?,
        };
        let fields = body.remove("fields");
        let values = body.remove("docvalue_fields");
        let highlight = body.remove("highlight");
        Ok(Self {
            source,
            fields: FieldsWanted::parse(fields.as_ref(), values.as_ref())?,
            highlight: highlight.map(|body| Highlight::parse(&body)).transpose()?,
            version: body.remove("version").is_some_and(|v| v == true),
            sequence: body.remove("seq_no_primary_term").is_some_and(|v| v == true),
        })
    }

    /// Marks in highlights what this query seeks, unless they have one of their own.
    pub(crate) fn mark(&mut self, query: &Query) {
        if let Some(highlight) = &mut self.highlight {
            highlight.mark(marks(query));
        }
    }

    /// The columns that [`Self::hits`] needs, of rows that have the columns of the index.
    pub fn columns(&self, fields: &Fields) -> Vec<Expr> {
        let names = fields.schema().fields().iter().map(|field| field.name().as_str());
        let own: Vec<&str> = names.filter(|name| ![DATE, HOUR, ID, INDEX].contains(name)).collect();
        let shown: Vec<&str> = own.iter().copied().filter(|name| self.needs(name)).collect();
        // Beside a value, fields that are named as if they were within it are shown in another form.
        let is_above = |name: &str| {
            let mut below = shown.iter().filter_map(|shown| shown.strip_prefix(name));
            below.any(|rest| rest.starts_with('.'))
        };
        let own = own.iter().filter(|name| shown.contains(name) || is_above(name)).copied();
        let index = fields.field(INDEX);
        let index = (index.name == INDEX && index.kind == crate::Kind::Keyword)
            .then(|| index.expr.alias(INDEX));
        own.map(col).chain([fields.id().alias(ID)]).chain(index).collect()
    }

    /// Whether anything of a column may be in a hit.
    fn needs(&self, column: &str) -> bool {
        match column {
            NANOS | ATTRIBUTES => true,
            _ if !self.fields.is_empty() || self.highlight.is_some() => true,
            TIMESTAMP => self.source.shows(TIME),
            name => self.source.shows(name),
        }
    }

    /// A hit a row: `_index`, `_id`, `_source`, ….
    ///
    /// # Errors
    /// When the rows are not those of [`Self::columns`].
    pub fn hits(&self, rows: &[RecordBatch], index: &Index) -> Result<Vec<Value>, ElasticError> {
        let mut hits = vec![];
        for batch in rows {
            self.of_batch(batch, index, 0, &mut hits)?;
        }
        Ok(hits)
    }

    /// The same of rows that have `__score` and so many of `__sort0`, … beside.
    pub(crate) fn sorted_hits(
        &self,
        rows: &[RecordBatch],
        index: &Index,
        keys: usize,
    ) -> Result<Vec<Value>, ElasticError> {
        let mut hits = vec![];
        for batch in rows {
            self.of_batch(batch, index, keys, &mut hits)?;
        }
        Ok(hits)
    }

    fn of_batch(
        &self,
        batch: &RecordBatch,
        index: &Index,
        keys: usize,
        hits: &mut Vec<Value>,
    ) -> Result<(), ElasticError> {
        let ids = texts(batch, ID)?;
        let indices = texts(batch, INDEX)?;
        let scores = match batch.column_by_name(SCORE) {
            Some(scores) => Some(cast(scores, &DataType::Float64)?),
            None => None,
        };
        let sources = sources(batch)?;
        for (row, source) in sources.into_iter().enumerate() {
            let mut hit = Map::new();
            let named = indices.as_ref().map(|names| names.as_string::<i32>().value(row));
            let one = match index {
                Index::One(name) => name.as_str(),
                Index::Several => "",
            };
            hit.insert("_index".to_owned(), json!(named.unwrap_or(one)));
            if let Some(ids) = &ids {
                hit.insert("_id".to_owned(), json!(ids.as_string::<i32>().value(row)));
            }
            let score =
                scores.as_ref().map(|scores| scores.as_primitive::<Float64Type>().value(row));
            hit.insert("_score".to_owned(), json!(score));
            if self.version {
                hit.insert("_version".to_owned(), json!(1));
            }
            if self.sequence {
                hit.insert("_seq_no".to_owned(), json!(0));
                hit.insert("_primary_term".to_owned(), json!(1));
            }
            self.shown(source, &mut hit)?;
            if keys > 0 {
                let values = (0..keys).map(|at| sort_value(batch, at, row));
                hit.insert("sort".to_owned(), Value::Array(values.collect::<Result<_, _>>()?));
            }
            hits.push(Value::Object(hit));
        }
        Ok(())
    }

    fn shown(&self, source: Value, hit: &mut Map<String, Value>) -> Result<(), ElasticError> {
        if let Some(fields) = self.fields.of(&source)? {
            hit.insert("fields".to_owned(), fields);
        }
        let marked = self.highlight.as_ref().and_then(|highlight| highlight.of(&source));
        if let Some(source) = self.source.of(source) {
            hit.insert("_source".to_owned(), source);
        }
        if let Some(marked) = marked {
            hit.insert("highlight".to_owned(), marked);
        }
        Ok(())
    }
}

/// Which tables hits are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Index {
    One(String),
    /// The column [`crate::fields::INDEX`] says it.
    Several,
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Option<ArrayRef>, ElasticError> {
    Ok(match batch.column_by_name(name) {
        Some(column) => Some(cast(column, &DataType::Utf8)?),
        None => None,
    })
}

/// The records as they came, with their time as `@timestamp`.
fn sources(batch: &RecordBatch) -> Result<Vec<Value>, ElasticError> {
    let schema = batch.schema();
    let own = (0..batch.num_columns()).filter(|at| {
        let name = schema.field(*at).name();
        name != ID && name != INDEX && !name.starts_with(BESIDE)
    });
    let own = batch.project(&own.collect::<Vec<_>>())?;
    let mut lines = String::new();
    loglake_receive::render_ndjson(&own, &mut lines)
        .map_err(|e| ElasticError::corrupt(e.to_string()))?;
    let records = lines.lines().map(|line| {
        let mut record: Value =
            serde_json::from_str(line).map_err(|e| ElasticError::corrupt(e.to_string()))?;
        if let Value::Object(members) = &mut record
            && let Some(time) = members.remove(TIMESTAMP)
        {
            members.insert(TIME.to_owned(), time);
        }
        Ok(record)
    });
    records.collect()
}

/// One value of a column as JSON.
pub(crate) fn json_value(column: &ArrayRef, row: usize) -> Result<Value, ElasticError> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    let one = column.slice(row, 1);
    Ok(match column.data_type() {
        DataType::Boolean => json!(one.as_boolean().value(0)),
        kind if kind.is_integer() => {
            json!(cast(&one, &DataType::Int64)?.as_primitive::<Int64Type>().value(0))
        }
        kind if kind.is_floating() => {
            json!(cast(&one, &DataType::Float64)?.as_primitive::<Float64Type>().value(0))
        }
        _ => json!(cast(&one, &DataType::Utf8)?.as_string::<i32>().value(0)),
    })
}

fn sort_value(batch: &RecordBatch, at: usize, row: usize) -> Result<Value, ElasticError> {
    match batch.column_by_name(&sort_column(at)) {
        Some(column) => json_value(column, row),
        None => Ok(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};

    use super::*;

    #[test]
    fn columns_of_which_nothing_is_shown_are_not_made() {
        let names = [TIMESTAMP, NANOS, ATTRIBUTES, "message", "http", "http.status", "host.name"];
        let fields = names.map(|name| Field::new(name, DataType::Utf8View, true));
        let fields = Fields::new(Arc::new(Schema::new(fields.to_vec())));
        for (body, shown) in [
            (json!({}), "timestamp message http http.status host.name"),
            (json!({"_source": "mess*"}), "message"),
            (json!({"_source": ["@timestamp", "http.status"]}), "timestamp http http.status"),
            (json!({"_source": "host"}), "host.name"),
            (json!({"_source": {"excludes": ["http", "message"]}}), "timestamp host.name"),
            (json!({"_source": false}), ""),
            (
                json!({"_source": false, "fields": ["host.name"]}),
                "timestamp message http http.status host.name",
            ),
            (
                json!({"_source": "message", "highlight": {"fields": {"*": {}}}}),
                "timestamp message http http.status host.name",
            ),
        ] {
            let Value::Object(mut members) = body.clone() else { unreachable!() };
            let columns = HitOptions::take(&mut members).unwrap().columns(&fields);
            let named = columns.iter().map(|column| column.schema_name().to_string());
            let always = [NANOS, ATTRIBUTES, ID];
            let named: Vec<String> =
                named.filter(|name| !always.contains(&name.as_str())).collect();
            assert_eq!(named.join(" "), shown, "{body}");
        }
    }
}
