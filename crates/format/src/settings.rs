//! How files are laid out.

use crate::FormatError;

/// How files are laid out. The defaults are the measured best; see docs/adr/0005-parquet-layout.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Rows of one row group. More prune and parallelise more coarsely and cost memory while
    /// encoding (a row group's compressed pages are held); fewer cost bytes for dictionaries.
    pub row_group_rows_max: usize,
    /// Rows of one data page of every column: what a needle search decodes at least.
    pub page_rows_max: usize,
    /// Rows of the last row group of a large file: its newest ones, of all services; 0 for none. What is
    /// asked for most is read from it alone.
    pub newest_rows: usize,
    /// 1 to 22. Higher levels take two to three times the CPU for about one byte in a hundred.
    pub zstd_level: i32,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            row_group_rows_max: 128 << 10,
            page_rows_max: 8 << 10,
            newest_rows: 2 << 10,
            zstd_level: 1,
        }
    }
}

const ROWS_MAX: i64 = 1 << 30;
const ZSTD_LEVEL_MAX: i64 = 22;

impl EncoderSettings {
    pub(crate) fn check(&self) -> Result<(), FormatError> {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        for (name, value, max) in [
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
