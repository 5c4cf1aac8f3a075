//! Against DataFusion's own aggregation.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::MemTable;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::texts::Texts;
use super::{GROUPS_MAX, by_texts};

/// Rows in two partitions of several batches: short texts, long ones, and none.
fn table(texts: usize) -> MemTable {
    let fields =
        [Field::new("k", DataType::Utf8View, true), Field::new("v", DataType::Int64, true)];
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let batch = |from: usize| {
        let rows = from..from + 5_000;
        // Each a few times in a row, as in sorted files.
        let text = |row: usize| match (row / 3 * 7_919) % texts {
            0 => None,
            n if n % 3 == 0 => Some(format!("a text that is longer than its view {n}")),
            n => Some(format!("short {n}")),
        };
        let keys: StringViewArray = rows.clone().map(text).collect();
        let values: Int64Array =
            rows.map(|row| (row % 11 != 0).then_some((row % 1_000) as i64)).collect();
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(keys), Arc::new(values)]).unwrap()
    };
    let partition = |from: usize| (0..4).map(|n| batch(from + n * 5_000)).collect();
    MemTable::try_new(Arc::clone(&schema), vec![partition(0), partition(20_000)]).unwrap()
}

async fn planned(texts: usize, sql: &str) -> (SessionContext, Arc<dyn ExecutionPlan>) {
    let mut context =
        SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    crate::functions::register(&mut context).unwrap();
    context.register_table("t", Arc::new(table(texts))).unwrap();
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    (context, plan)
}

fn shows(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

#[tokio::test]
async fn answers_are_those_of_datafusion() {
    for texts in [3, 700, GROUPS_MAX * 4] {
        for sql in [
            "SELECT k, count(*), count(v), sum(v), min(v), avg(v) FROM t GROUP BY k ORDER BY k",
            "SELECT k, count(*) FILTER (WHERE v > 500) FROM t WHERE v < 900 GROUP BY k ORDER BY k",
            "SELECT upper(k), max(v) FROM t GROUP BY upper(k) ORDER BY 1",
            "SELECT DISTINCT k FROM t ORDER BY k",
            "SELECT k, approx_percentile_cont(1.0) WITHIN GROUP (ORDER BY v::double) FROM t GROUP BY k ORDER BY k",
        ] {
            let (context, plan) = planned(texts, sql).await;
            let expected = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
            let replaced = by_texts(plan).unwrap();
            assert!(shows(&replaced).contains("TextGroups"), "{sql}: {}", shows(&replaced));
            let answer = collect(replaced, context.task_ctx()).await.unwrap();
            assert_eq!(
                pretty_format_batches(&answer).unwrap().to_string(),
                pretty_format_batches(&expected).unwrap().to_string(),
                "{texts} texts, {sql}"
            );
        }
    }
}

#[tokio::test]
async fn other_groups_stay_with_datafusion() {
    for sql in [
        "SELECT v, count(*) FROM t GROUP BY v",
        "SELECT k, v, count(*) FROM t GROUP BY k, v",
        "SELECT k, count(*) FROM t GROUP BY ROLLUP (k)",
        "SELECT count(*) FROM t",
        "SELECT k, array_agg(v ORDER BY v) FROM t GROUP BY k",
    ] {
        let (_, plan) = planned(3, sql).await;
        let replaced = by_texts(plan).unwrap();
        assert!(!shows(&replaced).contains("TextGroups"), "{sql}: {}", shows(&replaced));
    }
}

#[test]
fn a_view_means_nothing_in_the_next_batch() {
    let mut texts = Texts::default();
    let mut groups = vec![];
    // The same place in the only buffer, the same length and beginning: the same view.
    for text in ["the same beginning, one", "the same beginning, two"] {
        texts.groups_of(&StringViewArray::from_iter_values([text, text]), &mut groups);
    }
    assert_eq!(groups, [0, 0, 1, 1]);
    let taken = texts.take();
    assert_eq!(taken.iter().flatten().count(), 2);
    groups.clear();
    texts.groups_of(&StringViewArray::from(vec![None, Some("x"), None]), &mut groups);
    assert_eq!(groups, [0, 1, 0]);
    assert!(texts.take().is_null(0));
}

#[test]
fn runs_of_any_length_have_the_number_of_their_text() {
    let runs = [1, 2, 31, 32, 33, 34, 64, 65, 200, 1, 7];
    for texts_in_turn in [2, 3] {
        let expected: Vec<usize> =
            runs.iter().enumerate().flat_map(|(n, run)| vec![n % texts_in_turn; *run]).collect();
        let rows = expected.iter().map(|n| format!("text {n}"));
        let mut groups = vec![9];
        Texts::default().groups_of(&StringViewArray::from_iter_values(rows), &mut groups);
        assert_eq!(groups[1..], expected);
    }
}
