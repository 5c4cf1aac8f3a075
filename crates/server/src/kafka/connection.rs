//! One connection: frames in, answers out in the same order, a few requests at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::metadata::Node;
use super::produce::Turn;
use super::protocol::{ApiKey, Head, api_versions};
use super::sasl::{self, Session, Step};
use super::sequences::Sequences;
use super::wire::{Answer, Fields, Malformed};
use super::{Kafka, committed, coordinator, fetch, list_offsets, metadata, produce};

/// Bytes of a request that brings records, at most.
const RECORDS_FRAME_BYTES_MAX: usize = 64 << 20;
/// Of any other: what a member says of itself and lists of topics, as Kafka's own bound on a message.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Of one that comes before the token.
const STRANGER_FRAME_BYTES_MAX: usize = 64 << 10;
/// Requests of one connection that are answered at once.
const IN_FLIGHT_MAX: usize = 16;
/// Silence between two requests, as Kafka's `connections.max.idle.ms` has it.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// The slowest sender of a request that is waited for.
const BYTES_PER_SECOND_MIN: usize = 1 << 20;

/// Why a connection is closed before its client does.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a request is not as its version says: {0}")]
    Malformed(#[from] Malformed),
    #[error("a request of {bytes} bytes, the limit is {max}")]
    TooLarge { bytes: i64, max: usize },
    #[error("silent for too long")]
    Silent,
    #[error("request {key} in version {version} is not offered")]
    NotOffered { key: i16, version: i16 },
    #[error("not authenticated")]
    Stranger,
    #[error("records sent without a wish for an answer were not stored: {0}")]
    Unsaid(String),
    #[error("a request ended early: {0}")]
    Defect(#[from] tokio::task::JoinError),
}

/// What becomes of a request.
pub(super) enum Reply {
    Answer(Answer),
    /// The client wants none.
    Silence,
}

/// An answer, or who works on it, in the order of the requests.
enum Pending {
    Ready(Vec<u8>),
    Running { correlation: i32, work: JoinHandle<Result<Reply, Ended>> },
}

struct Frame {
    bytes: Bytes,
    /// Room for it, kept while it is worked on.
    place: Option<OwnedSemaphorePermit>,
}

struct Connection {
    kafka: Arc<Kafka>,
    node: Arc<Node>,
    session: Session,
    sequences: Arc<Mutex<Sequences>>,
    /// Ends what waits for others or for news: with the client, and with the process.
    waits: CancellationToken,
    _gone: DropGuard,
    /// Comes when the Produce before the next one is over.
    produced: Option<oneshot::Receiver<()>>,
}

/// Answers until the client goes, does something that is not allowed, or the process stops.
pub(super) async fn run(kafka: Arc<Kafka>, stream: TcpStream) -> Result<(), Ended> {
    let local: SocketAddr = stream.local_addr()?;
    let (mut requests, mut answers) = stream.into_split();
    let (queue, mut pending) = mpsc::channel(IN_FLIGHT_MAX);
    let waits = kafka.stop.child_token();
    let mut connection = Connection {
        node: Arc::new(Node::new(kafka.settings.advertise.as_deref(), local)),
        session: Session::new(kafka.secret.as_ref()),
        sequences: Arc::default(),
        _gone: waits.clone().drop_guard(),
        waits,
        produced: None,
        kafka,
    };
    let reading = async move { connection.read(&mut requests, queue).await };
    let mut writing = std::pin::pin!(write(&mut answers, &mut pending));
    tokio::select! {
        ended = &mut writing => ended,
        ended = reading => {
            writing.await?;
            ended
        }
    }
}

async fn write(
    answers: &mut (impl AsyncWrite + Unpin),
    pending: &mut mpsc::Receiver<Pending>,
) -> Result<(), Ended> {
    while let Some(next) = pending.recv().await {
        let frame = match next {
            Pending::Ready(frame) => frame,
            Pending::Running { correlation, work } => match work.await?? {
                Reply::Answer(answer) => framed(correlation, answer),
                Reply::Silence => continue,
            },
        };
        let sent = timeout(IDLE_MAX, answers.write_all(&frame));
        sent.await.map_err(|_| Ended::Silent)??;
    }
    Ok(())
}

/// The answer with its length and the number of its request before it.
fn framed(correlation: i32, answer: Answer) -> Vec<u8> {
    let answer = answer.into_bytes();
    let mut frame = Vec::with_capacity(8 + answer.len());
    frame.extend_from_slice(&(4 + answer.len() as i32).to_be_bytes());
    frame.extend_from_slice(&correlation.to_be_bytes());
    frame.extend_from_slice(&answer);
    frame
}

impl Connection {
    async fn read(
        &mut self,
        requests: &mut (impl AsyncRead + Unpin),
        queue: mpsc::Sender<Pending>,
    ) -> Result<(), Ended> {
        let stop = self.kafka.stop.clone();
        while let Some(frame) = stop.run_until_cancelled(self.frame(requests)).await {
            let Some(frame) = frame? else { break };
            let (pending, last) = self.begin(frame)?;
            // The queue is closed when the answers cannot be sent any more.
            if queue.send(pending).await.is_err() || last {
                break;
            }
        }
        Ok(())
    }

    /// The next request; `None` when the client is gone.
    async fn frame(&self, requests: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>, Ended> {
        let (known, idle_max) = (self.session.is_open(), self.kafka.doors.settings.idle_max);
        let patience = if known { IDLE_MAX } else { idle_max };
        let length = match timeout(patience, requests.read_i32()).await {
            Ok(Ok(length)) => length,
            Ok(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Ok(Err(e)) => return Err(e.into()),
            Err(_) => return Err(Ended::Silent),
        };
        let most = if known { RECORDS_FRAME_BYTES_MAX } else { STRANGER_FRAME_BYTES_MAX };
        let length = within(length.into(), most)?;
        // Which request it is stands in its first two bytes.
        let begun = timeout(idle_max, body(requests, BytesMut::new(), length.min(2)));
        let begun = begun.await.map_err(|_| Ended::Silent)??;
        if begun[..] != (ApiKey::Produce as i16).to_be_bytes() {
            within(length as i64, most.min(FRAME_BYTES_MAX))?;
        }
        // Never closed. Room is waited for before anything is read: so the client has to wait, too.
        let kib = (length >> 10) as u32 + 1;
        let kib = kib.min(super::FRAMES_KIB_MAX as u32);
        let place = Arc::clone(&self.kafka.frames).acquire_many_owned(kib).await.ok();
        let longest = idle_max + Duration::from_secs((length / BYTES_PER_SECOND_MIN) as u64);
        let bytes = timeout(longest, body(requests, begun, length));
        let bytes = bytes.await.map_err(|_| Ended::Silent)??.freeze();
        Ok(Some(Frame { bytes, place }))
    }

    /// Begins the answer to a request; whether it is the last one.
    fn begin(&mut self, frame: Frame) -> Result<(Pending, bool), Ended> {
        if self.session.takes_raw() {
            return match self.session.step(self.kafka.secret.as_ref(), &frame.bytes) {
                Step::GoOn(bytes) | Step::Passed(bytes) => {
                    let mut answer = Answer::default();
                    answer.bytes(&bytes);
                    Ok((Pending::Ready(answer.into_bytes()), false))
                }
                Step::Refused(_) => Err(Ended::Stranger),
            };
        }
        let bytes = frame.bytes.clone();
        let mut fields = Fields::new(&bytes);
        let head = Head::read(&mut fields)?;
        let Head { key, version, correlation } = head;
        let api = ApiKey::of_key(key).ok_or(Ended::NotOffered { key, version })?;
        if api != ApiKey::ApiVersions && !api.takes(version) {
            return Err(Ended::NotOffered { key, version });
        }
        self.kafka.doors.metrics.kafka(api.name());
        let (answer, last) = match api {
            ApiKey::ApiVersions => (api_versions(version), false),
            ApiKey::SaslHandshake => (self.session.handshake(&mut fields, version == 0)?, false),
            ApiKey::SaslAuthenticate => {
                let step = self.session.step(self.kafka.secret.as_ref(), fields.bytes()?);
                (sasl::authenticated(&step, version), matches!(step, Step::Refused(_)))
            }
            _ if !self.session.is_open() => return Err(Ended::Stranger),
            _ => {
                let at = bytes.len() - fields.rest().len();
                let work = self.spawn(api, version, frame, at);
                return Ok((Pending::Running { correlation, work }, false));
            }
        };
        Ok((Pending::Ready(framed(correlation, answer)), last))
    }

    /// Works on a request whose fields begin at `at`.
    fn spawn(
        &mut self,
        api: ApiKey,
        version: i16,
        frame: Frame,
        at: usize,
    ) -> JoinHandle<Result<Reply, Ended>> {
        let (kafka, node) = (Arc::clone(&self.kafka), Arc::clone(&self.node));
        let body = frame.bytes.slice(at..);
        if api == ApiKey::Produce {
            let (over, next) = oneshot::channel();
            let before = self.produced.replace(next);
            let turn = Turn { before, over, sequences: Arc::clone(&self.sequences) };
            return tokio::spawn(async move {
                let _place = frame.place;
                produce::answer(&kafka, version, body, turn).await
            });
        }
        let waits = self.waits.clone();
        tokio::spawn(async move {
            let _place = frame.place;
            Ok(Reply::Answer(answer(&kafka, &node, &waits, api, version, &body).await?))
        })
    }
}

async fn answer(
    kafka: &Kafka,
    node: &Node,
    waits: &CancellationToken,
    api: ApiKey,
    version: i16,
    body: &[u8],
) -> Result<Answer, Ended> {
    let mut fields = Fields::new(body);
    let fields = &mut fields;
    Ok(match api {
        ApiKey::Metadata => metadata::answer(kafka, node, version, fields).await?,
        ApiKey::InitProducerId => produce::init_producer_id(fields)?,
        ApiKey::Fetch => fetch::answer(kafka, waits, version, fields).await?,
        ApiKey::ListOffsets => list_offsets::answer(kafka, version, fields).await?,
        ApiKey::FindCoordinator => metadata::find_coordinator(node, version, fields)?,
        ApiKey::JoinGroup => coordinator::join(kafka, waits, version, fields).await?,
        ApiKey::SyncGroup => coordinator::sync(kafka, waits, version, fields).await?,
        ApiKey::Heartbeat => coordinator::heartbeat(kafka, version, fields)?,
        ApiKey::LeaveGroup => coordinator::leave(kafka, version, fields)?,
        ApiKey::OffsetCommit => committed::commit(kafka, version, fields).await?,
        ApiKey::OffsetFetch => committed::fetch(kafka, version, fields).await?,
        ApiKey::Produce
        | ApiKey::ApiVersions
        | ApiKey::SaslHandshake
        | ApiKey::SaslAuthenticate => {
            return Err(Ended::NotOffered { key: api as i16, version });
        }
    })
}

fn within(length: i64, max: usize) -> Result<usize, Ended> {
    let fits = usize::try_from(length).ok().filter(|length| *length <= max);
    fits.ok_or(Ended::TooLarge { bytes: length, max })
}

/// `bytes`, and what is missing of so many. Memory follows what has come, not what was announced.
async fn body(
    requests: &mut (impl AsyncRead + Unpin),
    mut bytes: BytesMut,
    length: usize,
) -> io::Result<BytesMut> {
    while bytes.len() < length {
        let left = length - bytes.len();
        if requests.read_buf(&mut (&mut bytes).limit(left)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes)
}
