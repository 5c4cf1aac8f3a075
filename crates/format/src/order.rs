//! Which file each row goes to, and in which order.
//!
//! Rows come nearly sorted in time and with few distinct services, so a counting sort by service
//! and then, within a service, a stable sort that finds the runs that are there already cost a
//! fraction of a comparison sort of the whole.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int16Type, TimestampMicrosecondType};
use loglake_model::{MESSAGE, NANOS, Partition, PartitionBy, SERVICE, TIMESTAMP};

use crate::columns::Columns;
use crate::{FormatError, RowOrder};

/// Where a row lies in the input, and its key within its service.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    /// Microseconds since the epoch.
    pub(crate) micros: i64,
    /// The batch's number in the call.
    pub(crate) batch: u32,
    /// The row's number in its batch.
    pub(crate) row: u32,
    /// The hash of the message's shape; 0 unless rows are ordered by it.
    pub(crate) shape: u32,
    pub(crate) nanos: i16,
}

/// The rows of each partition in the order of its file.
///
/// # Errors
/// When a batch has no time, or a row's time is null.
pub(crate) fn order(
    columns: &Columns,
    by: PartitionBy,
    order: RowOrder,
) -> Result<Vec<(Partition, Vec<Row>)>, FormatError> {
    let services = columns.parts(SERVICE)?;
    let mut buckets: BTreeMap<Partition, Bucket> = BTreeMap::new();
    for (batch, rows) in columns.rows().iter().enumerate().filter(|(_, rows)| **rows > 0) {
        let micros = time(columns.parts(TIMESTAMP)?, TIMESTAMP, batch)?;
        let micros = micros.as_primitive::<TimestampMicrosecondType>().values();
        let nanos = time(columns.parts(NANOS)?, NANOS, batch)?;
        let nanos = nanos.as_primitive::<Int16Type>().values();
        let service = services[batch].as_ref().map(|s| s.as_string::<i32>());
        let message = columns.parts(MESSAGE)?[batch].as_ref().map(|m| m.as_string::<i32>());
        let batch = number("batch", batch)?;
        number("row", *rows)?;
        let mut at = 0;
        while at < *rows {
            // Neighbours mostly share their partition: look it up once for each run of them.
            let partition = Partition::of(micros[at], by);
            let bucket = buckets.entry(partition).or_default();
            while at < *rows && Partition::of(micros[at], by) == partition {
                let service = service.filter(|s| s.is_valid(at)).map(|s| s.value(at));
                let message = message.filter(|m| m.is_valid(at)).map(|m| m.value(at));
                let row = Row {
                    micros: micros[at],
                    batch,
                    row: at as u32,
                    shape: order.shape_of(message),
                    nanos: nanos[at],
                };
                bucket.push(service, row);
                at += 1;
            }
        }
    }
    Ok(buckets.into_iter().map(|(partition, bucket)| (partition, bucket.sorted(order))).collect())
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

/// The rows of one partition as they came, each with the number of its service.
#[derive(Default)]
struct Bucket<'a> {
    rows: Vec<Row>,
    service_of_row: Vec<u32>,
    services: Vec<Option<&'a str>>,
    numbers: HashMap<Option<&'a str>, u32>,
}

impl<'a> Bucket<'a> {
    fn push(&mut self, service: Option<&'a str>, row: Row) {
        let known = self.service_of_row.last().filter(|n| self.services[**n as usize] == service);
        let number = match known {
            Some(number) => *number,
            None => *self.numbers.entry(service).or_insert_with(|| {
                self.services.push(service);
                (self.services.len() - 1) as u32
            }),
        };
        self.rows.push(row);
        self.service_of_row.push(number);
    }

    /// By service, null last, then by slice, shape and time.
    fn sorted(self, order: RowOrder) -> Vec<Row> {
        let mut by_name: Vec<usize> = (0..self.services.len()).collect();
        by_name.sort_unstable_by_key(|n| (self.services[*n].is_none(), self.services[*n]));
        let mut counts = vec![0usize; self.services.len()];
        for number in &self.service_of_row {
            counts[*number as usize] += 1;
        }
        let mut next = vec![0usize; self.services.len()];
        let mut end = 0;
        for number in &by_name {
            next[*number] = end;
            end += counts[*number];
        }
        let mut sorted = vec![Row::default(); self.rows.len()];
        for (row, number) in self.rows.iter().zip(&self.service_of_row) {
            let at = &mut next[*number as usize];
            sorted[*at] = *row;
            *at += 1;
        }
        // Each `next` stands at the end of its service's rows now.
        for number in by_name {
            let rows = &mut sorted[next[number] - counts[number]..next[number]];
            rows.sort_by_key(|row| (order.slice_of(row.micros), row.shape, row.micros, row.nanos));
        }
        sorted
    }
}

/// A hash (FNV-1a) of a message with its variable parts left out: every run of digits, and of the
/// hex letters that hang on it, counts as one `0`.
pub(crate) fn shape_hash(message: &str) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut in_number = false;
    for byte in message.bytes() {
        let was_in_number = in_number;
        in_number = byte.is_ascii_digit() || (was_in_number && byte.is_ascii_hexdigit());
        if in_number && was_in_number {
            continue;
        }
        let byte = if in_number { b'0' } else { byte };
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_shape_have_one_hash() {
        assert_eq!(shape_hash("took 17 ms"), shape_hash("took 3 ms"));
        assert_eq!(shape_hash("block 1a2b lost"), shape_hash("block 9 lost"));
        assert_ne!(shape_hash("took 17 ms"), shape_hash("took 17 s"));
    }
}
