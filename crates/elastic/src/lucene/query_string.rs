//! `query_string`: the syntax of Lucene's classic query parser (package
//! `org.apache.lucene.queryparser.classic`), with Elasticsearch's `_exists_` and `field:>=5`.

use super::Options;
use crate::ElasticError;
use crate::query::{Bool, Edits, Operator, Pattern, Query, Range};

/// Groups within each other.
const DEPTH_MAX: usize = 30;

/// # Errors
/// When the text is not of this syntax.
pub(crate) fn query_string(text: &str, options: &Options) -> Result<Query, ElasticError> {
    let mut parser = Parser { text, at: 0, options, depth: 0 };
    let query = parser.clauses(None)?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.failed());
    }
    Ok(query)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    options: &'t Options,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Conjunction {
    None,
    And,
    Or,
}

#[derive(Clone, Copy, PartialEq)]
enum Occur {
    Must,
    Should,
    MustNot,
}

/// A term as it was written: with the places of its wildcards known.
#[derive(Default)]
struct Term {
    text: String,
    /// For patterns: escapes stay.
    raw: String,
    has_wildcard: bool,
}

impl Parser<'_> {
    fn failed(&self) -> ElasticError {
        ElasticError::query_shard(format!("Failed to parse query [{}]", self.text))
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, sought: &str) -> bool {
        let there = self.text[self.at..].starts_with(sought);
        if there {
            self.at += sought.len();
        }
        there
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// A word of the syntax: `AND` with nothing of a term after it.
    fn eat_word(&mut self, word: &str) -> bool {
        let rest = &self.text[self.at..];
        let ends = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "()\"".contains(c));
        let there = rest.strip_prefix(word).is_some_and(|rest| ends(rest.chars().next()));
        if there {
            self.at += word.len();
        }
        there
    }

    /// Clauses up to the end or a closing bracket, `field` where a group has one.
    fn clauses(&mut self, field: Option<&str>) -> Result<Query, ElasticError> {
        let mut found: Vec<(Query, Occur)> = vec![];
        loop {
            self.skip_space();
            if self.peek().is_none_or(|c| c == ')') {
                break;
            }
            let conjunction = self.conjunction();
            if conjunction != Conjunction::None && found.is_empty() {
                return Err(self.failed());
            }
            self.skip_space();
            let occur = self.modifier();
            self.skip_space();
            let query = self.clause(field)?;
            self.add(&mut found, conjunction, occur, query);
        }
        Ok(self.joined(found))
    }

    fn conjunction(&mut self) -> Conjunction {
        if self.eat_word("AND") || self.eat("&&") {
            Conjunction::And
        } else if self.eat_word("OR") || self.eat("||") {
            Conjunction::Or
        } else {
            Conjunction::None
        }
    }

    fn modifier(&mut self) -> Option<Occur> {
        if self.eat("+") {
            Some(Occur::Must)
        } else if self.eat("-") || self.eat("!") || self.eat_word("NOT") {
            Some(Occur::MustNot)
        } else {
            None
        }
    }

    /// As the classic parser adds clauses: an `AND` makes the clause before it needed too.
    fn add(
        &self,
        found: &mut Vec<(Query, Occur)>,
        conjunction: Conjunction,
        modifier: Option<Occur>,
        query: Query,
    ) {
        let by_default = self.options.operator;
        let before = match (by_default, conjunction) {
            (_, Conjunction::And) => Some(Occur::Must),
            (Operator::And, Conjunction::Or) => Some(Occur::Should),
            _ => None,
        };
        if let (Some(occur), Some(last)) = (before, found.last_mut())
            && last.1 != Occur::MustNot
        {
            last.1 = occur;
        }
        let occur = match (modifier, by_default) {
            (Some(occur), _) => occur,
            (None, Operator::Or) if conjunction == Conjunction::And => Occur::Must,
            (None, Operator::And) if conjunction != Conjunction::Or => Occur::Must,
            _ => Occur::Should,
        };
        found.push((query, occur));
    }

    fn joined(&self, mut found: Vec<(Query, Occur)>) -> Query {
        match found.as_slice() {
            [] => return Query::MatchNone,
            [(_, Occur::Must | Occur::Should)] => {
                return found.pop().map_or(Query::MatchNone, |(query, _)| query);
            }
            _ => {}
        }
        let mut joined = Bool::default();
        for (query, occur) in found {
            match occur {
                Occur::Must => joined.must.push(query),
                Occur::Should => joined.should.push(query),
                Occur::MustNot => joined.must_not.push(query),
            }
        }
        if self.depth == 0 && !joined.should.is_empty() {
            joined.minimum.clone_from(&self.options.minimum);
        }
        Query::Bool(Box::new(joined))
    }

    fn clause(&mut self, field: Option<&str>) -> Result<Query, ElasticError> {
        let named = self.field()?;
        let field = named.as_deref().or(field);
        let query = match self.peek() {
            Some('(') => self.group(field)?,
            Some('"') => self.phrase(field)?,
            Some('/') => self.regexp(field)?,
            Some('[' | '{') => self.range(field)?,
            Some('<' | '>') if named.is_some() => self.comparison(field)?,
            Some(_) => self.term(field)?,
            None => return Err(self.failed()),
        };
        Ok(query.boosted(self.boost()?))
    }

    /// `name:` before a clause; a name may have escapes.
    fn field(&mut self) -> Result<Option<String>, ElasticError> {
        let begin = self.at;
        if self.eat("*:*") {
            self.at = begin;
            return Ok(None);
        }
        let mut name = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.at += 1;
                    let escaped = self.peek().ok_or_else(|| self.failed())?;
                    name.push(escaped);
                    self.at += escaped.len_utf8();
                }
                ':' if !name.is_empty() => {
                    self.at += 1;
                    self.skip_space();
                    return Ok(Some(name));
                }
                c if c.is_whitespace() || "+!(){}[]^\"~:/<>=".contains(c) => break,
                c => {
                    name.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        self.at = begin;
        Ok(None)
    }

    fn group(&mut self, field: Option<&str>) -> Result<Query, ElasticError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX || !self.eat("(") {
            return Err(self.failed());
        }
        let query = self.clauses(field)?;
        if !self.eat(")") {
            return Err(self.failed());
        }
        self.depth -= 1;
        Ok(query)
    }

    /// Between two of the same mark, with escapes.
    fn quoted(&mut self, mark: char) -> Result<String, ElasticError> {
        let mut text = String::new();
        self.at += mark.len_utf8();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            match c {
                c if c == mark => return Ok(text),
                '\\' => {
                    let escaped = self.peek().ok_or_else(|| self.failed())?;
                    self.at += escaped.len_utf8();
                    if mark == '/' && escaped != '/' {
                        text.push('\\');
                    }
                    text.push(escaped);
                }
                c => text.push(c),
            }
        }
        Err(self.failed())
    }

    fn phrase(&mut self, field: Option<&str>) -> Result<Query, ElasticError> {
        let text = self.quoted('"')?;
        if self.eat("~") {
            let slop = self.digits();
            if !slop.is_empty() && slop.parse::<f64>() != Ok(0.0) {
                return Err(ElasticError::unsupported(format!(
                    "phrases with a slop (~{slop}), only 0"
                )));
            }
        }
        Ok(self.options.over(field, &self.options.phrase(&text)))
    }

    fn regexp(&mut self, field: Option<&str>) -> Result<Query, ElasticError> {
        let pattern = Pattern::Regexp(self.quoted('/')?);
        Ok(self.pattern(field, pattern))
    }

    fn pattern(&self, field: Option<&str>, pattern: Pattern) -> Query {
        let lenient = self.options.lenient;
        let query = Query::Pattern { field: String::new(), pattern, any_case: false, lenient };
        self.options.over(field, &query)
    }

    /// `[a TO b}`.
    fn range(&mut self, field: Option<&str>) -> Result<Query, ElasticError> {
        let from_is_in = self.peek() == Some('[');
        self.at += 1;
        let from = self.end_of_range()?;
        self.skip_space();
        if !self.eat_word("TO") {
            return Err(self.failed());
        }
        let to = self.end_of_range()?;
        self.skip_space();
        let to_is_in = match self.peek() {
            Some(']') => true,
            Some('}') => false,
            _ => return Err(self.failed()),
        };
        self.at += 1;
        let mut range = self.no_range();
        *(if from_is_in { &mut range.gte } else { &mut range.gt }) = from.map(Into::into);
        *(if to_is_in { &mut range.lte } else { &mut range.lt }) = to.map(Into::into);
        Ok(self.over_range(field, range))
    }

    fn no_range(&self) -> Range {
        let (zone, lenient) = (self.options.zone.clone(), self.options.lenient);
        Range { zone, lenient, ..Range::default() }
    }

    fn over_range(&self, field: Option<&str>, range: Range) -> Query {
        self.options.over(field, &Query::Range { field: String::new(), range })
    }

    /// `None` for `*`.
    fn end_of_range(&mut self) -> Result<Option<String>, ElasticError> {
        self.skip_space();
        if self.peek() == Some('"') {
            return self.quoted('"').map(Some);
        }
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| c.is_whitespace() || c == ']' || c == '}');
        let text = &rest[..end.unwrap_or(rest.len())];
        if text.is_empty() {
            return Err(self.failed());
        }
        self.at += text.len();
        Ok((text != "*").then(|| text.replace('\\', "")))
    }

    /// `>=5`.
    fn comparison(&mut self, field: Option<&str>) -> Result<Query, ElasticError> {
        let mut range = self.no_range();
        let end = if self.eat(">=") {
            &mut range.gte
        } else if self.eat("<=") {
            &mut range.lte
        } else if self.eat(">") {
            &mut range.gt
        } else {
            self.at += 1;
            &mut range.lt
        };
        self.skip_space();
        let value = match self.peek() {
            Some('"') => self.quoted('"')?,
            _ => self.read_term()?.text,
        };
        *end = Some(value.into());
        Ok(self.over_range(field, range))
    }

    fn term(&mut self, field: Option<&str>) -> Result<Query, ElasticError> {
        if self.eat("*:*") {
            return Ok(Query::MatchAll);
        }
        let term = self.read_term()?;
        if field == Some("_exists_") {
            return Ok(Query::Exists { field: term.text });
        }
        if term.raw == "*" {
            return Ok(match field {
                Some(field) => Query::Exists { field: field.to_owned() },
                None => Query::MatchAll,
            });
        }
        if self.eat("~") {
            let digits = self.digits();
            let edits = match digits.parse::<f64>() {
                Ok(edits) => Edits::Exactly(edits.clamp(0.0, 2.0) as u64),
                Err(_) => self.options.edits,
            };
            return Ok(self.options.over(field, &self.options.fuzzy(&term.text, edits)));
        }
        if term.has_wildcard {
            return Ok(self.pattern(field, Pattern::Wildcard(term.raw)));
        }
        Ok(self.options.over(field, &self.options.words(&term.text)))
    }

    fn read_term(&mut self) -> Result<Term, ElasticError> {
        let mut term = Term::default();
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.at += 1;
                    let escaped = self.peek().ok_or_else(|| self.failed())?;
                    self.at += escaped.len_utf8();
                    term.text.push(escaped);
                    term.raw.push('\\');
                    term.raw.push(escaped);
                }
                c if c.is_whitespace() || "(){}[]^\"~".contains(c) => break,
                // Only `name:` may have one.
                ':' => return Err(self.failed()),
                c => {
                    self.at += c.len_utf8();
                    term.has_wildcard |= c == '*' || c == '?';
                    term.text.push(c);
                    term.raw.push(c);
                }
            }
        }
        if term.text.is_empty() { Err(self.failed()) } else { Ok(term) }
    }

    fn digits(&mut self) -> String {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn boost(&mut self) -> Result<Option<f64>, ElasticError> {
        if !self.eat("^") {
            return Ok(None);
        }
        self.digits().parse().map(Some).map_err(|_| self.failed())
    }
}
