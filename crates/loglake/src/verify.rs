//! `loglake verify`: walks a bucket and checks every promise that can be seen in it. Reads only.

mod history;
mod report;
mod tables;
#[cfg(test)]
mod tests;
mod writers;

use std::sync::Arc;
use std::time::Duration;

use loglake_table::Catalog;
use loglake_wal::Reader;
use object_store::ObjectStore;

pub use report::Report;

use crate::settings::Settings;
use crate::system::SystemClock;

/// Walks the whole bucket. Findings go into the report; an error means the walk itself could not go
/// on.
///
/// # Errors
/// When the store fails.
pub async fn verify(store: Arc<dyn ObjectStore>, grace: Duration) -> anyhow::Result<Report> {
    let clock = Arc::new(SystemClock);
    let catalog = Catalog::new(Arc::clone(&store), clock.clone(), Settings::default().tables());
    let mut report = Report::default();
    let watermarks = tables::walk(&store, &catalog, clock.as_ref(), grace, &mut report).await?;
    writers::walk(&store, &Reader::new(Arc::clone(&store)), &watermarks, &mut report).await?;
    Ok(report)
}
