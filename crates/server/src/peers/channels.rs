//! Connections to other members, one for each address, kept open.

use std::collections::HashMap;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::flight::MESSAGE_BYTES_MAX;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A connection on which nothing comes back for twice this long is given up, and all calls on it.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Opens connections to members and puts the token on calls.
#[derive(Debug)]
pub struct Channels {
    authorization: Option<MetadataValue<Ascii>>,
    open: Mutex<HashMap<String, Channel>>,
}

impl Channels {
    /// `token`: the one that all members ask for. A token that no header can carry is left out; the
    /// doors of this process refuse it with a message.
    pub fn new(token: Option<&str>) -> Self {
        let authorization = token.and_then(|token| format!("Bearer {token}").parse().ok());
        Self { authorization, open: Mutex::default() }
    }

    /// A client of the member whose gRPC door is at `address` (`host:port`). Connects at the first
    /// call, and again after a connection broke.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that is none.
    pub fn client(&self, address: &str) -> Result<FlightServiceClient<Channel>, Status> {
        Ok(FlightServiceClient::new(self.channel(address)?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// The connection itself.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that is none.
    pub fn channel(&self, address: &str) -> Result<Channel, Status> {
        let mut open = self.open.lock();
        if let Some(channel) = open.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|e| Status::invalid_argument(format!("{address} is no address: {e}")))?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let channel = endpoint.connect_lazy();
        open.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Closes the connection to a member that has left, once its calls have ended.
    pub fn forget(&self, address: &str) {
        self.open.lock().remove(address);
    }

    /// The header that carries the token.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_bytes(self.authorization.as_ref()?.as_bytes()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A call with the token on it.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert(AUTHORIZATION.as_str(), authorization.clone());
        }
        request
    }
}
