//! Decompression in small steps.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{BodyError, Encoding};

/// The window that RFC 9659 lets HTTP senders use: 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Compressed bytes that go into gzip at once: at most 1,032 times as many come out.
const GZIP_STEP_BYTES: usize = 512;

/// Takes compressed bytes and gives the plain ones back in steps.
pub(super) struct Inflate {
    pending: Pending,
    finished: bool,
    format: Format,
    output: Vec<u8>,
}

/// Bytes that were pushed and not used yet.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    used: usize,
}

impl Pending {
    fn push(&mut self, piece: &[u8]) {
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
        }
        self.bytes.extend_from_slice(piece);
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    fn take(&mut self, at_most: usize) -> &[u8] {
        let start = self.used;
        self.used += at_most.min(self.bytes.len() - start);
        &self.bytes[start..self.used]
    }
}

enum Format {
    Identity,
    Gzip(Box<Gzip>),
    Zstd(Zstd),
}

impl Inflate {
    pub(super) fn new(encoding: Encoding) -> Self {
        let format = match encoding {
            Encoding::Identity => Format::Identity,
            Encoding::Gzip => Format::Gzip(Box::new(Gzip { decoder: None })),
            Encoding::Zstd => Format::Zstd(Zstd { decoder: None, between: true }),
        };
        Self { pending: Pending::default(), finished: false, format, output: vec![] }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.pending.push(piece);
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// The next plain bytes, about `step` of them at most; `None` when more pieces are needed or
    /// all is done.
    pub(super) fn next(&mut self, step: usize) -> Result<Option<&[u8]>, BodyError> {
        if let Format::Identity = self.format {
            let plain = self.pending.take(step);
            return Ok((!plain.is_empty()).then_some(plain));
        }
        loop {
            let waiting = !self.pending.rest().is_empty();
            match &mut self.format {
                Format::Gzip(gzip) if waiting => gzip.step(&mut self.pending, &mut self.output)?,
                Format::Gzip(gzip) if self.finished => gzip.finish(&mut self.output)?,
                Format::Zstd(zstd) => zstd.step(&mut self.pending, step, &mut self.output)?,
                _ => self.output.clear(),
            }
            if !self.output.is_empty() {
                return Ok(Some(&self.output));
            }
            if self.pending.rest().is_empty() {
                break;
            }
        }
        match &self.format {
            Format::Zstd(zstd) if self.finished && !zstd.between => {
                Err(corrupt("zstd", "it ends within a frame"))
            }
            _ => Ok(None),
        }
    }
}

fn corrupt(encoding: &'static str, reason: impl ToString) -> BodyError {
    BodyError::Corrupt { encoding, reason: reason.to_string() }
}

struct Gzip {
    /// From the first byte to the end.
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
}

impl Gzip {
    fn step(&mut self, pending: &mut Pending, output: &mut Vec<u8>) -> Result<(), BodyError> {
        let decoder = self.decoder.get_or_insert_with(|| MultiGzDecoder::new(vec![]));
        let input = pending.take(GZIP_STEP_BYTES);
        // What is decoded waits inside until it is asked for by a flush.
        let written = decoder.write_all(input).and_then(|()| decoder.flush());
        written.map_err(|error| corrupt("gzip", error))?;
        output.clear();
        std::mem::swap(output, decoder.get_mut());
        Ok(())
    }

    /// Checks that the last member is whole.
    fn finish(&mut self, output: &mut Vec<u8>) -> Result<(), BodyError> {
        output.clear();
        if let Some(decoder) = self.decoder.take() {
            *output = decoder.finish().map_err(|error| corrupt("gzip", error))?;
        }
        Ok(())
    }
}

struct Zstd {
    decoder: Option<Decoder<'static>>,
    /// No frame is open.
    between: bool,
}

impl Zstd {
    fn step(
        &mut self,
        pending: &mut Pending,
        step: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), BodyError> {
        output.clear();
        if self.between && pending.rest().is_empty() {
            return Ok(());
        }
        let failed = |error: std::io::Error| corrupt("zstd", error);
        if self.decoder.is_none() {
            let mut decoder = Decoder::new().map_err(failed)?;
            let window = DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX);
            decoder.set_parameter(window).map_err(failed)?;
            self.decoder = Some(decoder);
        }
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        output.resize(step, 0);
        let mut input = InBuffer::around(pending.rest());
        let mut plain = OutBuffer::around(output.as_mut_slice());
        let hint = decoder.run(&mut input, &mut plain).map_err(failed)?;
        let (read, written) = (input.pos(), plain.pos());
        output.truncate(written);
        pending.take(read);
        self.between = hint == 0;
        Ok(())
    }
}
