//! What is computed of each group of rows, and how groups of it are put together.

use datafusion::functions_aggregate::expr_fn::{
    approx_distinct, count, count_distinct, max, min, sum,
};
use datafusion::logical_expr::Expr;
use loglake_query::percentile;

/// A number that is computed of a group's rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub fold: Fold,
    /// Over the rows of the index; a number (`Float64`) except for counts of values.
    pub input: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fold {
    /// Of rows that have a value.
    Count,
    Sum,
    Min,
    Max,
    /// About how many values there are; exactly when there are no more than so many.
    Distinct {
        precise_up_to: u64,
    },
    /// Exactly how many.
    DistinctExactly,
    /// From 0 to 1.
    Percentile(f64),
}

impl Fold {
    /// Whether the number of a group follows from those of its parts.
    pub const fn merges(self) -> bool {
        matches!(self, Self::Count | Self::Sum | Self::Min | Self::Max)
    }

    /// Of no rows.
    pub const fn of_nothing(self) -> Option<f64> {
        match self {
            Self::Count | Self::Distinct { .. } | Self::DistinctExactly => Some(0.0),
            Self::Sum | Self::Min | Self::Max | Self::Percentile(_) => None,
        }
    }

    /// Of two parts together, for those that merge.
    pub fn merge(self, one: Option<f64>, other: Option<f64>) -> Option<f64> {
        let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
        Some(match self {
            Self::Min => a.min(b),
            Self::Max => a.max(b),
            _ => a + b,
        })
    }

    /// As an aggregate function.
    pub fn of(self, input: Expr) -> Expr {
        match self {
            Self::Count => count(input),
            Self::Sum => sum(input),
            Self::Min => min(input),
            Self::Max => max(input),
            Self::Distinct { .. } => approx_distinct(input),
            Self::DistinctExactly => count_distinct(input),
            Self::Percentile(at) => percentile(input, at),
        }
    }

    /// As an aggregate function over such numbers of parts, for those that merge.
    pub fn of_parts(self, parts: Expr) -> Expr {
        match self {
            Self::Min => min(parts),
            Self::Max => max(parts),
            _ => sum(parts),
        }
    }
}

/// Appends the states and says where they are; equal ones are there once.
pub(super) fn place(states: &mut Vec<State>, wanted: &[State]) -> Vec<usize> {
    let mut places = Vec::with_capacity(wanted.len());
    for state in wanted {
        let known = states.iter().position(|other| other == state);
        places.push(known.unwrap_or_else(|| {
            states.push(state.clone());
            states.len() - 1
        }));
    }
    places
}
