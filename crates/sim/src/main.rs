//! `make sim`: runs seeds on all cores, prints the first that breaks a promise and how to see it
//! again, and one summary line last.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::Parser;
use loglake_sim::{Flavour, Outcome, Sabotage, Settings, run};

#[derive(Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Print everything that happens
    #[arg(long)]
    trace: bool,
    /// Switch a mechanism off, to see what notices
    #[arg(long, value_enum, default_value = "nothing")]
    sabotage: Sabotage,
    /// Only this kind of place for the objects
    #[arg(long, value_enum)]
    flavour: Option<Flavour>,
    /// Seeds at once; all cores when not set
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Default)]
struct Sum {
    seeds: u64,
    sent: usize,
    acked: usize,
    counts: BTreeMap<&'static str, u64>,
    broken: Vec<Outcome>,
}

impl Sum {
    fn add(&mut self, mut outcome: Outcome, trace: bool) {
        self.seeds += 1;
        self.sent += outcome.sent;
        self.acked += outcome.acked;
        for (what, count) in &outcome.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if trace {
            outcome.lines.drain(..).for_each(|line| println!("{line}"));
            println!("seed {} trace {:016x}", outcome.seed, outcome.trace_hash);
        }
        if let Some(broken) = &outcome.broken {
            let seed = outcome.seed;
            println!("seed {seed} breaks {:?}: {}", broken.promise, broken.what);
            println!("  again: make sim SEEDS=1 FROM={seed} TRACE=1");
            self.broken.push(outcome);
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let sum = Mutex::new(Sum::default());
    let settings = Settings {
        sabotage: arguments.sabotage,
        flavour: arguments.flavour,
        keep_lines: arguments.trace,
    };
    let started = std::time::Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(seed, settings);
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.add(outcome, arguments.trace);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counts: Vec<String> =
        sum.counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    println!(
        "{} seeds in {:.0} s, {} broke a promise; {} records sent, {} acknowledged; {}",
        sum.seeds,
        started.elapsed().as_secs_f64(),
        sum.broken.len(),
        sum.sent,
        sum.acked,
        counts.join(", ")
    );
    if sum.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
