//! Buckets as groups of a plan: which expressions are their keys, and which of many groups are wanted.

use arrow::datatypes::DataType;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions::math::expr_fn::floor;
use datafusion::functions::regex::expr_fn::regexp_like;
use datafusion::functions_nested::expr_fn::{array_distinct, make_array};
use datafusion::logical_expr::conditional_expressions::CaseBuilder;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Expr, cast, lit, not, when};
use loglake_query::Rounding;
use loglake_query::plan_functions::attribute_values;

use super::keys::Key;
use super::ranges::{Span, disjoint, spans};
use super::request::{
    Buckets, Choice, Composite, CompositeBy, CompositeSource, DateHistogram, Direction, Filters,
    Histogram, Order, Ranges, Single, Source, Terms,
};
use super::{composite, values};
use crate::dates::DateFormat;
use crate::{Context, ElasticError, Fields, Kind};

type Result<T> = std::result::Result<T, ElasticError>;

/// How rows are grouped into the buckets of an aggregation.
#[derive(Clone, Debug)]
pub(super) struct Grouping {
    /// None where there is one bucket alone.
    pub keys: Vec<GroupKey>,
    /// Rows that are in a bucket.
    pub rows: Option<Expr>,
    pub cut: Cut,
    /// Whether a key may be null.
    pub null_is_key: bool,
    /// Whether it is of all rows of the index, and not those of the query.
    pub is_global: bool,
}

/// One key of a group.
#[derive(Clone, Debug)]
pub(super) struct GroupKey {
    /// Over the rows of the index; null where the row is in no bucket.
    pub expr: Expr,
    /// Whether it is a list: a row may be in several buckets.
    pub is_list: bool,
}

