//! Which operators of `simple_query_string` are read as such: Elasticsearch's `SimpleQueryStringFlag`,
//! numbered as Lucene's `SimpleQueryParser` has them.

use crate::ElasticError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(i64);

impl Flags {
    pub(super) const AND: i64 = 1;
    pub(super) const NOT: i64 = 1 << 1;
    pub(super) const OR: i64 = 1 << 2;
    pub(super) const PREFIX: i64 = 1 << 3;
    pub(super) const PHRASE: i64 = 1 << 4;
    pub(super) const PRECEDENCE: i64 = 1 << 5;
    pub(super) const ESCAPE: i64 = 1 << 6;
    pub(super) const WHITESPACE: i64 = 1 << 7;
    pub(super) const FUZZY: i64 = 1 << 8;
    pub(super) const NEAR: i64 = 1 << 9;

    /// `AND|OR`, or their number.
    ///
    /// # Errors
    /// When one is not known.
    pub(crate) fn parse(text: &str) -> Result<Self, ElasticError> {
        if let Ok(number) = text.parse() {
            return Ok(Self(number));
        }
        let mut flags = 0;
        for name in text.split('|') {
            flags |= match name.trim().to_ascii_uppercase().as_str() {
                "ALL" => return Ok(Self::default()),
                // Whatever is beside it.
                "NONE" => return Ok(Self(0)),
                "AND" => Self::AND,
                "NOT" => Self::NOT,
                "OR" => Self::OR,
                "PREFIX" => Self::PREFIX,
                "PHRASE" => Self::PHRASE,
                "PRECEDENCE" => Self::PRECEDENCE,
                "ESCAPE" => Self::ESCAPE,
                "WHITESPACE" => Self::WHITESPACE,
                "FUZZY" => Self::FUZZY,
                "NEAR" | "SLOP" => Self::NEAR,
                _ => {
                    return Err(ElasticError::illegal_argument(format!(
                        "Unknown simple_query_string flag [{name}]"
                    )));
                }
            };
        }
        Ok(Self(flags))
    }

    pub(super) const fn has(self, flag: i64) -> bool {
        self.0 & flag != 0
    }
}

impl Default for Flags {
    /// All of them.
    fn default() -> Self {
        Self(-1)
    }
}
