//! Which file each row goes to, and in which order.
//!
//! Rows are sorted by (service, level, shape of the message, time), nulls last. Lines of one shape compress
//! well beside each other, and what is asked for most, a service and its errors, is one run of rows.
//!
//! The newest rows come last, in the same order among themselves: "the last lines" are asked for more often
//! than any others, and would else be a few rows of every page.
//!
//! There are few distinct pairs of service and level, so a counting sort by these and then a stable sort
//! within each cost a fraction of a comparison sort of the whole.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int16Type, TimestampMicrosecondType};
use hashbrown::HashMap;
use loglake_model::{LEVEL, MESSAGE, NANOS, Partition, PartitionBy, SERVICE, TIMESTAMP};

use crate::FormatError;
use crate::columns::Columns;
use crate::texts::Texts;

/// Where a row lies in the input, and its key within its group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    /// Microseconds since the epoch.
    pub(crate) micros: i64,
    /// The batch's number in the call.
    pub(crate) batch: u32,
    /// The row's number in its batch.
    pub(crate) row: u32,
    /// The message's, see [`shape_of`].
    pub(crate) shape: u64,
    pub(crate) nanos: i16,
}

/// The rows of a file in their order.
pub(crate) struct Ordered {
    pub(crate) partition: Partition,
    pub(crate) rows: Vec<Row>,
    /// How many of them, at the end, are the newest.
    pub(crate) newest: usize,
}

/// Files shorter than this many times their newest rows keep them among the others.
const FILE_OF_NEWEST: usize = 32;

/// The rows of each partition in the order of its file, `newest` of them apart where there are many.
///
/// # Errors
/// When a batch has no time, or a row's time is null.
pub(crate) fn order<'a>(
    columns: &'a Columns,
    by: PartitionBy,
    newest: usize,
) -> Result<Vec<Ordered>, FormatError> {
    let mut buckets: BTreeMap<Partition, Bucket> = BTreeMap::new();
    for (batch, rows) in columns.rows().iter().enumerate().filter(|(_, rows)| **rows > 0) {
        let micros = time(columns.parts(TIMESTAMP)?, TIMESTAMP, batch)?;
        let micros = micros.as_primitive::<TimestampMicrosecondType>().values();
        let nanos = time(columns.parts(NANOS)?, NANOS, batch)?;
        let nanos = nanos.as_primitive::<Int16Type>().values();
        let texts = |column| {
            let part = &columns.parts(column)?[batch];
            Ok::<_, FormatError>(part.as_ref().and_then(Texts::of))
        };
        let (services, levels, messages) = (texts(SERVICE)?, texts(LEVEL)?, texts(MESSAGE)?);
        let batch = number("batch", batch)?;
        number("row", *rows)?;
        let mut at = 0;
        while at < *rows {
            // Neighbours mostly share their partition: look it up once for each run of them.
            let partition = Partition::of(micros[at], by);
            let bucket = buckets.entry(partition).or_default();
            while at < *rows && Partition::of(micros[at], by) == partition {
                let text = |texts: Option<Texts<'a>>| texts.and_then(|texts| texts.get(at));
                let group = Group::new(text(services), text(levels));
                let shape = text(messages).map_or(0, shape_of);
                let (row, micros, nanos) = (at as u32, micros[at], nanos[at]);
                bucket.push(group, Row { micros, batch, row, shape, nanos });
                at += 1;
            }
        }
    }
    let files = buckets.into_iter().map(|(partition, bucket)| {
        let has_apart = bucket.rows.len() >= newest.saturating_mul(FILE_OF_NEWEST);
        let newest = if has_apart { newest } else { 0 };
        Ordered { partition, rows: bucket.sorted(newest), newest }
    });
    Ok(files.collect())
}

/// A service and a level, in the order of files: null last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Group<'a> {
    no_service: bool,
    pub(crate) service: Option<&'a str>,
    no_level: bool,
    pub(crate) level: Option<&'a str>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(service: Option<&'a str>, level: Option<&'a str>) -> Self {
        Self { no_service: service.is_none(), service, no_level: level.is_none(), level }
    }
}

/// The times of a batch: there and never null.
fn time<'a>(
    parts: &'a [Option<ArrayRef>],
    column: &'static str,
    batch: usize,
) -> Result<&'a ArrayRef, FormatError> {
    let Some(part) = &parts[batch] else {
        return Err(FormatError::MissingColumn { column: column.to_owned() });
    };
    match part.nulls().and_then(|nulls| nulls.iter().position(|valid| !valid)) {
        Some(row) => Err(FormatError::NullTime { column, row }),
        None => Ok(part),
    }
}

fn number(what: &'static str, number: usize) -> Result<u32, FormatError> {
    u32::try_from(number).map_err(|_| FormatError::TooMany { what, number })
}

/// The rows of one partition as they came, each with the number of its group.
#[derive(Default)]
struct Bucket<'a> {
    rows: Vec<Row>,
    group_of_row: Vec<u32>,
    groups: Vec<Group<'a>>,
    numbers: HashMap<Group<'a>, u32>,
}

