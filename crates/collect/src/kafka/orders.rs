//! What the client of librdkafka is told: what to fetch from where, when to hold back, and what the group
//! is to know; and how partitions are given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::consumer::Consumer;
use super::events::Key;
use crate::lane::Lane;

/// Bytes of fetched records that all lanes together may hold.
const BUFFER_BYTES: usize = 64 << 20;
/// Of one lane at least.
const LANE_BYTES_MIN: usize = 1 << 20;
/// How long one order to the client waits for further partitions to be acquired.
const ORDER_WAIT: Duration = Duration::from_secs(1);
/// How long tasks are waited for when partitions are given up: shorter than the group waits.
const SETTLE_WAIT: Duration = Duration::from_secs(60);
const GIVE_UP_WAIT: Duration = Duration::from_secs(60);

impl Consumer {
    /// Tells the client what to fetch from where, once what is wanted is acquired or has taken long.
    pub(super) fn give_order(&mut self) {
        let Some(since) = self.order else { return };
        let waits = self.lanes.values().any(|held| held.lane.is_acquiring());
        if waits && since.elapsed() < ORDER_WAIT {
            return;
        }
        self.order = None;
        let mut list = TopicPartitionList::new();
        for ((topic, partition), held) in self.lanes.iter().filter(|(_, h)| h.lane.is_held()) {
            let offset = Offset::Offset(held.lane.fetch().cast_signed());
            if let Err(e) = list.add_partition_offset(topic, *partition, offset) {
                tracing::warn!("{topic}/{partition} cannot be fetched: {e}");
            }
        }
        self.turn(self.keys(Lane::is_paused), false);
        if let Err(e) = self.client.assign(&list) {
            tracing::warn!("the client does not take its partitions: {e}");
            self.order = Some(Instant::now());
            return;
        }
        self.lanes.values_mut().for_each(|held| held.lane.fetching());
    }

    fn keys(&self, which: impl Fn(&Lane) -> bool) -> Vec<Key> {
        self.lanes
            .iter()
            .filter(|(_, held)| which(&held.lane))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Holds fetching back in lanes that hold enough, and lets it go on in those that have stored it.
    pub(super) fn hold_back(&mut self) {
        let bytes_max = (BUFFER_BYTES / self.lanes.len().max(1)).max(LANE_BYTES_MIN);
        let (mut pause, mut resume) = (vec![], vec![]);
        for (key, held) in &mut self.lanes {
            match held.lane.turn(bytes_max) {
                Some(true) => pause.push(key.clone()),
                Some(false) => resume.push(key.clone()),
                None => {}
            }
        }
        self.turn(pause, true);
        self.turn(resume, false);
    }

    fn turn(&self, keys: Vec<Key>, pause: bool) {
        if keys.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (topic, partition) in &keys {
            list.add_partition(topic, *partition);
        }
        let turned = match pause {
            true => self.client.pause(&list),
            false => self.client.resume(&list),
        };
        if let Err(e) = turned {
            tracing::warn!(pause, "fetching is not held back or let go on: {e}");
        }
    }

    /// Waits for what is under way, gives up what is held, and forgets all lanes.
    pub(super) fn give_up(&mut self) {
        let deadline = Instant::now() + SETTLE_WAIT;
        while !self.under_way.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.done.recv_timeout(left) {
                Ok(done) => self.done(done),
                Err(_) => break,
            }
        }
        self.commit(CommitMode::Sync);
        let lanes = std::mem::take(&mut self.lanes);
        let settled = lanes.into_iter().filter(|(key, held)| {
            held.lane.is_held() && !held.lane.is_in_flight() && !self.under_way.contains_key(key)
        });
        let held = settled.filter_map(|(_, held)| Some((held.tenure?, held.lane.next())));
        let given_up = join_all(held.map(|(tenure, next)| {
            let tenures = Arc::clone(&self.tenures);
            async move {
                if let Err(e) = tenures.give_up(&tenure, next).await {
                    tracing::warn!(queue = tenure.queue, "not given up: {e}");
                }
            }
        }));
        let bounded = async { timeout(GIVE_UP_WAIT, given_up).await };
        if Handle::current().block_on(bounded).is_err() {
            tracing::warn!("not all partitions are given up: others wait for them a little");
        }
        self.order = None;
    }

    /// Tells the group how far this is, for tools that show lag.
    pub(super) fn commit(&self, mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), held) in self.lanes.iter().filter(|(_, h)| h.lane.is_held()) {
            let offset = Offset::Offset(held.lane.next().cast_signed());
            let _ = list.add_partition_offset(topic, *partition, offset);
        }
        if list.count() > 0
            && let Err(e) = self.client.commit(&list, mode)
        {
            tracing::debug!("the group is not told of the offsets: {e}");
        }
    }
}
