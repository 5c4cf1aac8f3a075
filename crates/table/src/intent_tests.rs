//! The table of `intent`, row by row.

use std::sync::Arc;

use super::*;
use crate::action::{Format, Protocol, Strings};
use loglake_model::{ColumnType, FileStats, NameForm, Partition, PartitionBy, TableSchema};
use object_store::path::Path;

const NOW: Timestamp = Timestamp::EPOCH;

fn begin() -> Snapshot {
    let metadata = Metadata {
        id: "0192f7a0-0000-7000-8000-000000000000".into(),
        name: None,
        description: None,
        format: Format { provider: "parquet".into(), options: Strings::new() },
        schema_string: schema_string(&TableSchema::new(PartitionBy::Hour)).unwrap(),
        partition_columns: schema::partition_columns(PartitionBy::Hour),
        configuration: Strings::new(),
        created_time: None,
    };
    Snapshot::begin(&Path::from("0"), 0, vec![Protocol::NEW.into(), metadata.into()]).unwrap()
}

fn writer(n: u128) -> WriterId {
    format!("{n:032x}").parse().unwrap()
}

fn file(name: &str) -> DataFile {
    DataFile {
        path: Path::from(format!("date=1970-01-01/hour=00/{name}.parquet")),
        partition: Partition::of(0, PartitionBy::Hour),
        bytes: 10,
        rows: 3,
        stats: FileStats::default(),
        modified: NOW,
        checksum: Some(7),
        words: None,
    }
}

fn flush(n: u128, from: Option<u64>, to: u64, files: &[&str]) -> Flush {
    let files = files.iter().map(|name| file(name)).collect();
    Flush {
        writer: writer(n),
        from: from.map(SegmentSeq),
        to: SegmentSeq(to),
        files,
        offsets: vec![],
    }
}

fn rewrite(removes: &[&str], adds: &[&str]) -> Rewrite {
    Rewrite {
        kind: RewriteKind::Compaction,
        removes: removes.iter().map(|name| Arc::new(file(name))).collect(),
        adds: adds.iter().map(|name| file(name)).collect(),
    }
}

/// `intent` committed on top of `state`: its entry and the state after it.
fn commit(state: &Snapshot, intent: Intent<'_>) -> (Vec<Line>, Snapshot) {
    let lines = intent.lines(state, NOW).unwrap();
    let after = state.clone().apply(&Path::from("n"), lines.clone()).unwrap();
    (lines, after)
}

/// What `ours` makes of `rival`, which was committed first, from the same state.
fn against(state: &Snapshot, ours: Intent<'_>, rival: Intent<'_>) -> (Verdict, Standing) {
    assert_eq!(ours.standing(state), Standing::Clear);
    let (entry, after) = commit(state, rival);
    (ours.judge(&entry, state, &after), ours.standing(&after))
}

fn column(name: &str) -> Column {
    Column::new(name, ColumnType::Int64, NameForm::Nested)
}

#[test]
fn an_own_entry_is_success_also_when_its_files_were_compacted_away() {
    let (base, ours) = (begin(), flush(1, None, 4, &["a"]));
    let (entry, after) = commit(&base, Intent::Flush(&ours));
    assert_eq!(Intent::Flush(&ours).judge(&entry, &base, &after), Verdict::Ours);
    assert_eq!(Intent::Flush(&ours).standing(&after), Standing::Done);
    assert_eq!((after.version(), after.rows(), after.bytes()), (1, 3, 10));
    let (_, compacted) = commit(&after, Intent::Rewrite(&rewrite(&["a"], &["b"])));
    assert_eq!(Intent::Flush(&ours).standing(&compacted), Standing::Superseded);
    assert_eq!(compacted.watermark(writer(1)), Some(SegmentSeq(4)));
    assert_eq!(compacted.rows(), 3);
}

#[test]
fn an_empty_flush_moves_the_watermark_and_is_found_again() {
    let (base, ours) = (begin(), flush(1, None, 4, &[]));
    let (_, after) = commit(&base, Intent::Flush(&ours));
    assert_eq!(Intent::Flush(&ours).standing(&after), Standing::Done);
    let (_, further) = commit(&after, Intent::Flush(&flush(1, Some(4), 9, &["c"])));
    assert_eq!(Intent::Flush(&ours).standing(&further), Standing::Superseded);
}

#[test]
fn the_same_writers_rows_are_committed_by_one_only() {
    let base = begin();
    let ours = flush(1, None, 4, &["a"]);
    for to in [3, 4, 5] {
        let theirs = flush(1, None, to, &["b"]);
        let met = against(&base, Intent::Flush(&ours), Intent::Flush(&theirs));
        assert_eq!(met, (Verdict::Superseded, Standing::Superseded), "{to}");
    }
}

