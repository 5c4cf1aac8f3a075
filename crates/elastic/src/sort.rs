//! `sort`: by which fields hits are ordered. Also of `top_hits`.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, SortExpr, cast, lit};
use loglake_model::{NANOS, TIMESTAMP};
use serde_json::Value;

use crate::dates::DateFormat;
use crate::fields::col;
use crate::object::Object;
use crate::{ElasticError, Fields, Kind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SortBy {
    Field(String),
    Score,
    /// As the rows lie: by time here.
    Doc,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    pub by: SortBy,
    pub order: Order,
    /// Rows without the field come first.
    pub missing_first: bool,
    pub format: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sort(pub Vec<SortKey>);

impl SortKey {
    pub(crate) fn new(name: &str, order: Option<Order>) -> Self {
        let (by, usual) = match name {
            "_score" => (SortBy::Score, Order::Descending),
            "_doc" | "_shard_doc" => (SortBy::Doc, Order::Ascending),
            name => (SortBy::Field(name.to_owned()), Order::Ascending),
        };
        Self { by, order: order.unwrap_or(usual), missing_first: false, format: None }
    }

    const fn is_ascending(&self) -> bool {
        matches!(self.order, Order::Ascending)
    }

    /// The expressions that this key stands for, in order: of times the nanoseconds too.
    pub(crate) fn exprs(
        &self,
        fields: &Fields,
        score: Option<&Expr>,
    ) -> Result<Vec<Expr>, ElasticError> {
        let with_nanos = |time: Expr| match fields.schema().field_with_name(NANOS) {
            Ok(_) => vec![time, col(NANOS)],
            Err(_) => vec![time],
        };
        Ok(match &self.by {
            SortBy::Score => vec![score.cloned().unwrap_or_else(|| lit(1.0))],
            SortBy::Doc => with_nanos(col(TIMESTAMP)),
            SortBy::Field(name) => {
                let field = fields.field(name);
                match field.kind {
                    Kind::Date => with_nanos(field.expr),
                    Kind::Text => {
                        return Err(ElasticError::illegal_argument(format!(
                            "Fielddata is disabled on [{name}] in [{}]. Text fields are not optimised for \
                             operations that require per-document field data like aggregations and \
                             sorting, so these operations are disabled by default. Please use a keyword \
                             field instead: [{name}.keyword]",
                            fields.field(crate::fields::INDEX).expr
                        )));
                    }
                    _ => vec![field.expr],
                }
            }
        })
    }

    /// The value that the hit shows, and that `search_after` takes: times as nanoseconds, truths as 0 and 1.
    pub(crate) fn value(
        &self,
        fields: &Fields,
        score: Option<&Expr>,
    ) -> Result<Expr, ElasticError> {
        let exprs = self.exprs(fields, score)?;
        let kind = match &self.by {
            SortBy::Field(name) => fields.field(name).kind,
            SortBy::Doc => Kind::Date,
            SortBy::Score => Kind::Double,
        };
        let (is_time, is_truth) = (kind == Kind::Date, kind == Kind::Boolean);
        let mut exprs = exprs.into_iter();
        let first = exprs.next().unwrap_or_else(|| lit(1.0));
        Ok(match (is_time, exprs.next()) {
            (true, Some(nanos)) => {
                cast(first, DataType::Int64) * lit(1_000_i64) + cast(nanos, DataType::Int64)
            }
            (true, None) => cast(first, DataType::Int64) * lit(1_000_i64),
            (false, _) if is_truth => cast(first, DataType::Int64),
            (false, _) => first,
        })
    }
}

impl Sort {
    /// # Errors
    /// When it is none.
    pub fn parse(body: &Value) -> Result<Self, ElasticError> {
        match body {
            Value::Array(items) => {
                let keys = items.iter().map(parse_one).collect::<Result<Vec<_>, _>>()?;
                Ok(Self(keys.into_iter().flatten().collect()))
            }
            one => parse_one(one).map(Self),
        }
    }

    /// Of the URL: `a:desc,b`.
    pub(crate) fn of_url(text: &str) -> Result<Self, ElasticError> {
        let keys = text.split(',').map(|part| {
            let (name, order) = match part.rsplit_once(':') {
                Some((name, order)) => (name, Some(order_of(order)?)),
                None => (part, None),
            };
            Ok(SortKey::new(name, order))
        });
        keys.collect::<Result<_, ElasticError>>().map(Self)
    }

    /// The newest first: what logs are ordered by when nothing is said.
    pub(crate) fn newest() -> Self {
        Self(vec![SortKey::new("@timestamp", Some(Order::Descending))])
    }

    /// For DataFusion's `sort`, over rows that have the columns of the index. `_score` is 1.
    ///
    /// # Errors
    /// When a field cannot be sorted by.
    pub fn exprs(&self, fields: &Fields) -> Result<Vec<SortExpr>, ElasticError> {
        let mut exprs = vec![];
        for key in &self.0 {
            let of_key = key.exprs(fields, None)?;
            exprs.extend(of_key.into_iter().map(|e| e.sort(key.is_ascending(), key.missing_first)));
        }
        Ok(exprs)
    }
}

fn order_of(text: &str) -> Result<Order, ElasticError> {
    match text.to_ascii_lowercase().as_str() {
        "asc" => Ok(Order::Ascending),
        "desc" => Ok(Order::Descending),
        _ => Err(ElasticError::illegal_argument(format!("Unknown SortOrder [{text}]"))),
    }
}

fn parse_one(item: &Value) -> Result<Vec<SortKey>, ElasticError> {
    match item {
        Value::String(name) => Ok(vec![SortKey::new(name, None)]),
        Value::Object(members) => {
            members.iter().map(|(name, body)| parse_key(name, body)).collect()
        }
        other => Err(ElasticError::illegal_argument(format!(
            "malformed sort format, within the sort array, an object, or an actual string are allowed, \
             not {other}"
        ))),
    }
}

fn parse_key(name: &str, body: &Value) -> Result<SortKey, ElasticError> {
    if let Value::String(order) = body {
        return Ok(SortKey::new(name, Some(order_of(order)?)));
    }
    if name == "_script" || name == "_geo_distance" {
        return Err(ElasticError::unsupported(format!("the sort [{name}]")));
    }
    let mut object = Object::new("[field_sort]", body)?;
    let order = object.text("order")?.map(|text| order_of(&text)).transpose()?;
    let mut key = SortKey::new(name, order);
    key.missing_first = match object.text("missing")?.as_deref() {
        None | Some("_last") => false,
        Some("_first") => true,
        Some(other) => {
            return Err(ElasticError::unsupported(format!(
                "[missing] of sorts as a value ({other}): _first and _last"
            )));
        }
    };
    key.format = object.text("format")?;
    if let Some(format) = &key.format {
        DateFormat::parse(format)?;
    }
    object.pass_over(&["unmapped_type", "ignore_unmapped", "mode", "numeric_type"]);
    if object.take("nested").is_some() {
        return Err(ElasticError::unsupported("sorts by nested fields"));
    }
    object.finish()?;
    Ok(key)
}
