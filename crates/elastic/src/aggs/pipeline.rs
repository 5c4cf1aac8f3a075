//! Pipeline aggregations: over finished answers, from the innermost outwards.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Bucket, Many, Sub, by_number};
use super::metrics::{Shown, extended, points_of, stats};
use super::request::{Agg, Aggs, Direction, Gaps, Kind, Path, Pipeline, PipelineBy};

/// Appends the answers of those that are over the buckets of an aggregation beside them.
pub(super) fn beside(subs: &mut Vec<Sub>, aggs: &Aggs) {
    for (agg, pipeline) in pipelines(aggs).filter(|(_, pipeline)| pipeline.by.is_beside()) {
        let Some((first, rest)) = pipeline.path.0.split_first() else { continue };
        let over = subs.iter().find_map(|sub| match &sub.answer {
            Answer::Many(many) if sub.name == first.name => Some(many),
            _ => None,
        });
        let Some(many) = over else { continue };
        let rest = text(&Path(rest.to_vec()));
        let values = values(many, first.bucket.as_deref(), &rest, pipeline.gaps);
        let (typed, answer) = of_values(pipeline, &values);
        subs.push(sub(agg, typed, answer));
    }
}

/// Those over the buckets that they are in: a number in each bucket, or another order of them.
pub(super) fn over(buckets: &mut Vec<Bucket>, aggs: &Aggs) {
    // One may be over another's numbers: the order of names need not be that of the paths.
    let mut left: Vec<(&Agg, &Pipeline)> =
        pipelines(aggs).filter(|(_, pipeline)| !pipeline.by.is_beside()).collect();
    left.sort_by_key(|(_, pipeline)| matches!(pipeline.by, PipelineBy::BucketSort { .. }));
    while !left.is_empty() {
        let waits = |of: &Pipeline| {
            let first = of.path.0.first();
            left.iter().any(|(other, _)| {
                first.is_some_and(|first| super::parse::is_or_has(&first.name, &other.name))
            })
        };
        // Of those that wait for each other none has a value: the first goes on without.
        let next = left.iter().position(|(_, pipeline)| !waits(pipeline)).unwrap_or(0);
        let (agg, pipeline) = left.remove(next);
        match &pipeline.by {
            PipelineBy::BucketSort { sort, from, size } => {
                sort_buckets(buckets, sort, *from, *size, pipeline.gaps);
            }
            _ => in_each(buckets, agg, pipeline),
        }
    }
}

fn pipelines(aggs: &Aggs) -> impl Iterator<Item = (&Agg, &Pipeline)> {
    aggs.0.iter().filter_map(|agg| match &agg.kind {
        Kind::Pipeline(pipeline) => Some((agg, pipeline)),
        _ => None,
    })
}

fn sub(agg: &Agg, typed: &'static str, answer: Value) -> Sub {
    Sub { name: agg.name.clone(), meta: agg.meta.clone(), typed, answer: Answer::Metric(answer) }
}

fn text(path: &Path) -> String {
    let steps: Vec<&str> = path.0.iter().map(|step| step.name.as_str()).collect();
    steps.join(">")
}

/// The number of each bucket and the bucket's key, without the gaps.
fn values(many: &Many, only: Option<&str>, path: &str, gaps: Gaps) -> Vec<(String, f64)> {
    let mut values = vec![];
    for bucket in &many.buckets {
        if only.is_some_and(|name| name != bucket.name) {
            continue;
        }
        let value = number(bucket, path, gaps);
        let key = bucket.head.iter().find(|(name, _)| name == "key_as_string");
        let key = key.or_else(|| bucket.head.iter().find(|(name, _)| name == "key"));
        let key = match key {
            Some((_, Value::String(text))) => text.clone(),
            Some((_, value)) => value.to_string(),
            None => bucket.name.clone(),
        };
        values.extend(value.map(|value| (key, value)));
    }
    values
}

/// A bucket's number: of one without documents what the gaps stand for.
fn number(bucket: &Bucket, path: &str, gaps: Gaps) -> Option<f64> {
    let found = bucket.number(path);
    let is_gap = bucket.count == 0 && path != "_count" && path != "_key";
    match gaps {
        Gaps::Skip if is_gap => None,
        Gaps::Zeros if is_gap || found.is_none() => Some(0.0),
        _ => found,
    }
}

