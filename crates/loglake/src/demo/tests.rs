use std::collections::HashMap;

use serde_json::Value;

use super::*;

/// 2026-11-01T00:00:00Z.
const START: Timestamp = Timestamp::from_nanos(1_793_491_200_000_000_000);

fn ndjson(seed: u64, rate: u32, records: usize) -> String {
    let mut generator = Generator::new(seed, START, rate);
    let mut ndjson = vec![];
    for _ in 0..records {
        generator.write_next(&mut ndjson).unwrap();
    }
    String::from_utf8(ndjson).unwrap()
}

fn records(seed: u64, rate: u32, records: usize) -> Vec<Value> {
    ndjson(seed, rate, records).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    assert!(ndjson(7, 100, 2_000) == ndjson(7, 100, 2_000));
    assert!(ndjson(7, 100, 2_000) != ndjson(8, 100, 2_000));
}

#[test]
fn time_runs_at_the_rate() {
    for (rate, count) in [(1, 50), (1_000, 5_000), (3_000_000, 5_000)] {
        let last =
            records(1, rate, count).last().unwrap()["timestamp"].as_str().unwrap().to_owned();
        let last = chrono::DateTime::parse_from_rfc3339(&last).unwrap();
        let seconds = (last.timestamp_nanos_opt().unwrap() - START.as_nanos()) as f64 / 1e9;
        let expected = count as f64 / f64::from(rate);
        assert!((seconds - expected).abs() <= 6.0, "{seconds} s at {rate} a second");
    }
}

#[test]
fn services_are_skewed_and_requests_leave_their_trace_in_several() {
    let mut by_service: HashMap<String, usize> = HashMap::new();
    let mut services_of_trace: HashMap<String, Vec<String>> = HashMap::new();
    for record in records(1, 1_000, 20_000) {
        let service = record["service"].as_str().unwrap().to_owned();
        if let Some(trace) = record["trace_id"].as_str() {
            services_of_trace.entry(trace.to_owned()).or_default().push(service.clone());
        }
        *by_service.entry(service).or_default() += 1;
    }
    assert_eq!(by_service.len(), topology::SERVICES.len());
    assert!(by_service["gateway"] > 20 * by_service["mailer"]);
    assert!(services_of_trace.values().any(|s| s.len() >= 2 && s[0] != s[s.len() - 1]));
}

#[test]
fn incidents_are_bursts_of_errors_of_one_service() {
    let mut errors_of_minute: HashMap<(String, String), usize> = HashMap::new();
    for record in records(3, 20, 40_000) {
        if matches!(record["level"].as_str(), Some("ERROR" | "FATAL")) {
            let minute = record["timestamp"].as_str().unwrap()[..16].to_owned();
            let service = record["service"].as_str().unwrap().to_owned();
            *errors_of_minute.entry((service, minute)).or_default() += 1;
        }
    }
    let most = errors_of_minute.values().max().unwrap();
    let mut counts: Vec<usize> = errors_of_minute.values().copied().collect();
    counts.sort_unstable();
    assert!(*most > 10 * counts[counts.len() / 2], "at most {most} errors a minute");
}

#[test]
fn every_slot_is_filled() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (level, template) in message::all_templates() {
        let mut record = Record::default();
        template::fill(&mut record, template, &mut rng);
        assert!(!record.message.contains(['{', '}']), "{level} {}", record.message);
        assert_eq!(record.order_id.is_some(), template.contains("{order}"));
    }
}
