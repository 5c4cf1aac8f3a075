//! What the kernel knows without asking the disk, found where it is asked for: ranges of files that it has in
//! memory, and that a file is not there.
//!
//! Most reads of a warm lake are of this kind, and are done in less time than it takes to wake a thread that
//! may block and to be woken by it.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

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

/// Whether there is no file, as far as the kernel knows by heart (`RESOLVE_CACHED`, openat2(2)): a query asks for
/// the next entry of a table's log, which mostly is not there.
pub(super) fn is_absent(path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED);
    matches!(opened, Err(Errno::NOENT))
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
        assert_eq!(ranges(&path, &[0..1, 0..BYTES_MAX]), None);
        assert_eq!(ranges(&folder.path().join("none"), &[0..1, 1..2]), None);
    }

    #[test]
    fn a_file_is_absent_until_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        assert!(!path.exists());
        // Where the kernel cannot tell, nothing is absent.
        let _ = is_absent(&path);
        std::fs::write(&path, "x").unwrap();
        assert!(!is_absent(&path));
    }
}
