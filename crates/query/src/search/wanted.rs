//! Filters that indexes can answer for good: those that ask for letters in a text and for nothing else.

use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use loglake_format::index::Wanted;

use super::{column, text_literal};
use crate::functions::{HAS_TOKEN, MATCH, MATCH_PHRASE};

/// The filter as an index understands it, all of it; `None` where it says more.
pub(crate) fn wanted(filter: &Expr) -> Option<Wanted> {
    match filter {
        Expr::Alias(alias) => wanted(&alias.expr),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Some(Wanted::All(vec![wanted(left)?, wanted(right)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(Wanted::Any(vec![wanted(left)?, wanted(right)?]))
        }
        Expr::Like(like) if !like.negated && like.escape_char.is_none() => of_like(like),
        Expr::ScalarFunction(call) => of_call(call),
        _ => None,
    }
}

fn of_like(like: &Like) -> Option<Wanted> {
    let letters = text_literal(&like.pattern)?.strip_prefix('%')?.strip_suffix('%')?;
    Wanted::part(column(&like.expr)?, letters, !like.case_insensitive)
}

fn of_call(ScalarFunction { func, args }: &ScalarFunction) -> Option<Wanted> {
    let [text, sought] = args.as_slice() else { return None };
    let (column, sought) = (column(text)?, text_literal(sought)?);
    match func.name() {
        "contains" => Wanted::part(column, sought, true),
        HAS_TOKEN => Wanted::word(column, sought, true),
        MATCH => {
            let words =
                sought.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let words: Option<Vec<_>> =
                words.map(|word| Wanted::word(column, word, false)).collect();
            words.filter(|words| !words.is_empty()).map(Wanted::All)
        }
        MATCH_PHRASE => Wanted::word(column, sought, false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn letters_alone_are_answered_for_good() {
        let part = |letters, as_written| Wanted::part("message", letters, as_written).unwrap();
        let message = || col("message");
        assert_eq!(wanted(&message().like(lit("%failed%"))), Some(part("failed", true)));
        assert_eq!(wanted(&message().ilike(lit("%failed%"))), Some(part("failed", false)));
        assert_eq!(
            wanted(&message().like(lit("%failed%")).or(message().like(lit("%Refused%")))),
            Some(Wanted::Any(vec![part("failed", true), part("Refused", true)]))
        );
        for more in [
            "failed%",
            "%failed",
            "failed",
            "%was failed%",
            "%err_r%",
            "%a%b%",
            "%dead%",
            "%%",
            "%e2e%",
        ] {
            assert_eq!(wanted(&message().like(lit(more))), None, "{more}");
        }
        assert_eq!(wanted(&message().not_like(lit("%failed%"))), None);
        assert_eq!(wanted(&message().like(lit("%failed%")).and(col("n").gt(lit(1)))), None);
    }
}
