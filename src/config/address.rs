//! Where to listen.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address to listen on: `127.0.0.1:8080`, `[::]:8080`, `localhost:8080` or `:8080` (all
/// addresses). Names other than `localhost` are refused: what a name means can change under us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

// === impl Address ===

impl Address {
    /// Only programs on the same machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Address(address));
        }
        let expected = || "expected HOST:PORT with an IP address, localhost or no host".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        let host = match host {
            "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => return Err(expected()),
        };
        Ok(Address(SocketAddr::new(host, port)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_or_without_its_host() {
        for (text, written) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:0", "[::1]:0"),
            (":9090", "[::]:9090"),
            ("localhost:80", "127.0.0.1:80"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "8080", "example.com:80", "127.0.0.1", "127.0.0.1:99999", "::1:80"] {
            text.parse::<Address>().unwrap_err();
        }
    }

    #[test]
    fn loopback_is_seen_through_an_ipv4_address_in_ipv6_form() {
        assert!("[::ffff:127.0.0.1]:1".parse::<Address>().unwrap().is_loopback());
        assert!(!"[::]:1".parse::<Address>().unwrap().is_loopback());
        assert!(!"0.0.0.0:1".parse::<Address>().unwrap().is_loopback());
    }
}
