//! The queriers of the cluster by membership, for queries that several of them work on.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::header::AUTHORIZATION;
use datafusion::error::{DataFusionError, Result};
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use loglake_coord::{Coordinator, Member, Role};
use loglake_query::Queriers;
use tokio::sync::watch;
use tonic::body::Body;
use tower::ServiceExt;
use url::Url;

use super::channels::Channels;

/// The members with the role `query`.
pub struct MemberQueriers {
    own: Url,
    members: watch::Receiver<Arc<Vec<Member>>>,
    channels: Arc<Channels>,
}

impl MemberQueriers {
    /// `own` is the gRPC address (`host:port`) under which this process is a member.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(
        own: &str,
        coordinator: &dyn Coordinator,
        channels: Arc<Channels>,
    ) -> Result<Self, url::ParseError> {
        Ok(Self { own: address(own)?, members: coordinator.members(), channels })
    }
}

fn address(grpc: &str) -> Result<Url, url::ParseError> {
    Url::parse(&format!("http://{grpc}"))
}

impl Queriers for MemberQueriers {
    fn own(&self) -> Url {
        self.own.clone()
    }

    fn live(&self) -> Vec<Url> {
        let members = Arc::clone(&self.members.borrow());
        let queriers = members.iter().filter(|member| member.roles.contains(&Role::Query));
        queriers.filter_map(|member| address(&member.grpc).ok()).collect()
    }

    fn channels(&self) -> Arc<dyn ChannelResolver + Send + Sync> {
        Arc::new(Connections(Arc::clone(&self.channels)))
    }
}

/// Connections to queriers: those to members, with the token on every call.
struct Connections(Arc<Channels>);

#[async_trait]
impl ChannelResolver for Connections {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        let address = url.authority();
        let channel =
            self.0.channel(address).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let token = self.0.authorization();
        let channel = channel.map_request(move |mut request: axum::http::Request<Body>| {
            if let Some(token) = &token {
                request.headers_mut().insert(AUTHORIZATION, token.clone());
            }
            request
        });
        Ok(create_worker_client(BoxCloneSyncChannel::new(channel)))
    }
}
