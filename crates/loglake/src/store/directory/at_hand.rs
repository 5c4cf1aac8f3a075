//! Ranges of a file that the kernel has in memory, read where they are asked for.
//!
//! Most reads of a warm lake are of this kind, and are done in less time than it takes to wake a thread that
//! may block and to be woken by it.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};

/// Bytes that are copied in well under a millisecond; more are worth a thread.
const BYTES_MAX: u64 = 4 << 20;

/// The ranges, if all of them can be had without waiting for the disk (`RWF_NOWAIT`, preadv2(2)). Not every
/// file system can tell.
pub(super) fn ranges(path: &Path, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
    let bytes: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
    if bytes > BYTES_MAX {
        return None;
    }
    let file = File::open(path).ok()?;
    ranges.iter().map(|range| whole(&file, range)).collect()
}

fn whole(file: &File, range: &Range<u64>) -> Option<Bytes> {
    let mut bytes = vec![0; usize::try_from(range.end.checked_sub(range.start)?).ok()?];
    let into = &mut [IoSliceMut::new(&mut bytes)];
    let read = preadv2(file, into, range.start, ReadWriteFlags::NOWAIT).ok()?;
    (read == bytes.len()).then(|| bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_as_a_whole_is_at_hand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        std::fs::write(&path, "0123456789").unwrap();
        // Where the file system cannot tell, nothing is.
        if let Some(read) = ranges(&path, &[2..4, 0..1, 4..10]) {
            assert_eq!(read, ["23", "0", "456789"]);
        }
        assert_eq!(ranges(&path, &[0..1, 9..11]), None);
        assert_eq!(ranges(&path, &[0..BYTES_MAX + 1]), None);
        assert_eq!(ranges(&folder.path().join("none"), &[0..1]), None);
    }
}
