//! When a segment is cut, when it is tried again, when its appends are answered, and when all is
//! over: the decisions of a writer as a state machine over plain data. No I/O, no clock.
//!
//! A number belongs to one content for good as soon as it *may* be in the store. Only when every
//! attempt so far definitely created nothing may the rows be given up and another content (an empty
//! segment) take the number. So an append that was refused as not stored never appears later.
//!
//! ```text
//!            append            cut                 created, all before delivered
//! caller ─────────────▶ waiting ─────▶ in flight ────────────────────────────────▶ delivered
//!                          │            │  ▲ in doubt: again, same content, as long as it takes
//!                          │            │  └─╴
//!                          │            ├─▶ taken by another ─▶ fenced: this and all later refused
//!                          ▼            ▼
//!                       refused ◀─ not stored for too long: rows refused, an empty segment probes
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use loglake_model::SegmentSeq;

#[cfg(test)]
mod tests;

pub(crate) type AppendId = u64;

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) linger: Duration,
    pub(crate) segment_bytes_max: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) queue_bytes_max: usize,
    /// How long a store may say "not stored" before the rows are given up.
    pub(crate) give_up_after: Duration,
}

/// What happened. Events of segments that are not in flight any more are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Append {
        id: AppendId,
        bytes: usize,
    },
    /// The time that [`GroupCommit::next_wake`] named has come.
    Tick,
    /// What the number holds is ours.
    Created(SegmentSeq),
    /// What the number holds is not ours.
    Taken(SegmentSeq),
    /// The attempt may have happened.
    InDoubt(SegmentSeq),
    /// The attempt definitely created nothing.
    NotStored(SegmentSeq, Arc<str>),
    /// The rows of this segment cannot be encoded; nothing was tried.
    Unencodable(SegmentSeq, Arc<str>),
    /// Nothing about the store's durability can be trusted any more.
    Broken(Arc<str>),
    Close,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Rows(Vec<AppendId>),
    /// A segment without rows.
    Empty,
    Seal,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Try to create this content at this number; it replaces what was tried there before.
    Create {
        seq: SegmentSeq,
        content: Content,
        delay: Duration,
    },
    /// Try to create the same bytes at the same number again.
    Again {
        seq: SegmentSeq,
        delay: Duration,
    },
    /// The segment is durable: hand it to the sink, then answer its appends.
    Deliver(SegmentSeq),
    Refuse {
        appends: Vec<AppendId>,
        why: Refusal,
    },
    /// Answer all who asked to close.
    Closed(Result<(), Refusal>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The rows may be in the log or not; this writer is over.
    Fenced(Arc<str>),
    /// Definitely not in the log.
    Overloaded { waiting_bytes: usize },
    /// Definitely not in the log.
    NotStored(Arc<str>),
    /// Definitely not in the log.
    Unencodable(Arc<str>),
}

#[derive(Debug)]
struct Waiting {
    id: AppendId,
    bytes: usize,
    since: Duration,
}

/// A number that was given to a content and whose outcome was not delivered yet.
#[derive(Debug)]
struct Flight {
    seq: SegmentSeq,
    content: Content,
    /// When its oldest row came; of a segment without rows, when it was begun.
    since: Duration,
    created: bool,
    /// Some attempt may have happened: the content can never be given up.
    in_doubt: bool,
    failures: u32,
    /// Since when the store says "not stored".
    not_stored_since: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Closing,
    Closed,
    Fenced(Arc<str>),
}

#[derive(Debug)]
pub(crate) struct GroupCommit {
    rules: Rules,
    mode: Mode,
    next: SegmentSeq,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// In sequence order, without a gap.
    flights: VecDeque<Flight>,
    /// Why the store took nothing, while an empty segment probes whether it does again.
    probing: Option<Arc<str>>,
}

