//! From staged values to the columns of a row.

use loglake_model::{NameForm, Timestamp};

use super::{BatchBuilder, RecordError, SETTLED_ROWS};
use crate::aliases::Canonical;
use crate::columns::{Columns, Scalar};
use crate::fields::{FieldId, Fields, Target};
use crate::json::write_string;
use crate::staged::{Staged, Texts, Value};
use crate::timestamp::ParsedTime;

impl BatchBuilder<'_> {
    /// Moves the staged values into the columns: the record is a row from here on.
    pub(super) fn commit(
        &mut self,
        source: &str,
        time: Option<Timestamp>,
    ) -> Result<(), RecordError> {
        let scratch = std::mem::take(&mut self.scratch);
        let texts = Texts { record: source, scratch: &scratch };
        let result = match time {
            Some(time) => Ok(time),
            None => self.take_time(&texts),
        };
        if let Ok(time) = result {
            self.drop_names_of_objects();
            self.fill_from_aliases();
            let row = self.micros.len();
            self.micros.push(time.micros());
            self.nanos.push(time.nanos_of_micro());
            for at in 0..self.staged.len() {
                self.place(row, at, &texts);
            }
            if !self.members.is_empty() {
                self.place_members(&texts);
            }
            self.attributes.end_row(row);
            if self.micros.len() == SETTLED_ROWS {
                self.settle();
            }
        }
        self.scratch = scratch;
        result.map(drop)
    }

    /// The record's time: that of the first name of the list whose value is one, else the arrival.
    fn take_time(&mut self, texts: &Texts<'_>) -> Result<Timestamp, RecordError> {
        let timestamp = Fields::canonical(Canonical::Timestamp);
        let mut after = None;
        loop {
            let candidates = self.staged.iter().enumerate().filter_map(|(at, staged)| {
                let (column, rank) = staged.alias?;
                let waiting =
                    column == Canonical::Timestamp && after.is_none_or(|done| rank > done);
                (waiting && !matches!(staged.value, Value::Gone)).then_some((rank, at))
            });
            let Some((rank, at)) = candidates.min() else { return Ok(self.arrival) };
            after = Some(rank);
            match self.staged[at].value.time(texts, &mut self.unescaped) {
                ParsedTime::NotATime => {}
                ParsedTime::OutOfRange => return Err(self.time_out_of_range(at, texts)),
                ParsedTime::Time { timestamp: time, exact } => {
                    let occupied = rank > 0 && self.is_occupied(timestamp);
                    let staged = &mut self.staged[at];
                    match (occupied, exact) {
                        (true, _) => {}
                        (false, true) => staged.value = Value::Gone,
                        // The whole text stays in `attributes`, under the column's name.
                        (false, false) => (staged.field, staged.literal) = (timestamp, false),
                    }
                    return Ok(time);
                }
            }
        }
    }

    fn time_out_of_range(&self, at: usize, texts: &Texts<'_>) -> RecordError {
        const SHOWN: usize = 64;
        let staged = &self.staged[at];
        let mut value = String::new();
        staged.value.write_json(texts, &mut value);
        if let Some((cut, _)) = value.char_indices().nth(SHOWN) {
            value.truncate(cut);
            value.push('…');
        }
        RecordError::TimeOutOfRange { name: self.fields[staged.field].name.to_string(), value }
    }

    /// Where a name is both an object that is kept whole and a key with dots, the object wins.
    fn drop_names_of_objects(&mut self) {
        for member in &self.members {
            let field = &mut self.fields[member.field];
            if field.seen == self.record {
                self.staged[field.staged as usize].value = Value::Gone;
                field.seen = 0;
            }
        }
    }

    /// Whether the record has a value under this name already.
    fn is_occupied(&self, field: FieldId) -> bool {
        self.fields[field].seen == self.record || self.members.iter().any(|m| m.field == field)
    }

    /// Lets the best names that the record has fill `message`, `level` and `service`.
    fn fill_from_aliases(&mut self) {
        let mut best: [Option<(u8, usize)>; 4] = [None; 4];
        for (at, staged) in self.staged.iter().enumerate() {
            if let (Some((column, rank)), Value::Text(..)) = (staged.alias, staged.value)
                && column != Canonical::Timestamp
            {
                let best = &mut best[column as usize];
                *best = Some(best.map_or((rank, at), |other| other.min((rank, at))));
            }
        }
        for (column, best) in best.into_iter().enumerate() {
            let Some((1.., at)) = best else { continue };
            let field = column as FieldId;
            let renamed = Staged { field, literal: false, ..self.staged[at] };
            match self.is_occupied(field) {
                true => self.staged.push(renamed),
                false => self.staged[at] = renamed,
            }
        }
    }

    /// Puts one staged value into its column or into `attributes`.
    #[inline]
    fn place(&mut self, row: usize, at: usize, texts: &Texts<'_>) {
        let staged = self.staged[at];
        if matches!(staged.value, Value::Gone) {
            return;
        }
        let field = &mut self.fields[staged.field];
        if let Some(value) = staged.value.scalar(texts, &mut self.unescaped)
            && let Some(column) =
                resolve(&mut field.target, &mut self.columns, &field.name, staged.literal, &value)
            && self.columns.append(column, row, value)
        {
            let literal_column = self.columns.column(column).form == NameForm::Literal;
            if literal_column != staged.literal {
                self.attributes.list_literal(&field.name);
            }
            return;
        }
        staged.value.write_json(texts, self.attributes.member(&field.name));
        if staged.literal {
            self.attributes.list_literal(&field.name);
        }
    }

    /// Writes the values that stay within objects, an object for each field that has some.
    fn place_members(&mut self, texts: &Texts<'_>) {
        let name = |member: &Staged| &self.fields[member.field].name;
        self.members.sort_by(|a, b| name(a).cmp(name(b)));
        for object in self.members.chunk_by(|a, b| a.field == b.field) {
            let text = self.attributes.member(&self.fields[object[0].field].name);
            text.push('{');
            for (i, member) in object.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write_string(&self.keys[member.node].key, text);
                text.push(':');
                member.value.write_json(texts, text);
            }
            text.push('}');
        }
    }
}

#[inline]
fn resolve(
    target: &mut Target,
    columns: &mut Columns<'_>,
    name: &str,
    literal: bool,
    value: &Scalar<'_>,
) -> Option<u32> {
    match *target {
        Target::Column(id) => Some(id),
        Target::Attributes => None,
        Target::Undecided => {
            let form = if literal { NameForm::Literal } else { NameForm::Nested };
            let column = columns.resolve(name, form, value);
            *target = column.map_or(Target::Attributes, Target::Column);
            column
        }
    }
}
