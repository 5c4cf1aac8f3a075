//! Values of all rows, and how they are shown.

use serde_json::{Value, json};

use super::{DAY, HOUR, answer, plans, run, scan};

fn near(found: &Value, wanted: f64) {
    let number = found.as_f64().unwrap_or(f64::NAN);
    assert!((number - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

#[tokio::test]
async fn the_plain_ones() {
    let field = json!({"field": "duration"});
    let answer = answer(json!({
        "avg": {"avg": field}, "sum": {"sum": field}, "min": {"min": field}, "max": {"max": field},
        "n": {"value_count": field}, "names": {"value_count": {"field": "service"}},
        "stats": {"stats": field},
        "with": {"avg": {"field": "duration", "missing": 120}},
        "shown": {"sum": {"field": "duration", "format": "#,##0.00"}},
        "oks": {"avg": {"field": "ok"}},
        "first": {"min": {"field": "@timestamp"}},
        "day": {"max": {"field": "@timestamp", "format": "yyyy-MM-dd"}},
        "no": {"avg": {"field": "nosuch"}},
        "weighted": {"weighted_avg": {"value": {"field": "duration"}, "weight": {"field": "status"}}},
    }))
    .await;
    assert_eq!(answer["avg"], json!({"value": 40.0}));
    assert_eq!(answer["sum"], json!({"value": 280.0}));
    assert_eq!((&answer["min"]["value"], &answer["max"]["value"]), (&json!(10.0), &json!(70.0)));
    assert_eq!((&answer["n"]["value"], &answer["names"]["value"]), (&json!(7), &json!(7)));
    let stats = json!({"count": 7, "min": 10.0, "max": 70.0, "avg": 40.0, "sum": 280.0});
    assert_eq!(answer["stats"], stats);
    assert_eq!(answer["with"], json!({"value": 50.0}));
    assert_eq!(answer["shown"], json!({"value": 280.0, "value_as_string": "280.00"}));
    near(&answer["oks"]["value"], 4.0 / 7.0);
    assert_eq!(
        answer["first"],
        json!({
        "value": (DAY + 21 * HOUR + HOUR / 2) as f64, "value_as_string": "2026-10-24T21:30:00.000Z"})
    );
    assert_eq!(answer["day"]["value_as_string"], "2026-10-27");
    assert_eq!(answer["no"], json!({"value": null}));
    let weights = 200.0 + 500.0 + 200.0 + 404.0 + 200.0 + 200.0 + 500.0;
    let sum = 2e3 + 1e4 + 6e3 + 16_160.0 + 1e4 + 1.2e4 + 3.5e4;
    near(&answer["weighted"]["value"], sum / weights);
}

#[tokio::test]
async fn the_spread() {
    let answer = answer(json!({"s": {"extended_stats": {"field": "duration", "sigma": 1}}})).await;
    let stats = &answer["s"];
    near(&stats["sum_of_squares"], 14_000.0);
    near(&stats["variance"], 400.0);
    near(&stats["std_deviation"], 20.0);
    near(&stats["variance_sampling"], 2_800.0 / 6.0);
    near(&stats["std_deviation_bounds"]["upper"], 60.0);
    near(&stats["std_deviation_bounds"]["lower"], 20.0);
}

#[tokio::test]
async fn percentiles_and_ranks() {
    let answer = answer(json!({
        "p": {"percentiles": {"field": "duration", "percents": [0, 50, 100], "keyed": false}},
        "default": {"percentiles": {"field": "duration"}},
        "ranks": {"percentile_ranks": {"field": "duration", "values": [40, 1000]}},
    }))
    .await;
    assert_eq!(
        answer["p"]["values"],
        json!([
        {"key": 0.0, "value": 10.0}, {"key": 50.0, "value": 40.0}, {"key": 100.0, "value": 70.0}])
    );
    let default = answer["default"]["values"].as_object().unwrap();
    assert_eq!(default.len(), 7);
    assert_eq!(default["50.0"], json!(40.0));
    near(&answer["ranks"]["values"]["40.0"], 400.0 / 7.0);
    assert_eq!(answer["ranks"]["values"]["1000.0"], json!(100.0));
}

#[tokio::test]
async fn distinct_values_are_exact_when_they_are_few() {
    use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
    let texts = |count: usize| -> ArrayRef {
        std::sync::Arc::new(StringViewArray::from_iter_values(
            (0..20_000).map(|n| format!("v{}", n % count)),
        ))
    };
    let batch =
        RecordBatch::try_from_iter([("few", texts(2_500)), ("many", texts(20_000))]).unwrap();
    let aggs = json!({
        "few": {"cardinality": {"field": "few"}},
        "many": {"cardinality": {"field": "many"}},
    });
    let rows = scan(vec![batch]);
    let (answer, plans) = run(rows.clone(), rows, &aggs, (false, 10)).await.unwrap();
    assert_eq!(answer["few"], json!({"value": 2_500}));
    let many = answer["many"]["value"].as_f64().unwrap();
    assert!((many / 20_000.0 - 1.0).abs() < 0.05, "{many}");
    assert_eq!(plans, 2);
}

#[tokio::test]
async fn all_metrics_are_one_plan() {
    let aggs = json!({
        "a": {"avg": {"field": "duration"}}, "s": {"stats": {"field": "duration"}},
        "p": {"percentiles": {"field": "duration"}}, "m": {"max": {"field": "@timestamp"}},
    });
    assert_eq!(plans(aggs).await, 1);
}
