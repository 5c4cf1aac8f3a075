//! A query's text: one statement, and what it names.

use std::collections::BTreeSet;

use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::execution::SessionState;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use loglake_model::TableName;

use crate::QueryError;
use crate::catalog::{CATALOG, LAKE, PUBLIC};
use crate::dialect::LakeDialect;

/// Levels of nesting in a statement: deeper ones are refused before they fill the stack.
const NESTING_MAX: usize = 50;

/// Operators that join, `AND`, `+`, in one chain, and selections in a statement: each may be a level of its
/// plan, and what walks plans is recursive. The threads of the binary have stacks for so many.
const JOINED_MAX: usize = 1_000;

/// Arrows in a row, `a->'b'->'c'`: planning takes twice as long for each.
const ARROWS_MAX: usize = 12;

/// The one statement of a text; a semicolon may end it.
pub(crate) fn parse(sql: &str) -> Result<Statement, QueryError> {
    check_chains(sql)?;
    let parser = DFParserBuilder::new(sql).with_dialect(&LakeDialect);
    let mut statements = parser.with_recursion_limit(NESTING_MAX).build()?.parse_statements()?;
    match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (Some(_), more) => {
            Err(QueryError::invalid(format!("one statement at a time, not {}", more + 1)))
        }
        (None, _) => Err(QueryError::invalid("there is no statement in the query")),
    }
}

fn check_chains(sql: &str) -> Result<(), QueryError> {
    // What is no token is for the parser to say.
    let tokens = Tokenizer::new(&LakeDialect, sql).tokenize().unwrap_or_default();
    if most_arrows(&tokens) > ARROWS_MAX {
        return Err(QueryError::invalid(format!(
            "a value is at most {ARROWS_MAX} arrows deep: json_get(a, 'b', 'c', …) takes any number of names"
        )));
    }
    let joined = longest_chain(&tokens).max(tokens.iter().filter(|token| selects(token)).count());
    if joined <= JOINED_MAX {
        return Ok(());
    }
    Err(QueryError::invalid(format!(
        "a statement has at most {JOINED_MAX} of AND, OR, + in a row or of SELECT, JOIN, … and this one has \
         {joined}: many values fit into one IN (…)"
    )))
}

/// The most operators between the same brackets without a comma among them.
fn longest_chain(tokens: &[Token]) -> usize {
    let (mut around, mut chain, mut longest) = (vec![], 0, 0);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket => around.push(std::mem::take(&mut chain)),
            Token::RParen | Token::RBracket => chain = around.pop().unwrap_or_default(),
            Token::Comma => chain = 0,
            token if joins(token) => chain += 1,
            _ => {}
        }
        longest = longest.max(chain);
    }
    longest
}

/// The most arrows that lead from one value to the next, within brackets or not.
fn most_arrows(tokens: &[Token]) -> usize {
    // Of the value that is read, and the most of values that ended between the same brackets.
    let (mut arrows, mut ended) = (0, 0);
    let (mut around, mut most) = (vec![], 0);
    for token in tokens {
        match token {
            Token::Arrow | Token::LongArrow => arrows += 1,
            token if opens(token) => {
                around.push((arrows, ended));
                (arrows, ended) = (0, 0);
            }
            token if closes(token) => {
                let (before, others) = around.pop().unwrap_or_default();
                (arrows, ended) = (before + arrows.max(ended), others);
            }
            token if ends_value(token) => (arrows, ended) = (0, ended.max(arrows)),
            _ => {}
        }
        most = most.max(arrows);
    }
    most
}

const fn opens(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(word.keyword, Keyword::CASE),
        token => matches!(token, Token::LParen | Token::LBracket),
    }
}

const fn closes(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(word.keyword, Keyword::END),
        token => matches!(token, Token::RParen | Token::RBracket),
    }
}

/// Whether what follows is no part of the value before: arithmetic binds more tightly than arrows.
const fn ends_value(token: &Token) -> bool {
    use Keyword as K;
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            K::AND
                | K::OR
                | K::NOT
                | K::LIKE
                | K::ILIKE
                | K::IN
                | K::IS
                | K::BETWEEN
                | K::AS
                | K::WHEN
                | K::THEN
                | K::ELSE
                | K::SELECT
                | K::FROM
                | K::WHERE
                | K::ON
                | K::USING
                | K::JOIN
                | K::GROUP
                | K::HAVING
                | K::ORDER
                | K::LIMIT
                | K::UNION
        ),
        Token::Comma | Token::SemiColon => true,
        token => matches!(
            token,
            Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq
        ),
    }
}

const fn joins(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::NOT),
        Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::StringConcat
        | Token::DoubleColon => true,
        _ => false,
    }
}

/// Whether it begins rows that are joined with others: of chains of `UNION`, of `JOIN`, of `WITH`.
const fn selects(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    matches!(word.keyword, Keyword::SELECT | Keyword::VALUES | Keyword::TABLE | Keyword::JOIN)
}

