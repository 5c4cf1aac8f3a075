//! SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677), the server's side. Pure but for the salt.
//!
//! loglake has the token itself, so the keys that SCRAM checks with are made from it at each start,
//! under a salt of that start; nothing of them is stored. The token never crosses the wire.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;

/// As many as Kafka asks for at least.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("it is not 0");
const NONCE_BYTES: usize = 24;

/// The hash that SCRAM uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// What a client is checked with.
#[derive(Clone)]
pub(super) struct Keys {
    hash: Hash,
    salt: [u8; 16],
    stored: Vec<u8>,
    server: Vec<u8>,
}

/// A client that may not pass, in SCRAM's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) &'static str);

/// The exchange after the server's first message.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    nonce: String,
    /// `client-first-message-bare,server-first-message`
    so_far: String,
}

/// Unguessable bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Refused> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Refused("no randomness"))?;
    Ok(bytes)
}

impl Keys {
    /// Takes a few milliseconds, by intent.
    pub(super) fn new(hash: Hash, secret: &str, salt: [u8; 16]) -> Self {
        let mut salted = vec![0; hash.digest().output_len()];
        pbkdf2::derive(hash.pbkdf2(), ITERATIONS, &salt, secret.as_bytes(), &mut salted);
        let salted = hmac::Key::new(hash.hmac(), &salted);
        let client = hmac::sign(&salted, b"Client Key");
        let stored = digest::digest(hash.digest(), client.as_ref()).as_ref().to_vec();
        let server = hmac::sign(&salted, b"Server Key").as_ref().to_vec();
        Self { hash, salt, stored, server }
    }

    /// Answers the client's first message: `n,,n=user,r=nonce`. Any user's name does.
    pub(super) fn begin(
        &self,
        first: &[u8],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<(String, Exchange), Refused> {
        let wrong = Refused("other-error");
        let first = str::from_utf8(first).map_err(|_| Refused("invalid-encoding"))?;
        let bare = match first.split_once(',').ok_or(wrong)? {
            ("n" | "y", rest) => rest.split_once(',').ok_or(wrong)?.1,
            _ => return Err(Refused("channel-binding-not-supported")),
        };
        let theirs = bare.split(',').find_map(|part| part.strip_prefix("r=")).ok_or(wrong)?;
        let nonce = format!("{theirs}{}", BASE64.encode(nonce));
        let answer = format!("r={nonce},s={},i={ITERATIONS}", BASE64.encode(self.salt));
        let so_far = format!("{bare},{answer}");
        Ok((answer, Exchange { nonce, so_far }))
    }

    /// Checks the client's final message, and answers it.
    pub(super) fn finish(&self, exchange: &Exchange, last: &[u8]) -> Result<String, Refused> {
        let wrong = Refused("other-error");
        let last = str::from_utf8(last).map_err(|_| Refused("invalid-encoding"))?;
        let (without_proof, proof) = last.rsplit_once(",p=").ok_or(wrong)?;
        let nonce = without_proof.split(',').find_map(|part| part.strip_prefix("r="));
        if nonce != Some(&exchange.nonce) {
            return Err(wrong);
        }
        let proof = BASE64.decode(proof).map_err(|_| Refused("invalid-encoding"))?;
        let message = format!("{},{without_proof}", exchange.so_far);
        let key = hmac::Key::new(self.hash.hmac(), &self.stored);
        let signature = hmac::sign(&key, message.as_bytes());
        let client: Vec<u8> = signature.as_ref().iter().zip(&proof).map(|(a, b)| a ^ b).collect();
        let offered = digest::digest(self.hash.digest(), &client);
        let same: bool = offered.as_ref().ct_eq(&self.stored).into();
        if !same || proof.len() != signature.as_ref().len() {
            return Err(Refused("invalid-proof"));
        }
        let key = hmac::Key::new(self.hash.hmac(), &self.server);
        Ok(format!("v={}", BASE64.encode(hmac::sign(&key, message.as_bytes()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_specification_passes() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let keys = Keys::new(Hash::Sha256, "pencil", salt);
        let first = "n=user,r=rOprNGfwEbeRWgbNEkqO";
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let exchange = Exchange {
            nonce: nonce.to_owned(),
            so_far: format!("{first},r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        };
        let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let answer = keys.finish(&exchange, last.as_bytes());
        assert_eq!(answer.as_deref(), Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        let changed = last.replace("p=d", "p=e");
        assert_eq!(keys.finish(&exchange, changed.as_bytes()), Err(Refused("invalid-proof")));
    }

    #[test]
    fn an_exchange_is_for_its_own_nonce() {
        let keys = Keys::new(Hash::Sha512, "secret", [1; 16]);
        let (answer, exchange) = keys.begin(b"n,,n=anyone,r=abc", [7; 24]).unwrap();
        assert!(answer.starts_with("r=abcBwcH") && answer.ends_with(",i=4096"), "{answer}");
        let other = "c=biws,r=abcdef,p=AAAA";
        assert!(keys.finish(&exchange, other.as_bytes()).is_err());
        for bad in ["", "n,,n=x", "p=tls-unique,,n=x,r=y", "x"] {
            assert!(keys.begin(bad.as_bytes(), [0; 24]).is_err(), "{bad}");
        }
        for bad in ["", "c=biws", "p=", "c=biws,r=,p=!"] {
            assert!(keys.finish(&exchange, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
