//! `loglake demo`: realistic logs of a web shop, sent or printed.

use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use indicatif::{HumanCount, ProgressBar};
use loglake_model::{Clock, TableName, Timestamp};

use crate::client::{Body, Client, Encoding, Outcome, Sent, ServerArgs, Uploader};
use crate::demo::Generator;
use crate::system::SystemClock;

/// Bytes of a request when records are sent as fast as the lake takes them.
const BODY_BYTES: usize = 4 << 20;

/// At a rate, records go out this often, so that they are seen while they are fresh.
const TICK: Duration = Duration::from_millis(200);

const REQUESTS: usize = 3;
const RECORDS_AT_MAX: u64 = 1_000_000;
const RECORDS_PRINTED: u64 = 1_000;

/// Where printed logs begin, so that the same seed prints the same bytes: 2026-01-01T00:00:00Z.
const PRINTED_START: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);

/// Make realistic logs and send them to a lake.
///
/// Twelve services of a web shop write with skewed rates: access logs, application and database
/// logs, Java stack traces, kernel messages. Requests leave their trace id in several services; now
/// and then one service has an incident with a burst of errors. The same seed, start and rate make
/// the same records.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Records a second, of log time and, but for --max and --print, of real time
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Send as fast as the lake takes them; the last record is of now
    #[arg(long)]
    max: bool,
    /// Records to make [default: until interrupted; 1000000 with --max; 1000 with --print]
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// What the random draws begin from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When the first record is from, in RFC 3339 [default: now; 2026-01-01T00:00:00Z with --print]
    #[arg(long, value_name = "TIME")]
    start: Option<DateTime<Utc>>,
    /// The table that the records go to
    #[arg(long, default_value = "logs")]
    table: TableName,
    /// Print NDJSON instead of sending it
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// # Errors
/// When the lake refuses what is sent or stays away.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let records = args.records.unwrap_or(match (args.print, args.max) {
        (true, _) => RECORDS_PRINTED,
        (_, true) => RECORDS_AT_MAX,
        _ => u64::MAX,
    });
    let mut generator = Generator::new(args.seed, start(&args, records)?, args.rate);
    if args.print {
        return print(&mut generator, records, BufWriter::new(io::stdout().lock()));
    }
    let client = Client::new(&args.server)?;
    println!("sending to table {} at {}; Ctrl-C ends it", args.table, client.url());
    let encoding = if client.is_local() { Encoding::Identity } else { Encoding::Zstd };
    let uploader = Uploader::new(client, args.table.as_str(), encoding, REQUESTS);
    let mut sending = Sending { generator, records, uploader, tally: Tally::default() };
    let started = Instant::now();
    let pace = if args.max { Pace::Max } else { Pace::Rate(args.rate) };
    let result = tokio::select! {
        result = sending.all(pace, started) => result,
        _ = tokio::signal::ctrl_c() => sending.finish().await,
    };
    sending.tally.print(started.elapsed());
    result
}

fn start(args: &DemoArgs, records: u64) -> anyhow::Result<Timestamp> {
    if let Some(start) = args.start {
        let nanos = start.timestamp_nanos_opt().context("--start is before 1677 or after 2262")?;
        return Ok(Timestamp::from_nanos(nanos));
    }
    let now = SystemClock.now();
    let takes_nanos = u128::from(records) * 1_000_000_000 / u128::from(args.rate);
    Ok(match (args.print, args.max) {
        (true, _) => PRINTED_START,
        (_, true) => {
            let takes_nanos =
                i64::try_from(takes_nanos).context("more records than time is kept for")?;
            Timestamp::from_nanos(now.as_nanos().saturating_sub(takes_nanos))
        }
        _ => now,
    })
}

fn print(generator: &mut Generator, records: u64, mut out: impl Write) -> anyhow::Result<()> {
    let mut line = vec![];
    for _ in 0..records {
        line.clear();
        generator.write_next(&mut line)?;
        match out.write_all(&line) {
            // Whoever reads has enough, as `head` does.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
    }
    match out.flush() {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy, Debug)]
enum Pace {
    Max,
    /// Records a second.
    Rate(u32),
}

struct Sending {
    generator: Generator,
    records: u64,
    uploader: Uploader<()>,
    tally: Tally,
}

impl Sending {
    /// May be dropped between two requests.
    async fn all(&mut self, pace: Pace, started: Instant) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(TICK);
        let progress = ProgressBar::new_spinner();
        while self.generator.made() < self.records {
            let until = match pace {
                Pace::Max => self.records,
                Pace::Rate(rate) => {
                    ticks.tick().await;
                    due(started.elapsed(), rate).min(self.records)
                }
            };
            self.send_until(until).await?;
            progress.set_message(format!("{} records stored", HumanCount(self.tally.stored)));
            progress.tick();
        }
        progress.finish_and_clear();
        self.finish().await
    }

    /// Sends one body with records up to number `until`, or as many as fit it.
    async fn send_until(&mut self, until: u64) -> anyhow::Result<()> {
        let mut ndjson = Vec::with_capacity(64 << 10);
        while self.generator.made() < until && ndjson.len() < BODY_BYTES {
            self.generator.write_next(&mut ndjson)?;
        }
        if ndjson.is_empty() {
            return Ok(());
        }
        while let Some(outcome) = self.uploader.make_room().await {
            self.tally.take(outcome)?;
        }
        self.uploader.start(Body { ndjson: Bytes::from(ndjson), origin: () });
        Ok(())
    }

    /// Waits for the requests under way.
    async fn finish(&mut self) -> anyhow::Result<()> {
        while let Some(outcome) = self.uploader.next().await {
            self.tally.take(outcome)?;
        }
        Ok(())
    }
}

/// Records that are due after a time at a rate.
fn due(elapsed: Duration, rate: u32) -> u64 {
    let due = elapsed.as_nanos() * u128::from(rate) / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

#[derive(Debug, Default)]
struct Tally {
    stored: u64,
}

impl Tally {
    /// The lake refuses none of these records, unless it has limits that they exceed.
    fn take(&mut self, outcome: Outcome<()>) -> anyhow::Result<()> {
        let Sent { ingested, .. } = outcome.map_err(|(e, ())| e)?;
        self.stored += ingested.stored;
        if let Some(refused) = ingested.errors.first() {
            anyhow::bail!("{} records were refused: {}", ingested.rejected, refused.reason);
        }
        Ok(())
    }

    fn print(&self, took: Duration) {
        let each_second = self.stored as f64 / took.as_secs_f64().max(0.001);
        println!(
            "{} records stored in {:.1} s ({} a second)",
            HumanCount(self.stored),
            took.as_secs_f64(),
            HumanCount(each_second as u64)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_the_same_for_the_same_seed() {
        let printed = |seed| {
            let mut out = vec![];
            print(&mut Generator::new(seed, PRINTED_START, 1_000), 50, &mut out).unwrap();
            out
        };
        assert_eq!(printed(1), printed(1));
        assert_eq!(printed(1).iter().filter(|byte| **byte == b'\n').count(), 50);
        assert_ne!(printed(1), printed(2));
    }

    #[test]
    fn records_are_due_at_the_rate() {
        assert_eq!(due(Duration::from_millis(1_500), 1_000), 1_500);
        assert_eq!(due(Duration::ZERO, u32::MAX), 0);
    }
}