impl<'a> Bucket<'a> {
    fn push(&mut self, group: Group<'a>, row: Row) {
        let number = *self.numbers.entry(group).or_insert_with(|| {
            self.groups.push(group);
            (self.groups.len() - 1) as u32
        });
        self.rows.push(row);
        self.group_of_row.push(number);
    }

    /// By group, then by shape and time, and the `newest` rows alike after all others.
    fn sorted(mut self, newest: usize) -> Vec<Row> {
        self.move_newest(newest);
        let mut in_order: Vec<usize> = (0..self.groups.len()).collect();
        in_order.sort_unstable_by_key(|number| self.groups[*number]);
        let newest = in_order.iter().map(|number| number + self.groups.len());
        let in_order: Vec<usize> = in_order.iter().copied().chain(newest).collect();
        let mut counts = vec![0usize; in_order.len()];
        for number in &self.group_of_row {
            counts[*number as usize] += 1;
        }
        let mut next = vec![0usize; in_order.len()];
        let mut end = 0;
        for number in &in_order {
            next[*number] = end;
            end += counts[*number];
        }
        let mut sorted = vec![Row::default(); self.rows.len()];
        for (row, number) in self.rows.iter().zip(&self.group_of_row) {
            let at = &mut next[*number as usize];
            sorted[*at] = *row;
            *at += 1;
        }
        // Each `next` stands at the end of its group's rows now.
        for number in in_order {
            let rows = &mut sorted[next[number] - counts[number]..next[number]];
            rows.sort_by_key(|row| (row.shape, row.micros, row.nanos));
        }
        sorted
    }

    /// Makes of each group two: its newest rows are of one that is numbered after all others.
    fn move_newest(&mut self, newest: usize) {
        let Some(last) = newest.checked_sub(1) else { return };
        let mut micros: Vec<i64> = self.rows.iter().map(|row| row.micros).collect();
        let since = *micros.select_nth_unstable_by(last, |a, b| b.cmp(a)).1;
        // Of those of the same time as many as there is room for.
        let newer = micros[..last].iter().filter(|micros| **micros > since).count();
        let mut room = newest - newer;
        let groups = self.groups.len() as u32;
        for (row, number) in self.rows.iter().zip(&mut self.group_of_row) {
            let is_newest = match row.micros.cmp(&since) {
                Ordering::Greater => true,
                Ordering::Equal if room > 0 => {
                    room -= 1;
                    true
                }
                _ => false,
            };
            *number += if is_newest { groups } else { 0 };
        }
    }
}

/// A number for the shape of a message: the same for all that differ only in words with digits (numbers,
/// ids, addresses), near for those that begin alike.
///
/// From high to low bits: 16 of a hash of the message up to the end of its first word, 16 up to that of
/// the second one, 32 of a hash of it all.
pub(crate) fn shape_of(message: &str) -> u64 {
    let (mut hash, mut word, mut has_digit) = (0_u64, 0_u64, false);
    let (mut parts, mut words) = ([None; 2], 0);
    for byte in message.bytes() {
        if byte.is_ascii_alphanumeric() {
            word = word.rotate_left(9) ^ u64::from(byte);
            has_digit |= byte.is_ascii_digit();
            continue;
        }
        let seen = if has_digit { u64::from(b'0') } else { word };
        hash = mixed(hash, seen ^ u64::from(byte) << 56);
        (word, has_digit) = (0, false);
        if let Some(part) = parts.get_mut(words) {
            *part = Some(hash);
        }
        words += 1;
    }
    hash = mixed(hash, if has_digit { u64::from(b'0') } else { word });
    let [first, second] = parts.map(|part| part.unwrap_or(hash) >> 48);
    first << 48 | second << 32 | hash >> 32
}

/// One step of a multiplicative hash; the high bits are the good ones.
const fn mixed(hash: u64, part: u64) -> u64 {
    (hash.rotate_left(26) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_differ_in_words_with_digits_have_one_shape() {
        for (one, other) in [
            ("took 17 ms", "took 3 ms"),
            ("block 1a2b lost", "block f9 lost"),
            ("pod web-7c9 on ip-10-0-0-1:80", "pod web-x1 on ip-9-12-255-77:8080"),
            ("took 17", "took 3"),
            ("17", "a3"),
        ] {
            assert_eq!(shape_of(one), shape_of(other), "{one}");
        }
        for (one, other) in [
            ("took 17 ms", "took 17 s"),
            ("took 17 ms", "took  17 ms"),
            ("a b", "ab"),
            ("", "a"),
            ("took 17", "took x"),
        ] {
            assert_ne!(shape_of(one), shape_of(other), "{one}");
        }
    }

    #[test]
    fn shapes_that_begin_alike_are_near() {
        let begin = |message| shape_of(message) >> 32;
        assert_eq!(begin("disk sda1 is full"), begin("disk sdb2 is well"));
        assert_ne!(begin("disk sda is full"), begin("disk sdb is full"));
        assert_eq!(begin("disk sda is full") >> 16, begin("disk sdb is full") >> 16);
    }
}
