//! How files are laid out.

use crate::FormatError;
use crate::order::shape_hash;

/// How files are laid out. The defaults are the measured best; see docs/adr/0005-parquet-layout.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Rows of one row group. More prune and parallelise more coarsely and cost memory while
    /// encoding (a row group's compressed pages are held); fewer cost bytes for dictionaries.
    pub row_group_rows_max: usize,
    /// Rows of one data page of every column: what a needle search decodes at least.
    pub page_rows_max: usize,
    /// 1 to 22. Higher levels take two to three times the CPU for about one byte in a hundred.
    pub zstd_level: i32,
    /// The order of rows in a file.
    pub order: RowOrder,
}

/// The order of rows within a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// (`service`, `timestamp`, `nanos`).
    ServiceTime,
    /// (`service`, slice of time, hash of the message's shape, `timestamp`, `nanos`): lines of one shape
    /// lie together, which makes them smaller, and no further apart in time than a slice, so that short
    /// ranges of time and newest-first queries read little more.
    ServiceShapeTime { slice_micros: i64 },
}

impl RowOrder {
    /// Where a time belongs before shapes are looked at.
    pub(crate) const fn slice_of(self, micros: i64) -> i64 {
        match self {
            Self::ServiceTime => 0,
            Self::ServiceShapeTime { slice_micros } => micros.div_euclid(slice_micros),
        }
    }

    /// The hash of the message's shape, where rows are ordered by it.
    pub(crate) fn shape_of(self, message: Option<&str>) -> u32 {
        match self {
            Self::ServiceTime => 0,
            Self::ServiceShapeTime { .. } => message.map_or(0, shape_hash),
        }
    }
}

impl Default for RowOrder {
    fn default() -> Self {
        Self::ServiceShapeTime { slice_micros: 600_000_000 }
    }
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            row_group_rows_max: 1 << 20,
            page_rows_max: 16 << 10,
            zstd_level: 1,
            order: RowOrder::default(),
        }
    }
}

const ROWS_MAX: i64 = 1 << 30;
const ZSTD_LEVEL_MAX: i64 = 22;

impl EncoderSettings {
    pub(crate) fn check(&self) -> Result<(), FormatError> {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let slice_micros = match self.order {
            RowOrder::ServiceTime => 1,
            RowOrder::ServiceShapeTime { slice_micros } => slice_micros,
        };
        for (name, value, max) in [
            ("slice_micros", slice_micros, i64::MAX),
            ("row_group_rows_max", count(self.row_group_rows_max), ROWS_MAX),
            ("page_rows_max", count(self.page_rows_max), ROWS_MAX),
            ("zstd_level", i64::from(self.zstd_level), ZSTD_LEVEL_MAX),
        ] {
            if !(1..=max).contains(&value) {
                return Err(FormatError::Setting { name, value, min: 1, max });
            }
        }
        Ok(())
    }
}
