//! The command line's way to a running lake: its HTTP API.

mod answer;
mod error;
mod retry;
#[cfg(test)]
mod tests;
mod upload;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;

pub(crate) use answer::Answer;
pub(crate) use error::{ClientError, Refusal};
pub(crate) use upload::{Body, Encoding, Outcome, Sent, Uploader};

use retry::{Backoff, Fault};

const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// Where the lake is and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The lake's HTTP address
    #[arg(long, env = "LOGLAKE_URL", default_value = "http://127.0.0.1:9400", value_name = "URL")]
    pub(crate) url: String,
    /// The token that the lake asks for, if it does
    #[arg(long, env = "LOGLAKE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
}

/// A connection to one lake; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: reqwest::Url,
    token: Option<String>,
}

/// What the lake says of an ingest request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Ingested {
    pub(crate) stored: u64,
    pub(crate) rejected: u64,
    /// Lines of the body, from 1. May be fewer than `rejected`.
    #[serde(default)]
    pub(crate) errors: Vec<RejectedLines>,
    /// Whether the request was sent once more after one whose outcome never became known: then
    /// its records may be in the lake twice.
    #[serde(skip)]
    pub(crate) maybe_doubled: bool,
}

/// Lines of one body that were refused for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct RejectedLines {
    pub(crate) line: u64,
    pub(crate) last_line: Option<u64>,
    pub(crate) reason: String,
}

impl Client {
    /// # Errors
    /// [`ClientError::Url`] when the address is none.
    pub(crate) fn new(args: &ServerArgs) -> Result<Self, ClientError> {
        let url = |problem: String| ClientError::Url { url: args.url.clone(), problem };
        let base = reqwest::Url::parse(&args.url).map_err(|e| url(e.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(url("the scheme is neither http nor https".into()));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .build()
            .map_err(ClientError::Connection)?;
        Ok(Self { http, base, token: args.token.clone() })
    }

    /// Whether the lake is on this machine, so that compressing what goes there is for nothing.
    pub(crate) fn is_local(&self) -> bool {
        match self.base.host_str() {
            Some(host) => {
                host == "localhost"
                    || host.starts_with("127.")
                    || host.trim_matches(['[', ']']) == "::1"
            }
            None => false,
        }
    }

    pub(crate) fn url(&self) -> &reqwest::Url {
        &self.base
    }

    /// Sends NDJSON until the lake has answered for it. At back-pressure (429, 503) and while
    /// nobody listens the same bytes are sent again, see [`Backoff`].
    ///
    /// # Errors
    /// [`ClientError`] when the request is refused as a whole or the lake stays away too long.
    pub(crate) async fn ingest(
        &self,
        table: &str,
        body: &Bytes,
        encoding: Encoding,
    ) -> Result<Ingested, ClientError> {
        let mut backoff = Backoff::default();
        let mut maybe_doubled = false;
        loop {
            let fault = match self.ingest_once(table, body.clone(), encoding).await {
                Ok(ingested) => {
                    return Ok(Ingested { maybe_doubled, ..ingested });
                }
                Err(fault) => fault,
            };
            let Some(wait) = backoff.next(&fault) else {
                return Err(fault.into_error());
            };
            maybe_doubled |= matches!(fault, Fault::Unknown(_));
            tokio::time::sleep(wait).await;
        }
    }

    async fn ingest_once(
        &self,
        table: &str,
        body: Bytes,
        encoding: Encoding,
    ) -> Result<Ingested, Fault> {
        let mut request = self
            .post(&["api", "v1", "ingest", table])
            .map_err(Fault::Final)?
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(body);
        if encoding == Encoding::Zstd {
            request = request.header(CONTENT_ENCODING, "zstd");
        }
        let response = request.send().await.map_err(Fault::of_connection)?;
        let status = response.status();
        let retry_after = retry_after(&response);
        // An answer that is cut may have been to a request that was done.
        let text = response.text().await.map_err(|e| Fault::Unknown(ClientError::Connection(e)))?;
        if matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST)
            && let Ok(ingested) = serde_json::from_str(&text)
        {
            return Ok(ingested);
        }
        Err(Fault::of_status(status, retry_after, Refusal::of_answer(status, &text)))
    }

    /// Starts a query.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the place of the mistake in the SQL, or a failed connection.
    pub(crate) async fn query(&self, sql: &str) -> Result<Answer, ClientError> {
        let request = self
            .post(&["api", "v1", "sql"])?
            .header(ACCEPT, ARROW_STREAM)
            .json(&serde_json::json!({ "sql": sql }));
        let response =
            refused_unless_ok(request.send().await.map_err(ClientError::Connection)?).await?;
        Answer::start(response).await
    }

    fn post(&self, path: &[&str]) -> Result<RequestBuilder, ClientError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ClientError::Url {
                url: self.base.to_string(),
                problem: "it has no path".into(),
            })?
            .pop_if_empty()
            .extend(path);
        let request = self.http.post(url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }
}

async fn refused_unless_ok(response: Response) -> Result<Response, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.map_err(ClientError::Connection)?;
    Err(ClientError::Refused(Refusal::of_answer(status, &text)))
}

/// Seconds of `Retry-After`; its other form, a date, is not used by the lake.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
