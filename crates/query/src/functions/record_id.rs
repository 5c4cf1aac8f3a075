//! `record_id('timestamp', timestamp, 'nanos', nanos, 'a', a, …)`: a name for a record that stays while
//! it moves from memory to files and through merges, and whatever columns are added to its table.
//!
//! 24 characters of base64 (RFC 4648, section 5): eight bytes of time, so that a record is found by its
//! id quickly, then ten of a hash over names and values; nulls are left out. Records that are equal in
//! everything have the same one.

use std::sync::Arc;

use arrow::array::{Array, StringBuilder};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use twox_hash::XxHash3_128;

use super::literal_text;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BYTES: usize = 18;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RecordId {
    signature: Signature,
}

impl RecordId {
    pub(super) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RecordId {
    fn name(&self) -> &str {
        "record_id"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut columns = vec![];
        for pair in args.args.chunks(2) {
            let [name, values] = pair else { return exec_err!("record_id takes names and values") };
            columns.push((literal_text("record_id", name)?, values.to_array(args.number_rows)?));
        }
        let Some((_, times)) = columns.iter().find(|(name, _)| name == "timestamp") else {
            return exec_err!("record_id takes 'timestamp' among its names");
        };
        let times = arrow::compute::cast(times, &DataType::Int64)?;
        let times = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&times);
        let mut sorted: Vec<_> = columns.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let options = FormatOptions::new();
        let formatters = sorted
            .iter()
            .map(|(name, values)| Ok((name, values, ArrayFormatter::try_new(values, &options)?)))
            .collect::<Result<Vec<_>>>()?;
        let mut ids = StringBuilder::with_capacity(args.number_rows, args.number_rows * 24);
        let mut text = String::new();
        for row in 0..args.number_rows {
            let mut hash = XxHash3_128::new();
            for (name, values, formatter) in &formatters {
                if values.is_null(row) {
                    continue;
                }
                text.clear();
                formatter.value(row).write(&mut text)?;
                hash.write(&(name.len() as u64).to_le_bytes());
                hash.write(name.as_bytes());
                hash.write(&(text.len() as u64).to_le_bytes());
                hash.write(text.as_bytes());
            }
            let mut id = [0; BYTES];
            id[..8].copy_from_slice(&times.value(row).to_be_bytes());
            id[8..].copy_from_slice(&hash.finish_128().to_be_bytes()[..BYTES - 8]);
            ids.append_value(encode(&id));
        }
        Ok(ColumnarValue::Array(Arc::new(ids.finish())))
    }
}

fn encode(id: &[u8; BYTES]) -> String {
    let mut text = String::with_capacity(24);
    for three in id.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for at in [18, 12, 6, 0] {
            text.push(char::from(DIGITS[(bits >> at & 63) as usize]));
        }
    }
    text
}

/// The time of the record in microseconds since the epoch, by its id; `None` when it is no such id.
pub(crate) fn time_micros(id: &str) -> Option<i64> {
    if id.len() != 24 {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (three, four) in bytes.chunks_exact_mut(3).zip(id.as_bytes().chunks_exact(4)) {
        let mut bits = 0_u32;
        for digit in four {
            bits = bits << 6 | u32::try_from(DIGITS.iter().position(|d| d == digit)?).ok()?;
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(i64::from_be_bytes(bytes[..8].try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_time() {
        let mut id = [7; BYTES];
        for micros in [0, -5, 1_793_534_400_000_000] {
            id[..8].copy_from_slice(&i64::to_be_bytes(micros));
            assert_eq!(time_micros(&encode(&id)), Some(micros));
        }
        assert_eq!(time_micros("short"), None);
        assert_eq!(time_micros("ümlautümlautümlautüm"), None);
    }
}
