//! `Idempotency-Key`: a request that its sender may repeat (the IETF's draft
//! *The Idempotency-Key HTTP Header Field*). Its body is read to the end before anything of it is
//! stored, and then all of it is, in one segment, or nothing.

use axum::http::{HeaderMap, StatusCode};
use futures::{Stream, StreamExt};
use loglake_ingest::RequestKey;
use loglake_model::TenantName;
use loglake_receive::Block;

use crate::failure::Failure;

pub(crate) const HEADER: &str = "idempotency-key";
/// Characters of a key.
const KEY_CHARS_MAX: usize = 255;
/// Bytes of a body with a key, unpacked: it is held in memory, and becomes one segment.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The name that the sender gave to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// # Errors
    /// 400 for a key that is empty, longer than 255 characters or not visible ASCII.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        let Some(value) = headers.get(HEADER) else { return Ok(None) };
        match value.to_str() {
            Ok(key) if (1..=KEY_CHARS_MAX).contains(&key.len()) => Ok(Some(Self(key.to_owned()))),
            _ => {
                let problem =
                    format!("an {HEADER} has 1 to {KEY_CHARS_MAX} visible ASCII characters");
                Err(Failure::invalid(problem))
            }
        }
    }

    /// The key with what tells its request from others: where it goes and its body.
    pub(crate) fn request<'a>(
        &self,
        tenant: &TenantName,
        target: &'a str,
        body: impl IntoIterator<Item = &'a [u8]>,
    ) -> RequestKey {
        let target = [target.as_bytes(), b"\0"].into_iter();
        RequestKey::new(tenant, &self.0, target.chain(body))
    }
}

/// The whole body.
///
/// # Errors
/// What reading it met, and 413 past the limit.
pub(crate) async fn whole(
    mut blocks: impl Stream<Item = Result<Block, Failure>> + Unpin,
) -> Result<Vec<Block>, Failure> {
    let (mut whole, mut bytes) = (vec![], 0);
    while let Some(block) = blocks.next().await {
        let block = block?;
        bytes += block.bytes.len();
        check_bytes(bytes)?;
        whole.push(block);
    }
    Ok(whole)
}

/// # Errors
/// 413 past the limit.
pub(crate) fn check_bytes(bytes: usize) -> Result<(), Failure> {
    if bytes <= BODY_BYTES_MAX {
        return Ok(());
    }
    let problem = format!(
        "a body with an {HEADER} has at most {BODY_BYTES_MAX} bytes, unpacked: send it in parts, each with a key"
    );
    Err(Failure::invalid(problem).with_status(StatusCode::PAYLOAD_TOO_LARGE))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn block(bytes: usize) -> Result<Block, Failure> {
        Ok(Block { bytes: vec![b'x'; bytes].into(), first_line: 1, rejections: vec![] })
    }

    async fn read(blocks: Vec<Result<Block, Failure>>) -> Result<Vec<Block>, Failure> {
        whole(stream::iter(blocks)).await
    }

    #[test]
    fn a_key_is_short_and_visible() {
        let of = |key: &[u8]| {
            let value = axum::http::HeaderValue::from_bytes(key).unwrap();
            Key::of(&HeaderMap::from_iter([(HEADER.parse().unwrap(), value)]))
        };
        assert_eq!(of(b"\"8e03\"").unwrap(), Some(Key("\"8e03\"".to_owned())));
        assert_eq!(Key::of(&HeaderMap::new()).unwrap(), None);
        assert!(of(&[b'x'; 255]).is_ok());
        for bad in [b"".as_slice(), &[b'x'; 256], "ä".as_bytes()] {
            assert_eq!(of(bad).unwrap_err().status(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn requests_differ_by_tenant_key_target_and_body() {
        let (one, two) = (Key("1".to_owned()), Key("2".to_owned()));
        let tenant = TenantName::unnamed();
        let body = [b"body".as_slice()];
        let first = one.request(&tenant, "a", body);
        assert_eq!(first, one.request(&tenant, "a", [b"bo".as_slice(), b"dy"]));
        assert_ne!(first.id(), two.request(&tenant, "a", body).id());
        assert_ne!(first, one.request(&tenant, "b", body));
        assert_ne!(first, one.request(&tenant, "a", [b"another".as_slice()]));
        let another = TenantName::new("another").unwrap();
        assert_ne!(first.id(), one.request(&another, "a", body).id());
    }

    #[tokio::test]
    async fn a_body_is_bounded() {
        let half = BODY_BYTES_MAX / 2;
        assert_eq!(read(vec![block(half), block(half)]).await.unwrap().len(), 2);
        let failure = read(vec![block(half), block(half), block(1)]).await.unwrap_err();
        assert_eq!(failure.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