/// What a statement names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Named {
    /// In the schema `public`.
    pub(crate) tables: BTreeSet<TableName>,
    /// In the schema `lake`.
    pub(crate) views: BTreeSet<String>,
    /// `information_schema` is named, which shows the columns of everything.
    pub(crate) everything: bool,
}

impl Named {
    pub(crate) fn in_statement(
        state: &SessionState,
        statement: &Statement,
    ) -> Result<Self, QueryError> {
        let mut named = Self::default();
        for reference in state.resolve_table_references(statement)? {
            let resolved = reference.resolve(CATALOG, PUBLIC);
            match resolved.schema.as_ref() {
                PUBLIC => named.tables.extend(TableName::new(&resolved.table)),
                LAKE => drop(named.views.insert(resolved.table.to_string())),
                INFORMATION_SCHEMA => named.everything = true,
                _ => {}
            }
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    fn named(sql: &str) -> (Vec<String>, Vec<String>, bool) {
        let state = SessionContext::new().state();
        let named = Named::in_statement(&state, &parse(sql).unwrap()).unwrap();
        let tables = named.tables.iter().map(ToString::to_string).collect();
        (tables, named.views.into_iter().collect(), named.everything)
    }

    #[test]
    fn endless_chains_are_refused() {
        for part in [" and a", " + 1", " or not (a = 1)", " union all select 1", " join t on true"]
        {
            let refused = parse(&format!("select 1 from t where 1{}", part.repeat(1_001)));
            assert!(refused.unwrap_err().to_string().contains("at most 1000"), "{part}");
        }
        let parts: Vec<String> =
            (1..1_001).map(|n| format!("c{n} as (select * from c{})", n - 1)).collect();
        let sql = format!("with c0 as (select 1), {} select * from c1000", parts.join(", "));
        assert!(parse(&sql).unwrap_err().to_string().contains("at most 1000"));
    }

    #[test]
    fn long_lists_are_no_chains() {
        let (numbers, texts) = ("-1, ".repeat(50_000), "'a' || 'b', ".repeat(5_000));
        let sql = format!("select {texts} 1 where 1 in ({numbers} 1) and 2 in ({numbers} 1)");
        assert!(parse(&sql).is_ok());
    }

    #[test]
    fn what_is_nested_is_parsed_once() {
        let (calls, ends) = ("upper(".repeat(45), ")".repeat(45));
        assert!(parse(&format!("select {calls}'a'{ends}")).is_ok());
        assert!(parse(&format!("select {calls}'a'")).is_err());
    }

    #[test]
    fn arrows_do_not_lead_on_for_ever() {
        let chain = |arrows: usize| format!("select a {}", "->'b'".repeat(arrows));
        assert!(parse(&chain(12)).is_ok());
        let nested =
            |open: &str, close: &str| format!("select {} a {}", open.repeat(13), close.repeat(13));
        for sql in [
            chain(13),
            nested("(", "->'b')"),
            nested("coalesce(", "->'b', 1)"),
            nested("coalesce(1, ", "->'b')"),
            nested("case when true then ", "->'b' end"),
            format!("select a {}", "->level".repeat(13)),
            format!("select a {}", "->'b'::text".repeat(13)),
            format!("select a {}", "->b * 2".repeat(13)),
            format!("select a {}", "->b[1]".repeat(13)),
        ] {
            assert!(parse(&sql).unwrap_err().to_string().contains("json_get"), "{sql}");
        }
        // Beside each other they are as many as one likes.
        let many = "a->'b'->>'c' = 'd' and ".repeat(100);
        assert!(parse(&format!("select 1 where {many} (a->>'b') = (c->>'d')")).is_ok());
        let cases = "when a->'b' = 1 then a->'c'->'d' ".repeat(20);
        assert!(parse(&format!("select case {cases} else a->'e' end")).is_ok());
    }

    #[test]
    fn only_what_is_named_is_bound() {
        let (tables, views, everything) = named(
            "with c as (select * from a) select * from c join lake.files on true
             where x in (select y from public.\"B-1\")",
        );
        assert_eq!((tables, views), (vec!["B-1".into(), "a".into()], vec!["files".into()]));
        assert!(!everything);
        assert!(named("show tables").2 && named("select * from information_schema.columns").2);
    }

    #[test]
    fn a_text_is_one_statement() {
        assert!(parse("select 1;").is_ok());
        assert!(parse("").is_err() && parse(" ; ").is_err());
        let error = parse("select 1; select 2").expect_err("two statements");
        assert_eq!(error.to_string(), "one statement at a time, not 2");
        let error = parse("select a from b\n wher x = 1").expect_err("no column");
        assert_eq!(error.position().map(|(line, _)| line), Some(2), "{error}");
        assert!(parse(&format!("select {}1{}", "(".repeat(500), ")".repeat(500))).is_err());
    }
}
