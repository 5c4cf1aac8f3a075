//! What the filters of a query say to token indexes.
//!
//! Everything here may only err to one side: a search is true of every row for which the filters
//! are. What is not understood is [`Search::Anything`].

mod like;
mod regex;
mod wanted;

use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;
use loglake_format::index::{Needle, Search};

use crate::functions::{HAS_TOKEN, MATCH, MATCH_PHRASE, MATCH_PHRASE_PREFIX};

pub(crate) use wanted::wanted;

/// Values of one `IN` that are looked up; a longer list says nothing.
const IN_LIST_MAX: usize = 256;

/// What rows must hold for which all of the filters are true.
pub(crate) fn of_filters(filters: &[Expr]) -> Search {
    all(filters.iter().map(of))
}

fn of(expr: &Expr) -> Search {
    match expr {
        Expr::Alias(alias) => of(&alias.expr),
        Expr::BinaryExpr(binary) => of_binary(binary),
        Expr::Like(like) if !like.negated => of_like(like),
        Expr::InList(list) if !list.negated && list.list.len() <= IN_LIST_MAX => of_in_list(list),
        Expr::ScalarFunction(call) => of_call(call),
        Expr::IsTrue(inner) => of(inner),
        Expr::Not(inner) => of_not(inner),
        _ => Search::Anything,
    }
}

/// Of the negation of an expression: only what its parts leave.
fn of_not(expr: &Expr) -> Search {
    match expr {
        Expr::Not(inner) => of(inner),
        Expr::Like(like) if like.negated => of_like(like),
        Expr::InList(list) if list.negated && list.list.len() <= IN_LIST_MAX => of_in_list(list),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => any([of_not(left), of_not(right)]),
            Operator::Or => all([of_not(left), of_not(right)]),
            Operator::NotEq => of_equal(left, right),
            Operator::RegexNotMatch => of_regex(left, right, false),
            Operator::RegexNotIMatch => of_regex(left, right, true),
            _ => Search::Anything,
        },
        _ => Search::Anything,
    }
}

fn of_binary(BinaryExpr { left, op, right }: &BinaryExpr) -> Search {
    match op {
        Operator::And => all([of(left), of(right)]),
        Operator::Or => any([of(left), of(right)]),
        Operator::Eq => of_equal(left, right),
        Operator::RegexMatch => of_regex(left, right, false),
        Operator::RegexIMatch => of_regex(left, right, true),
        Operator::LikeMatch | Operator::ILikeMatch => {
            on_text(left, right, |pattern| like::parts(pattern, None))
        }
        _ => Search::Anything,
    }
}

fn of_equal(left: &Expr, right: &Expr) -> Search {
    let sides = column(left).zip(literal(right)).or_else(|| column(right).zip(literal(left)));
    let needle = sides.and_then(|(column, value)| Some((column, of_value(value)?)));
    needle.map_or(Search::Anything, |(column, needle)| has(column, needle))
}

fn of_value(value: &ScalarValue) -> Option<Needle> {
    match value {
        ScalarValue::Int64(Some(number)) => Some(Needle::number(*number)),
        _ => text_of(value).map(Needle::text),
    }
}

fn of_in_list(list: &InList) -> Search {
    let Some(column) = column(&list.expr) else { return Search::Anything };
    any(list.list.iter().map(|item| match literal(item).and_then(of_value) {
        Some(needle) => has(column, needle),
        None => Search::Anything,
    }))
}

fn of_like(like: &Like) -> Search {
    on_text(&like.expr, &like.pattern, |pattern| like::parts(pattern, like.escape_char))
}

fn of_regex(text: &Expr, pattern: &Expr, any_case: bool) -> Search {
    let Some((column, pattern)) = column(text).zip(text_literal(pattern)) else {
        return Search::Anything;
    };
    regex::search(column, pattern, any_case)
}

fn of_call(ScalarFunction { func, args }: &ScalarFunction) -> Search {
    let part = |text: &str, begins, ends| vec![Needle::part(text, begins, ends)];
    match (func.name(), args.as_slice()) {
        ("contains", [text, sought]) => on_text(text, sought, |s| part(s, false, false)),
        ("starts_with", [text, sought]) => on_text(text, sought, |s| part(s, true, false)),
        ("ends_with", [text, sought]) => on_text(text, sought, |s| part(s, false, true)),
        ("regexp_like", [text, pattern]) => of_regex(text, pattern, false),
        (HAS_TOKEN | MATCH_PHRASE, [text, sought]) => {
            on_text(text, sought, |s| part(s, true, true))
        }
        (MATCH_PHRASE_PREFIX, [text, sought]) => on_text(text, sought, |s| part(s, true, false)),
        // A word after the other, each whole.
        (MATCH, [text, sought]) => on_text(text, sought, |s| part(s, true, true)),
        _ => Search::Anything,
    }
}

/// All of the needles that are made of a literal, in the column that a text is.
fn on_text(text: &Expr, sought: &Expr, needles: impl FnOnce(&str) -> Vec<Needle>) -> Search {
    let Some((column, sought)) = column(text).zip(text_literal(sought)) else {
        return Search::Anything;
    };
    all(needles(sought).into_iter().map(|needle| has(column, needle)))
}

fn has(column: &str, needle: Needle) -> Search {
    Search::Has { column: column.to_owned(), needle }
}

fn all(searches: impl IntoIterator<Item = Search>) -> Search {
    let mut searches: Vec<_> = searches.into_iter().filter(|s| *s != Search::Anything).collect();
    match searches.len() {
        0 => Search::Anything,
        1 => searches.remove(0),
        _ => Search::All(searches),
    }
}

fn any(searches: impl IntoIterator<Item = Search>) -> Search {
    let searches: Vec<_> = searches.into_iter().collect();
    match searches.contains(&Search::Anything) {
        true => Search::Anything,
        false => Search::Any(searches),
    }
}

/// The column that an expression is, through casts between forms of text.
fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Alias(alias) => column(&alias.expr),
        Expr::Cast(cast) if cast.field.data_type().is_string() => column(&cast.expr),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Cast(cast) if cast.field.data_type().is_string() => {
            literal(&cast.expr).filter(|value| text_of(value).is_some())
        }
        _ => None,
    }
}

fn text_literal(expr: &Expr) -> Option<&str> {
    literal(expr).and_then(text_of)
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}
