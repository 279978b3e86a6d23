//! Bearer tokens: read from a request, hashed for the caches, and never shown.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, header};
use rustls::crypto::hash::Hash;

/// Longest token, in bytes. Tokens of service accounts are near 1 KiB, those of identity providers
/// with many groups a few.
const LONGEST: usize = 16 * 1024;

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot get random bytes from the system")]
pub struct NoRandomness;

/// What stands for a token in caches and maps.
pub(super) type Digest = [u8; 32];

/// A token with its digest. Its `Debug` shows neither.
#[derive(Clone)]
pub(super) struct Bearer {
    token: Arc<str>,
    digest: Digest,
}

/// What is wrong with an `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// There is none.
    Absent,
    /// Another scheme than Bearer.
    Scheme,
    /// Sent more than once, or not a token.
    Malformed,
}

/// Hashes tokens under a key that lives as long as the process: a dump of the caches tells nobody
/// whether a token that they hold was seen.
#[derive(Clone)]
pub(super) struct Hasher {
    key: [u8; 32],
    hash: &'static dyn Hash,
}

// === impl Bearer ===

impl Bearer {
    /// Reads `Authorization: Bearer TOKEN`.
    pub(super) fn read(headers: &HeaderMap, hasher: &Hasher) -> Result<Self, Unreadable> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let value = given.next().ok_or(Unreadable::Absent)?;
        if given.next().is_some() {
            return Err(Unreadable::Malformed);
        }
        let value = value.to_str().map_err(|_| Unreadable::Malformed)?;
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unreadable::Scheme);
        }
        let token = token.trim();
        // RFC 6750's b64token; anything else is no token of anybody.
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.is_empty() || token.len() > LONGEST || !token.bytes().all(valid) {
            return Err(Unreadable::Malformed);
        }
        Ok(Bearer { token: token.into(), digest: hasher.digest(token) })
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

// === impl Hasher ===

impl Hasher {
    /// With a key from the system's randomness.
    pub(super) fn from_system() -> Result<Self, NoRandomness> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let mut key = [0; 32];
        provider.secure_random.fill(&mut key).map_err(|_| NoRandomness)?;
        // SHA-256 as the TLS provider brings it; no crate of its own for one hash.
        let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let hash = suite.tls13().ok_or(NoRandomness)?.common.hash_provider;
        Ok(Hasher { key, hash })
    }

    fn digest(&self, token: &str) -> Digest {
        let mut context = self.hash.start();
        context.update(&self.key);
        context.update(token.as_bytes());
        let mut digest = Digest::default();
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Bearer, Unreadable> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        Bearer::read(&headers, &Hasher::from_system().unwrap())
    }

    #[test]
    fn one_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        for value in ["Bearer abc.def-1", "bearer abc.def-1", "BEARER  abc.def-1 "] {
            assert_eq!(read(&[value]).unwrap().token(), "abc.def-1");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!(read(&[]).unwrap_err(), Unreadable::Absent);
        assert_eq!(read(&["Basic abc"]).unwrap_err(), Unreadable::Scheme);
        let long = format!("Bearer {}", "x".repeat(LONGEST + 1));
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer a\"b", &long] {
            assert_eq!(read(&[value]).unwrap_err(), Unreadable::Malformed, "{value:.20}");
        }
        assert_eq!(read(&["Bearer a", "Bearer b"]).unwrap_err(), Unreadable::Malformed);
    }

    #[test]
    fn a_digest_depends_on_the_token_and_on_the_key_and_is_never_shown() {
        let (one, two) = (Hasher::from_system().unwrap(), Hasher::from_system().unwrap());
        assert_eq!(one.digest("a"), one.digest("a"));
        assert_ne!(one.digest("a"), one.digest("b"));
        assert_ne!(one.digest("a"), two.digest("a"));
        let shown = format!("{:?}", read(&["Bearer s3cret"]).unwrap());
        assert_eq!(shown, "Bearer(…)");
    }
}
