//! For tests: a small lake with every record in another stage of its life, and the runner of the
//! files in `sql/golden`.

mod golden;
mod lake;
mod records;

pub use golden::{Golden, output, run_golden};
pub use lake::{MemoryRows, SmallLake, StoppedClock, writer_id};
pub use records::{RECORDS, column_list, record_batch};
