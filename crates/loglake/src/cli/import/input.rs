//! What is read: files, compressed or not, and standard input.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::str::FromStr;
use std::time::SystemTime;

use anyhow::Context;
use chrono::{FixedOffset, Local, NaiveDateTime, TimeZone};
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use loglake_model::Timestamp;
use loglake_receive::text::as_utc;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A file to import, known to be there.
#[derive(Debug)]
pub(super) struct Input {
    /// As it was given on the command line; `-` is standard input.
    pub(super) name: String,
    /// When it was last changed; of standard input now.
    pub(super) modified: Timestamp,
    /// Its size as stored; of standard input unknown.
    bytes: Option<u64>,
}

impl Input {
    pub(super) fn look(name: &str) -> anyhow::Result<Self> {
        if name == "-" {
            let modified = timestamp(SystemTime::now());
            return Ok(Self { name: "-".into(), modified, bytes: None });
        }
        let metadata = std::fs::metadata(name).with_context(|| format!("cannot read {name}"))?;
        anyhow::ensure!(!metadata.is_dir(), "{name} is a directory");
        let modified = timestamp(metadata.modified()?);
        // A pipe or a device has no length.
        let bytes = metadata.is_file().then_some(metadata.len());
        Ok(Self { name: name.to_owned(), modified, bytes })
    }

    pub(super) fn is_stdin(&self) -> bool {
        self.name == "-"
    }

    /// The bytes, decompressed by what they begin with; `progress` counts them as stored.
    pub(super) fn open(&self, progress: &ProgressBar) -> io::Result<Box<dyn Read>> {
        let stored: Box<dyn Read> = match self.is_stdin() {
            true => Box::new(io::stdin()),
            false => Box::new(File::open(&self.name)?),
        };
        decompressed(progress.wrap_read(stored))
    }
}

fn decompressed(mut stored: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut head = vec![];
    (&mut stored).take(ZSTD_MAGIC.len() as u64).read_to_end(&mut head)?;
    let (gzip, zstd) = (head.starts_with(GZIP_MAGIC), head.starts_with(ZSTD_MAGIC));
    let whole = io::Cursor::new(head).chain(stored);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(256 << 10, whole)))
    } else if zstd {
        Box::new(zstd::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}

fn timestamp(time: SystemTime) -> Timestamp {
    let nanos = chrono::DateTime::<chrono::Utc>::from(time).timestamp_nanos_opt();
    nanos.map_or(Timestamp::EPOCH, Timestamp::from_nanos)
}

/// A bar over all files' bytes; a counter where some have no known size. Shown on terminals only.
pub(super) fn progress_bar(inputs: &[Input]) -> ProgressBar {
    let template = "{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
    let total: Option<u64> = inputs.iter().map(|input| input.bytes).sum();
    match (total, ProgressStyle::with_template(template)) {
        (Some(total), Ok(style)) => ProgressBar::new(total).with_style(style),
        _ => {
            let bar = ProgressBar::new_spinner();
            match ProgressStyle::with_template("{spinner} {bytes}  {bytes_per_sec}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        }
    }
}

/// Where times are from that are written without their zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// This machine's.
    Local,
    Fixed(FixedOffset),
}

impl Zone {
    /// A time that occurs twice (clocks set back) is taken for the first of the two; one that
    /// never was (clocks set forward) for UTC.
    pub(super) fn instant(self, naive: NaiveDateTime) -> Option<Timestamp> {
        let nanos = match self {
            Self::Local => {
                let first = Local.from_local_datetime(&naive).earliest();
                first.and_then(|time| time.timestamp_nanos_opt())
            }
            Self::Fixed(offset) => {
                let first = offset.from_local_datetime(&naive).earliest();
                first.and_then(|time| time.timestamp_nanos_opt())
            }
        };
        nanos.map(Timestamp::from_nanos).or_else(|| as_utc(naive))
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "utc" | "UTC" | "Z" => {
                FixedOffset::east_opt(0).map(Self::Fixed).ok_or_else(String::new)
            }
            _ => text
                .parse()
                .map(Self::Fixed)
                .map_err(|_| "neither local, utc nor an offset such as +02:00".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_back(stored: Vec<u8>) -> Vec<u8> {
        let mut bytes = vec![];
        decompressed(io::Cursor::new(stored)).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let text = b"one\ntwo\n".repeat(10_000);
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(read_back([gzip.clone(), gzip].concat()), [text.clone(), text.clone()].concat());
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        assert_eq!(read_back([zstd.clone(), zstd].concat()), [text.clone(), text.clone()].concat());
        assert_eq!(read_back(text.clone()), text);
        assert_eq!(read_back(b"a".to_vec()), b"a");
        assert_eq!(read_back(vec![]), b"");
    }

    #[test]
    fn zones_by_name_and_offset() {
        let noon: NaiveDateTime = "2026-11-01T12:00:00".parse().unwrap();
        let instant = |zone: &str| zone.parse::<Zone>().unwrap().instant(noon).unwrap().as_nanos();
        assert_eq!(instant("utc") - instant("+02:00"), 7_200_000_000_000);
        assert!("Mars".parse::<Zone>().is_err());
    }
}
