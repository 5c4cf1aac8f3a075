//! Lines of no known format: the whole line is the `message`. A time that the line begins with
//! (also in brackets) becomes `timestamp`, a level among the words after it `level`.

use loglake_model::{LEVEL, MESSAGE};

use super::{Context, Record, time};

/// Words after the time that are looked at for a level: thread and logger names may stand before.
const LEVEL_WORDS: usize = 4;

/// How levels are written at the head of lines, and the word that `level` holds for them. Only
/// capitals: `error` in a sentence is a word, `ERROR` at its head is a level.
const LEVELS: [(&str, &str); 13] = [
    ("TRACE", "TRACE"),
    ("DEBUG", "DEBUG"),
    ("INFO", "INFO"),
    ("NOTICE", "INFO"),
    ("WARN", "WARN"),
    ("WARNING", "WARN"),
    ("ERROR", "ERROR"),
    ("ERR", "ERROR"),
    ("SEVERE", "ERROR"),
    ("CRITICAL", "FATAL"),
    ("CRIT", "FATAL"),
    ("FATAL", "FATAL"),
    ("PANIC", "FATAL"),
];

pub(super) fn parse<'a>(line: &'a str, context: &Context<'_>) -> Record<'a> {
    let mut record = Record::default();
    let unbracketed = line.strip_prefix('[').unwrap_or(line);
    let rest = match time::iso(unbracketed, context) {
        Some((at, rest)) => {
            record.push_time(at);
            rest
        }
        None => line,
    };
    if let Some(level) = level(rest) {
        record.push(LEVEL, level);
    }
    record.push(MESSAGE, line);
    record
}

fn level(text: &str) -> Option<&'static str> {
    let head = text.lines().next()?;
    head.split_ascii_whitespace().take(LEVEL_WORDS).find_map(|word| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        LEVELS.iter().find(|(written, _)| *written == word).map(|(_, level)| *level)
    })
}
