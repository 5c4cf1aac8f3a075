//! `loglake import`: log files to a lake, through the same door as any shipper.

mod blocks;
mod input;
mod report;
mod text;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chrono::NaiveDateTime;
use indicatif::ProgressBar;
use loglake_model::{TableName, Timestamp};
use loglake_receive::text::{Context, Detected, Format, detect};
use tokio::sync::mpsc;

use crate::cli::import::blocks::{Block, Blocks};
use crate::cli::import::input::{Input, Zone};
use crate::cli::import::report::{Origin, Report};
use crate::cli::import::text::Converter;
use crate::client::{Body, Client, Encoding, ServerArgs, Uploader};

/// Lines a file's format is told from.
const SAMPLE_LINES: usize = 200;

/// Send log files to a lake.
///
/// Files may be compressed with gzip or zstd. NDJSON is sent as it is. Lines of other formats
/// become records: nothing is left out, a line that is not understood is kept as `message`; bytes
/// that are not UTF-8 are kept in `raw_base64`. In syslog and plain files indented lines (stack
/// traces) join the record before them.
///
/// When the lake is busy or away the same records are sent again for up to five minutes. If a
/// connection breaks before the lake has answered, they may have been stored already and are then
/// stored twice; the summary says when this may have happened.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// Files to send, `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The table that the records go to
    #[arg(long, default_value = "logs")]
    table: TableName,
    /// How the lines are written; `auto` looks at each file's first lines
    #[arg(long, value_enum, default_value = "auto")]
    format: FormatArg,
    /// The `service` of records whose lines name none (not for NDJSON)
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The zone of times written without one: `local`, `utc` or an offset such as `+02:00`
    #[arg(long, default_value = "local")]
    zone: Zone,
    /// Requests under way at a time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    requests: u8,
    /// Size of a request before compression, in MiB
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=128))]
    request_mib: u8,
    /// Whether requests are compressed; `auto`: unless the lake is on this machine
    #[arg(long, value_enum, default_value = "auto")]
    compress: Compress,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    Auto,
    Ndjson,
    Syslog,
    Access,
    Dpkg,
    Logfmt,
    Plain,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Compress {
    Auto,
    Zstd,
    None,
}

/// # Errors
/// When a file cannot be read, the lake refuses a request as a whole, or any record was refused.
pub(crate) async fn run(args: ImportArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let encoding = match args.compress {
        Compress::Zstd => Encoding::Zstd,
        Compress::Auto if !client.is_local() => Encoding::Zstd,
        Compress::Auto | Compress::None => Encoding::Identity,
    };
    let inputs = args.files.iter().map(|path| Input::look(path)).collect::<Result<Vec<_>, _>>()?;
    let progress = input::progress_bar(&inputs);
    let uploader = Uploader::new(client, args.table.as_str(), encoding, args.requests.into());
    let started = Instant::now();

    // One body waits beside those under way, so that reading and sending overlap.
    let (bodies, received) = mpsc::channel(1);
    let reader = Reader { progress: progress.clone(), bodies, args };
    let reading = tokio::task::spawn_blocking(move || reader.read_all(inputs));
    let report = upload(uploader, received).await;
    let read = reading.await?;
    progress.finish_and_clear();

    report.print(started.elapsed());
    report.into_result()?;
    read
}

/// Sends what comes until its end or a request that fails, then waits for those under way: what
/// they stored is stored.
async fn upload(
    mut uploader: Uploader<Origin>,
    mut bodies: mpsc::Receiver<Body<Origin>>,
) -> Report {
    let mut report = Report::default();
    while !report.has_failed() {
        let Some(body) = bodies.recv().await else {
            break;
        };
        while let Some(outcome) = uploader.make_room().await {
            report.take(outcome);
        }
        uploader.start(body);
    }
    drop(bodies);
    while let Some(outcome) = uploader.next().await {
        report.take(outcome);
    }
    report
}

