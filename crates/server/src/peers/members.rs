//! The other ingesters by membership: a standing call to each tells how it is, rows go to it by
//! `DoPut`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::{Action, FlightData, FlightDescriptor};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use loglake_coord::{Coordinator, Member, Role};
use loglake_ingest::{Forward, ForwardError, KeyFate, Peer, Peers};
use loglake_model::WriterId;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::channels::Channels;
use super::wire::{
    ForwardAnswer, ForwardCommand, KEY_FATE_ACTION, KeyAnswer, KeyQuestion, STANDING_ACTION,
    StandingMessage, from_json, to_json,
};

/// Rest before a member that does not answer is called again.
const CALL_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The other ingesters of the cluster, as the membership lists them.
pub struct MemberPeers {
    channels: Arc<Channels>,
    heard: Arc<Heard>,
    following: JoinHandle<()>,
}

/// By member: its address and what it said last, while the call to it stands.
type Heard = RwLock<BTreeMap<String, (String, Peer)>>;

impl MemberPeers {
    /// Follows the members but the one with this id, until dropped.
    pub fn follow(coordinator: &dyn Coordinator, own: String, channels: Arc<Channels>) -> Self {
        let heard = Arc::new(Heard::default());
        let (members, calls) = (coordinator.members(), Calls::default());
        let following = follow(members, own, Arc::clone(&channels), Arc::clone(&heard), calls);
        Self { channels, heard, following: tokio::spawn(following) }
    }

    fn address(&self, writer: WriterId) -> Option<String> {
        let heard = self.heard.read();
        let mut known = heard.values().filter(|(_, peer)| peer.standing.writer == writer);
        known.next().map(|(address, _)| address.clone())
    }
}

impl Drop for MemberPeers {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// The standing calls, by member and address.
#[derive(Default)]
struct Calls(BTreeMap<(String, String), JoinHandle<()>>);

impl Drop for Calls {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

async fn follow(
    mut members: watch::Receiver<Arc<Vec<Member>>>,
    own: String,
    channels: Arc<Channels>,
    heard: Arc<Heard>,
    mut calls: Calls,
) {
    loop {
        let others = others(&members.borrow_and_update(), &own);
        calls.0.retain(|(id, address), call| {
            let stays = others.contains(&(id.clone(), address.clone()));
            if !stays {
                call.abort();
                heard.write().remove(id);
                channels.forget(address);
            }
            stays
        });
        for (id, address) in others {
            let (channels, heard) = (Arc::clone(&channels), Arc::clone(&heard));
            calls.0.entry((id.clone(), address.clone())).or_insert_with(|| {
                tokio::spawn(async move { keep_calling(&channels, &heard, id, address).await })
            });
        }
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// Ids and addresses of the ingesters but this one.
fn others(members: &[Member], own: &str) -> Vec<(String, String)> {
    members
        .iter()
        .filter(|member| member.id != own && member.roles.contains(&Role::Ingest))
        .map(|member| (member.id.clone(), member.grpc.clone()))
        .collect()
}

async fn keep_calling(channels: &Channels, heard: &Heard, id: String, address: String) {
    loop {
        let ended = listen(channels, heard, &id, &address).await;
        heard.write().remove(&id);
        match ended {
            Ok(()) => tracing::debug!(address, "an ingester hung up"),
            Err(status) => tracing::debug!(address, "an ingester does not answer: {status}"),
        }
        tokio::time::sleep(CALL_AGAIN_AFTER).await;
    }
}

async fn listen(channels: &Channels, heard: &Heard, id: &str, address: &str) -> Result<(), Status> {
    let action = Action { r#type: STANDING_ACTION.to_owned(), body: Default::default() };
    let mut client = channels.client(address)?;
    let mut words = client.do_action(channels.request(action)).await?.into_inner();
    while let Some(word) = words.message().await? {
        let standing = from_json::<StandingMessage>(&word.body)?.into();
        let peer = Peer { standing, heard: Instant::now() };
        heard.write().insert(id.to_owned(), (address.to_owned(), peer));
    }
    Ok(())
}

#[async_trait]
impl Peers for MemberPeers {
    fn peers(&self) -> Vec<Peer> {
        self.heard.read().values().map(|(_, peer)| *peer).collect()
    }

    async fn forward(&self, forward: Forward) -> Result<(), ForwardError> {
        let Some(address) = self.address(forward.writer) else {
            return Err(ForwardError::NotTaken(format!("{} is not known", forward.writer)));
        };
        match send(&self.channels, &address, forward).await {
            Ok(ForwardAnswer::Taken) => Ok(()),
            Ok(ForwardAnswer::NotTaken(reason)) => Err(ForwardError::NotTaken(reason)),
            Ok(ForwardAnswer::Unknown(reason)) => Err(ForwardError::Unknown(reason)),
            Err(status) if says_no(&status) => Err(ForwardError::NotTaken(status.to_string())),
            Err(status) => Err(ForwardError::Unknown(status.to_string())),
        }
    }

    async fn key_fate(&self, writer: WriterId, key: &str) -> Option<KeyFate> {
        let question = KeyQuestion { writer, key: key.to_owned() };
        let asked = async {
            let address = self.address(writer).ok_or_else(|| Status::not_found("not known"))?;
            let action = Action { r#type: KEY_FATE_ACTION.to_owned(), body: to_json(&question)? };
            let mut client = self.channels.client(&address)?;
            let mut answers = client.do_action(self.channels.request(action)).await?.into_inner();
            let answer = answers.message().await?;
            from_json::<KeyAnswer>(&answer.ok_or_else(|| Status::aborted("no answer"))?.body)
        };
        match asked.await {
            Ok(answer) => answer.into(),
            Err(status) => {
                tracing::debug!(%writer, key, "its fate is not known to the writer: {status}");
                None
            }
        }
    }
}

/// Answers that the door gives before it takes anything.
fn says_no(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::ResourceExhausted
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::InvalidArgument
    )
}

async fn send(
    channels: &Channels,
    address: &str,
    forward: Forward,
) -> Result<ForwardAnswer, Status> {
    let Forward { batch, writer, tenant, name, table, rows } = forward;
    let command = ForwardCommand { batch, writer, tenant, name, table }.encode();
    let command =
        command.map_err(|e| Status::invalid_argument(format!("cannot be encoded: {e}")))?;
    let messages = FlightDataEncoderBuilder::new()
        .with_schema(rows.schema())
        .with_dictionary_handling(DictionaryHandling::Resend)
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
        .build(stream::iter([Ok(rows)]));
    // Encoded before the call: nothing that could go wrong with the rows is left for later, and
    // what is cut off in the middle is never taken.
    let messages: Vec<Result<FlightData, _>> = messages.collect().await;
    let messages: Vec<FlightData> = messages
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|e| Status::invalid_argument(format!("rows cannot be encoded: {e}")))?;
    let mut client = channels.client(address)?;
    let mut answers = client.do_put(channels.request(stream::iter(messages))).await?.into_inner();
    let answer = answers.message().await?.ok_or_else(|| Status::aborted("no answer came"))?;
    from_json(&answer.app_metadata)
}
