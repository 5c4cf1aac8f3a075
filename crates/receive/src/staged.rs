//! Values of a record that was not read to its end yet: places in its text, not copies.

use crate::aliases::Canonical;
use crate::columns::Scalar;
use crate::fields::FieldId;
use crate::json::{Number, unescape, write_string};
use crate::keys::NodeId;
use crate::timestamp::{ParsedTime, parse_number, parse_text};

/// A piece of the record's text or of the scratch text beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    length: u32,
    in_scratch: bool,
}

/// Where a scanned text lies, so that places in it become spans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    base: u32,
    in_scratch: bool,
}

impl Place {
    pub(crate) const RECORD: Self = Self { base: 0, in_scratch: false };
    pub(crate) const SCRATCH: Self = Self { base: 0, in_scratch: true };

    pub(crate) const fn scratch_from(base: usize) -> Self {
        Self { base: base as u32, in_scratch: true }
    }

    #[inline]
    pub(crate) const fn span(self, start: usize, length: usize) -> Span {
        let start = self.base + start as u32;
        Span { start, length: length as u32, in_scratch: self.in_scratch }
    }
}

/// The texts that spans point into.
pub(crate) struct Texts<'a> {
    pub(crate) record: &'a str,
    pub(crate) scratch: &'a str,
}

impl<'a> Texts<'a> {
    #[inline]
    fn get(&self, span: Span) -> &'a str {
        let text = if span.in_scratch { self.scratch } else { self.record };
        &text[span.start as usize..(span.start + span.length) as usize]
    }
}

/// How a string's text relates to its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelled {
    /// JSON without escapes: the same.
    AsIs,
    /// JSON with escapes.
    Escaped,
    /// The value itself, which JSON may have to escape.
    Raw,
}

/// A staged value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// Dropped, or used as the record's time.
    Gone,
    /// A string, without quotes.
    Text(Span, Spelled),
    Number {
        span: Span,
        integer: bool,
    },
    Int(i64),
    Float(f64),
    Bool(bool),
    /// What no column takes: null, an array, an empty object, an object that is kept whole.
    Json(Span),
}

/// A value and the field that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staged {
    pub(crate) field: FieldId,
    pub(crate) node: NodeId,
    /// The name is one key that holds dots.
    pub(crate) literal: bool,
    pub(crate) alias: Option<(Canonical, u8)>,
    pub(crate) value: Value,
}

impl Value {
    /// The value as a column might take it. `unescaped` is overwritten where it is needed.
    #[inline]
    pub(crate) fn scalar<'t>(
        &self,
        texts: &Texts<'t>,
        unescaped: &'t mut String,
    ) -> Option<Scalar<'t>> {
        match *self {
            Self::Text(span, Spelled::Escaped) => {
                unescaped.clear();
                unescape(texts.get(span), unescaped);
                Some(Scalar::String(unescaped))
            }
            Self::Text(span, _) => Some(Scalar::String(texts.get(span))),
            Self::Number { span, integer } => {
                let number = Number { text: texts.get(span), integer };
                match number.as_i64() {
                    Some(value) => Some(Scalar::Int(value)),
                    None => number.as_f64().map(Scalar::Float),
                }
            }
            Self::Int(value) => Some(Scalar::Int(value)),
            Self::Float(value) => Some(Scalar::Float(value)),
            Self::Bool(value) => Some(Scalar::Bool(value)),
            Self::Gone | Self::Json(_) => None,
        }
    }

    /// The value as a time.
    pub(crate) fn time(&self, texts: &Texts<'_>, unescaped: &mut String) -> ParsedTime {
        match *self {
            Self::Text(span, Spelled::Escaped) => {
                unescaped.clear();
                unescape(texts.get(span), unescaped);
                parse_text(unescaped)
            }
            Self::Text(span, _) => parse_text(texts.get(span)),
            Self::Number { span, .. } => parse_number(texts.get(span)),
            Self::Int(value) => parse_number(&value.to_string()),
            Self::Float(value) => parse_number(&value.to_string()),
            Self::Bool(_) | Self::Gone | Self::Json(_) => ParsedTime::NotATime,
        }
    }

    /// Appends the value as JSON, spelled as it came where it came as JSON.
    pub(crate) fn write_json(&self, texts: &Texts<'_>, into: &mut String) {
        use std::fmt::Write as _;
        let written = match *self {
            Self::Gone => into.write_str("null"),
            Self::Text(span, Spelled::Raw) => {
                write_string(texts.get(span), into);
                Ok(())
            }
            Self::Text(span, _) => write!(into, "\"{}\"", texts.get(span)),
            Self::Number { span, .. } | Self::Json(span) => into.write_str(texts.get(span)),
            Self::Int(value) => write!(into, "{value}"),
            Self::Float(value) if value.is_finite() => write!(into, "{value:?}"),
            // JSON has no word for these.
            Self::Float(value) => write!(into, "\"{value}\""),
            Self::Bool(value) => write!(into, "{value}"),
        };
        written.expect("a string takes what is written to it");
    }
}
