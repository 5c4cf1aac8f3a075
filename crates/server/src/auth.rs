//! Who may pass a front door: one shared token, in the forms that clients can send it.
//!
//! | `Authorization` | who sends it |
//! |---|---|
//! | `Bearer <token>` | curl, OTLP exporters, Flight SQL |
//! | `Basic base64(<any user>:<token>)` | Elasticsearch clients, JDBC, browsers |
//! | `ApiKey <token>` or `ApiKey base64(<any id>:<token>)` | Elasticsearch clients |

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;

/// The shared secret. Its text never shows in `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(Arc<str>);

/// A token that no client could send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token {0}")]
pub struct InvalidToken(&'static str);

impl Token {
    /// # Errors
    /// [`InvalidToken`] when it is empty or holds what a header cannot carry.
    pub(crate) fn new(token: &str) -> Result<Self, InvalidToken> {
        if token.is_empty() {
            return Err(InvalidToken("is empty"));
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidToken("holds something other than visible ASCII characters"));
        }
        Ok(Self(token.into()))
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Takes as long for a near miss as for a far one (of the same length).
    pub(crate) fn is(&self, offered: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(offered).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Whether a request with these headers may pass. Without a token everybody may.
pub(crate) fn allows(token: Option<&Token>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    headers.get(header::AUTHORIZATION).is_some_and(|value| matches(token, value.as_bytes()))
}

fn matches(token: &Token, authorization: &[u8]) -> bool {
    let Some(space) = authorization.iter().position(|b| *b == b' ') else { return false };
    let (scheme, credentials) = authorization.split_at(space);
    let credentials = credentials.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        token.is(credentials)
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        second_of_pair(credentials).is_some_and(|password| token.is(&password))
    } else if scheme.eq_ignore_ascii_case(b"apikey") {
        token.is(credentials) || second_of_pair(credentials).is_some_and(|key| token.is(&key))
    } else {
        false
    }
}

/// `b` of `base64("a:b")`.
fn second_of_pair(base64: &[u8]) -> Option<Vec<u8>> {
    let mut pair = BASE64_STANDARD.decode(base64).ok()?;
    let colon = pair.iter().position(|b| *b == b':')?;
    Some(pair.split_off(colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_passes_in_every_form_and_nothing_else_does() {
        let token = Token::new("s3:cret").unwrap();
        let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
        let api_key = |pair: &str| format!("ApiKey {}", BASE64_STANDARD.encode(pair));
        for (good, value) in [
            (true, "Bearer s3:cret".to_owned()),
            (true, "bearer  s3:cret".to_owned()),
            (true, basic("anyone:s3:cret")),
            (true, basic(":s3:cret")),
            (true, "ApiKey s3:cret".to_owned()),
            (true, api_key("id:s3:cret")),
            (false, "Bearer s3:cre".to_owned()),
            (false, "Bearer s3:crets".to_owned()),
            (false, "Bearer".to_owned()),
            (false, "Bearer ".to_owned()),
            (false, "s3:cret".to_owned()),
            (false, "Basic s3:cret".to_owned()),
            (false, basic("s3:cret:")),
            (false, api_key("s3:cret:id")),
            (false, "Digest s3:cret".to_owned()),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(allows(Some(&token), &headers), good, "{value}");
        }
        assert!(!allows(Some(&token), &HeaderMap::new()));
        assert!(allows(None, &HeaderMap::new()));
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        assert!(Token::new("").is_err());
        assert!(Token::new("a b").is_err());
        assert!(Token::new("ä").is_err());
        assert_eq!(format!("{:?}", Token::new("s3cret").unwrap()), "Token(…)");
    }
}
