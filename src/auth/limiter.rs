//! How often somebody may call and report: by address prefix for the public, by token for who
//! has one, and by pseudonym for who reports.
//!
//! Calls of the public are counted for each width of prefix of `limits::COUNTED_PREFIXES`, from
//! the narrowest: what a narrow one refuses is not counted in the wide ones that it lies in, so
//! that a flood of one address does not shut its neighbours out.
//!
//! Reports are counted by installation, which nobody else knows. A card's number others may
//! know: counted by the card alone, they could use up its holder's bound, or find by what is
//! left of it how often it was reported with. So cards are counted only where no installation
//! is named, and apart for each address prefix.
//!
//! Each is a leaky bucket (GCRA, of the crate `governor`). The buckets are a fixed number of
//! cells of eight bytes, and which cell is whose is decided by a hash under a key that is made
//! at the start: memory never grows, nothing is ever cleared up, and two that share a cell, by
//! a chance of one in 65,536, share its bound. Nobody can choose to share somebody else's.
//! Neither addresses nor pseudonyms are kept.

use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};
use siphasher::sip::SipHasher13;

use super::{Principal, TokenId};
use crate::domain::limits::{
    COUNTED_PREFIXES, LIMITER_CELLS, PREFIX_BURST_MAX, PREFIX_CALLS_PER_SECOND_MAX,
    REPORTER_BURST_MAX, REPORTER_REPORTS_PER_HOUR_MAX, TOKEN_BURST_MAX, TOKEN_CALLS_PER_SECOND_MAX,
};
use crate::domain::{AddressPrefix, CountedPrefix, Pseudonym};

/// Bytes of a prefix: the kind of an address, and its bits.
pub const PREFIX_BYTES: usize = 17;

/// Somebody calls or reports more often than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many calls or reports: wait")]
pub struct Limited {
    /// Whose bound is reached.
    pub whose: Whose,
    /// How long to wait, at least.
    pub retry_after: Duration,
}

/// Whose bound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of an address.
    Address,
    /// That of a wider prefix of addresses.
    Network,
    /// That of a token.
    Token,
    /// That of a card or an installation.
    Reporter,
}

/// Counts calls and reports. Clones count together.
#[derive(Clone)]
pub struct Limiter(Arc<Buckets<Monotonic>>);

struct Buckets<C: Clock<Instant = Nanos>> {
    key: [u8; 16],
    /// Of each counted prefix, in their order.
    prefixes: [Bucket<C>; COUNTED_PREFIXES.len()],
    tokens: Bucket<C>,
    reporters: Bucket<C>,
    clock: C,
}

type Bucket<C> = RateLimiter<u64, Cells, C>;

/// A fixed number of cells, found by the lowest bits of a key that is a hash.
struct Cells(Box<[InMemoryState]>);

/// The time since the start.
#[derive(Clone)]
struct Monotonic(Instant);

// === impl Limiter ===

impl Limiter {
    /// With every bucket empty.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let clock = Monotonic(Instant::now());
        Ok(Self(Arc::new(Buckets::new(key, clock))))
    }

    /// Counts calls, or reports in one call, all of them or none: by token if there is one,
    /// else by where they come from. Who does everything is not counted.
    pub fn calls(
        &self,
        caller: &Principal,
        from: Option<IpAddr>,
        count: usize,
    ) -> Result<(), Limited> {
        match (caller, caller.token()) {
            (Principal::Public, _) => self.0.of_address(from, count),
            (_, Some(token)) => self.0.of_token(token, count),
            (_, None) => Ok(()),
        }
    }

    /// Counts a report of an installation, or, where none is named, of a card and the prefix
    /// that it comes from.
    pub fn report(&self, reporter: &Pseudonym, from: Option<AddressPrefix>) -> Result<(), Limited> {
        self.0.of_reporter(reporter, from)
    }
}

// === impl Buckets ===

