//! Bodies of requests that are questions: read whole, unpacked, bounded.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use loglake_model::Limits;
use loglake_receive::{BodyReader, Encoding};
use serde_json::Value;

use super::reply::Refused;
use crate::doors::OpenDoors;
use crate::failure::Failure;

/// A question may be this long, packed or not.
const BYTES_MAX: usize = 16 << 20;

/// The whole body of a request, as it was before it was compressed.
pub(super) struct WholeBody(pub(super) Bytes);

/// The same as JSON; `None` when there is none.
pub(super) struct JsonBody(pub(super) Option<Value>);

impl FromRequest<OpenDoors> for WholeBody {
    type Rejection = Refused;

    async fn from_request(request: Request, doors: &OpenDoors) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        Ok(Self(whole(doors, &parts.headers, body).await?))
    }
}

impl FromRequest<OpenDoors> for JsonBody {
    type Rejection = Refused;

    async fn from_request(request: Request, doors: &OpenDoors) -> Result<Self, Refused> {
        let WholeBody(bytes) = WholeBody::from_request(request, doors).await?;
        json(&bytes).map(Self)
    }
}

/// # Errors
/// 400 when it is not JSON.
pub(super) fn json(bytes: &[u8]) -> Result<Option<Value>, Refused> {
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map(Some).map_err(|error| {
        let reason = format!("the body is not JSON: {error}");
        Refused::new(StatusCode::BAD_REQUEST, "parsing_exception", reason)
    })
}

async fn whole(doors: &OpenDoors, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let read = tokio::time::timeout(doors.settings.idle_max, to_bytes(body, BYTES_MAX)).await;
    let bytes = read.map_err(|_| {
        Failure::invalid("the request did not arrive in time")
            .with_status(StatusCode::REQUEST_TIMEOUT)
    })?;
    let bytes = bytes.map_err(|error| {
        Failure::invalid(format!("a request of this kind has at most {BYTES_MAX} bytes: {error}"))
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    })?;
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str());
    match encoding.map(|value| value.ok().and_then(Encoding::of_header)) {
        None | Some(Some(Encoding::Identity)) => Ok(bytes),
        Some(Some(encoding)) => Ok(unpacked(encoding, &bytes)?.into()),
        Some(None) => Err(Failure::invalid("content-encoding is not gzip, zstd or identity")
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    }
}

fn unpacked(encoding: Encoding, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let limits = Limits {
        body_bytes_max: BYTES_MAX as u64,
        record_bytes_max: BYTES_MAX,
        ..Limits::default()
    };
    let mut reader = BodyReader::of_lines(encoding, &limits);
    reader.push(bytes);
    reader.finish();
    let mut unpacked = vec![];
    while let Some(block) =
        reader.next_block().map_err(|error| Failure::new(error.kind(), error.to_string()))?
    {
        unpacked.extend_from_slice(&block.bytes);
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_compressed_question_is_read_and_bounded() {
        let packed = |bytes: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        };
        let question = b"{\n\n\"size\": 1}";
        let read = unpacked(Encoding::Gzip, &packed(question)).unwrap();
        assert_eq!(json(&read).unwrap().unwrap()["size"], 1);
        assert!(unpacked(Encoding::Gzip, &packed(&vec![b' '; BYTES_MAX + 1])).is_err());
        assert!(json(b" \n").unwrap().is_none());
        assert!(json(b"{").is_err());
    }
}
