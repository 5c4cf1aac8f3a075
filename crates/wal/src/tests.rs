//! Writer, reader and recoverer together, over a store in memory that fails on purpose.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::future::join_all;
use loglake_model::{ErrorKind, SegmentSeq, TableId, WriterId};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use uuid::Uuid;

use crate::layout::{segment_path, writer_path};
use crate::testing::{Fault, FaultyStore, Operation};
use crate::*;

const WRITER: WriterId = WriterId::from_uuid(Uuid::from_u128(1));
const TABLE: TableId = TableId::from_uuid(Uuid::from_u128(2));

/// Remembers what it was told.
#[derive(Default)]
struct Sink(Mutex<Vec<(SegmentSeq, Vec<i64>)>>);

impl Sink {
    fn told(&self) -> Vec<(SegmentSeq, Vec<i64>)> {
        self.0.lock().unwrap().clone()
    }
}

impl DurableSink for Sink {
    fn durable(&self, seq: SegmentSeq, parts: Vec<TablePart>) {
        self.0.lock().unwrap().push((seq, values(&parts)));
    }
}

fn rows(values: &[i64]) -> Vec<TablePart> {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    vec![TablePart::new(TABLE, vec![batch])]
}

fn values(parts: &[TablePart]) -> Vec<i64> {
    let batches = parts.iter().flat_map(|part| &part.batches);
    batches.flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn settings() -> WalSettings {
    WalSettings { linger: Duration::from_millis(5), ..WalSettings::default() }
}

async fn start(store: &Arc<dyn ObjectStore>) -> (Arc<Writer>, Arc<Sink>) {
    let sink = Arc::new(Sink::default());
    let writer = Writer::start(Arc::clone(store), WRITER, settings(), Arc::clone(&sink) as _);
    (Arc::new(writer.await.unwrap()), sink)
}

/// Every row of the log, by segment.
async fn read_all(store: &Arc<dyn ObjectStore>) -> Vec<(SegmentSeq, Vec<i64>)> {
    let reader = Reader::new(Arc::clone(store));
    let mut all = vec![];
    for (seq, _) in reader.log(WRITER).await.unwrap().segments {
        all.push((seq, values(&reader.segment(WRITER, seq).await.unwrap())));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_is_in_the_store_and_the_sink_in_order() {
    let store = memory();
    let (writer, sink) = start(&store).await;
    let appends = (0..100).map(|n| {
        let writer = Arc::clone(&writer);
        async move { writer.append(rows(&[n])).await.unwrap() }
    });
    let seqs = join_all(appends).await;
    let log = read_all(&store).await;
    assert_eq!(sink.told(), log);
    assert!(log.len() < 10, "{} segments for 100 appends at once", log.len());
    let by_seq: BTreeMap<_, _> = log.into_iter().collect();
    for (n, seq) in seqs.into_iter().enumerate() {
        assert!(by_seq[&seq].contains(&(n as i64)), "row {n} is not in segment {seq}");
    }
    assert_eq!(Reader::new(store).writers().await.unwrap(), [WRITER]);
}

#[tokio::test(start_paused = true)]
async fn a_segment_keeps_the_marks_of_its_appends() {
    let store = memory();
    let (writer, _) = start(&store).await;
    let marks = [
        Mark::ForwardedBatch("batch 1".to_owned()),
        Mark::IdempotencyKey("default/abc".to_owned()),
    ];
    let reader = Reader::new(store);
    for mark in &marks {
        let seq = writer.append_marked(rows(&[1]), mark.clone()).await.unwrap();
        let index = reader.index(WRITER, seq).await.unwrap();
        let held: Vec<_> = marks.iter().filter(|mark| index.holds(mark)).collect();
        assert_eq!(held, [mark]);
    }
    let plain = writer.append(rows(&[2])).await.unwrap();
    let index = reader.index(WRITER, plain).await.unwrap();
    assert!(marks.iter().all(|mark| !index.holds(mark)));
}

#[tokio::test(start_paused = true)]
async fn a_segment_tells_which_one_was_delivered_before_it_was_made() {
    let store = memory();
    let (writer, _) = start(&store).await;
    let reader = Reader::new(store);
    for n in 0..3u64 {
        let seq = writer.append(rows(&[1])).await.unwrap();
        let delivered = reader.index(WRITER, seq).await.unwrap().delivered;
        assert_eq!((seq.0, delivered), (n, n.checked_sub(1).map(SegmentSeq)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_lost_an_acknowledged_segment_is_not_sealed_before_the_rest() {
    let store = memory();
    let (writer, _) = start(&store).await;
    for n in 0..4 {
        writer.append(rows(&[n])).await.unwrap();
    }
    store.delete(&segment_path(WRITER, SegmentSeq(2))).await.unwrap();
    let refused = Recoverer::new(Arc::clone(&store)).seal(WRITER).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("00000000000000000002: is missing"), "{refused}");
    // The last two were on their way together: a gap below them is no loss.
    let notes = segment::Notes { delivered: Some(SegmentSeq(1)), ..segment::Notes::default() };
    let object = segment::encode(WRITER, SegmentSeq(3), &rows(&[3]), &notes, Default::default());
    store.put(&segment_path(WRITER, SegmentSeq(3)), object.unwrap().into()).await.unwrap();
    let log = Recoverer::new(Arc::clone(&store)).seal(WRITER).await.unwrap();
    assert_eq!((log.segments.len(), log.seal), (2, Some(SegmentSeq(2))));
}

#[tokio::test(start_paused = true)]
async fn a_writer_tells_what_it_delivered_and_how_long_the_oldest_append_waits() {
    let slow = FaultyStore::puts(memory(), [Fault::None, Fault::Slow(Duration::from_secs(3))]);
    let (writer, _) = start(&(Arc::new(slow) as _)).await;
    assert_eq!(writer.progress(), Progress::default());
    let before = tokio::time::Instant::now();
    let appending = tokio::spawn({
        let writer = Arc::clone(&writer);
        async move { writer.append(rows(&[1])).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(writer.progress(), Progress { delivered: None, waiting_since: Some(before) });
    let seq = appending.await.unwrap().unwrap();
    assert_eq!(writer.progress().delivered, Some(seq));
    tokio::task::yield_now().await;
    assert_eq!(writer.progress().waiting_since, None);
}

#[tokio::test(start_paused = true)]
async fn the_reader_takes_one_table_and_names_what_is_gone() {
    let store = memory();
    let (writer, _) = start(&store).await;
    let big: Vec<i64> = (0..200_000).map(|n| n * 7_919 % 1_000_003).collect();
    let mut parts = rows(&big);
    let other = TableId::from_uuid(Uuid::from_u128(3));
    parts.push(TablePart::new(other, rows(&[1, 2]).remove(0).batches));
    let seq = writer.append(parts).await.unwrap();
    let reader = Reader::new(store);
    let index = reader.index(WRITER, seq).await.unwrap();
    let found: Vec<_> = index.parts.iter().map(|part| (part.table, part.rows)).collect();
    assert_eq!(found, [(TABLE, 200_000), (other, 2)]);
    assert!(index.parts[0].bytes > 64 << 10, "more than comes with the footer");
    for (table, expected) in [(TABLE, big), (other, vec![1, 2])] {
        let batches = reader.rows(WRITER, seq, table).await.unwrap();
        assert_eq!(values(&[TablePart::new(table, batches)]), expected);
    }
    let absent = TableId::from_uuid(Uuid::from_u128(9));
    assert!(reader.rows(WRITER, seq, absent).await.unwrap().is_empty());
    let gone = reader.index(WRITER, SegmentSeq(5)).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_failure_and_nothing_is_doubled() {
    let inner = memory();
    let faults = [Fault::None, Fault::LostAnswer, Fault::LostRequest, Fault::LostAnswer];
    let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::puts(Arc::clone(&inner), faults));
    let (writer, sink) = start(&store).await;
    for n in 0..3 {
        assert_eq!(writer.append(rows(&[n])).await.unwrap(), SegmentSeq(n as u64));
    }
    assert_eq!(sink.told(), (0..3).map(|n| (SegmentSeq(n as u64), vec![n])).collect::<Vec<_>>());
    assert_eq!(read_all(&inner).await, sink.told());
}

#[tokio::test(start_paused = true)]
async fn a_registration_whose_answer_was_lost_counts_but_an_id_is_used_once() {
    let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::puts(memory(), [Fault::LostAnswer]));
    let (writer, _) = start(&store).await;
    writer.append(rows(&[1])).await.unwrap();
    let again = Writer::start(store, WRITER, settings(), Arc::new(Sink::default())).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Fenced);
}

#[tokio::test(start_paused = true)]
async fn a_sealed_writer_is_fenced_and_its_log_stays_as_it_was() {
    let store = memory();
    let (writer, sink) = start(&store).await;
    writer.append(rows(&[1])).await.unwrap();
    let recoverer = Recoverer::new(Arc::clone(&store)).named("a test");
    let log = recoverer.seal(WRITER).await.unwrap();
    assert_eq!((log.segments.len(), log.seal), (1, Some(SegmentSeq(1))));
    let refused = writer.append(rows(&[2])).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    assert!(writer.is_fenced());
    assert_eq!(writer.append(rows(&[3])).await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(writer.close().await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(recoverer.seal(WRITER).await.unwrap(), log, "sealing twice is sealing once");
    assert_eq!(read_all(&store).await, sink.told());
    let seal = Reader::new(store).segment(WRITER, SegmentSeq(1)).await.unwrap_err();
    assert_eq!(seal.kind(), ErrorKind::NotFound, "a seal is no segment");
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_waits_and_seals() {
    let store = memory();
    let (writer, sink) = start(&store).await;
    let waiting = (0..5).map(|n| {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move { writer.append(rows(&[n])).await })
    });
    let waiting: Vec<_> = waiting.collect();
    tokio::task::yield_now().await;
    writer.close().await.unwrap();
    for append in waiting {
        append.await.unwrap().unwrap();
    }
    assert_eq!(writer.append(rows(&[9])).await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(read_all(&store).await, sink.told());
    let log = Reader::new(Arc::clone(&store)).log(WRITER).await.unwrap();
    assert!(log.seal.is_some());
    assert_eq!(Recoverer::new(store).seal(WRITER).await.unwrap(), log);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_and_the_writer_goes_on_when_there_is_room() {
    let inner = memory();
    let faulty = Arc::new(FaultyStore::puts(Arc::clone(&inner), []));
    let (writer, sink) = start(&(Arc::clone(&faulty) as _)).await;
    writer.append(rows(&[1])).await.unwrap();
    faulty.set_script(Box::new(|operation, _| match operation {
        Operation::Put => Fault::NotStored,
        _ => Fault::None,
    }));
    let refused = writer.append(rows(&[2])).await.unwrap_err();
    assert!(matches!(refused, WalError::NotStored { .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    let at_once = tokio::time::timeout(Duration::from_millis(1), writer.append(rows(&[3])));
    assert!(matches!(at_once.await, Ok(Err(WalError::NotStored { .. }))));
    faulty.set_script(Box::new(|_, _| Fault::None));
    tokio::time::sleep(Duration::from_secs(6)).await;
    writer.append(rows(&[4])).await.unwrap();
    let expected = [(0, vec![1]), (1, vec![]), (2, vec![4])];
    assert_eq!(sink.told(), expected.map(|(seq, rows)| (SegmentSeq(seq), rows)));
    assert_eq!(read_all(&inner).await, sink.told());
}

#[tokio::test(start_paused = true)]
async fn a_failed_fsync_ends_the_writer() {
    let store: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::puts(memory(), [Fault::None, Fault::SyncFailed]));
    let (writer, sink) = start(&store).await;
    assert_eq!(writer.append(rows(&[1])).await.unwrap_err().kind(), ErrorKind::Fenced);
    assert!(writer.is_fenced() && sink.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn trimming_raises_the_floor_first_and_seals_count_above_it_only() {
    let store = memory();
    let (writer, _) = start(&store).await;
    for n in 0..5 {
        writer.append(rows(&[n])).await.unwrap();
    }
    let recoverer = Recoverer::new(Arc::clone(&store));
    for up_to in [1, 3, 3, 2] {
        recoverer.trim(WRITER, SegmentSeq(up_to)).await.unwrap();
    }
    let misuse = recoverer.trim(WRITER, SegmentSeq(9)).await.unwrap_err();
    assert_eq!(misuse.kind(), ErrorKind::Internal);
    assert_eq!(recoverer.forget(WRITER).await.unwrap_err().kind(), ErrorKind::Internal);
    let reader = Reader::new(Arc::clone(&store));
    let log = reader.log(WRITER).await.unwrap();
    assert_eq!((log.floor, log.segments.len()), (Some(SegmentSeq(3)), 1));
    assert_eq!(reader.index(WRITER, SegmentSeq(3)).await.unwrap_err().kind(), ErrorKind::NotFound);
    // A seal that somebody slow puts where a segment was trimmed is none.
    let low = segment_path(WRITER, SegmentSeq(2));
    store.put(&low, seal::encode("slow").into()).await.unwrap();
    assert_eq!(reader.log(WRITER).await.unwrap(), log);
    let sealed = recoverer.seal(WRITER).await.unwrap();
    assert_eq!(sealed.seal, Some(SegmentSeq(5)));
    recoverer.trim(WRITER, SegmentSeq(4)).await.unwrap();
    recoverer.forget(WRITER).await.unwrap();
    assert!(reader.writers().await.unwrap().is_empty());
    let log = reader.log(WRITER).await.unwrap();
    assert_eq!((log.floor, log.seal), (Some(SegmentSeq(4)), Some(SegmentSeq(5))));
    assert!(store.head(&low).await.is_err(), "the next trim sweeps below the floor");
}

#[tokio::test(start_paused = true)]
async fn a_log_is_marked_before_it_is_sealed_and_until_it_is_forgotten() {
    let store = memory();
    let (writer, _) = start(&store).await;
    writer.append(rows(&[1])).await.unwrap();
    let reader = Reader::new(Arc::clone(&store));
    let mark = |sealing| vec![WriterMark { writer: WRITER, sealing }];
    assert_eq!(reader.marks().await.unwrap(), mark(false));
    // The store takes no mark: then there is no seal either, whose rows somebody could act on.
    let script = |operation, path: &object_store::path::Path| match operation {
        Operation::Put if path.as_ref().ends_with(".sealing") => Fault::NotStored,
        _ => Fault::None,
    };
    let full: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::new(Arc::clone(&store), Box::new(script)));
    Recoverer::new(full).seal(WRITER).await.expect_err("no mark, no seal");
    assert_eq!(reader.log(WRITER).await.unwrap().seal, None);
    let recoverer = Recoverer::new(Arc::clone(&store));
    recoverer.seal(WRITER).await.unwrap();
    recoverer.seal(WRITER).await.unwrap();
    assert_eq!(reader.marks().await.unwrap(), mark(true));
    assert_eq!(reader.writers().await.unwrap(), [WRITER]);
    recoverer.forget(WRITER).await.unwrap();
    assert_eq!(reader.marks().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_gap_hides_what_is_after_it_and_forgetting_sweeps_it() {
    let store = memory();
    store.put(&writer_path(WRITER), "{}".into()).await.unwrap();
    for n in [0, 2] {
        let object = segment::encode(
            WRITER,
            SegmentSeq(n),
            &rows(&[n as i64]),
            &Default::default(),
            Default::default(),
        );
        store.put(&segment_path(WRITER, SegmentSeq(n)), object.unwrap().into()).await.unwrap();
    }
    let recoverer = Recoverer::new(Arc::clone(&store));
    let log = recoverer.seal(WRITER).await.unwrap();
    assert_eq!((log.segments.len(), log.seal), (1, Some(SegmentSeq(1))));
    recoverer.forget(WRITER).await.unwrap();
    assert!(store.head(&segment_path(WRITER, SegmentSeq(2))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn damage_is_found_and_named() {
    let store = memory();
    let (writer, _) = start(&store).await;
    let seq = writer.append(rows(&[1, 2, 3])).await.unwrap();
    let path = segment_path(WRITER, seq);
    let mut bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[100] ^= 1;
    store.put(&path, bytes.into()).await.unwrap();
    let reader = Reader::new(Arc::clone(&store));
    for error in [
        reader.rows(WRITER, seq, TABLE).await.unwrap_err(),
        reader.segment(WRITER, seq).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("checksum"), "{error}");
    }
    let moved = segment::encode(
        WRITER,
        SegmentSeq(7),
        &rows(&[1]),
        &Default::default(),
        Default::default(),
    )
    .unwrap();
    store.put(&path, moved.into()).await.unwrap();
    assert_eq!(reader.index(WRITER, seq).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A writer, its appenders and several recoverers at once over a store that fails: what was
/// acknowledged is in the sealed log, once, in order; what was refused as not stored is not.
async fn race(seed: u64) {
    let inner = memory();
    let store: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::seeded(Arc::clone(&inner), seed, seed % 40));
    let sink = Arc::new(Sink::default());
    let start = Writer::start(Arc::clone(&store), WRITER, settings(), Arc::clone(&sink) as _);
    let Ok(writer) = start.await.map(Arc::new) else {
        return;
    };
    let appenders = (0..8).map(|appender| {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move {
            let mut outcomes = vec![];
            for n in 0..20 {
                let row = appender * 1_000 + n;
                outcomes.push((row, writer.append(rows(&[row])).await));
                tokio::time::sleep(Duration::from_millis((row as u64 * 7 + seed) % 30)).await;
            }
            outcomes
        })
    });
    let appenders: Vec<_> = appenders.collect();
    tokio::time::sleep(Duration::from_millis(seed * 13 % 400)).await;
    let sealers = (0..3).map(|_| {
        let recoverer = Recoverer::new(Arc::clone(&store));
        tokio::spawn(async move {
            loop {
                match recoverer.seal(WRITER).await {
                    Ok(log) => return log,
                    Err(e) => assert_eq!(e.kind(), ErrorKind::Retry, "{e}"),
                }
            }
        })
    });
    let sealed = join_all(sealers.collect::<Vec<_>>()).await;
    let log = read_all(&inner).await;
    for seal in sealed {
        let seal = seal.unwrap();
        let seqs: Vec<_> = seal.segments.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, log.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), "seed {seed}");
    }
    let stored: Vec<i64> = log.iter().flat_map(|(_, rows)| rows.clone()).collect();
    for outcomes in join_all(appenders).await {
        for (row, outcome) in outcomes.unwrap() {
            let times = stored.iter().filter(|stored| **stored == row).count();
            match outcome {
                Ok(_) => assert_eq!(times, 1, "row {row}, seed {seed}"),
                Err(WalError::Fenced { .. }) => assert!(times <= 1, "row {row}, seed {seed}"),
                Err(_) => assert_eq!(times, 0, "row {row}, seed {seed}"),
            }
        }
    }
    // Whatever it still tries, it meets the seal.
    while !matches!(writer.append(rows(&[-1])).await, Err(WalError::Fenced { .. })) {}
    assert!(writer.is_fenced());
    assert!(log.starts_with(&sink.told()), "seed {seed}");
    assert_eq!(read_all(&inner).await, log, "the log changed after its seal, seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn seals_and_writers_race_over_a_store_that_fails() {
    for seed in 0..200 {
        race(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn seals_and_writers_race_on_several_threads() {
    for seed in (0..400).step_by(40) {
        race(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_keeps_what_was_acknowledged() {
    for crash_at in 0..30u64 {
        let inner = memory();
        let mut puts = 0;
        // From some write on the process is gone: nothing it sends arrives.
        let script = move |operation, _: &object_store::path::Path| {
            puts += u64::from(operation == Operation::Put);
            if puts > crash_at { Fault::LostRequest } else { Fault::None }
        };
        let store: Arc<dyn ObjectStore> =
            Arc::new(FaultyStore::new(Arc::clone(&inner), Box::new(script)));
        let sink = Arc::new(Sink::default());
        let writer = Writer::start(store, WRITER, settings(), Arc::clone(&sink) as _).await;
        let Ok(writer) = writer else { continue };
        let mut acknowledged = vec![];
        for row in 0..40 {
            let append = tokio::time::timeout(Duration::from_secs(3), writer.append(rows(&[row])));
            match append.await {
                Ok(outcome) => acknowledged.push((outcome.unwrap(), vec![row])),
                Err(_) => break,
            }
        }
        drop(writer);
        Recoverer::new(Arc::clone(&inner)).seal(WRITER).await.unwrap();
        assert_eq!(read_all(&inner).await, acknowledged, "crash at write {crash_at}");
        assert_eq!(sink.told(), acknowledged);
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_taken_by_other_bytes_fences() {
    let store = memory();
    let (writer, _) = start(&store).await;
    let path = segment_path(WRITER, SegmentSeq(0));
    store.put_opts(&path, "foreign".into(), PutMode::Create.into()).await.unwrap();
    assert_eq!(writer.append(rows(&[1])).await.unwrap_err().kind(), ErrorKind::Fenced);
}