/// Which of the groups are wanted.
#[derive(Clone, Debug)]
pub(super) enum Cut {
    All,
    /// The first by an order.
    Top {
        size: usize,
        order: Order,
        min_doc_count: u64,
    },
    /// The first by their keys that come after some.
    Page {
        size: usize,
        sorts: Vec<PageSort>,
        after: Option<Vec<Key>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageSort {
    pub direction: Direction,
    pub nulls_first: bool,
}

impl Grouping {
    /// Of the whole query as one bucket.
    pub fn whole() -> Self {
        Self { keys: vec![], rows: None, cut: Cut::All, null_is_key: false, is_global: false }
    }

    fn by(expr: Expr, rows: Option<Expr>) -> Self {
        Self { keys: vec![GroupKey { expr, is_list: false }], rows, ..Self::whole() }
    }

    /// # Errors
    /// When a field or a value does not suit.
    pub fn new(buckets: &Buckets, fields: &Fields, context: &Context) -> Result<Self> {
        match buckets {
            Buckets::Terms(by) => terms(by, fields),
            Buckets::Histogram(by) => histogram(by, fields),
            Buckets::DateHistogram(by) => date_histogram(by, fields, context),
            Buckets::Ranges(by) => ranges(by, fields, context),
            Buckets::Filters(by) => filters(by, fields, context),
            Buckets::Composite(by) => composite(by, fields),
            Buckets::Single(by) => single(by, fields, context),
        }
    }

    /// Whether the groups that its parts are in say all about its buckets: a row is in one at most,
    /// and none is cut off.
    pub fn holds_together(&self) -> bool {
        matches!(self.cut, Cut::All) && !self.is_global && self.keys.iter().all(|key| !key.is_list)
    }
}

fn single(by: &Single, fields: &Fields, context: &Context) -> Result<Grouping> {
    let rows = match by {
        Single::Filter(query) => crate::query::filter(query, fields, context.now_nanos)?,
        Single::Missing(field) => fields.field(field).expr.is_null(),
        Single::Global => return Ok(Grouping { is_global: true, ..Grouping::whole() }),
    };
    Ok(Grouping { rows: Some(rows), ..Grouping::whole() })
}

fn terms(by: &Terms, fields: &Fields) -> Result<Grouping> {
    let cut = Cut::Top { size: by.size, order: by.order.clone(), min_doc_count: by.min_doc_count };
    if let ([source], None, None) = (&by.sources[..], &by.include, &by.exclude)
        && let Some((expr, rows)) = attribute_terms(source, fields)
    {
        let keys = vec![GroupKey { expr, is_list: true }];
        return Ok(Grouping { keys, rows, cut, ..Grouping::whole() });
    }
    let mut keys = vec![];
    for source in &by.sources {
        let value = values::any(source, fields)?;
        keys.push(GroupKey { expr: value, is_list: false });
    }
    let mut rows: Vec<Expr> = vec![];
    for (key, source) in keys.iter().zip(&by.sources) {
        if source.missing.is_none() {
            rows.push(key.expr.clone().is_not_null());
        }
    }
    if let ([key], [source]) = (&mut keys[..], &by.sources[..]) {
        let kind = fields.field(&source.field).kind;
        for (choice, is_wanted) in [(&by.include, true), (&by.exclude, false)] {
            let Some(choice) = choice else { continue };
            let chosen = chosen(choice, &key.expr, source, kind)?;
            rows.push(if is_wanted { chosen } else { not(chosen) });
        }
        // The key is null where the row is left out, for groups that hold the others too.
        if (by.include.is_some() || by.exclude.is_some())
            && let Some(all) = conjunction(rows.clone())
        {
            key.expr = when(all, key.expr.clone()).end()?;
        }
    }
    let rows = conjunction(rows);
    Ok(Grouping { keys, rows, cut, ..Grouping::whole() })
}

/// The values of a field that is no column: arrays have several, each a term.
fn attribute_terms(source: &Source, fields: &Fields) -> Option<(Expr, Option<Expr>)> {
    let field = fields.field(&source.field);
    if field.kind != Kind::Attribute {
        return None;
    }
    let values = array_distinct(attribute_values(fields.attributes(), &field.name));
    match &source.missing {
        None => Some((values.clone(), Some(values.is_not_null()))),
        Some(missing) => {
            let text = missing.as_str().map_or_else(|| missing.to_string(), str::to_owned);
            Some((coalesce(vec![values, make_array(vec![lit(text)])]), None))
        }
    }
}

/// Whether a term is one of those that are chosen.
fn chosen(choice: &Choice, key: &Expr, source: &Source, kind: Kind) -> Result<Expr> {
    let is_text = matches!(kind, Kind::Text | Kind::Keyword | Kind::Attribute);
    match choice {
        Choice::Values(values) => {
            let values = values.iter().map(|value| values::literal(source, kind, value));
            Ok(key.clone().in_list(values.collect::<Result<_>>()?, false))
        }
        Choice::Regex(regex) if is_text => {
            // The whole term is meant.
            let regex = crate::lucene::regexp(regex)?;
            Ok(regexp_like(key.clone(), lit(format!("^(?:{regex})$")), None))
        }
        Choice::Regex(_) => Err(ElasticError::illegal_argument(format!(
            "Aggregation cannot support regular expression style include/exclude settings as they can \
             only be applied to string fields. Use an array of values for include/exclude clauses of \
             [{}]",
            source.field
        ))),
    }
}

fn histogram(by: &Histogram, fields: &Fields) -> Result<Grouping> {
    let value = values::number(&by.source, fields, "histogram")?;
    let number = floor((value.clone() - lit(by.offset)) / lit(by.interval));
    let mut rows = value.is_not_null();
    if let Some((min, max)) = by.hard_bounds {
        let key = number.clone() * lit(by.interval) + lit(by.offset);
        if let Some(min) = min {
            rows = rows.and(key.clone().gt_eq(lit(min)));
        }
        if let Some(max) = max {
            rows = rows.and(key.lt(lit(max)));
        }
    }
    let bounded = by.hard_bounds.is_some();
    let number = cast(number, DataType::Int64);
    let key = if bounded { when(rows.clone(), number).end()? } else { number };
    Ok(Grouping::by(key, Some(rows)))
}

/// The rounding of a date histogram.
pub(super) fn rounding(by: &DateHistogram) -> Result<Rounding> {
    Ok(Rounding::new(by.interval, &by.zone.name(), by.offset)?)
}

fn date_histogram(by: &DateHistogram, fields: &Fields, context: &Context) -> Result<Grouping> {
    let time = values::time(&by.source, fields, "date_histogram")?;
    let key = rounding(by)?.of(time.clone());
    let rows = time.clone().is_not_null();
    let Some(bounds) = &by.hard_bounds else { return Ok(Grouping::by(key, Some(rows))) };
    let bound = |value: &Option<serde_json::Value>| -> Result<Option<i64>> {
        let Some(value) = value else { return Ok(None) };
        let nanos = values::date(value, &by.format, by.zone, context.now_nanos)?;
        Ok(Some(nanos.div_euclid(1_000_000)))
    };
    let mut rows = rows;
    if let Some(min) = bound(&bounds.0)? {
        // The second by the first, for files and pages that it leaves closed.
        let begins = values::time_literal(min.saturating_mul(1_000));
        rows = rows.and(key.clone().gt_eq(lit(min))).and(time.gt_eq(begins));
    }
    if let Some(max) = bound(&bounds.1)? {
        rows = rows.and(key.clone().lt(lit(max)));
    }
    Ok(Grouping::by(when(rows.clone(), key).end()?, Some(rows)))
}

fn ranges(by: &Ranges, fields: &Fields, context: &Context) -> Result<Grouping> {
    let spans = spans(by, context.now_nanos)?;
    let is_time = by.dates.is_some();
    let value = match is_time {
        true => values::time(&by.source, fields, "date_range")?,
        false => values::number(&by.source, fields, "range")?,
    };
    let bound = |number: f64| match is_time {
        true => values::time_literal((number * 1e3) as i64),
        false => lit(number),
    };
    let within = |span: &Span| {
        let from = span.from.map(|from| value.clone().gt_eq(bound(from)));
        let to = span.to.map(|to| value.clone().lt(bound(to)));
        match (from, to) {
            (Some(from), Some(to)) => from.and(to),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => value.clone().is_not_null(),
        }
    };
    let tests: Vec<Expr> = spans.iter().map(within).collect();
    by_tests(tests, disjoint(&spans))
}

fn filters(by: &Filters, fields: &Fields, context: &Context) -> Result<Grouping> {
    let test = |(_, query): &(_, _)| {
        // A test of what is not there is not true.
        let test = crate::query::filter(query, fields, context.now_nanos)?;
        Ok(coalesce(vec![test, lit(false)]))
    };
    let mut tests: Vec<Expr> = by.filters.iter().map(test).collect::<Result<_>>()?;
    if by.other.is_some() {
        let any = disjunction(tests.clone());
        tests.push(not(any.unwrap_or_else(|| lit(false))));
    }
    let alone = tests.len() == 1;
    by_tests(tests, alone)
}

/// The number of the test that holds, or of each of them.
fn by_tests(tests: Vec<Expr>, one_at_most: bool) -> Result<Grouping> {
    let rows = disjunction(tests.clone());
    let numbered = (0_i64..).zip(tests);
    if !one_at_most {
        let numbers = numbered.map(|(number, test)| Ok(when(test, lit(number)).end()?));
        let expr = make_array(numbers.collect::<Result<_>>()?);
        let keys = vec![GroupKey { expr, is_list: true }];
        return Ok(Grouping { keys, rows, ..Grouping::whole() });
    }
    let mut cases = None;
    for (number, test) in numbered {
        let case = match cases {
            None => when(test, lit(number)),
            Some(mut cases) => CaseBuilder::when(&mut cases, test, lit(number)),
        };
        cases = Some(case);
    }
    let Some(cases) = cases else { return Ok(Grouping::whole()) };
    Ok(Grouping::by(cases.end()?, rows))
}

fn composite(by: &Composite, fields: &Fields) -> Result<Grouping> {
    let mut keys = vec![];
    let mut rows = vec![];
    for source in &by.sources {
        let expr = composite_key(source, fields)?;
        if !source.missing_bucket {
            rows.push(expr.clone().is_not_null());
        }
        keys.push(GroupKey { expr, is_list: false });
    }
    let sorts = by.sources.iter().map(|source| PageSort {
        direction: source.direction,
        nulls_first: match source.missing_last {
            Some(last) => !last,
            None => source.direction == Direction::Ascending,
        },
    });
    let after = by.after.as_ref().map(|after| composite::after(&by.sources, after, fields));
    let cut = Cut::Page { size: by.size, sorts: sorts.collect(), after: after.transpose()? };
    let rows = conjunction(rows);
    Ok(Grouping { keys, rows, cut, null_is_key: true, ..Grouping::whole() })
}

fn composite_key(source: &CompositeSource, fields: &Fields) -> Result<Expr> {
    match &source.by {
        CompositeBy::Terms => values::any(&source.source, fields),
        CompositeBy::Histogram { interval } => {
            let value = values::number(&source.source, fields, "histogram")?;
            Ok(floor(value / lit(*interval)) * lit(*interval))
        }
        CompositeBy::DateHistogram { interval, zone, offset, .. } => {
            let time = values::time(&source.source, fields, "date_histogram")?;
            Ok(Rounding::new(*interval, &zone.name(), *offset)?.of(time))
        }
    }
}

/// The format of a source of times, where it has one.
pub(super) const fn format_of(source: &CompositeSource) -> Option<&DateFormat> {
    match &source.by {
        CompositeBy::DateHistogram { format, .. } => format.as_ref(),
        _ => None,
    }
}
