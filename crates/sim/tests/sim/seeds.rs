//! Two hundred seeds keep every promise, and each kind of fault really happened among them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use loglake_sim::{FAULTS, Outcome, Settings, run};

fn run_all(seeds: u64) -> Vec<Outcome> {
    let (next, outcomes) = (AtomicU64::new(0), Mutex::new(vec![]));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = run(seed, Settings::default());
                    outcomes.lock().expect("no seed panics").push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().expect("no seed panics")
}

#[test]
fn two_hundred_seeds_keep_every_promise() {
    let outcomes = run_all(200);
    let broken: Vec<_> =
        outcomes.iter().filter_map(|o| Some((o.seed, o.broken.as_ref()?))).collect();
    assert!(broken.is_empty(), "replay with `make sim SEEDS=1 FROM=<seed>`: {broken:#?}");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, count) in outcomes.iter().flat_map(|outcome| &outcome.counts) {
        *counts.entry(what).or_default() += count;
    }
    for fault in FAULTS {
        assert!(counts.contains_key(fault), "{fault} never happened: {counts:#?}");
    }
    for work in [
        "queries: answered",
        "queries: another process told its rows",
        "routing: rows forwarded",
        "ingest: a writer was replaced",
        "maintain: files were merged",
        "maintain: files were vacuumed",
    ] {
        assert!(counts.get(work).is_some_and(|count| *count > 200), "{work}: {counts:#?}");
    }
    let acked: usize = outcomes.iter().map(|outcome| outcome.acked).sum();
    assert!(acked > 10_000, "only {acked} records were acknowledged");
}
