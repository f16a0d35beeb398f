//! Who may have how many streams open: a bound in total, one for each token, and one for each
//! address prefix, so that nobody and no single place takes every stream.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::limits::{
    WATCHERS_MAX, WATCHERS_ON_LOOPBACK_MAX, WATCHERS_PER_PREFIX_MAX, WATCHERS_PER_TOKEN_MAX,
};

/// How many streams may be open at once.
#[derive(Clone, Copy, Debug)]
pub struct PermitBounds {
    /// In total.
    pub total: usize,
    /// With one token.
    pub per_token: usize,
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
    /// As many streams are open with this token as may be.
    #[error("too many streams are open with this token")]
    Token,
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
    /// None is 0, here and below, so there are never more than there are streams.
    by_token: HashMap<u32, usize>,
    by_prefix: HashMap<Prefix, usize>,
}

/// Who wants a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The number of the token; `None` for who has none.
    pub token: Option<u32>,
    /// From where; `None` for this machine.
    pub address: Option<IpAddr>,
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
    token: Option<u32>,
    prefix: Prefix,
}

impl Default for PermitBounds {
    fn default() -> Self {
        Self {
            total: WATCHERS_MAX,
            per_token: WATCHERS_PER_TOKEN_MAX,
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

    /// A permit for one more stream of this holder. Never waits.
    pub fn take(&self, holder: Holder) -> Result<Permit, NoPermit> {
        let token = holder.token;
        let prefix = Prefix::of(holder.address);
        let bounds = self.0.bounds;
        let prefix_max = match prefix {
            Prefix::Here => bounds.on_loopback,
            Prefix::V4(_) | Prefix::V6(_) => bounds.per_prefix,
        };
        let mut open = self.0.open();
        if bounds.total <= open.total {
            return Err(NoPermit::Total);
        }
        let of_token = token.and_then(|token| open.by_token.get(&token).copied());
        if bounds.per_token <= of_token.unwrap_or(0) {
            return Err(NoPermit::Token);
        }
        let of_prefix = open.by_prefix.get(&prefix).copied();
        if prefix_max <= of_prefix.unwrap_or(0) {
            return Err(NoPermit::Prefix);
        }
        if let Some(token) = token {
            *open.by_token.entry(token).or_default() += 1;
        }
        *open.by_prefix.entry(prefix).or_default() += 1;
        open.total += 1;
        drop(open);
        let shared = Arc::clone(&self.0);
        Ok(Permit {
            shared,
            token,
            prefix,
        })
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
        if let Some(token) = &self.token {
            take_one(&mut open.by_token, token);
        }
        take_one(&mut open.by_prefix, &self.prefix);
    }
}

fn take_one<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
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
        per_token: 2,
        per_prefix: 2,
        on_loopback: 3,
    };

    fn take(permits: &Permits, address: &str) -> Result<Permit, NoPermit> {
        permits.take(holder(None, address))
    }

    fn holder(token: Option<u32>, address: &str) -> Holder {
        Holder {
            token,
            address: Some(address.parse().expect("an address")),
        }
    }

    #[test]
    fn one_token_cannot_take_every_stream_wherever_it_is_used() {
        let permits = Permits::new(BOUNDS);
        let take = |token, address| permits.take(holder(token, address));
        let held = [
            take(Some(7), "192.0.2.1").ok(),
            take(Some(7), "192.0.2.2").ok(),
        ];
        assert_eq!(take(Some(7), "192.0.2.3").err(), Some(NoPermit::Token));
        assert!(take(Some(8), "192.0.2.3").is_ok());
        assert!(take(None, "192.0.2.3").is_ok());
        drop(held);
        assert!(take(Some(7), "192.0.2.3").is_ok());
        assert!(permits.0.open().by_token.is_empty());
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
        assert_eq!(
            permits.take(Holder::default()).err(),
            Some(NoPermit::Prefix)
        );
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