#[test]
fn other_writers_and_new_columns_are_no_conflict() {
    let base = begin();
    let ours = flush(1, None, 4, &["a"]);
    let free = (Verdict::Pass, Standing::Clear);
    let theirs = flush(2, None, 4, &["b"]);
    assert_eq!(against(&base, Intent::Flush(&ours), Intent::Flush(&theirs)), free);
    let columns = Intent::Columns { proposed: &[column("x")], columns_max: 9 };
    assert_eq!(against(&base, Intent::Flush(&ours), columns), free);
    assert_eq!(against(&base, columns, Intent::Flush(&ours)), free);
    let more = [column("x"), column("y")];
    let more = Intent::Columns { proposed: &more, columns_max: 9 };
    assert_eq!(against(&base, more, columns), free);
    let (_, after) = commit(&base, more);
    assert_eq!(columns.standing(&after), Standing::Done);
}

#[test]
fn columns_that_changed_otherwise_are_a_conflict() {
    let (_, base) = commit(&begin(), Intent::Columns { proposed: &[column("x")], columns_max: 9 });
    let ours = flush(1, None, 4, &["a"]);
    let old = Metadata { ..begin().metadata().clone() };
    let entry = vec![Line::from(old)];
    let after = base.clone().apply(&Path::from("n"), entry.clone()).unwrap();
    assert_eq!(Intent::Flush(&ours).judge(&entry, &base, &after), Verdict::Superseded);
}

#[test]
fn two_rewrites_of_one_file_do_not_both_commit() {
    let (_, base) = commit(&begin(), Intent::Flush(&flush(1, None, 4, &["a", "b", "c"])));
    let ours = rewrite(&["a", "b"], &["ab"]);
    let overlapping = rewrite(&["b", "c"], &["bc"]);
    let met = against(&base, Intent::Rewrite(&ours), Intent::Rewrite(&overlapping));
    assert_eq!(met, (Verdict::Pass, Standing::Superseded));
    let apart = rewrite(&["c"], &["d"]);
    let met = against(&base, Intent::Rewrite(&ours), Intent::Rewrite(&apart));
    assert_eq!(met, (Verdict::Pass, Standing::Clear));
    let (entry, after) = commit(&base, Intent::Rewrite(&ours));
    assert_eq!(Intent::Rewrite(&ours).judge(&entry, &base, &after), Verdict::Ours);
    assert_eq!(Intent::Rewrite(&ours).standing(&after), Standing::Done);
}

#[test]
fn files_named_before_a_vacuum_are_not_committed_after_it() {
    let base = begin();
    let ours = flush(1, None, 4, &["0192f7a0-0000-7000-8000-000000000001"]);
    let met = against(&base, Intent::Flush(&ours), Intent::Vacuum(1));
    assert_eq!(met, (Verdict::Pass, Standing::Vacuumed));
    let (_, vacuumed) = commit(&base, Intent::Vacuum(1));
    assert_eq!(vacuumed.vacuum(), 1);
    let younger = flush(1, None, 4, &["0192f7a0-0000-7000-8000-000000000001-1"]);
    assert_eq!(Intent::Flush(&younger).standing(&vacuumed), Standing::Clear);
    assert_eq!(against(&base, Intent::Vacuum(1), Intent::Vacuum(1)).1, Standing::Superseded);
}

#[test]
fn a_watermark_never_moves_back() {
    let (_, base) = commit(&begin(), Intent::Flush(&flush(1, None, 4, &["a"])));
    for to in [0, 3, 4] {
        let back = flush(1, Some(4), to, &["b"]);
        let error = Intent::Flush(&back).lines(&base, NOW).unwrap_err();
        assert!(matches!(error, TableError::Backwards { .. }), "{error}");
    }
    assert_eq!(Intent::Flush(&flush(1, None, 9, &["b"])).standing(&base), Standing::Superseded);
    assert_eq!(Intent::Flush(&flush(1, Some(3), 9, &["b"])).standing(&base), Standing::Superseded);
}

#[test]
fn a_removed_file_leaves_a_tombstone_for_a_week() {
    let (_, base) = commit(&begin(), Intent::Flush(&flush(1, None, 4, &["a", "b"])));
    let (_, after) = commit(&base, Intent::Rewrite(&rewrite(&["a"], &["c"])));
    let removes = |now| after.lines(now).filter(|line| line.remove.is_some()).count();
    let day = 24 * 3_600 * 1_000_000_000;
    assert_eq!(removes(Timestamp::from_nanos(6 * day)), 1);
    assert_eq!(removes(Timestamp::from_nanos(8 * day)), 0);
    assert_eq!(after.files().len(), 2);
}
