//! Connections of one address: one client must not take all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How often a full source is told to the operator, who may have forgotten a proxy.
const SELDOM: Duration = Duration::from_secs(60);

/// Counts the open connections of each source. There are no more sources than connections.
#[derive(Debug)]
pub(super) struct Sources {
    most: Option<usize>,
    open: Mutex<HashMap<IpAddr, usize>>,
    told: Mutex<Option<Instant>>,
}

/// One connection's place; `None` inside for who is not counted.
#[derive(Debug)]
pub(super) struct Place(Option<(Arc<Sources>, IpAddr)>);

/// What counts as one source: an address, and for IPv6 its network of 64 bits, all of which one
/// machine may use.
pub(in crate::http) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

// === impl Sources ===

impl Sources {
    pub(super) fn new(most: Option<usize>) -> Arc<Self> {
        Arc::new(Sources { most, open: Mutex::default(), told: Mutex::default() })
    }

    /// A place for a connection from `address`; none if its source has as many as it may have.
    /// Loopback is not counted: proxies beside us speak for many.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let Some(most) = self.most.filter(|_| !address.to_canonical().is_loopback()) else {
            return Some(Place(None));
        };
        let source = source(address);
        let mut open = self.open.lock();
        let count = open.entry(source).or_default();
        if *count >= most {
            drop(open);
            self.tell(source, most);
            return None;
        }
        *count += 1;
        Some(Place(Some((Arc::clone(self), source))))
    }

    fn tell(&self, source: IpAddr, most: usize) {
        let mut told = self.told.lock();
        if told.is_some_and(|told| told.elapsed() < SELDOM) {
            return;
        }
        *told = Some(Instant::now());
        tracing::warn!(
            %source, most,
            "a source has as many connections as one may have, and more are refused; if it is a \
             proxy, which speaks for many, raise --connections-per-source"
        );
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((sources, source)) = &self.0 else { return };
        let mut open = sources.open.lock();
        if let Some(count) = open.get_mut(source) {
            *count -= 1;
            if *count == 0 {
                open.remove(source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_gets_its_places_back_and_others_have_their_own() {
        let sources = Sources::new(Some(2));
        let first = sources.enter(ip("10.0.0.1")).unwrap();
        // The same machine over a listener for both families.
        let second = sources.enter(ip("::ffff:10.0.0.1")).unwrap();
        assert!(sources.enter(ip("10.0.0.1")).is_none());
        let other = sources.enter(ip("10.0.0.2")).unwrap();
        drop(first);
        let third = sources.enter(ip("10.0.0.1")).unwrap();
        drop((second, third, other));
        assert!(sources.open.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let sources = Sources::new(Some(1));
        let _first = sources.enter(ip("2001:db8:1:2::1")).unwrap();
        assert!(sources.enter(ip("2001:db8:1:2:ffff::9")).is_none());
        assert!(sources.enter(ip("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn loopback_and_no_limit_are_not_counted() {
        let sources = Sources::new(Some(0));
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(sources.enter(ip(own)).is_some(), "{own}");
        }
        let sources = Sources::new(None);
        assert!(sources.enter(ip("10.0.0.1")).is_some());
        assert!(sources.open.lock().is_empty());
    }
}
