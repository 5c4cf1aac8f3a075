//! Where the objects of a log are, and what a listing of them means. No I/O.

use std::collections::BTreeMap;

use loglake_model::{SegmentSeq, WriterId};
use object_store::path::Path;

use crate::seal::SEAL_BYTES;

pub(crate) const WRITERS: &str = "_writers";

const SEALING: &str = ".sealing";
const FLOOR: &str = "floor-";
const DIGITS: usize = 20;

pub(crate) fn writer_path(writer: WriterId) -> Path {
    Path::from_iter([WRITERS.to_owned(), writer.to_string()])
}

/// There while somebody else ends the writer's log.
pub(crate) fn sealing_path(writer: WriterId) -> Path {
    Path::from_iter([WRITERS.to_owned(), format!("{writer}{SEALING}")])
}

/// The writer that a name in `_writers/` is about, and whether it says that the log is being sealed.
pub(crate) fn parse_mark(name: &str) -> Option<(WriterId, bool)> {
    match name.strip_suffix(SEALING) {
        Some(writer) => Some((writer.parse().ok()?, true)),
        None => Some((name.parse().ok()?, false)),
    }
}

pub(crate) fn log_path(writer: WriterId) -> Path {
    Path::from_iter(["_wal".to_owned(), writer.to_string()])
}

pub(crate) fn segment_path(writer: WriterId, seq: SegmentSeq) -> Path {
    log_path(writer).join(format!("{:0DIGITS$}", seq.0))
}

pub(crate) fn floor_path(writer: WriterId, floor: SegmentSeq) -> Path {
    log_path(writer).join(format!("{FLOOR}{:0DIGITS$}", floor.0))
}

/// The number that a name of exactly 20 digits means. The last one is no number of a segment, so
/// that each has a next.
fn parse_seq(digits: &str) -> Option<SegmentSeq> {
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    let number = all_digits.then(|| digits.parse().ok())??;
    (number < u64::MAX).then_some(SegmentSeq(number))
}

/// What one listing of a log's folder shows.
///
/// Valid are the segments with consecutive numbers from the highest floor on, up to a gap or a seal.
/// What comes after is *void*: never acknowledged, because acknowledgements go out in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct LogView {
    pub(crate) floor: Option<SegmentSeq>,
    /// Numbers and sizes in bytes, consecutive.
    pub(crate) segments: Vec<(SegmentSeq, u64)>,
    /// The seal that ends the valid segments.
    pub(crate) seal: Option<SegmentSeq>,
    /// Objects after the seal or a gap.
    pub(crate) void: Vec<SegmentSeq>,
    /// Segments at or below the floor that are still there.
    pub(crate) trimmed: Vec<SegmentSeq>,
    /// Floors below the highest.
    pub(crate) old_floors: Vec<SegmentSeq>,
}

