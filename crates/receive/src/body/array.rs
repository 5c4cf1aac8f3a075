//! One JSON array as lines: each element becomes a line, its number the element's place from 1.
//!
//! An element ends at a comma or bracket outside of every object, array and string; what is between
//! is the decoder's to judge. Newlines between tokens become spaces. One within a string is not
//! JSON, and stays something that is not (a carriage return).

use super::lines::LineBlocks;

pub(super) struct ArrayLines {
    state: State,
    /// The place of the current element, or of the next one.
    element: u64,
}

#[derive(Clone, Copy)]
enum State {
    /// After `[`: an element or `]`.
    First,
    /// After a comma: an element.
    Next,
    /// In an element, so many objects and arrays deep.
    Inside {
        depth: u64,
    },
    InString {
        depth: u64,
        escape: bool,
    },
    /// After the closing `]`.
    Closed,
    /// Something followed the array; it was said.
    Trailing,
}

impl ArrayLines {
    /// For the bytes after the opening `[`.
    pub(super) fn new() -> Self {
        Self { state: State::First, element: 1 }
    }

    pub(super) fn push(&mut self, bytes: &[u8], lines: &mut LineBlocks) {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        for byte in bytes {
            match self.state {
                State::Inside { depth } => self.inside(depth, *byte, &mut out),
                State::InString { depth, escape } => self.in_string(depth, escape, *byte, &mut out),
                _ if byte.is_ascii_whitespace() => {}
                State::First | State::Next => self.between(*byte, &mut out, lines),
                State::Closed => {
                    lines.reject(self.element, "something follows the end of the array".to_owned());
                    self.state = State::Trailing;
                }
                State::Trailing => {}
            }
        }
        lines.push(&out);
    }

    fn between(&mut self, byte: u8, out: &mut Vec<u8>, lines: &mut LineBlocks) {
        match byte {
            b']' if matches!(self.state, State::First) => self.state = State::Closed,
            b']' => {
                lines.reject(
                    self.element,
                    "expected an element after the comma, found `]`".to_owned(),
                );
                self.state = State::Closed;
            }
            b',' => {
                lines.reject(self.element, "expected an element, found `,`".to_owned());
                self.end_element(State::Next, out);
            }
            _ => self.inside(0, byte, out),
        }
    }

    fn inside(&mut self, depth: u64, byte: u8, out: &mut Vec<u8>) {
        self.state = match byte {
            b',' if depth == 0 => return self.end_element(State::Next, out),
            b']' if depth == 0 => return self.end_element(State::Closed, out),
            b'"' => State::InString { depth, escape: false },
            b'{' | b'[' => State::Inside { depth: depth + 1 },
            b'}' | b']' => State::Inside { depth: depth.saturating_sub(1) },
            _ => State::Inside { depth },
        };
        out.push(if byte == b'\n' { b' ' } else { byte });
    }

    fn in_string(&mut self, depth: u64, escape: bool, byte: u8, out: &mut Vec<u8>) {
        self.state = match byte {
            b'"' if !escape => State::Inside { depth },
            _ => State::InString { depth, escape: byte == b'\\' && !escape },
        };
        out.push(if byte == b'\n' { b'\r' } else { byte });
    }

    fn end_element(&mut self, state: State, out: &mut Vec<u8>) {
        out.push(b'\n');
        self.element += 1;
        self.state = state;
    }

    /// Says that the body ends here. An element that was cut is left to the decoder, which refuses
    /// it; one that is whole stands, but that more may have been meant to follow is said.
    pub(super) fn finish(&mut self, lines: &mut LineBlocks) {
        let cut = match self.state {
            State::First | State::Next => self.element,
            State::Inside { depth: 0 } => self.element + 1,
            _ => return,
        };
        lines.reject(cut, "the array is not closed".to_owned());
    }
}