/// The thread that reads, decompresses, cuts and parses.
struct Reader {
    progress: ProgressBar,
    bodies: mpsc::Sender<Body<Origin>>,
    args: ImportArgs,
}

/// The receiving side is gone: a request failed, which it tells itself.
struct Stopped;

impl Reader {
    fn read_all(self, inputs: Vec<Input>) -> anyhow::Result<()> {
        for input in inputs {
            let name: Arc<str> = input.name.as_str().into();
            match self.read(input) {
                Ok(Ok(())) => {}
                Ok(Err(Stopped)) => break,
                Err(e) => return Err(e.context(format!("cannot read {name}"))),
            }
        }
        Ok(())
    }

    fn read(&self, input: Input) -> anyhow::Result<Result<(), Stopped>> {
        let body_bytes = usize::from(self.args.request_mib) << 20;
        let mut blocks = Blocks::new(input.open(&self.progress)?, body_bytes).peekable();
        let format = match blocks.peek() {
            Some(Ok(first)) => self.format_of(first),
            _ => Detected::Ndjson,
        };
        let name: Arc<str> = input.name.as_str().into();
        match format {
            Detected::Ndjson if self.args.service.is_some() => {
                anyhow::bail!("it is NDJSON, which is sent as it is: --service cannot be set")
            }
            Detected::Ndjson => self.pass_on(blocks, &name),
            Detected::Text(format) => self.convert(blocks, &input, format, body_bytes),
        }
    }

    fn format_of(&self, first: &Block) -> Detected {
        Detected::Text(match self.args.format {
            FormatArg::Auto => return detect(first.lines().take(SAMPLE_LINES)),
            FormatArg::Ndjson => return Detected::Ndjson,
            FormatArg::Syslog => Format::Syslog,
            FormatArg::Access => Format::Access,
            FormatArg::Dpkg => Format::Dpkg,
            FormatArg::Logfmt => Format::Logfmt,
            FormatArg::Plain => Format::Plain,
        })
    }

    fn pass_on(
        &self,
        blocks: impl Iterator<Item = std::io::Result<Block>>,
        name: &Arc<str>,
    ) -> anyhow::Result<Result<(), Stopped>> {
        for block in blocks {
            let block = block?;
            let origin = Origin::consecutive(Arc::clone(name), block.first_line);
            if self.send(block.bytes, origin).is_err() {
                return Ok(Err(Stopped));
            }
        }
        Ok(Ok(()))
    }

    fn convert(
        &self,
        blocks: impl Iterator<Item = std::io::Result<Block>>,
        input: &Input,
        format: Format,
        body_bytes: usize,
    ) -> anyhow::Result<Result<(), Stopped>> {
        let local = |naive: NaiveDateTime| -> Option<Timestamp> { self.args.zone.instant(naive) };
        let context = Context { reference: input.modified, local: &local };
        let name: Arc<str> = input.name.as_str().into();
        let file = (!input.is_stdin()).then_some(input.name.as_str());
        let mut converter = Converter::new(format, context, file, self.args.service.as_deref());
        let send_full = |converter: &mut Converter<'_>, bytes_min: usize| {
            if converter.ndjson_bytes() < bytes_min {
                return Ok(());
            }
            let (ndjson, lines) = converter.take();
            self.send(ndjson, Origin::each(Arc::clone(&name), lines))
        };
        for block in blocks {
            let block = block?;
            for (line, number) in block.lines().zip(block.first_line..) {
                converter.line(line, number)?;
                if send_full(&mut converter, body_bytes).is_err() {
                    return Ok(Err(Stopped));
                }
            }
        }
        converter.end_record()?;
        Ok(send_full(&mut converter, 1))
    }

    fn send(&self, ndjson: Vec<u8>, origin: Origin) -> Result<(), Stopped> {
        let body = Body { ndjson: Bytes::from(ndjson), origin };
        self.bodies.blocking_send(body).map_err(|_| Stopped)
    }
}
