//! Filters that what is known of a file may answer for good, so that their columns are not read of it:
//!
//! - its statistics in the table's log, for all its rows at once: `timestamp >= …` of a file that lies
//!   within, `host IS NOT NULL` of one that has it in each row;
//! - its runs of `service` and `level`, for each row ([`crate::runs`]);
//! - its token index, for each row ([`search::wanted`]).
//!
//! Where they do not answer, the rows are tested.

use std::cmp::Ordering;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use loglake_format::index::Wanted;
use loglake_model::TIMESTAMP;
use loglake_table::DataFile;

use crate::prune::{Bounds, bounds, has_no_nulls};
use crate::{runs, search};

/// Those of a scan's filters that may be answered so.
#[derive(Debug, Default)]
pub(crate) struct Certain {
    filters: Vec<Expr>,
    claims: Vec<Claim>,
    wanted: Vec<Wanted>,
    by_runs: bool,
}

/// What statistics may prove of all rows of a file.
#[derive(Debug, PartialEq)]
enum Claim {
    NotNull(Field),
    /// The column, compared with a value of its type.
    Compared(Field, Operator, ScalarValue),
}

/// By what a filter may be answered.
enum By {
    Statistics(Claim),
    Runs,
    Words(Wanted),
}

impl Certain {
    pub(crate) fn of(filters: &[Expr], schema: &Schema) -> Self {
        let mut certain = Self::default();
        for filter in filters {
            match by(filter, schema) {
                Some(By::Statistics(claim)) => certain.claims.push(claim),
                Some(By::Runs) => certain.by_runs = true,
                Some(By::Words(wanted)) => certain.wanted.push(wanted),
                None => continue,
            }
            certain.filters.push(filter.clone());
        }
        certain
    }

    /// All of them, for the rows that are to be tested.
    pub(crate) fn filters(&self) -> &[Expr] {
        &self.filters
    }

    /// What the token index is asked.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        (!self.wanted.is_empty()).then(|| Wanted::All(self.wanted.clone()))
    }

    /// Whether runs have to answer.
    pub(crate) const fn by_runs(&self) -> bool {
        self.by_runs
    }

    /// Whether anything but statistics has to answer.
    pub(crate) fn is_by_rows(&self) -> bool {
        self.by_runs || !self.wanted.is_empty()
    }

    /// Whether these filters ask for a range of time, services and levels, and for nothing else.
    pub(crate) fn is_by_time_and_runs(&self, filters: &[Expr]) -> bool {
        let of_time = |claim: &Claim| match claim {
            Claim::NotNull(field) | Claim::Compared(field, ..) => field.name() == TIMESTAMP,
        };
        self.filters.len() == filters.len()
            && self.wanted.is_empty()
            && self.claims.iter().all(of_time)
    }

    /// Whether those of the filters that are by time hold for all rows between two times, in microseconds.
    pub(crate) fn holds_between(&self, oldest: i64, newest: i64) -> bool {
        self.claims.iter().all(|claim| match claim {
            Claim::NotNull(_) => true,
            Claim::Compared(field, op, value) => {
                let DataType::Timestamp(_, zone) = field.data_type() else { return false };
                let [min, max] = [oldest, newest]
                    .map(|micros| ScalarValue::TimestampMicrosecond(Some(micros), zone.clone()));
                is_true(&Bounds { min, max }, *op, value)
            }
        })
    }

    /// Whether there are such filters, and a file's statistics prove what they are asked.
    pub(crate) fn is_proved_of(&self, file: &DataFile) -> bool {
        !self.filters.is_empty() && self.claims.iter().all(|claim| claim.is_true_of(file))
    }
}

/// Whether a filter may be answered for good; the rows for which it is not are to be tested by the scan.
pub(crate) fn may_be(filter: &Expr, schema: &Schema) -> bool {
    by(filter, schema).is_some()
}

fn by(filter: &Expr, schema: &Schema) -> Option<By> {
    if runs::is_of_runs(filter) {
        return Some(By::Runs);
    }
    let wanted = || search::wanted(filter).map(By::Words);
    claim(filter, schema).map(By::Statistics).or_else(wanted)
}

