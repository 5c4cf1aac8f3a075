//! Who may pass: the token as a password of PLAIN or SCRAM. Any user's name does.

use std::sync::OnceLock;

use super::protocol::Code;
use super::scram::{Exchange, Hash, Keys, Refused, random};
use super::wire::{Answer, Fields, Malformed};
use crate::auth::Token;

const MECHANISMS: [(&str, Mechanism); 3] = [
    ("PLAIN", Mechanism::Plain),
    ("SCRAM-SHA-256", Mechanism::Scram(Hash::Sha256)),
    ("SCRAM-SHA-512", Mechanism::Scram(Hash::Sha512)),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Scram(Hash),
}

/// The token as the mechanisms check it.
pub(super) struct Secret {
    token: Token,
    sha256: OnceLock<Keys>,
    sha512: OnceLock<Keys>,
}

impl Secret {
    pub(super) const fn new(token: Token) -> Self {
        Self { token, sha256: OnceLock::new(), sha512: OnceLock::new() }
    }

    fn keys(&self, hash: Hash) -> Result<&Keys, Refused> {
        let place = match hash {
            Hash::Sha256 => &self.sha256,
            Hash::Sha512 => &self.sha512,
        };
        let salt = random()?;
        Ok(place.get_or_init(|| Keys::new(hash, self.token.secret(), salt)))
    }
}

/// How far a connection is.
#[derive(Debug)]
pub(super) enum Session {
    /// Everything is answered.
    Open,
    /// Nothing was shown yet.
    Stranger,
    Chosen(Choice),
}

#[derive(Debug)]
pub(super) struct Choice {
    mechanism: Mechanism,
    exchange: Option<Exchange>,
    /// Tokens come as they are, not in SaslAuthenticate: what version 0 of SaslHandshake means.
    pub(super) raw: bool,
}

/// What is answered to a piece of an exchange.
pub(super) enum Step {
    GoOn(Vec<u8>),
    Passed(Vec<u8>),
    Refused(String),
}

impl Session {
    /// Of a connection to a door with this secret.
    pub(super) const fn new(secret: Option<&Secret>) -> Self {
        match secret {
            None => Self::Open,
            Some(_) => Self::Stranger,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Whether the next frame is a token as it is.
    pub(super) const fn takes_raw(&self) -> bool {
        matches!(self, Self::Chosen(choice) if choice.raw)
    }

    /// SaslHandshake: chooses a mechanism.
    pub(super) fn handshake(
        &mut self,
        fields: &mut Fields<'_>,
        raw: bool,
    ) -> Result<Answer, Malformed> {
        let name = fields.string()?;
        let mechanism = MECHANISMS.iter().find(|(known, _)| *known == name);
        let code = match mechanism {
            Some((_, mechanism)) => {
                let choice = Choice { mechanism: *mechanism, exchange: None, raw };
                *self = Self::Chosen(choice);
                Code::None
            }
            None => Code::UnsupportedSaslMechanism,
        };
        let mut answer = Answer::default();
        let names = MECHANISMS.iter().map(|(name, _)| name);
        answer.i16(code as i16).array(names, |answer, name| {
            answer.string(name);
        });
        Ok(answer)
    }

    /// Takes the client's next piece.
    pub(super) fn step(&mut self, secret: Option<&Secret>, piece: &[u8]) -> Step {
        let Self::Chosen(choice) = self else {
            return Step::Refused("choose a mechanism first".to_owned());
        };
        let step = choice.step(secret, piece).unwrap_or_else(|refused| {
            Step::Refused(format!("{refused}: send the token as the password"))
        });
        match &step {
            Step::GoOn(_) => {}
            Step::Passed(_) => *self = Self::Open,
            Step::Refused(_) => *self = Self::Stranger,
        }
        step
    }
}

impl Choice {
    fn step(&mut self, secret: Option<&Secret>, piece: &[u8]) -> Result<Step, Refused> {
        // Without a token whatever is shown will do, but SCRAM cannot be played without a secret.
        let Some(secret) = secret else {
            return match self.mechanism {
                Mechanism::Plain => Ok(Step::Passed(vec![])),
                Mechanism::Scram(_) => Err(Refused("no token is set here, use PLAIN or no SASL")),
            };
        };
        match (self.mechanism, &self.exchange) {
            (Mechanism::Plain, _) => match password(piece).is_some_and(|p| secret.token.is(p)) {
                true => Ok(Step::Passed(vec![])),
                false => Err(Refused("not the token")),
            },
            (Mechanism::Scram(hash), None) => {
                let (answer, exchange) = secret.keys(hash)?.begin(piece, random()?)?;
                self.exchange = Some(exchange);
                Ok(Step::GoOn(answer.into_bytes()))
            }
            (Mechanism::Scram(hash), Some(exchange)) => {
                let answer = secret.keys(hash)?.finish(exchange, piece)?;
                Ok(Step::Passed(answer.into_bytes()))
            }
        }
    }
}

/// Of `authorization \0 user \0 password` (RFC 4616).
fn password(piece: &[u8]) -> Option<&[u8]> {
    piece.splitn(3, |byte| *byte == 0).nth(2)
}

/// The answer to SaslAuthenticate.
pub(super) fn authenticated(step: &Step, version: i16) -> Answer {
    let mut answer = Answer::default();
    match step {
        Step::GoOn(bytes) | Step::Passed(bytes) => {
            answer.i16(Code::None as i16).nullable_string(None).bytes(bytes);
        }
        Step::Refused(why) => {
            answer.i16(Code::SaslAuthenticationFailed as i16).string(why).bytes(&[]);
        }
    }
    if version >= 1 {
        answer.i64(0); // the session does not end
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(mechanism: &str) -> Session {
        let mut session = Session::Stranger;
        let mut name = Answer::default();
        name.string(mechanism);
        session.handshake(&mut Fields::new(&name.into_bytes()), false).unwrap();
        session
    }

    #[test]
    fn the_token_passes_as_a_password_and_nothing_else_does() {
        let secret = Secret::new(Token::new("s3cret").unwrap());
        for (piece, passes) in [
            (&b"\0user\0s3cret"[..], true),
            (b"x\0\0s3cret", true),
            (b"\0user\0s3cre", false),
            (b"\0user\0s3cret\0", false),
            (b"s3cret", false),
            (b"", false),
        ] {
            let mut session = chosen("PLAIN");
            session.step(Some(&secret), piece);
            assert_eq!(session.is_open(), passes, "{piece:?}");
        }
    }

    #[test]
    fn without_a_mechanism_nobody_passes() {
        let secret = Secret::new(Token::new("s3cret").unwrap());
        for mut session in [Session::new(Some(&secret)), chosen("GSSAPI")] {
            let step = session.step(Some(&secret), b"\0user\0s3cret");
            assert!(matches!(step, Step::Refused(_)) && !session.is_open());
        }
    }

    #[test]
    fn scram_begins_with_a_salt() {
        let secret = Secret::new(Token::new("s3cret").unwrap());
        let mut session = chosen("SCRAM-SHA-512");
        let Step::GoOn(answer) = session.step(Some(&secret), b"n,,n=u,r=x") else {
            panic!("it goes on");
        };
        assert!(answer.starts_with(b"r=x"));
        assert!(matches!(session.step(Some(&secret), b"c=biws,r=x,p=AAAA"), Step::Refused(_)));
        assert!(!session.is_open());
    }
}
