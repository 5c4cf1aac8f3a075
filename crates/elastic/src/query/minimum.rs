//! `minimum_should_match`: `2`, `-1`, `75%`, `-25%`, `2<75% 5<-1`.

use crate::ElasticError;

/// How many of some clauses must match, by how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimum(Vec<(usize, Part)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Count(i64),
    Percent(i64),
}

impl Minimum {
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, ElasticError> {
        let wrong = || {
            ElasticError::illegal_argument(format!(
                "failed to parse [minimum_should_match]: [{text}]"
            ))
        };
        let mut parts = vec![];
        for word in text.split_whitespace() {
            let (above, part) = match word.split_once('<') {
                Some((above, part)) => (above.parse().map_err(|_| wrong())?, part),
                None => (0, word),
            };
            let part = match part.strip_suffix('%') {
                Some(percent) => Part::Percent(percent.parse().map_err(|_| wrong())?),
                None => Part::Count(part.parse().map_err(|_| wrong())?),
            };
            parts.push((above, part));
        }
        if parts.is_empty() { Err(wrong()) } else { Ok(Self(parts)) }
    }

    /// Of so many clauses.
    pub fn of(&self, clauses: usize) -> usize {
        let is_one_without_border = matches!(self.0.as_slice(), [(0, _)]);
        let part = match is_one_without_border {
            true => self.0.first(),
            // Up to the first border all are needed.
            false => self.0.iter().rev().find(|(above, _)| clauses > *above),
        };
        let Some((_, part)) = part else { return clauses };
        let clauses = i64::try_from(clauses).unwrap_or(i64::MAX);
        let count = match part {
            Part::Count(count) if *count < 0 => clauses + count,
            Part::Count(count) => *count,
            Part::Percent(percent) if *percent < 0 => clauses - clauses * -percent / 100,
            Part::Percent(percent) => clauses * percent / 100,
        };
        usize::try_from(count.max(0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_percents_and_borders() {
        for (text, clauses, needed) in [
            ("2", 4, 2),
            ("-1", 4, 3),
            ("75%", 4, 3),
            ("-25%", 4, 3),
            ("3<90%", 3, 3),
            ("3<90%", 10, 9),
            ("2<-25% 9<-3", 2, 2),
            ("2<-25% 9<-3", 4, 3),
            ("2<-25% 9<-3", 10, 7),
            ("5", 2, 5),
            ("-9", 2, 0),
        ] {
            assert_eq!(Minimum::parse(text).unwrap().of(clauses), needed, "{text} of {clauses}");
        }
        assert!(Minimum::parse("many").is_err() && Minimum::parse("").is_err());
    }
}
