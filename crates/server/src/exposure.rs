//! No door stands open to the network by accident.

use std::net::{IpAddr, SocketAddr};

/// A door that others could reach, without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached from other machines and no token is set: set one \
     (LOGLAKE_TOKEN=…, or `token` in the configuration), or listen on 127.0.0.1"
)]
pub struct Exposed {
    pub address: SocketAddr,
}

/// Refuses addresses other than loopback ones when there is no token.
///
/// # Errors
/// [`Exposed`] with the first address that may not be bound.
pub fn check_exposure(addresses: &[SocketAddr], token: Option<&str>) -> Result<(), Exposed> {
    let exposed = |address: &&SocketAddr| !is_loopback(address.ip());
    match addresses.iter().find(exposed) {
        Some(&address) if token.is_none() => Err(Exposed { address }),
        _ => Ok(()),
    }
}

/// `::ffff:127.0.0.1` is as much this machine as `127.0.0.1`.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open_without_a_token() {
        for (address, needs_token) in [
            ("127.0.0.1:1", false),
            ("127.8.8.8:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
            ("[::ffff:10.0.0.1]:1", true),
        ] {
            let local: SocketAddr = "127.0.0.1:9".parse().unwrap();
            let addresses = [local, address.parse().unwrap()];
            assert_eq!(check_exposure(&addresses, None).is_err(), needs_token, "{address}");
            assert_eq!(check_exposure(&addresses, Some("secret")), Ok(()), "{address}");
        }
    }

    #[test]
    fn the_refusal_says_how_to_set_a_token() {
        let refused = check_exposure(&["0.0.0.0:4318".parse().unwrap()], None).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("0.0.0.0:4318") && message.contains("LOGLAKE_TOKEN"), "{message}");
    }
}
