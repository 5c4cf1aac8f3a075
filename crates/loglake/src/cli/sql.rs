//! `loglake sql`: one statement, several from a file, or a conversation.

mod complete;
mod interactive;
mod output;
mod statement;
mod table;

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::HumanCount;

use crate::cli::sql::output::{Format, Output, Shown};
use crate::client::{Client, ClientError, Refusal, ServerArgs};

/// Rows of a table on a terminal, unless asked for more: a slip must not scroll for minutes.
const ROWS_SHOWN: usize = 1_000;

/// Ask a lake, once or interactively.
///
/// Without a statement, a file or piped input it asks on and on: statements end with `;` and may
/// span lines, Tab completes keywords, tables and columns, `\?` lists the commands.
#[derive(Debug, clap::Args)]
pub(crate) struct SqlArgs {
    /// The statement, or several with `;` between
    #[arg(conflicts_with = "file")]
    sql: Option<String>,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// A file with statements, `-` for standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Rows shown at most, 0 for all [default: 1000 of a table, else all]
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    #[command(flatten)]
    server: ServerArgs,
}

/// # Errors
/// When the input cannot be read, the lake is away, or a statement fails.
pub(crate) async fn run(args: SqlArgs) -> anyhow::Result<()> {
    let mut session = Session::new(&args)?;
    let text = match (args.sql, args.file) {
        (Some(sql), _) => sql,
        (None, Some(file)) if file.as_os_str() != "-" => std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?,
        (None, None) if io::stdin().is_terminal() => return interactive::converse(session).await,
        (None, _) => {
            let mut sql = String::new();
            io::stdin().read_to_string(&mut sql).context("cannot read standard input")?;
            sql
        }
    };
    let timed = io::stdout().is_terminal();
    for sql in statement::split(&text) {
        let outcome = session.run(sql, &mut io::stdout().lock()).await;
        match outcome {
            Ok(ran) if timed => eprintln!("{}", ran.line()),
            Ok(_) => {}
            Err(e) if is_broken_pipe(&e) => return Ok(()),
            Err(e) => return Err(explained(e, sql)),
        }
    }
    Ok(())
}

/// Where statements go and how their rows are written.
struct Session {
    client: Client,
    format: Format,
    rows_max: Option<usize>,
    vertical: table::Vertical,
}

/// What became of a statement.
#[derive(Debug)]
struct Ran {
    shown: Shown,
    took: Duration,
}

impl Session {
    fn new(args: &SqlArgs) -> Result<Self, ClientError> {
        Ok(Self {
            client: Client::new(&args.server)?,
            format: args.format,
            rows_max: args.rows,
            vertical: table::Vertical::default(),
        })
    }

    /// Bound of the rows written: a table must be held to be drawn, streams need not end.
    fn rows_max(&self) -> usize {
        match (self.rows_max, self.format) {
            (Some(0), _) | (None, Format::Csv | Format::Json | Format::Ndjson) => usize::MAX,
            (None, Format::Table) => ROWS_SHOWN,
            (Some(rows), _) => rows,
        }
    }

    /// Runs one statement and writes its rows.
    async fn run(&mut self, sql: &str, out: &mut dyn Write) -> anyhow::Result<Ran> {
        let started = Instant::now();
        let mut answer = self.client.query(sql).await?;
        let layout = table::Layout { vertical: self.vertical, width: table::terminal_width() };
        let mut output = Output::new(self.format, answer.schema(), self.rows_max(), layout);
        while let Some(batch) = answer.next().await? {
            if !output.take(batch, out)? {
                break;
            }
        }
        let shown = output.finish(out)?;
        out.flush()?;
        Ok(Ran { shown, took: started.elapsed() })
    }
}

impl Ran {
    fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        match self.shown {
            Shown::All(1) => format!("1 row, {seconds:.3} s"),
            Shown::All(rows) => format!("{} rows, {seconds:.3} s", HumanCount(rows as u64)),
            Shown::First(rows) => format!(
                "first {} rows, {seconds:.3} s; there are more: --rows 0 or \\rows 0 shows all",
                HumanCount(rows as u64)
            ),
        }
    }
}

/// The error, with the statement's line and a caret below the mistake where it is known.
fn explained(error: anyhow::Error, sql: &str) -> anyhow::Error {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(Refusal { position: Some((line, column)), .. })) => {
            match statement::pointed(sql, *line, *column) {
                Some(excerpt) => anyhow::anyhow!("{error:#}\n{excerpt}"),
                None => error,
            }
        }
        _ => error,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
