//! The commits of a table: no file and no rows were committed twice.

use std::collections::{HashMap, HashSet};

use loglake_model::{SegmentSeq, WriterId};
use loglake_table::Entry;

/// What is wrong with a table's entries, which are in order. Older ones may have been cleaned up.
pub fn check(entries: &[Entry]) -> Vec<String> {
    let whole = entries.first().is_some_and(|entry| entry.version == 0);
    let mut findings = vec![];
    let mut ids: HashMap<&str, u64> = HashMap::new();
    let (mut files, mut gone) = (HashSet::new(), HashSet::new());
    let mut watermarks: HashMap<WriterId, SegmentSeq> = HashMap::new();
    let mut queues: HashMap<&str, u64> = HashMap::new();
    for entry in entries {
        let version = entry.version;
        if let Some(id) = &entry.id
            && is_once(id)
            && let Some(before) = ids.insert(id, version)
        {
            findings.push(format!("entry {version} is the commit of entry {before} again ({id})"));
        }
        for removed in &entry.removes {
            files.remove(removed);
            // So two merges of the same files show, whose rows are there twice.
            if !gone.insert(removed) {
                findings.push(format!("entry {version} removes {removed} again"));
            }
        }
        for added in &entry.adds {
            gone.remove(added);
            if !files.insert(added) {
                findings.push(format!("entry {version} adds {added} again"));
            }
        }
        for (queue, to) in &entry.offsets {
            if let Some(known) = queues.insert(queue, *to).filter(|known| known > to) {
                findings.push(format!("entry {version} takes {queue} from {known} back to {to}"));
            }
        }
        if let Some((writer, from, to)) = entry.flush {
            let known = watermarks.insert(writer, to);
            if (known.is_some() || whole) && known != from {
                findings.push(format!(
                    "entry {version} commits the rows of writer {writer} after segment {} up to \
                     {to}, and the watermark was {}",
                    in_words(from),
                    in_words(known)
                ));
            }
        }
    }
    findings
}

/// Commits that have the same outcome whoever makes them have the same id.
fn is_once(id: &str) -> bool {
    id.starts_with("flush ") || id.starts_with("rewrite ")
}

fn in_words(watermark: Option<SegmentSeq>) -> String {
    watermark.map_or_else(|| "none".to_owned(), |seq| seq.to_string())
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;

    fn flush(version: u64, from: Option<u64>, to: u64, file: &str) -> Entry {
        let writer = WriterId::from_uuid(uuid::Uuid::from_u128(1));
        Entry {
            version,
            id: Some(format!("flush {writer} {from:?} {to} {file}")),
            flush: Some((writer, from.map(SegmentSeq), SegmentSeq(to))),
            offsets: vec![("kafka/c/t/0".into(), to * 10)],
            adds: vec![Path::from(file)],
            removes: vec![],
        }
    }

    #[test]
    fn a_chain_of_flushes_is_well_and_so_is_one_whose_beginning_was_cleaned_up() {
        let chain = [
            Entry::default(),
            flush(1, None, 3, "a"),
            flush(2, Some(3), 4, "b"),
            flush(3, Some(4), 9, "c"),
        ];
        assert_eq!(check(&chain), Vec::<String>::new());
        assert_eq!(check(&chain[2..]), Vec::<String>::new());
    }

    #[test]
    fn rows_a_file_and_a_commit_that_are_there_twice_are_found() {
        let first = [Entry::default(), flush(1, None, 3, "a")];
        let with = |entry: Entry| check(&[first.as_slice(), &[entry]].concat());
        let rows = with(flush(2, None, 3, "b"));
        assert!(rows.len() == 1 && rows[0].contains("the watermark was 3"), "{rows:?}");
        let file = with(Entry { version: 2, adds: vec![Path::from("a")], ..Entry::default() });
        assert_eq!(file, ["entry 2 adds a again"]);
        let commit = with(Entry { version: 2, ..first[1].clone() });
        assert!(commit[0].contains("is the commit of entry 1 again"), "{commit:?}");
        let back =
            Entry { version: 2, offsets: vec![("kafka/c/t/0".into(), 29)], ..Entry::default() };
        assert_eq!(with(back), ["entry 2 takes kafka/c/t/0 from 30 back to 29"]);
        let gap = with(flush(2, Some(5), 6, "b"));
        assert!(gap[0].contains("after segment 5"), "{gap:?}");
    }

    #[test]
    fn a_merge_that_was_made_twice_is_found() {
        let merge = |version, merged: &str| Entry {
            version,
            adds: vec![Path::from(merged)],
            removes: vec![Path::from("a")],
            ..Entry::default()
        };
        let entries = [Entry::default(), flush(1, None, 3, "a"), merge(2, "b"), merge(3, "c")];
        assert_eq!(check(&entries), ["entry 3 removes a again"]);
        assert_eq!(check(&entries[2..]), ["entry 3 removes a again"]);
        assert_eq!(check(&entries[..3]), Vec::<String>::new());
    }

    #[test]
    fn a_file_may_come_back_after_it_was_removed() {
        let add = Entry { version: 1, adds: vec![Path::from("a")], ..Entry::default() };
        let remove = Entry { version: 2, removes: vec![Path::from("a")], ..Entry::default() };
        let again = Entry { version: 3, ..add.clone() };
        assert_eq!(check(&[add, remove, again]), Vec::<String>::new());
    }
}
