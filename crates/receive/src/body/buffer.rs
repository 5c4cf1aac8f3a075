//! The bytes of a block, whose memory serves later blocks again.
//!
//! Memory that a process has not touched yet is cleared by the system first, and a buffer that grows by
//! doubling touches twice what it needs: that was 15 % of the samples of a profile of a load.

use std::fmt;
use std::ops::Deref;
use std::sync::Mutex;

use super::{BLOCK_BYTES, STEP_BYTES};

/// What a block has room for: a step more than its size.
const ROOM: usize = BLOCK_BYTES + 2 * STEP_BYTES;
/// A body that is shorter does without such a room.
const SHORT: usize = 128 << 10;
/// Rooms that are kept while nobody needs them.
const SPARE_MAX: usize = 8;

static ROOMS: Rooms = Rooms(Mutex::new(vec![]));

/// Memory of [`ROOM`] bytes each that no block needs now.
struct Rooms(Mutex<Vec<Vec<u8>>>);

impl Rooms {
    fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().ok().and_then(|mut spare| spare.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(ROOM))
    }

    fn give_back(&self, mut room: Vec<u8>) {
        room.clear();
        if let Ok(mut spare) = self.0.lock()
            && spare.len() < SPARE_MAX
        {
            spare.push(room);
        }
    }
}

/// Bytes that may only be added to, until they are taken apart.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BlockBytes(Vec<u8>);

impl BlockBytes {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > SHORT && needed <= ROOM && self.0.capacity() < ROOM {
            let mut room = ROOMS.take();
            room.extend_from_slice(&self.0);
            self.0 = room;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Splits off what lies from there on.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let rest = self.0[at..].to_vec();
        self.0.truncate(at);
        Self(rest)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl From<Vec<u8>> for BlockBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for BlockBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BlockBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl Drop for BlockBytes {
    fn drop(&mut self) {
        if self.0.capacity() == ROOM {
            ROOMS.give_back(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_was_pushed_whatever_room_they_have() {
        let lines = b"a line of thirty-two characters\n".repeat((ROOM + SHORT) / 32);
        for piece in [1 << 10, SHORT, ROOM - 1, ROOM, lines.len()] {
            let mut bytes = BlockBytes::default();
            lines.chunks(piece).for_each(|piece| bytes.push(piece));
            assert!(*bytes == *lines);
            let rest = bytes.split_off(100);
            assert!(*bytes == lines[..100] && *rest == lines[100..]);
        }
    }

    #[test]
    fn a_short_body_has_no_room_of_a_block() {
        let mut bytes = BlockBytes::default();
        bytes.push(&[1; SHORT]);
        assert!(bytes.0.capacity() < ROOM);
        bytes.push(&[1]);
        assert_eq!(bytes.0.capacity(), ROOM);
    }

    #[test]
    fn a_room_serves_again_and_few_are_kept() {
        let rooms = Rooms(Mutex::new(vec![]));
        let mut room = rooms.take();
        room.extend_from_slice(b"of another body");
        let at = room.as_ptr();
        rooms.give_back(room);
        let again = rooms.take();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        (0..2 * SPARE_MAX).for_each(|_| rooms.give_back(Vec::with_capacity(ROOM)));
        assert_eq!(rooms.0.lock().unwrap().len(), SPARE_MAX);
    }
}