fn claim(filter: &Expr, schema: &Schema) -> Option<Claim> {
    let field = |expr: &Expr| match expr {
        Expr::Column(column) => schema.field_with_name(&column.name).ok().cloned(),
        _ => None,
    };
    match filter {
        Expr::IsNotNull(column) => field(column).map(Claim::NotNull),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (field, op, value) = match (left.as_ref(), right.as_ref()) {
                (column, Expr::Literal(value, _)) => (field(column)?, *op, value),
                (Expr::Literal(value, _), column) => (field(column)?, op.swap()?, value),
                _ => return None,
            };
            let is_known = is_ordered(field.data_type()) && value.data_type() == *field.data_type();
            (is_comparison(op) && is_known && !value.is_null())
                .then(|| Claim::Compared(field, op, value.clone()))
        }
        _ => None,
    }
}

const fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Types whose bounds say all there is: of doubles NaN may be beyond them, texts may be cut.
fn is_ordered(kind: &DataType) -> bool {
    kind.is_integer() || matches!(kind, DataType::Date32 | DataType::Timestamp(..))
}

impl Claim {
    fn is_true_of(&self, file: &DataFile) -> bool {
        match self {
            Self::NotNull(field) => has_no_nulls(file, field),
            Self::Compared(field, op, value) => {
                has_no_nulls(file, field)
                    && bounds(file, field).is_some_and(|within| is_true(&within, *op, value))
            }
        }
    }
}

/// Whether all values within the bounds compare so.
fn is_true(within: &Bounds, op: Operator, value: &ScalarValue) -> bool {
    let (Some(low), Some(high)) = (within.min.partial_cmp(value), within.max.partial_cmp(value))
    else {
        return false;
    };
    match op {
        Operator::Eq => low == Ordering::Equal && high == Ordering::Equal,
        Operator::NotEq => low == Ordering::Greater || high == Ordering::Less,
        Operator::Lt => high == Ordering::Less,
        Operator::LtEq => high != Ordering::Greater,
        Operator::Gt => low == Ordering::Greater,
        Operator::GtEq => low != Ordering::Less,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};
    use loglake_model::{LEVEL, SERVICE};

    use super::*;

    fn schema() -> Schema {
        let field = |name, kind| Field::new(name, kind, true);
        let texts = [SERVICE, LEVEL, "message"].map(|name| field(name, DataType::Utf8View));
        let others = [field("n", DataType::Int64), field("x", DataType::Float64)];
        Schema::new(texts.into_iter().chain(others).collect::<Vec<_>>())
    }

    #[test]
    fn filters_of_one_column_may_be_answered() {
        for filter in [
            col("n").gt_eq(lit(1_i64)),
            lit(1_i64).eq(col("n")),
            col("n").is_not_null(),
            col("x").is_not_null(),
            col(SERVICE).eq(lit("a")),
            col(SERVICE).is_null().or(col(LEVEL).in_list(vec![lit("ERROR")], true)),
            col("message").like(lit("%failed%")),
        ] {
            assert!(may_be(&filter, &schema()), "{filter}");
        }
        for filter in [
            col("x").gt(lit(1.0)),
            col("n").gt(lit(1)),
            col("n").is_null(),
            col("n").gt(lit(ScalarValue::Int64(None))),
            col("message").gt(lit("a")),
            (col("n") + lit(1_i64)).gt(lit(1_i64)),
            col("n").gt(lit(1_i64)).or(col(SERVICE).eq(lit("a"))),
        ] {
            assert!(!may_be(&filter, &schema()), "{filter}");
        }
    }

    #[test]
    fn what_holds_of_both_bounds_holds_between_them() {
        let value = |n: i64| ScalarValue::Int64(Some(n));
        let within = Bounds { min: value(3), max: value(7) };
        let holds =
            |op| -> Vec<i64> { (2..9).filter(|n| is_true(&within, op, &value(*n))).collect() };
        assert_eq!(holds(Operator::Lt), [8]);
        assert_eq!(holds(Operator::LtEq), [7, 8]);
        assert_eq!(holds(Operator::Gt), [2]);
        assert_eq!(holds(Operator::GtEq), [2, 3]);
        assert!(holds(Operator::Eq).is_empty());
        assert_eq!(holds(Operator::NotEq), [2, 8]);
        let one = Bounds { min: value(5), max: value(5) };
        assert!(is_true(&one, Operator::Eq, &value(5)));
    }
}
