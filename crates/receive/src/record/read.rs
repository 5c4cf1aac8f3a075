//! From a record's text to its staged values.

use loglake_model::{LITERAL_NAMES, NameForm};

use super::{BatchBuilder, DEPTH_MAX, DOTTED_BYTES_MAX, FieldValue, RecordError};
use crate::json::{JsonStr, Scanner};
use crate::keys::{FLATTENED, NONE, NodeId, ROOT, Spelling};
use crate::staged::{Place, Spelled, Staged, Value};

impl BatchBuilder<'_> {
    pub(super) fn read_bytes<'e>(
        &mut self,
        form: NameForm,
        extra: impl Iterator<Item = (&'e str, FieldValue<'e>)>,
        object: &[u8],
    ) -> Result<(), RecordError> {
        self.check_length(object.len())?;
        let text = simdutf8::compat::from_utf8(object)
            .map_err(|error| RecordError::NotUtf8 { column: error.valid_up_to() + 1 })?;
        for (name, value) in extra {
            self.field(name, form, value)?;
        }
        self.read_text(text)
    }

    fn check_length(&self, bytes: usize) -> Result<(), RecordError> {
        let max = self.limits.record_bytes_max.min(i32::MAX as usize);
        if bytes > max {
            return Err(RecordError::TooLong { bytes: bytes as u64, max });
        }
        Ok(())
    }

    pub(super) fn read_text(&mut self, object: &str) -> Result<(), RecordError> {
        self.check_length(object.len())?;
        let mut scanner = Scanner::new(object, self.limits.record_depth_max.min(DEPTH_MAX));
        self.object(&mut scanner, Place::RECORD, ROOT, 1)?;
        scanner.end()?;
        self.commit(object, None)
    }

    /// Stages what an object holds; false when it is empty.
    fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        place: Place,
        parent: NodeId,
        depth: usize,
    ) -> Result<bool, RecordError> {
        scanner.begin_object(depth)?;
        let (mut first, mut before) = (true, NONE);
        while scanner.at_key(&mut first)? {
            let node = match self.keys.likely(parent, before, |key| scanner.take_key(key)) {
                Some(node) => node,
                None => self.node(parent, before, &scanner.key()?),
            };
            self.value(scanner, place, node, depth)?;
            before = node;
        }
        Ok(before != NONE)
    }

    /// The node of a key that was not the likely one.
    fn node(&mut self, parent: NodeId, before: NodeId, key: &JsonStr<'_>) -> NodeId {
        match self.keys.find(parent, before, key) {
            Some(node) => node,
            None => self.add_key(parent, before, key),
        }
    }

    fn add_key(&mut self, parent: NodeId, before: NodeId, key: &JsonStr<'_>) -> NodeId {
        let key = key.value();
        let dotted = key.contains('.');
        let (spelling, field) = match parent {
            FLATTENED => (Spelling::Nested, self.fields.id(&key)),
            ROOT if dotted => (Spelling::Literal, self.fields.id(&key)),
            ROOT => (Spelling::Nested, self.fields.id(&key)),
            _ => {
                let outer = self.keys[parent].field;
                let name = &self.fields[outer].name;
                if dotted || name.len() + key.len() > DOTTED_BYTES_MAX {
                    (Spelling::Member, outer)
                } else {
                    let name = format!("{name}.{key}");
                    (Spelling::Nested, self.fields.id(&name))
                }
            }
        };
        self.keys.add(parent, before, &key, spelling, field)
    }

    /// Stages the value that comes next, in an object `depth` levels deep.
    #[inline]
    fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        place: Place,
        node: NodeId,
        depth: usize,
    ) -> Result<(), RecordError> {
        let next = scanner.peek();
        let start = scanner.position();
        let value = match next {
            Some(b'"') => {
                let string = scanner.string()?;
                let how = if string.escaped { Spelled::Escaped } else { Spelled::AsIs };
                Value::Text(place.span(string.start, string.raw.len()), how)
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = scanner.number()?;
                Value::Number {
                    span: place.span(start, number.text.len()),
                    integer: number.integer,
                }
            }
            Some(b't' | b'f') => Value::Bool(scanner.boolean()?),
            Some(b'{') if self.keys[node].spelling == Spelling::Nested => {
                self.begin_nested(node);
                if self.object(scanner, place, node, depth + 1)? {
                    return self.count_field();
                }
                Value::Json(place.span(start, scanner.position() - start))
            }
            _ => Value::Json(place.span(start, scanner.raw_value(depth)?.len())),
        };
        self.stage(node, value)
    }

    fn count_field(&mut self) -> Result<(), RecordError> {
        self.fields_seen += 1;
        let max = self.limits.record_fields_max;
        if self.fields_seen > max {
            return Err(RecordError::TooManyFields { max });
        }
        Ok(())
    }

    fn begin_nested(&mut self, node: NodeId) {
        if self.keys[node].seen == self.record {
            self.forget(node);
        }
        let key = &mut self.keys[node];
        key.seen = self.record;
        key.object_in = self.record;
    }

    #[inline]
    fn stage(&mut self, node: NodeId, value: Value) -> Result<(), RecordError> {
        self.count_field()?;
        let record = self.record;
        let key = &mut self.keys[node];
        let (doubled, was_object) = (key.seen == record, key.object_in == record);
        key.seen = record;
        let (spelling, field) = (key.spelling, key.field);
        if doubled && (was_object || spelling == Spelling::Member) {
            self.forget(node);
        }
        let name = &mut self.fields[field];
        let literal = spelling == Spelling::Literal;
        let staged = Staged { field, node, literal, alias: name.alias, value };
        if spelling == Spelling::Member {
            self.members.push(staged);
        } else if &*name.name == LITERAL_NAMES {
            return Err(RecordError::ReservedName);
        } else if name.seen == record {
            self.staged[name.staged as usize] = staged;
        } else {
            name.seen = record;
            name.staged = self.staged.len() as u32;
            self.staged.push(staged);
        }
        Ok(())
    }

    /// Drops what a doubled key brought before.
    fn forget(&mut self, node: NodeId) {
        for staged in &mut self.staged {
            if !matches!(staged.value, Value::Gone) && self.keys.lies_in(staged.node, node) {
                staged.value = Value::Gone;
                self.fields[staged.field].seen = 0;
            }
        }
        self.members.retain(|member| !self.keys.lies_in(member.node, node));
    }

    /// Stages one field that is given by name.
    pub(super) fn field(
        &mut self,
        name: &str,
        form: NameForm,
        value: FieldValue<'_>,
    ) -> Result<(), RecordError> {
        let parent = match form {
            NameForm::Nested if name.contains('.') => FLATTENED,
            _ => ROOT,
        };
        let before = self.staged.last().map_or(NONE, |staged| staged.node);
        let key = JsonStr { raw: name, start: 0, escaped: false };
        let node = match self.keys.likely(parent, before, |likely| likely == name) {
            Some(node) => node,
            None => self.node(parent, before, &key),
        };
        let value = match value {
            FieldValue::Json(json) => return self.json_field(node, json),
            FieldValue::Int(value) => Value::Int(value),
            FieldValue::Float(value) => Value::Float(value),
            FieldValue::Bool(value) => Value::Bool(value),
            FieldValue::String(value) => {
                self.check_length(self.scratch.len() + value.len())?;
                let start = self.scratch.len();
                self.scratch.push_str(value);
                Value::Text(Place::SCRATCH.span(start, value.len()), Spelled::Raw)
            }
        };
        self.stage(node, value)
    }

    fn json_field(&mut self, node: NodeId, json: &str) -> Result<(), RecordError> {
        self.check_length(self.scratch.len() + json.len())?;
        let place = Place::scratch_from(self.scratch.len());
        let depth_max = self.limits.record_depth_max.min(DEPTH_MAX);
        let mut scanner = Scanner::new(json, depth_max);
        self.scratch.push_str(json);
        self.value(&mut scanner, place, node, 1)?;
        Ok(scanner.end()?)
    }
}
