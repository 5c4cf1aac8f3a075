//! Which statements are answered: those that read.

use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as Sql;

use crate::QueryError;

/// Refuses, by its words, a statement that would do anything but read.
pub(crate) fn check_statement(statement: &Statement) -> Result<(), QueryError> {
    let refuse = |what: &str| Err(QueryError::ReadOnly { what: what.to_owned() });
    match statement {
        Statement::Explain(explain) => check_statement(&explain.statement),
        Statement::CreateExternalTable(_) => refuse("CREATE EXTERNAL TABLE"),
        Statement::CopyTo(_) => refuse("COPY"),
        Statement::Reset(_) => refuse("RESET"),
        Statement::Statement(sql) => match sql.as_ref() {
            Sql::Query(_)
            | Sql::ShowTables { .. }
            | Sql::ShowColumns { .. }
            | Sql::ShowCreate { .. }
            | Sql::ShowFunctions { .. }
            | Sql::ShowVariable { .. }
            | Sql::ExplainTable { .. } => Ok(()),
            Sql::Explain { statement, .. } => {
                check_statement(&Statement::Statement(statement.clone()))
            }
            other => refuse(&first_words(&other.to_string())),
        },
    }
}

/// Refuses what hides inside a query: `WITH … INSERT`, `SELECT … INTO`.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), QueryError> {
    let only_reads =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_reads
        .verify_plan(plan)
        .map_err(|e| QueryError::ReadOnly { what: e.message().into_owned() })
}

/// The words in capitals that a statement begins with: `CREATE TABLE`, `INSERT INTO`.
fn first_words(sql: &str) -> String {
    let is_keyword = |word: &&str| word.bytes().all(|b| b.is_ascii_uppercase());
    let words: Vec<_> = sql.split_whitespace().take_while(is_keyword).take(3).collect();
    if words.is_empty() { "this statement".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::parser::DFParser;
    use loglake_model::ErrorKind;

    fn check(sql: &str) -> Result<(), QueryError> {
        check_statement(&DFParser::parse_sql(sql).unwrap().pop_front().unwrap())
    }

    #[test]
    fn what_reads_passes() {
        for sql in [
            "select 1",
            "with a as (select 1) select * from a",
            "explain select 1",
            "explain analyze select 1",
            "show tables",
            "show columns from logs",
            "describe logs",
            "values (1)",
        ] {
            assert!(check(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn what_writes_or_sets_is_refused_by_its_name() {
        for (sql, name) in [
            ("create table t (a int)", "CREATE TABLE"),
            ("create external table t stored as csv location '/etc/passwd'", "CREATE EXTERNAL"),
            ("create view v as select 1", "CREATE VIEW"),
            ("insert into logs values (1)", "INSERT INTO"),
            ("delete from logs", "DELETE FROM"),
            ("update logs set a = 1", "UPDATE"),
            ("drop table logs", "DROP TABLE"),
            ("copy logs to '/tmp/x.csv'", "COPY"),
            ("set datafusion.execution.batch_size = 1", "SET"),
            ("prepare p as select 1", "PREPARE"),
            ("execute p", "EXECUTE"),
            ("begin", "BEGIN"),
            ("explain insert into logs values (1)", "INSERT INTO"),
            ("truncate table logs", "TRUNCATE TABLE"),
        ] {
            let error = check(sql).expect_err(sql);
            assert_eq!(error.kind(), ErrorKind::NotAllowed, "{sql}");
            assert!(error.to_string().starts_with(name), "{sql}: {error}");
        }
    }
}