impl GroupCommit {
    pub(crate) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            mode: Mode::Open,
            next: SegmentSeq(0),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            flights: VecDeque::new(),
            probing: None,
        }
    }

    /// Why nothing more is taken, once that is so.
    pub(crate) fn over(&self) -> Option<Arc<str>> {
        match &self.mode {
            Mode::Open => None,
            Mode::Closing | Mode::Closed => Some("it was closed".into()),
            Mode::Fenced(reason) => Some(Arc::clone(reason)),
        }
    }

    /// `now` is the time since any fixed moment; it never goes back.
    pub(crate) fn step(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        let mut effects = vec![];
        match event {
            Event::Append { id, bytes } => self.append(id, bytes, now, &mut effects),
            Event::Tick => {}
            Event::Created(seq) => {
                if let Some(flight) = self.flight(seq) {
                    flight.created = true;
                }
            }
            Event::Taken(seq) => self.taken(seq, &mut effects),
            Event::InDoubt(seq) => {
                if let Some(flight) = self.flight(seq) {
                    flight.in_doubt = true;
                    effects.push(flight.again());
                }
            }
            Event::NotStored(seq, reason) => self.not_stored(seq, &reason, now, &mut effects),
            Event::Unencodable(seq, reason) => {
                self.replace_rows(seq, Refusal::Unencodable(reason), &mut effects);
            }
            Event::Broken(reason) => self.fence(SegmentSeq(0), &reason, &mut effects),
            Event::Close => self.close(&mut effects),
        }
        self.deliver(&mut effects);
        self.cut(now, &mut effects);
        effects
    }

    /// When to send a [`Event::Tick`] if nothing else happens before.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        let oldest = self.waiting.front()?;
        self.has_room().then_some(oldest.since + self.rules.linger)
    }

    /// When the oldest append came that is not answered yet.
    pub(crate) fn waiting_since(&self) -> Option<Duration> {
        let in_flight = self.flights.front().map(|flight| flight.since);
        in_flight.or_else(|| self.waiting.front().map(|waiting| waiting.since))
    }

    fn flight(&mut self, seq: SegmentSeq) -> Option<&mut Flight> {
        self.flights.iter_mut().find(|flight| flight.seq == seq && !flight.created)
    }

    fn append(&mut self, id: AppendId, bytes: usize, now: Duration, effects: &mut Vec<Effect>) {
        let why = if let Some(reason) = self.over() {
            Refusal::Fenced(reason)
        } else if let Some(reason) = &self.probing {
            Refusal::NotStored(Arc::clone(reason))
        } else if !self.waiting.is_empty()
            && self.waiting_bytes.saturating_add(bytes) > self.rules.queue_bytes_max
        {
            Refusal::Overloaded { waiting_bytes: self.waiting_bytes }
        } else {
            self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
            self.waiting.push_back(Waiting { id, bytes, since: now });
            return;
        };
        effects.push(Effect::Refuse { appends: vec![id], why });
    }

    fn not_stored(
        &mut self,
        seq: SegmentSeq,
        reason: &Arc<str>,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let give_up_after = self.rules.give_up_after;
        let closing = self.mode == Mode::Closing;
        let Some(flight) = self.flight(seq) else {
            return;
        };
        let since = *flight.not_stored_since.get_or_insert(now);
        let patient = flight.in_doubt || now < since + give_up_after;
        let rows = matches!(flight.content, Content::Rows(_));
        if patient || (!rows && !closing) {
            effects.push(flight.again());
            return;
        }
        if closing {
            // The process is about to end; recovery will seal this log.
            self.fence(seq, reason, effects);
            return;
        }
        let why = Refusal::NotStored(Arc::clone(reason));
        self.probing = Some(Arc::clone(reason));
        self.replace_rows(seq, why.clone(), effects);
        self.refuse_waiting(&why, effects);
    }

    /// Gives up rows of which no attempt can have happened. Their number holds an empty segment
    /// instead: later numbers may be on their way already, and it tells when the store is back.
    fn replace_rows(&mut self, seq: SegmentSeq, why: Refusal, effects: &mut Vec<Effect>) {
        let Some(flight) = self.flight(seq) else {
            return;
        };
        let Content::Rows(appends) = std::mem::replace(&mut flight.content, Content::Empty) else {
            return;
        };
        let delay = back_off(flight.failures);
        effects.push(Effect::Refuse { appends, why });
        effects.push(Effect::Create { seq, content: Content::Empty, delay });
    }

    fn refuse_waiting(&mut self, why: &Refusal, effects: &mut Vec<Effect>) {
        self.waiting_bytes = 0;
        let appends: Vec<AppendId> = self.waiting.drain(..).map(|waiting| waiting.id).collect();
        if !appends.is_empty() {
            effects.push(Effect::Refuse { appends, why: why.clone() });
        }
    }

    fn taken(&mut self, seq: SegmentSeq, effects: &mut Vec<Effect>) {
        if self.flight(seq).is_some() {
            let reason = format!("number {seq} of its log was taken by another process");
            self.fence(seq, &reason.into(), effects);
        }
    }

    /// Nothing at or after `from` is acknowledged. Earlier numbers stay in flight: they may be in
    /// the store, valid, and then their appends are acknowledged rightly.
    fn fence(&mut self, from: SegmentSeq, reason: &Arc<str>, effects: &mut Vec<Effect>) {
        let why = Refusal::Fenced(Arc::clone(reason));
        while self.flights.back().is_some_and(|flight| flight.seq >= from) {
            if let Some(Flight { content: Content::Rows(appends), .. }) = self.flights.pop_back() {
                effects.push(Effect::Refuse { appends, why: why.clone() });
            }
        }
        self.refuse_waiting(&why, effects);
        if self.mode == Mode::Closing {
            effects.push(Effect::Closed(Err(why)));
        }
        if !matches!(self.mode, Mode::Fenced(_)) {
            self.mode = Mode::Fenced(Arc::clone(reason));
        }
    }

    fn close(&mut self, effects: &mut Vec<Effect>) {
        match &self.mode {
            Mode::Open => self.mode = Mode::Closing,
            Mode::Closing => {}
            Mode::Closed => effects.push(Effect::Closed(Ok(()))),
            Mode::Fenced(reason) => {
                effects.push(Effect::Closed(Err(Refusal::Fenced(Arc::clone(reason)))));
            }
        }
    }

    fn deliver(&mut self, effects: &mut Vec<Effect>) {
        while self.flights.front().is_some_and(|flight| flight.created) {
            let Some(flight) = self.flights.pop_front() else {
                return;
            };
            if flight.content == Content::Seal {
                self.mode = Mode::Closed;
                effects.push(Effect::Closed(Ok(())));
            } else {
                effects.push(Effect::Deliver(flight.seq));
            }
        }
        if !self.flights.iter().any(|flight| flight.content == Content::Empty) {
            self.probing = None;
        }
    }

    fn has_room(&self) -> bool {
        matches!(self.mode, Mode::Open | Mode::Closing)
            && self.probing.is_none()
            && self.flights.len() < self.rules.in_flight_max.max(1)
    }

    fn cut(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        while self.has_room() && self.is_due(now) {
            let since = self.waiting.front().map_or(now, |oldest| oldest.since);
            let mut appends = vec![];
            let mut bytes = 0;
            while let Some(next) = self.waiting.front() {
                let over = bytes + next.bytes > self.rules.segment_bytes_max;
                if over && !appends.is_empty() {
                    break;
                }
                bytes += next.bytes;
                appends.push(next.id);
                self.waiting.pop_front();
            }
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            self.launch(Content::Rows(appends), since, effects);
        }
        if self.mode == Mode::Closing && self.flights.is_empty() && self.waiting.is_empty() {
            self.launch(Content::Seal, now, effects);
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        self.waiting.front().is_some_and(|oldest| {
            self.flights.is_empty()
                || self.mode == Mode::Closing
                || self.waiting_bytes >= self.rules.segment_bytes_max
                || now >= oldest.since + self.rules.linger
        })
    }

    fn launch(&mut self, content: Content, since: Duration, effects: &mut Vec<Effect>) {
        let seq = self.next;
        self.next = seq.next();
        effects.push(Effect::Create { seq, content: content.clone(), delay: Duration::ZERO });
        self.flights.push_back(Flight {
            seq,
            content,
            since,
            created: false,
            in_doubt: false,
            failures: 0,
            not_stored_since: None,
        });
    }
}

impl Flight {
    fn again(&mut self) -> Effect {
        let delay = back_off(self.failures);
        self.failures = self.failures.saturating_add(1);
        Effect::Again { seq: self.seq, delay }
    }
}

/// 50 ms, doubled with each failure, at most 1 s: senders wait for the number, and a store that is
/// back should be noticed soon.
fn back_off(failures: u32) -> Duration {
    Duration::from_millis(50 << failures.min(5)).min(Duration::from_secs(1))
}