impl<C: Clock<Instant = Nanos> + Clone> Buckets<C> {
    fn new(key: [u8; 16], clock: C) -> Self {
        let per_second = |calls, burst| Quota::per_second(at_least_one(calls)).allow_burst(burst);
        let per_hour = |reports, burst| Quota::per_hour(at_least_one(reports)).allow_burst(burst);
        let bucket = |quota| Bucket::new(quota, Cells::new(), clock.clone());
        let prefixes = COUNTED_PREFIXES.map(|prefix| {
            let burst = at_least_one(prefix.times * PREFIX_BURST_MAX);
            bucket(per_second(
                prefix.times * PREFIX_CALLS_PER_SECOND_MAX,
                burst,
            ))
        });
        let tokens = per_second(TOKEN_CALLS_PER_SECOND_MAX, at_least_one(TOKEN_BURST_MAX));
        let reporters = per_hour(
            REPORTER_REPORTS_PER_HOUR_MAX,
            at_least_one(REPORTER_BURST_MAX),
        );
        Self {
            key,
            prefixes,
            tokens: bucket(tokens),
            reporters: bucket(reporters),
            clock,
        }
    }

    fn hash(&self, name: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.key).hash(name)
    }

    /// A call from nowhere is one of this machine's.
    fn of_address(&self, from: Option<IpAddr>, count: usize) -> Result<(), Limited> {
        for (prefix, bucket) in COUNTED_PREFIXES.iter().zip(&self.prefixes) {
            let key = from.map_or(0, |address| self.hash(&prefix_of(*prefix, address)));
            let whose = match prefix.times {
                1 => Whose::Address,
                _ => Whose::Network,
            };
            self.take(bucket, key, count, whose)?;
        }
        Ok(())
    }

    fn of_token(&self, token: TokenId, count: usize) -> Result<(), Limited> {
        let key = self.hash(&token.0.to_le_bytes());
        self.take(&self.tokens, key, count, Whose::Token)
    }

    fn of_reporter(
        &self,
        reporter: &Pseudonym,
        from: Option<AddressPrefix>,
    ) -> Result<(), Limited> {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        (reporter.0, from).hash(&mut hasher);
        self.take(&self.reporters, hasher.finish(), 1, Whose::Reporter)
    }

    fn take(
        &self,
        bucket: &Bucket<C>,
        key: u64,
        count: usize,
        whose: Whose,
    ) -> Result<(), Limited> {
        let Some(count) = u32::try_from(count).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        // More at once than a bucket ever holds: as many as it holds.
        let taken = bucket.check_key_n(&key, count);
        let taken = taken.unwrap_or_else(|full| match NonZeroU32::new(full.0) {
            Some(most) => bucket.check_key_n(&key, most).unwrap_or(Ok(())),
            None => Ok(()),
        });
        taken.map_err(|until: NotUntil<Nanos>| Limited {
            whose,
            retry_after: until.wait_time_from(self.clock.now()),
        })
    }
}

// === impl Cells ===

impl Cells {
    fn new() -> Self {
        Self(
            (0..LIMITER_CELLS)
                .map(|_| InMemoryState::default())
                .collect(),
        )
    }
}

impl StateStore for Cells {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let place = usize::try_from(key % LIMITER_CELLS as u64).expect("below a usize");
        self.0[place].measure_and_replace(&NotKeyed::NonKey, f)
    }
}

// === impl Monotonic ===

