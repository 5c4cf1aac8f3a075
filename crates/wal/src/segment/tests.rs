use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
use loglake_model::{SegmentSeq, TIMESTAMP, TableId, WriterId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{SegmentCompression, TablePart};

const WRITER: WriterId = WriterId::from_uuid(Uuid::from_u128(7));
const SEQ: SegmentSeq = SegmentSeq(3);

fn table(n: u128) -> TableId {
    TableId::from_uuid(Uuid::from_u128(n))
}

fn ints(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn words(values: &[&str]) -> RecordBatch {
    let utc: Arc<str> = "UTC".into();
    let times = (0..values.len() as i64).map(|n| n - 1).collect::<Vec<_>>();
    let times = TimestampMicrosecondArray::from(times).with_timezone(Arc::clone(&utc));
    let services: DictionaryArray<Int32Type> = values.iter().copied().collect();
    let fields = vec![
        Field::new(TIMESTAMP, DataType::Timestamp(TimeUnit::Microsecond, Some(utc)), false),
        Field::new("service", services.data_type().clone(), true)
            .with_metadata([("form".to_owned(), "literal".to_owned())].into()),
        Field::new("message", DataType::Utf8, true),
    ];
    let columns: Vec<ArrayRef> =
        vec![Arc::new(times), Arc::new(services), Arc::new(StringArray::from(values.to_vec()))];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

use arrow::array::Array;

fn part(n: u128, batches: Vec<RecordBatch>) -> TablePart {
    TablePart::new(table(n), batches)
}

fn sample() -> Vec<TablePart> {
    combine(vec![
        part(1, vec![words(&["a", "b"]), ints(&[1]), words(&["c"])]),
        part(2, vec![ints(&[5, 6]), ints(&[])]),
        part(1, vec![ints(&[2, 3])]),
        part(3, vec![ints(&[])]),
    ])
    .unwrap()
}

#[test]
fn batches_are_grouped_by_table_and_joined_by_schema() {
    let parts = sample();
    assert_eq!(parts.len(), 2);
    let rows: Vec<_> = parts[0].batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [3, 3]);
    assert_eq!(parts[0].batches[1], ints(&[1, 2, 3]));
    assert_eq!(parts[1], part(2, vec![ints(&[5, 6])]));
}

#[test]
fn a_segment_reads_back_with_its_index() {
    for compression in [SegmentCompression::Zstd, SegmentCompression::Lz4] {
        let object = encode(WRITER, SEQ, &sample(), &Notes::default(), compression).unwrap();
        let (footer, parts) = decode(&object).unwrap();
        assert_eq!(parts, sample());
        assert_eq!((footer.writer, footer.sequence), (WRITER, SEQ));
        let [first, second] = footer.parts.as_slice() else { panic!("two parts") };
        assert_eq!((first.rows, first.streams.len()), (6, 2));
        assert_eq!(first.timestamps, Some((-1, 0)));
        assert_eq!((second.rows, second.timestamps), (2, None));
    }
}

#[test]
fn a_part_comes_batch_by_batch_and_its_damage_is_found() {
    let object = encode(WRITER, SEQ, &sample(), &Notes::default(), SegmentCompression::Zstd);
    let object = object.unwrap();
    let footer = decode_footer(&object).unwrap();
    for (part, expected) in footer.parts.iter().zip(sample()) {
        let range = part.range().unwrap();
        let bytes = object.slice(range.start as usize..range.end as usize);
        let batches: Result<Vec<_>, _> = PartBatches::new(bytes.clone(), part).unwrap().collect();
        assert_eq!(batches.unwrap(), expected.batches);
        let mut broken = bytes.to_vec();
        broken[20] ^= 1;
        assert!(PartBatches::new(broken.into(), part).is_err());
        for rows in [part.rows + 1, part.rows - 1] {
            let wrong = FooterPart { rows, ..part.clone() };
            let batches: Vec<_> = PartBatches::new(bytes.clone(), &wrong).unwrap().collect();
            assert!(batches.last().unwrap().is_err(), "{batches:?}");
        }
    }
}

#[test]
fn the_end_of_the_object_is_enough_for_the_index_and_one_range_for_a_part() {
    let object =
        encode(WRITER, SEQ, &sample(), &Notes::default(), SegmentCompression::Zstd).unwrap();
    let size = object.len() as u64;
    let Tail::NeedsBytes(needed) = decode_tail(&object[object.len() - 30..], size).unwrap() else {
        panic!("30 bytes cannot hold the footer");
    };
    let tail = &object[object.len() - needed as usize..];
    let Tail::Footer(footer) = decode_tail(tail, size).unwrap() else { panic!("a footer") };
    let range = footer.parts[1].range().unwrap();
    let bytes = &object[range.start as usize..range.end as usize];
    assert_eq!(decode_part(bytes, &footer.parts[1]).unwrap(), [ints(&[5, 6])]);
}

#[test]
fn every_segment_is_longer_than_a_seal() {
    let empty =
        encode(WRITER, SegmentSeq(0), &[], &Notes::default(), SegmentCompression::Zstd).unwrap();
    assert!(empty.len() as u64 > crate::seal::SEAL_BYTES);
    assert_eq!(decode(&empty).unwrap().1, []);
    assert!(decode(&crate::seal::encode("x")).is_err());
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let object =
        encode(WRITER, SEQ, &sample(), &Notes::default(), SegmentCompression::Zstd).unwrap();
    for bit in 0..object.len() * 8 {
        let mut broken = object.to_vec();
        broken[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&broken).is_err(), "bit {bit}");
    }
    for length in 0..object.len() {
        assert!(decode(&object[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn small_dictionaries_that_do_not_fit_into_one_stay_apart() {
    let batch = |from: u32| {
        let words: Vec<String> = (from..from + 100).map(|n| n.to_string()).collect();
        let column: DictionaryArray<arrow::datatypes::Int8Type> =
            words.iter().map(String::as_str).collect();
        RecordBatch::try_from_iter([("w", Arc::new(column) as ArrayRef)]).unwrap()
    };
    let parts = combine(vec![part(1, vec![batch(0), batch(100)])]).unwrap();
    assert_eq!(parts[0].batches.len(), 2);
    let object = encode(WRITER, SEQ, &parts, &Notes::default(), SegmentCompression::Lz4).unwrap();
    assert_eq!(decode(&object).unwrap().1, parts);
}

#[test]
fn slices_are_written_without_the_rest() {
    let long = ints(&(0..100_000).collect::<Vec<_>>());
    let parts = [part(1, vec![long.slice(500, 2)])];
    let object = encode(WRITER, SEQ, &parts, &Notes::default(), SegmentCompression::Zstd).unwrap();
    assert!(object.len() < 2_000, "{}", object.len());
    assert_eq!(decode(&object).unwrap().1, [part(1, vec![ints(&[500, 501])])]);
}

proptest! {
    #[test]
    fn rows_come_back_as_they_went(
        parts in prop::collection::vec(
            (0u128..4, prop::collection::vec(prop::collection::vec(any::<i64>(), 0..20), 0..4)),
            0..6,
        ),
    ) {
        let parts: Vec<_> = parts
            .iter()
            .map(|(n, batches)| part(*n, batches.iter().map(|b| ints(b)).collect()))
            .collect();
        let combined = combine(parts.clone()).unwrap();
        let object = encode(WRITER, SEQ, &combined, &Notes::default(), SegmentCompression::Zstd).unwrap();
        let (_, back) = decode(&object).unwrap();
        prop_assert_eq!(&back, &combined);
        let values = |parts: &[TablePart], n: u128| -> Vec<i64> {
            let batches = parts.iter().filter(|p| p.table == table(n)).flat_map(|p| &p.batches);
            batches.flat_map(|b| {
                use arrow::array::AsArray;
                b.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
            }).collect()
        };
        for n in 0..4 {
            prop_assert_eq!(values(&parts, n), values(&back, n));
        }
    }

    /// Also when somebody made the checksums fit.
    #[test]
    fn foreign_bytes_never_panic(at in any::<prop::sample::Index>(), byte: u8, mut junk: Vec<u8>) {
        let object = encode(WRITER, SEQ, &sample(), &Notes::default(), SegmentCompression::Zstd).unwrap();
        let Tail::Footer(footer) = decode_tail(&object, object.len() as u64).unwrap() else {
            return Err(TestCaseError::fail("a footer"));
        };
        let mut part = footer.parts[0].clone();
        let range = part.range().unwrap();
        let mut bytes = object[range.start as usize..range.end as usize].to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        part.checksum = checksum(&bytes);
        let _ = decode_part(&bytes, &part);
        let _ = decode(&junk);
        junk.extend_from_slice(END_MAGIC);
        let _ = decode_tail(&junk, junk.len() as u64);
    }
}
