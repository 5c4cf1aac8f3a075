//! The SQL files of the repository: examples, golden files, views.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{rows, small_lake};
use crate::testing::{Golden, run_golden};
use crate::{QueryError, VIEWS};

pub(super) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_files_come_out_as_they_are_written() {
    let engine = Arc::new(small_lake().await.engine());
    let connect = || {
        let engine = Arc::clone(&engine);
        async move { Ok::<_, QueryError>(Golden(engine)) }
    };
    let files = run_golden(&folder("golden"), connect).await;
    assert!(files.unwrap_or_else(|failed| panic!("{failed}")).len() >= 5);
}

#[tokio::test]
async fn every_example_answers_with_rows_and_says_what_it_is_for() {
    let engine = small_lake().await.engine();
    let mut examples: Vec<_> =
        std::fs::read_dir(folder("examples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    examples.sort();
    assert!(examples.len() >= 10, "{examples:?}");
    for path in examples {
        let sql = std::fs::read_to_string(&path).unwrap();
        assert!(sql.starts_with("-- "), "{} says nothing", path.display());
        let batches = rows(&engine, &sql).await;
        let batches = batches.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let count: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        assert!(count > 0, "{} finds nothing", path.display());
    }
}

#[tokio::test]
async fn every_view_answers() {
    let engine = small_lake().await.engine();
    for view in VIEWS {
        let batches = rows(&engine, &format!("select * from lake.{}", view.name)).await;
        let batches = batches.unwrap_or_else(|e| panic!("{}: {e}", view.name));
        let count: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        let is_empty = ["members", "kafka"].contains(&view.name);
        assert_eq!(count > 0, !is_empty, "{}", view.name);
    }
}
