//! Who may have how many streams open: a bound in total, one for each token, and for who has none
//! one for each address prefix, of the widths that calls are counted by, so that nobody and no
//! single place takes every stream, however many addresses it has. Who has a token is known by it,
//! wherever it is used, and is counted with no prefix, as calls are: nobody without one can lock
//! out a control room from the same network.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::unread::{TooMuchUnread, UnreadBounds, UnreadBytes, UnreadPermit};
use crate::auth::{PREFIX_BYTES, prefix_of};
use crate::domain::CountedPrefix;
use crate::domain::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_PREFIX_MAX, COUNTED_PREFIXES, FOLLOWERS_MAX,
    FOLLOWERS_PER_PREFIX_MAX, FOLLOWERS_PER_TOKEN_MAX, LARGE_REQUESTS_MAX,
    LARGE_REQUESTS_PER_PREFIX_MAX, LARGE_REQUESTS_PER_TOKEN_MAX, WATCHERS_MAX,
    WATCHERS_ON_LOOPBACK_MAX, WATCHERS_PER_PREFIX_MAX, WATCHERS_PER_TOKEN_MAX,
};

/// How many streams may be open at once.
#[derive(Clone, Copy, Debug)]
pub struct PermitBounds {
    /// In total.
    pub total: usize,
    /// With one token.
    pub per_token: usize,
    /// Without a token from one prefix of each width of `COUNTED_PREFIXES`.
    pub per_prefix: [usize; COUNTED_PREFIXES.len()],
    /// Without a token from this machine.
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
    /// As many streams without a token are open from this address, or from a prefix that it lies
    /// in, as may be.
    #[error("too many streams are open from this address or network")]
    Prefix,
}

/// Gives permits for open streams, and counts them. Clones count together.
#[derive(Clone)]
pub struct Permits(Arc<Shared>);

struct Shared {
    bounds: PermitBounds,
    open: Mutex<Open>,
    unread: Arc<UnreadBytes>,
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
pub(super) enum Prefix {
    /// This machine, and whoever has no address.
    Here,
    /// A prefix of this width of `COUNTED_PREFIXES`.
    There(usize, [u8; PREFIX_BYTES]),
}

/// Leave to have one stream open. Dropping it gives it back.
pub struct Permit {
    shared: Arc<Shared>,
    holder: Holder,
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

impl PermitBounds {
    /// Of those who follow their own reports.
    pub fn of_followers() -> Self {
        Self {
            total: FOLLOWERS_MAX,
            per_token: FOLLOWERS_PER_TOKEN_MAX,
            per_prefix: FOLLOWERS_PER_PREFIX_MAX,
            on_loopback: FOLLOWERS_MAX,
        }
    }

    /// Of large requests that have not come whole.
    pub fn of_large_requests() -> Self {
        Self {
            total: LARGE_REQUESTS_MAX,
            per_token: LARGE_REQUESTS_PER_TOKEN_MAX,
            per_prefix: LARGE_REQUESTS_PER_PREFIX_MAX,
            on_loopback: LARGE_REQUESTS_MAX,
        }
    }

    /// Of connections, where there may be so many: who comes from this machine may be a proxy.
    pub fn of_connections(connections_max: usize) -> Self {
        let total = connections_max.min(CONNECTIONS_MAX);
        let parts = [total / 8, total / 4, total / 2];
        let bounds = CONNECTIONS_PER_PREFIX_MAX.iter().zip(parts);
        let mut per_prefix = [0; COUNTED_PREFIXES.len()];
        for (bound, (most, part)) in per_prefix.iter_mut().zip(bounds) {
            *bound = part.clamp(1, *most);
        }
        Self {
            total,
            per_token: total,
            per_prefix,
            on_loopback: total,
        }
    }
}

// === impl Permits ===

impl Permits {
    /// With nothing open.
    pub fn new(bounds: PermitBounds) -> Self {
        Self(Arc::new(Shared {
            bounds,
            open: Mutex::default(),
            unread: Arc::new(UnreadBytes::new(UnreadBounds::default())),
        }))
    }

    /// For streams of which only those with one token are bounded, besides all of them.
    pub fn by_token(total: usize, per_token: usize) -> Self {
        Self::new(PermitBounds {
            total,
            per_token,
            per_prefix: [total; COUNTED_PREFIXES.len()],
            on_loopback: total,
        })
    }