impl Clock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// The prefix of an address: bytes that no address of another has. One of IPv4 within IPv6 is one
/// of IPv4.
pub fn prefix_of(counted: CountedPrefix, address: IpAddr) -> [u8; PREFIX_BYTES] {
    let (kind, bits) = match address.to_canonical() {
        IpAddr::V4(address) => {
            let kept = u32::MAX << (32 - counted.v4_bits);
            (4, u128::from(address.to_bits() & kept))
        }
        IpAddr::V6(address) => {
            let kept = u128::MAX << (128 - counted.v6_bits);
            (6, address.to_bits() & kept)
        }
    };
    let mut prefix = [kind; PREFIX_BYTES];
    prefix[1..].copy_from_slice(&bits.to_be_bytes());
    prefix
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const BURST: usize = PREFIX_BURST_MAX as usize;

    fn buckets() -> (Buckets<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        // Time is not nought when a service starts.
        clock.advance(Duration::from_secs(1));
        (Buckets::new([7; 16], clock.clone()), clock)
    }

    fn of(
        buckets: &Buckets<FakeRelativeClock>,
        address: &str,
        count: usize,
    ) -> Result<(), Limited> {
        let address = address.parse().expect("an address");
        buckets.of_address(Some(address), count)
    }

    #[test]
    fn one_address_is_bounded_and_told_how_long_to_wait_and_no_other_is() {
        let (buckets, clock) = buckets();
        assert_eq!(of(&buckets, "192.0.2.1", BURST), Ok(()));
        let limited = of(&buckets, "192.0.2.1", 1).expect_err("the bucket is full");
        assert_eq!(limited.whose, Whose::Address);
        assert!(limited.retry_after <= Duration::from_secs(1));
        assert!(!limited.retry_after.is_zero());
        assert!(of(&buckets, "::ffff:192.0.2.1", 1).is_err(), "the same");
        assert_eq!(of(&buckets, "192.0.2.2", 1), Ok(()));
        clock.advance(limited.retry_after);
        assert_eq!(of(&buckets, "192.0.2.1", 1), Ok(()));
        assert!(of(&buckets, "192.0.2.1", 1).is_err());
    }

    #[test]
    fn addresses_of_one_64_are_one() {
        let (buckets, _) = buckets();
        assert_eq!(of(&buckets, "2001:db8::1", BURST), Ok(()));
        assert!(of(&buckets, "2001:db8::ffff:2", 1).is_err());
        assert_eq!(of(&buckets, "2001:db8:0:1::1", 1), Ok(()));
    }

    /// Lets addresses, each of its own, call until one is refused that was quiet until then;
    /// tells how many calls were let in, and whose bound it was.
    fn flood(
        buckets: &Buckets<FakeRelativeClock>,
        addresses: impl Iterator<Item = String>,
    ) -> (usize, Option<Whose>) {
        let mut admitted = 0;
        for address in addresses {
            match of(buckets, &address, BURST) {
                Ok(()) => admitted += BURST,
                Err(limited) => {
                    assert!(!limited.retry_after.is_zero());
                    return (admitted, Some(limited.whose));
                }
            }
        }
        (admitted, None)
    }

    #[test]
    fn whoever_owns_a_wider_prefix_gets_no_more_than_its_bound() {
        let [_, wider, widest] = COUNTED_PREFIXES.map(|prefix| prefix.times as usize * BURST);
        let in_24 = |place: usize| format!("192.0.2.{place}");
        let in_48 = |place: usize| format!("2001:db8:0:{place:x}::1");
        let (buckets, clock) = buckets();
        let reached = (wider, Some(Whose::Network));
        assert_eq!(flood(&buckets, (0..256).map(in_24)), reached);
        assert_eq!(flood(&buckets, (0..65_536).map(in_48)), reached);
        // No neighbour further away is held up.
        assert_eq!(of(&buckets, "192.0.3.1", 1), Ok(()));
        assert_eq!(of(&buckets, "2001:db8:1::1", 1), Ok(()));
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(of(&buckets, "192.0.2.1", 1), Ok(()));
        // By way of ever other ones of the middle.
        let (buckets, _) = self::buckets();
        let in_16 = |place: usize| format!("192.0.{place}.1");
        let in_32 = |place: usize| format!("2001:db8:{place:x}::1");
        let reached = (widest, Some(Whose::Network));
        assert_eq!(flood(&buckets, (0..256).map(in_16)), reached);
        assert_eq!(flood(&buckets, (0..65_536).map(in_32)), reached);
        assert_eq!(of(&buckets, "192.1.0.1", 1), Ok(()));
        assert_eq!(of(&buckets, "2001:db9::1", 1), Ok(()));
    }

    #[test]
    fn flood_of_one_address_does_not_shut_its_neighbours_out() {
        let (buckets, _) = buckets();
        for _ in 0..1_000 {
            let _ = of(&buckets, "192.0.2.1", BURST);
        }
        assert_eq!(of(&buckets, "192.0.2.2", BURST), Ok(()));
    }

    #[test]
    fn addresses_share_a_prefix_up_to_its_last_bit() {
        let check = |one: &str, other: &str, are_one: bool| {
            let prefix = CountedPrefix::new(23, 47, 2);
            let of = |text: &str| prefix_of(prefix, text.parse().expect("an address"));
            assert_eq!(of(one) == of(other), are_one, "{one} {other}");
        };
        check("192.0.2.0", "192.0.3.255", true);
        check("192.0.2.0", "::ffff:192.0.3.9", true);
        check("192.0.1.255", "192.0.2.0", false);
        check("2001:db8:2::", "2001:db8:3:ffff::9", true);
        check("2001:db8:1:ffff::", "2001:db8:2::", false);
        check("::c000:200", "192.0.2.0", false);
        let whole = CountedPrefix::new(32, 128, 1);
        let of = |text: &str| prefix_of(whole, text.parse().expect("an address"));
        assert_ne!(of("::1"), of("::2"));
    }

    #[test]
    fn more_at_once_than_a_bucket_holds_takes_all_of_it() {
        let (buckets, _) = buckets();
        assert_eq!(of(&buckets, "192.0.2.1", 10 * BURST), Ok(()));
        assert!(of(&buckets, "192.0.2.1", 1).is_err());
        assert_eq!(of(&buckets, "192.0.2.1", 0), Ok(()));
    }

    #[test]
    fn reporter_is_bounded_wherever_it_reports_from() {
        let (buckets, clock) = buckets();
        let reporter = Pseudonym([1; 16]);
        for _ in 0..REPORTER_BURST_MAX {
            assert_eq!(buckets.of_reporter(&reporter, None), Ok(()));
        }
        let limited = buckets.of_reporter(&reporter, None).expect_err("too many");
        assert_eq!(limited.whose, Whose::Reporter);
        assert_eq!(buckets.of_reporter(&Pseudonym([2; 16]), None), Ok(()));
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(buckets.of_reporter(&reporter, None), Ok(()));
    }

    #[test]
    fn card_used_up_from_one_prefix_is_not_used_up_from_another() {
        let (buckets, _) = buckets();
        let card = Pseudonym([1; 16]);
        let [here, there] = [1, 2].map(|place| Some(AddressPrefix::V4([192, 0, place])));
        for _ in 0..REPORTER_BURST_MAX {
            assert_eq!(buckets.of_reporter(&card, here), Ok(()));
        }
        assert!(buckets.of_reporter(&card, here).is_err());
        assert_eq!(buckets.of_reporter(&card, there), Ok(()));
    }

    #[test]
    fn tokens_have_a_bound_of_their_own() {
        let (buckets, _) = buckets();
        assert_eq!(buckets.of_token(TokenId(1), 10 * BURST), Ok(()));
        assert_eq!(
            buckets.of_token(TokenId(1), TOKEN_BURST_MAX as usize),
            Err(Limited {
                whose: Whose::Token,
                retry_after: Duration::from_secs_f64(
                    10.0 * f64::from(PREFIX_BURST_MAX) / f64::from(TOKEN_CALLS_PER_SECOND_MAX)
                ),
            })
        );
        assert_eq!(buckets.of_token(TokenId(2), 1), Ok(()));
    }

    #[test]
    fn a_million_addresses_take_no_more_memory_than_one() {
        let (buckets, _) = buckets();
        for number in 0..1_000_000_u32 {
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(number));
            let _ = buckets.of_address(Some(address), 1);
        }
        for bucket in buckets.prefixes {
            let cells = bucket.into_state_store();
            assert_eq!(
                cells.0.len() * size_of::<InMemoryState>(),
                8 * LIMITER_CELLS
            );
        }
    }
}
