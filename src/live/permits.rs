//! Who may have how many streams open: a bound in total, and one for each address prefix, so
//! that no single place takes every stream.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::limits::{WATCHERS_MAX, WATCHERS_ON_LOOPBACK_MAX, WATCHERS_PER_PREFIX_MAX};

/// How many streams may be open at once.
#[derive(Clone, Copy, Debug)]
pub struct PermitBounds {
    /// In total.
    pub total: usize,
    /// From one address of IPv4, or one /64 of IPv6.
    pub per_prefix: usize,
    /// From this machine.
    pub on_loopback: usize,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPermit {
    /// As many streams are open as may be in total.
    #[error("too many streams are open")]
    Total,
    /// As many streams are open from this prefix as may be.
    #[error("too many streams are open from this address")]
    Prefix,
}

/// Gives permits for open streams, and counts them. Clones count together.
#[derive(Clone)]
pub struct Permits(Arc<Shared>);

struct Shared {
    bounds: PermitBounds,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    /// None is 0, so there are never more than there are streams.
    by_prefix: HashMap<Prefix, usize>,
}

/// Whose streams are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    /// This machine, and whoever has no address.
    Here,
    V4([u8; 4]),
    V6([u16; 4]),
}

/// Leave to have one stream open. Dropping it gives it back.
pub struct Permit {
    shared: Arc<Shared>,
    prefix: Prefix,
}

impl Default for PermitBounds {
    fn default() -> Self {
        Self {
            total: WATCHERS_MAX,
            per_prefix: WATCHERS_PER_PREFIX_MAX,
            on_loopback: WATCHERS_ON_LOOPBACK_MAX,
        }
    }
}

// === impl Permits ===

impl Permits {
    /// With nothing open.
    pub fn new(bounds: PermitBounds) -> Self {
        let open = Mutex::default();
        Self(Arc::new(Shared { bounds, open }))
    }

    /// A permit for one more stream from this address. Never waits.
    pub fn take(&self, address: Option<IpAddr>) -> Result<Permit, NoPermit> {
        let prefix = Prefix::of(address);
        let bounds = self.0.bounds;
        let prefix_max = match prefix {
            Prefix::Here => bounds.on_loopback,
            Prefix::V4(_) | Prefix::V6(_) => bounds.per_prefix,
        };
        let mut open = self.0.open();
        if bounds.total <= open.total {
            return Err(NoPermit::Total);
        }
        let of_prefix = open.by_prefix.get(&prefix).copied().unwrap_or(0);
        if prefix_max <= of_prefix {
            return Err(NoPermit::Prefix);
        }
        open.by_prefix.insert(prefix, of_prefix + 1);
        open.total += 1;
        drop(open);
        let shared = Arc::clone(&self.0);
        Ok(Permit { shared, prefix })
    }

    /// Streams that are open.
    pub fn open(&self) -> usize {
        self.0.open().total
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        open.total -= 1;
        if let Some(of_prefix) = open.by_prefix.get_mut(&self.prefix) {
            *of_prefix -= 1;
            if *of_prefix == 0 {
                open.by_prefix.remove(&self.prefix);
            }
        }
    }
}

// === impl Prefix ===

impl Prefix {
    fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Here,
            Some(address) if address.is_loopback() => Self::Here,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [first, second, third, fourth, ..] = address.segments();
                Self::V6([first, second, third, fourth])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: PermitBounds = PermitBounds {
        total: 5,
        per_prefix: 2,
        on_loopback: 3,
    };

    fn take(permits: &Permits, address: &str) -> Result<Permit, NoPermit> {
        permits.take(Some(address.parse().expect("an address")))
    }

    #[test]
    fn one_prefix_cannot_take_every_stream() {
        let permits = Permits::new(BOUNDS);
        let check = |one: &str, same: &str, other: &str| {
            let _held = [take(&permits, one).ok(), take(&permits, same).ok()];
            assert_eq!(take(&permits, one).err(), Some(NoPermit::Prefix), "{one}");
            assert!(take(&permits, other).is_ok(), "{other}");
        };
        check("192.0.2.1", "192.0.2.1", "192.0.2.2");
        check("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.3");
        check("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1");
        assert_eq!(permits.open(), 0);
    }

    #[test]
    fn this_machine_has_a_bound_of_its_own_and_all_share_the_total() {
        let permits = Permits::new(BOUNDS);
        let mut held = Vec::new();
        for address in ["127.0.0.1", "::1", "127.9.9.9"] {
            held.push(take(&permits, address).expect("a permit"));
        }
        assert_eq!(permits.take(None).err(), Some(NoPermit::Prefix));
        held.push(take(&permits, "192.0.2.1").expect("a permit"));
        held.push(take(&permits, "192.0.2.2").expect("a permit"));
        assert_eq!(take(&permits, "192.0.2.3").err(), Some(NoPermit::Total));
        held.pop();
        assert!(take(&permits, "192.0.2.3").is_ok());
        drop(held);
        assert_eq!(permits.open(), 0);
        assert!(permits.0.open().by_prefix.is_empty());
    }
}
