//! `simple_query_string`: `+ | - "…" * ( ) ~n`, after Lucene's `SimpleQueryParser`. Nothing is a mistake
//! here: what makes no sense is passed over.

use super::{Flags, Options};
use crate::query::{Bool, Edits, Operator, Pattern, Query};

/// Groups within each other; deeper ones are read as if their brackets were not there.
const DEPTH_MAX: usize = 30;

pub(crate) fn simple_query_string(text: &str, options: &Options) -> Query {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { chars: &chars, at: 0, options, depth: 0 };
    let mut query = reader.group();
    if let (Query::Bool(query), Some(minimum)) = (&mut query, &options.minimum)
        && !query.should.is_empty()
    {
        query.minimum = Some(minimum.clone());
    }
    query
}

struct Reader<'t> {
    chars: &'t [char],
    at: usize,
    options: &'t Options,
    depth: usize,
}

/// Clauses that were read, joined by one operator after the other.
#[derive(Default)]
struct Joined {
    top: Option<Query>,
    top_operator: Option<Operator>,
    next_operator: Option<Operator>,
    negate: bool,
}

impl Joined {
    fn add(&mut self, clause: Query, by_default: Operator) {
        let clause = if std::mem::take(&mut self.negate) {
            Query::Bool(Box::new(Bool { must_not: vec![clause], ..Bool::default() }))
        } else {
            clause
        };
        let operator = self.next_operator.take().unwrap_or(by_default);
        let Some(top) = self.top.take() else {
            self.top = Some(clause);
            return;
        };
        let mut joined = match top {
            Query::Bool(joined) if self.top_operator == Some(operator) => joined,
            top => {
                let mut joined = Box::<Bool>::default();
                push(&mut joined, top, operator);
                joined
            }
        };
        push(&mut joined, clause, operator);
        self.top_operator = Some(operator);
        self.top = Some(Query::Bool(joined));
    }
}

fn push(joined: &mut Bool, clause: Query, operator: Operator) {
    match operator {
        Operator::And => joined.must.push(clause),
        Operator::Or => joined.should.push(clause),
    }
}

impl Reader<'_> {
    fn group(&mut self) -> Query {
        let mut joined = Joined::default();
        while let Some(c) = self.chars.get(self.at).copied() {
            self.at += 1;
            let clause = match c {
                c if c.is_whitespace() && self.reads(Flags::WHITESPACE) => continue,
                '+' if self.reads(Flags::AND) => {
                    joined.next_operator = Some(Operator::And);
                    continue;
                }
                '|' if self.reads(Flags::OR) => {
                    joined.next_operator = Some(Operator::Or);
                    continue;
                }
                '-' if self.reads(Flags::NOT) => {
                    joined.negate = !joined.negate;
                    continue;
                }
                ')' if self.depth > 0 => break,
                '(' if self.depth < DEPTH_MAX && self.reads(Flags::PRECEDENCE) => {
                    self.depth += 1;
                    let group = self.group();
                    self.depth -= 1;
                    if group == Query::MatchNone {
                        continue;
                    }
                    group
                }
                '(' | ')' if self.reads(Flags::PRECEDENCE) => continue,
                '"' if self.reads(Flags::PHRASE) => match self.phrase() {
                    Some(phrase) => phrase,
                    None => continue,
                },
                _ => {
                    self.at -= 1;
                    match self.term() {
                        Some(term) => term,
                        None => continue,
                    }
                }
            };
            joined.add(clause, self.options.operator);
        }
        joined.top.unwrap_or(Query::MatchNone)
    }

    fn phrase(&mut self) -> Option<Query> {
        let mut text = String::new();
        while let Some(c) = self.chars.get(self.at) {
            self.at += 1;
            match c {
                '"' => break,
                '\\' => {
                    text.extend(self.chars.get(self.at));
                    self.at += 1;
                }
                c => text.push(*c),
            }
        }
        self.edits(Flags::NEAR);
        let is_empty = text.trim().is_empty();
        (!is_empty).then(|| self.options.over(None, &self.options.phrase(&text)))
    }

    fn term(&mut self) -> Option<Query> {
        let mut text = String::new();
        let mut is_prefix = false;
        while let Some(c) = self.chars.get(self.at) {
            match c {
                c if self.ends_term(*c) => break,
                '~' if !text.is_empty() && self.reads(Flags::FUZZY) => break,
                '\\' if self.reads(Flags::ESCAPE) => {
                    text.extend(self.chars.get(self.at + 1));
                    self.at += 1;
                    is_prefix = false;
                }
                c => {
                    text.push(*c);
                    is_prefix = *c == '*' && self.reads(Flags::PREFIX);
                }
            }
            self.at += 1;
        }
        self.at = self.at.min(self.chars.len());
        if let Some(edits) = self.edits(Flags::FUZZY) {
            return Some(self.options.over(None, &self.options.fuzzy(&text, edits)));
        }
        if is_prefix {
            text.pop();
            if text.is_empty() {
                return Some(Query::MatchAll);
            }
            let (field, lenient) = (String::new(), self.options.lenient);
            let pattern = Pattern::Prefix(text.to_lowercase());
            let query = Query::Pattern { field, pattern, any_case: false, lenient };
            return Some(self.options.over(None, &query));
        }
        (!text.is_empty()).then(|| self.options.over(None, &self.options.words(&text)))
    }

    const fn reads(&self, operator: i64) -> bool {
        self.options.flags.has(operator)
    }

    fn ends_term(&self, c: char) -> bool {
        match c {
            '+' => self.reads(Flags::AND),
            '|' => self.reads(Flags::OR),
            '"' => self.reads(Flags::PHRASE),
            '(' | ')' => self.reads(Flags::PRECEDENCE),
            c => c.is_whitespace() && self.reads(Flags::WHITESPACE),
        }
    }

    /// `~2` after a term or a phrase.
    fn edits(&mut self, operator: i64) -> Option<Edits> {
        if !self.reads(operator) || self.chars.get(self.at) != Some(&'~') {
            return None;
        }
        self.at += 1;
        let mut digits = String::new();
        while let Some(c) = self.chars.get(self.at).filter(|c| c.is_ascii_digit()) {
            digits.push(*c);
            self.at += 1;
        }
        Some(digits.parse().map_or(self.options.edits, |edits: u64| Edits::Exactly(edits.min(2))))
    }
}
