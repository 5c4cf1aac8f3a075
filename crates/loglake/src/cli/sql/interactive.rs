//! The conversation: lines with history and completion, statements that span lines.

use std::io;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter};
use tokio::runtime::Handle;

use super::complete::Names;
use super::output::Format;
use super::table::Vertical;
use super::{Session, explained, statement};

const PROMPT: &str = "loglake> ";

const HELP: &str = "\
statements end with ; and may span lines
\\d            tables
\\d TABLE      columns of a table
\\x            columns one below the other: always, never, when too wide (in turn)
\\format NAME  table, json, csv or ndjson
\\rows N       rows shown at most, 0 for all
\\q            end (also Ctrl-D)
Ctrl-C ends a running statement";

type Lines = Editor<Helpers, DefaultHistory>;

/// Asks until the end of input. Lines are read on a thread of their own kind, which may block.
pub(super) async fn converse(session: Session) -> anyhow::Result<()> {
    let names = match Names::load(&session.client).await {
        Ok(names) => names,
        Err(e) => {
            eprintln!("names of the lake are not completed: {e}");
            Names::default()
        }
    };
    println!("connected to {}; \\? for help", session.client.url());
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || ask_on(session, names, &runtime)).await?
}

fn ask_on(mut session: Session, names: Names, runtime: &Handle) -> anyhow::Result<()> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .max_history_size(10_000)?
        .build();
    let mut lines: Lines = Editor::with_config(config)?;
    lines.set_helper(Some(Helpers { names }));
    let history = history_file();
    if let Some(file) = &history {
        // There is none yet at the first time.
        let _ = lines.load_history(file);
    }
    loop {
        let text = match lines.readline(PROMPT) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(e.into()),
        };
        if text.trim().is_empty() {
            continue;
        }
        lines.add_history_entry(text.as_str())?;
        match Command::of(&text) {
            Some(Command::Quit) => break,
            Some(command) => perform(command, &mut session, runtime),
            None => {
                statement::split(&text).into_iter().for_each(|sql| ask(&mut session, sql, runtime))
            }
        }
    }
    save(&mut lines, history)
}

fn save(lines: &mut Lines, file: Option<PathBuf>) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(lines.append_history(&file)?)
}

/// `$XDG_DATA_HOME/loglake/sql_history`, by default under `~/.local/share` (XDG Base Directory
/// Specification).
fn history_file() -> Option<PathBuf> {
    let data = match std::env::var_os("XDG_DATA_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir()?.join(".local").join("share"),
    };
    Some(data.join("loglake").join("sql_history"))
}

/// Runs a statement; Ctrl-C ends it, not the conversation.
fn ask(session: &mut Session, sql: &str, runtime: &Handle) {
    let outcome = runtime.block_on(async {
        let mut out = io::stdout();
        tokio::select! {
            outcome = session.run(sql, &mut out) => Some(outcome),
            _ = tokio::signal::ctrl_c() => None,
        }
    });
    match outcome {
        Some(Ok(ran)) => println!("{}\n", ran.line()),
        Some(Err(e)) => eprintln!("{:#}\n", explained(e, sql)),
        None => eprintln!("interrupted\n"),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Help,
    Quit,
    Tables,
    Columns(String),
    Vertical,
    Format(String),
    Rows(String),
    Unknown(String),
}

impl Command {
    /// `None` for SQL.
    fn of(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let mut words = text.split_whitespace();
        let (first, second) = (words.next()?, words.next());
        Some(match (first, second) {
            ("\\?" | "\\h" | "help", None) => Self::Help,
            ("\\q" | "quit" | "exit", None) => Self::Quit,
            ("\\d", None) => Self::Tables,
            ("\\d", Some(table)) => Self::Columns(table.to_owned()),
            ("\\x", None) => Self::Vertical,
            ("\\format", Some(name)) => Self::Format(name.to_owned()),
            ("\\rows", Some(rows)) => Self::Rows(rows.to_owned()),
            (unknown, _) if unknown.starts_with('\\') => Self::Unknown(text.to_owned()),
            _ => return None,
        })
    }
}

fn perform(command: Command, session: &mut Session, runtime: &Handle) {
    match command {
        Command::Help | Command::Quit => println!("{HELP}\n"),
        Command::Tables => ask(session, "SHOW TABLES", runtime),
        Command::Columns(table) => ask(session, &format!("DESCRIBE {table}"), runtime),
        Command::Vertical => {
            let (next, said) = match session.vertical {
                Vertical::Auto => (Vertical::Always, "always one below the other"),
                Vertical::Always => (Vertical::Never, "always side by side"),
                Vertical::Never => (Vertical::Auto, "side by side where they fit"),
            };
            session.vertical = next;
            println!("columns: {said}\n");
        }
        Command::Format(name) => match <Format as clap::ValueEnum>::from_str(&name, true) {
            Ok(format) => session.format = format,
            Err(_) => eprintln!("no format is called {name}: table, json, csv or ndjson\n"),
        },
        Command::Rows(rows) => match rows.parse() {
            Ok(rows) => session.rows_max = Some(rows),
            Err(_) => eprintln!("{rows} is no number of rows\n"),
        },
        Command::Unknown(text) => eprintln!("no command is called {text}; \\? lists them\n"),
    }
}

/// What the line editor asks of us.
#[derive(Helper, Highlighter, Hinter)]
struct Helpers {
    names: Names,
}

impl Completer for Helpers {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.names.complete(&line[..cursor]))
    }
}

impl Validator for Helpers {
    /// Enter ends a command, or SQL that ends with `;`; else it begins another line.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let whole = Command::of(text).is_some() || statement::is_complete(text);
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_sql() {
        assert_eq!(Command::of("\\d logs;"), Some(Command::Columns("logs".into())));
        assert_eq!(Command::of(" exit "), Some(Command::Quit));
        assert_eq!(Command::of("\\nothing x"), Some(Command::Unknown("\\nothing x".into())));
        assert_eq!(Command::of("SELECT 1;"), None);
        assert_eq!(Command::of("help me"), None);
        assert_eq!(Command::of(""), None);
    }
}