impl LogView {
    /// From the names (the last part of the path) and sizes in bytes of a log's objects, in any
    /// order. Names that are not of a log are left alone.
    pub(crate) fn of<'a>(objects: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut numbered = BTreeMap::new();
        let mut floors = vec![];
        for (name, bytes) in objects {
            if let Some(seq) = parse_seq(name) {
                numbered.insert(seq, bytes);
            } else if let Some(floor) = name.strip_prefix(FLOOR).and_then(parse_seq) {
                floors.push(floor);
            }
        }
        floors.sort_unstable();
        let mut view = Self { floor: floors.pop(), old_floors: floors, ..Self::default() };
        for (seq, bytes) in numbered {
            if view.floor.is_some_and(|floor| seq <= floor) {
                view.trimmed.push(seq);
            } else if view.seal.is_some() || seq != view.next() {
                view.void.push(seq);
            } else if bytes == SEAL_BYTES {
                view.seal = Some(seq);
            } else {
                view.segments.push((seq, bytes));
            }
        }
        view
    }

    /// The number after the last valid segment: free, or the seal's.
    pub(crate) fn next(&self) -> SegmentSeq {
        let last = self.segments.last().map(|(seq, _)| *seq).or(self.floor);
        last.map_or(SegmentSeq(0), SegmentSeq::next)
    }

    /// Whether there is something after a gap. A listing that ran while the log was trimmed can
    /// show a gap that is none: a higher floor, created before the deletes, explains it in the next.
    pub(crate) fn has_gap(&self) -> bool {
        self.seal.is_none() && !self.void.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(objects: &[(&str, u64)]) -> LogView {
        let names: Vec<(String, u64)> = objects
            .iter()
            .map(|(name, bytes)| match name.strip_prefix("f") {
                Some(floor) => (format!("floor-{floor:0>20}"), *bytes),
                None => (format!("{name:0>20}"), *bytes),
            })
            .collect();
        LogView::of(names.iter().map(|(name, bytes)| (name.as_str(), *bytes)))
    }

    fn seqs(numbers: &[u64]) -> Vec<SegmentSeq> {
        numbers.iter().copied().map(SegmentSeq).collect()
    }

    #[test]
    fn segments_are_valid_up_to_a_gap() {
        let view = view(&[("0", 900), ("2", 900), ("1", 800), ("4", 900)]);
        assert_eq!(
            view.segments,
            [(SegmentSeq(0), 900), (SegmentSeq(1), 800), (SegmentSeq(2), 900)]
        );
        assert_eq!(view.void, seqs(&[4]));
        assert_eq!(view.next(), SegmentSeq(3));
        assert!(view.has_gap());
    }

    #[test]
    fn a_seal_ends_the_log_and_counts_only_above_the_highest_floor() {
        let sealed = view(&[("0", 900), ("1", SEAL_BYTES), ("2", 900)]);
        assert_eq!((sealed.seal, sealed.void.clone()), (Some(SegmentSeq(1)), seqs(&[2])));
        assert!(!sealed.has_gap());
        let below = view(&[("3", SEAL_BYTES), ("f3", 0), ("f2", 0), ("4", 900)]);
        assert_eq!((below.seal, below.floor), (None, Some(SegmentSeq(3))));
        assert_eq!((below.trimmed, below.old_floors), (seqs(&[3]), seqs(&[2])));
        assert_eq!(below.segments, [(SegmentSeq(4), 900)]);
        let after_a_gap = view(&[("0", 900), ("2", SEAL_BYTES)]);
        assert_eq!((after_a_gap.seal, after_a_gap.void), (None, seqs(&[2])));
    }

    #[test]
    fn foreign_names_and_impossible_numbers_are_left_alone() {
        let max = u64::MAX.to_string();
        let names = ["x", "1", "99999999999999999999", "floor-1", "+0000000000000000001", &max];
        assert_eq!(LogView::of(names.map(|name| (name, 900))), LogView::default());
        assert_eq!(LogView::default().next(), SegmentSeq(0));
    }

    #[test]
    fn marks_of_writers_read_back_and_nothing_else_does() {
        let writer = WriterId::from_uuid(uuid::Uuid::from_u128(7));
        let name = |path: Path| path.filename().unwrap().to_owned();
        assert_eq!(parse_mark(&name(writer_path(writer))), Some((writer, false)));
        assert_eq!(parse_mark(&name(sealing_path(writer))), Some((writer, true)));
        assert_eq!(parse_mark("notes.txt"), None);
    }

    #[test]
    fn names_sort_like_numbers_and_read_back() {
        let writer = WriterId::from_uuid(uuid::Uuid::nil());
        let path = segment_path(writer, SegmentSeq(42));
        assert_eq!(path.filename(), Some("00000000000000000042"));
        assert_eq!(path.filename().and_then(parse_seq), Some(SegmentSeq(42)));
        assert_eq!(
            floor_path(writer, SegmentSeq(7)).filename(),
            Some("floor-00000000000000000007")
        );
    }
}
