//! What a table's log entries say about how it came to be, for who audits it.

use loglake_model::{SegmentSeq, WriterId};
use object_store::path::Path;

use crate::action::{Line, decode_path};

/// One entry of the log, as an auditor sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub version: u64,
    /// The commit's own id: no two entries have the same.
    pub id: Option<String>,
    /// Of a flush: whose rows, from above which segment, up to which.
    pub flush: Option<(WriterId, Option<SegmentSeq>, SegmentSeq)>,
    /// Queues whose count the entry moves, and to where.
    pub offsets: Vec<(String, u64)>,
    /// Data files that became part of the table, relative to its root.
    pub adds: Vec<Path>,
    /// Data files that are no longer part of it.
    pub removes: Vec<Path>,
}

impl Entry {
    pub(crate) fn of(version: u64, lines: &[Line]) -> Self {
        let id = lines.iter().filter_map(|line| line.commit_info.as_ref());
        let id = id.filter_map(|info| info.txn_id.clone()).next();
        let txns = lines.iter().filter_map(|line| line.txn.as_ref());
        let queues = txns.filter(|txn| txn.app_id.contains('/'));
        let path = |encoded: &str| Some(Path::from(decode_path(encoded)?));
        Self {
            version,
            flush: id.as_deref().and_then(parse_flush),
            id,
            offsets: queues.map(|t| (t.app_id.clone(), t.version.unsigned_abs())).collect(),
            adds: lines.iter().filter_map(|l| path(&l.add.as_ref()?.path)).collect(),
            removes: lines.iter().filter_map(|l| path(&l.remove.as_ref()?.path)).collect(),
        }
    }
}

/// The other way of [`crate::intent::Intent::commit_id`].
fn parse_flush(id: &str) -> Option<(WriterId, Option<SegmentSeq>, SegmentSeq)> {
    let mut words = id.strip_prefix("flush ")?.split(' ');
    let writer = words.next()?.parse().ok()?;
    let from = match words.next()? {
        "-" => None,
        from => Some(SegmentSeq(from.parse().ok()?)),
    };
    Some((writer, from, SegmentSeq(words.next()?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::{Flush, Intent};

    #[test]
    fn a_flush_is_read_back_from_its_id() {
        let writer = WriterId::from_uuid(uuid::Uuid::from_u128(7));
        for from in [None, Some(SegmentSeq(0)), Some(SegmentSeq(41))] {
            let flush = Flush { writer, from, to: SegmentSeq(42), files: vec![], offsets: vec![] };
            let id = Intent::Flush(&flush).commit_id();
            assert_eq!(parse_flush(&id), Some((writer, from, SegmentSeq(42))), "{id}");
        }
        assert_eq!(parse_flush("vacuum 3"), None);
    }
}