    /// A permit for one more stream of this holder. Never waits.
    pub fn take(&self, holder: Holder) -> Result<Permit, NoPermit> {
        let token = holder.token;
        let bounds = self.0.bounds;
        let mut open = self.0.open();
        if bounds.total <= open.total {
            return Err(NoPermit::Total);
        }
        let of_token = token.and_then(|token| open.by_token.get(&token).copied());
        if bounds.per_token <= of_token.unwrap_or(0) {
            return Err(NoPermit::Token);
        }
        let is_full = |prefix: Prefix| {
            let of_prefix = open.by_prefix.get(&prefix).copied();
            bounds.of(prefix) <= of_prefix.unwrap_or(0)
        };
        if prefixes(holder).any(is_full) {
            return Err(NoPermit::Prefix);
        }
        if let Some(token) = token {
            *open.by_token.entry(token).or_default() += 1;
        }
        for prefix in prefixes(holder) {
            *open.by_prefix.entry(prefix).or_default() += 1;
        }
        open.total += 1;
        drop(open);
        let shared = Arc::clone(&self.0);
        Ok(Permit { shared, holder })
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

impl Permit {
    /// The number of its holder's token; `None` for who has none.
    pub fn token(&self) -> Option<u32> {
        self.holder.token
    }

    /// Leave to hand a message out to the stream's client, for as long as it is not taken; `None`
    /// if it is small.
    pub fn hold(&self, frame: &Bytes) -> Result<Option<UnreadPermit>, TooMuchUnread> {
        self.shared.unread.hold(self.holder, frame)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        open.total -= 1;
        if let Some(token) = &self.holder.token {
            take_one(&mut open.by_token, token);
        }
        for prefix in prefixes(self.holder) {
            take_one(&mut open.by_prefix, &prefix);
        }
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

// === impl PermitBounds ===

impl PermitBounds {
    /// Of one prefix.
    fn of(self, prefix: Prefix) -> usize {
        match prefix {
            Prefix::Here => self.on_loopback,
            Prefix::There(width, _) => self.per_prefix[width],
        }
    }
}

/// All that the streams of a holder are counted with by where it is: nothing of who has a token.
pub(super) fn prefixes(holder: Holder) -> impl Iterator<Item = Prefix> {
    let is_counted = holder.token.is_none();
    let there = holder.address.map(|address| address.to_canonical());
    let there = there.filter(|address| !address.is_loopback());
    let here = (is_counted && there.is_none()).then_some(Prefix::Here);
    let there = there.filter(|_| is_counted);
    let of = move |(width, counted): (usize, &CountedPrefix)| {
        Some(Prefix::There(width, prefix_of(*counted, there?)))
    };
    let there = COUNTED_PREFIXES.iter().enumerate().filter_map(of);
    here.into_iter().chain(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: PermitBounds = PermitBounds {
        total: 5,
        per_token: 2,
        per_prefix: [2, 3, 4],
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
    fn streams_bounded_by_token_alone_are_not_bounded_by_address() {
        let permits = Permits::by_token(5, 2);
        let take = |token| permits.take(holder(Some(token), "192.0.2.1"));
        let held: Vec<_> = [7, 7, 8, 8].into_iter().map(take).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(take(7).err(), Some(NoPermit::Token));
        let last = take(9);
        assert!(last.is_ok());
        assert_eq!(take(10).err(), Some(NoPermit::Total));
    }

    #[test]
    fn who_has_a_token_is_not_locked_out_by_others_of_its_network_nor_locks_them_out() {
        let permits = Permits::new(BOUNDS);
        let of_network = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        let open = |address: &&str| take(&permits, address).expect("a permit");
        let held: Vec<_> = of_network.iter().map(open).collect();
        let refused = take(&permits, "192.0.2.4").err();
        assert_eq!(refused, Some(NoPermit::Prefix));
        let with_token = |token| permits.take(holder(Some(token), "192.0.2.4"));
        let operator = with_token(7).expect("it is counted by its token");
        drop(held);
        let another = with_token(7).expect("as before");
        let held: Vec<_> = of_network.iter().map(open).collect();
        assert_eq!(with_token(8).err(), Some(NoPermit::Total));
        drop((operator, another, held));
        assert_eq!(permits.open(), 0);
        assert!(permits.0.open().by_prefix.is_empty());
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
    fn who_has_many_addresses_of_one_network_cannot_take_every_stream() {
        let permits = Permits::new(BOUNDS);
        let check = |held: &[&str], refused: &str, other: &str| {
            let open = |address: &&str| take(&permits, address).expect("a permit");
            let held: Vec<_> = held.iter().map(open).collect();
            assert_eq!(take(&permits, refused).err(), Some(NoPermit::Prefix));
            assert_eq!(permits.open(), held.len(), "who is refused counts nowhere");
            assert!(take(&permits, other).is_ok(), "{other}");
        };
        let near = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        check(&near, "192.0.2.4", "192.0.3.1");
        let wide = ["192.0.2.1", "192.0.3.1", "192.0.4.1", "192.0.5.1"];
        check(&wide, "192.0.6.1", "192.1.6.1");
        let near = ["2001:db8:1::1", "2001:db8:1:1::1", "2001:db8:1:2::1"];
        check(&near, "2001:db8:1:3::1", "2001:db8:2::1");
        let wide = [
            "2001:db8:1::1",
            "2001:db8:2::1",
            "2001:db8:3::1",
            "2001:db8:4::1",
        ];
        check(&wide, "2001:db8:5::1", "2001:db9::1");
        assert!(permits.0.open().by_prefix.is_empty());
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