fn of_values(pipeline: &Pipeline, values: &[(String, f64)]) -> (&'static str, Value) {
    let shown = Shown::number(pipeline.format.as_deref()).unwrap_or(Shown::Plain);
    let numbers = || values.iter().map(|(_, value)| *value);
    let sum: f64 = numbers().sum();
    let count = values.len() as f64;
    let mut object = Map::new();
    let typed = match &pipeline.by {
        PipelineBy::AvgBucket => {
            shown.set(&mut object, "value", (count > 0.0).then(|| sum / count));
            "simple_value"
        }
        PipelineBy::SumBucket => {
            shown.set(&mut object, "value", Some(sum));
            "simple_value"
        }
        PipelineBy::MinBucket | PipelineBy::MaxBucket => {
            let is_min = pipeline.by == PipelineBy::MinBucket;
            let best = numbers().reduce(|a, b| if is_min { a.min(b) } else { a.max(b) });
            shown.set(&mut object, "value", best);
            let keys = values.iter().filter(|(_, value)| Some(*value) == best);
            object.insert("keys".to_owned(), keys.map(|(key, _)| json!(key)).collect());
            "bucket_metric_value"
        }
        PipelineBy::PercentilesBucket { percents, keyed } => {
            let mut sorted: Vec<f64> = numbers().collect();
            sorted.sort_by(f64::total_cmp);
            let points = percents.iter().map(|percent| (*percent, nearest(&sorted, *percent)));
            object.insert("values".to_owned(), points_of(points, *keyed, &shown));
            "percentiles_bucket"
        }
        by => {
            let states = [
                Some(count),
                Some(sum),
                numbers().reduce(f64::min),
                numbers().reduce(f64::max),
                Some(numbers().map(|number| number * number).sum()),
            ];
            stats(&mut object, &shown, &states);
            match by {
                PipelineBy::ExtendedStatsBucket { sigma } => {
                    extended(&mut object, &shown, &states, *sigma);
                    "extended_stats_bucket"
                }
                _ => "stats_bucket",
            }
        }
    };
    (typed, Value::Object(object))
}

/// Not interpolated: one of the values.
fn nearest(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = (percent / 100.0 * last as f64).round();
    sorted.get((at as usize).min(last)).copied()
}

fn in_each(buckets: &mut [Bucket], agg: &Agg, pipeline: &Pipeline) {
    let path = text(&pipeline.path);
    let shown = Shown::number(pipeline.format.as_deref()).unwrap_or(Shown::Plain);
    let mut numbers: Vec<Option<f64>> =
        buckets.iter().map(|bucket| number(bucket, &path, pipeline.gaps)).collect();
    if pipeline.gaps == Gaps::Keep {
        let mut last = None;
        numbers.iter_mut().for_each(|number| {
            last = number.or(last);
            *number = last;
        });
    }
    let keys: Vec<Option<f64>> = buckets.iter().map(|bucket| bucket.number("_key")).collect();
    let mut sum = 0.0;
    let mut before: Option<(f64, Option<f64>)> = None;
    for (at, bucket) in buckets.iter_mut().enumerate() {
        let (number, key) = (numbers[at], keys[at]);
        let mut object = Map::new();
        let typed = match &pipeline.by {
            PipelineBy::CumulativeSum => {
                sum += number.unwrap_or(0.0);
                shown.set(&mut object, "value", Some(sum));
                "simple_value"
            }
            PipelineBy::SerialDiff { lag } => {
                let earlier = at.checked_sub(*lag).and_then(|at| numbers[at]);
                let Some((number, earlier)) = number.zip(earlier) else { continue };
                shown.set(&mut object, "value", Some(number - earlier));
                "simple_value"
            }
            PipelineBy::Derivative { unit_millis } => {
                let Some(number) = number else {
                    if pipeline.gaps == Gaps::Skip && bucket.count == 0 {
                        continue;
                    }
                    before = None;
                    continue;
                };
                let last = before.replace((number, key));
                let Some((earlier, earlier_key)) = last else { continue };
                shown.set(&mut object, "value", Some(number - earlier));
                if let (Some(unit), Some(key), Some(earlier_key)) = (unit_millis, key, earlier_key)
                {
                    let units = (key - earlier_key) / unit;
                    object.insert("normalized_value".to_owned(), json!((number - earlier) / units));
                }
                "derivative"
            }
            _ => continue,
        };
        bucket.subs.push(sub(agg, typed, Value::Object(object)));
    }
}

fn sort_buckets(
    buckets: &mut Vec<Bucket>,
    sort: &[(Path, Direction)],
    from: usize,
    size: Option<usize>,
    gaps: Gaps,
) {
    let paths: Vec<(String, bool)> = sort
        .iter()
        .map(|(path, direction)| (text(path), *direction == Direction::Descending))
        .collect();
    if gaps == Gaps::Skip && !paths.is_empty() {
        // One that has none of the numbers is not in the order.
        buckets.retain(|bucket| {
            paths.iter().any(|(path, _)| path == "_key" || number(bucket, path, gaps).is_some())
        });
    }
    buckets.sort_by(|a, b| {
        for (path, descending) in &paths {
            let found = match path.as_str() {
                "_key" if *descending => b.keys.cmp(&a.keys),
                "_key" => a.keys.cmp(&b.keys),
                path => by_number(number(a, path, gaps), number(b, path, gaps), *descending),
            };
            if found.is_ne() {
                return found;
            }
        }
        std::cmp::Ordering::Equal
    });
    let from = from.min(buckets.len());
    buckets.drain(..from);
    buckets.truncate(size.unwrap_or(usize::MAX));
}
