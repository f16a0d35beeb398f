//! Large messages that were handed out and that their clients have not taken: how many bytes of
//! them may lie in memory for one token, and for one address prefix.
//!
//! A message that tells a whole state is as large as the question's rows make it, and lies in
//! memory until its client has taken all of it but the last part. One message that many are told lies
//! there once, and is counted once. Small ones are not counted: their number is bounded with that of
//! streams. So are answers that are no watch, apart from these.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::permits::{Holder, Prefix, prefixes};
use crate::domain::limits::{
    ANSWER_UNTAKEN_BYTES_MIN, COUNTED_PREFIXES, WATCH_UNTAKEN_BYTES_MIN,
    WATCH_UNTAKEN_BYTES_ON_LOOPBACK_MAX, WATCH_UNTAKEN_BYTES_PER_PREFIX_MAX,
    WATCH_UNTAKEN_BYTES_PER_TOKEN_MAX,
};

/// How many bytes may be untaken.
#[derive(Clone, Copy, Debug)]
pub struct UnreadBounds {
    /// The smallest message that is counted.
    pub counted_from: usize,
    /// With one token.
    pub per_token: usize,
    /// From one prefix of each width of `COUNTED_PREFIXES`.
    pub per_prefix: [usize; COUNTED_PREFIXES.len()],
    /// From this machine.
    pub on_loopback: usize,
}

/// Why a message is not handed out: too much waits for the clients of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuchUnread {
    /// Of this token.
    #[error("too much waits for the clients of this token")]
    Token,
    /// Of this address, or of a prefix that it lies in.
    #[error("too much waits for the clients of this address or network")]
    Prefix,
}

/// What waits.
pub struct UnreadBytes {
    bounds: UnreadBounds,
    sums: Mutex<HashMap<Owner, Sum>>,
}

/// Whose bytes are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Token(u32),
    Prefix(Prefix),
}

/// What waits for the clients of one owner.
#[derive(Default)]
struct Sum {
    bytes: usize,
    /// How many streams each message waits in, by its address. While it waits no other has that.
    streams: HashMap<usize, usize>,
}

/// Leave to have one message, and not just its last part, untaken in one stream. Dropping it gives it
/// back.
pub struct UnreadPermit {
    unread: Arc<UnreadBytes>,
    holder: Holder,
    frame: Bytes,
}

impl Default for UnreadBounds {
    fn default() -> Self {
        Self {
            counted_from: WATCH_UNTAKEN_BYTES_MIN,
            per_token: WATCH_UNTAKEN_BYTES_PER_TOKEN_MAX,
            per_prefix: WATCH_UNTAKEN_BYTES_PER_PREFIX_MAX,
            on_loopback: WATCH_UNTAKEN_BYTES_ON_LOOPBACK_MAX,
        }
    }
}

// === impl UnreadBounds ===

impl UnreadBounds {
    /// Of answers that are no watch.
    pub fn of_answers() -> Self {
        Self {
            counted_from: ANSWER_UNTAKEN_BYTES_MIN,
            ..Self::default()
        }
    }

    fn of(self, owner: Owner) -> usize {
        match owner {
            Owner::Token(_) => self.per_token,
            Owner::Prefix(Prefix::Here) => self.on_loopback,
            Owner::Prefix(Prefix::There(width, _)) => self.per_prefix[width],
        }
    }
}

// === impl UnreadBytes ===

impl UnreadBytes {
    /// Nothing yet.
    pub fn new(bounds: UnreadBounds) -> Self {
        let sums = Mutex::default();
        Self { bounds, sums }
    }

    /// Leave for a message to a holder's client; `None` if it is small. Never waits.
    pub fn hold(
        self: &Arc<Self>,
        holder: Holder,
        frame: &Bytes,
    ) -> Result<Option<UnreadPermit>, TooMuchUnread> {
        if frame.len() < self.bounds.counted_from {
            return Ok(None);
        }
        let place = frame.as_ptr().addr();
        let mut sums = self.sums();
        for owner in owners(holder) {
            let bytes = sums
                .get(&owner)
                .map_or(0, |sum| sum.bytes_with(place, frame));
            // The first is always handed out.
            if self.bounds.of(owner) < bytes && frame.len() < bytes {
                return Err(match owner {
                    Owner::Token(_) => TooMuchUnread::Token,
                    Owner::Prefix(_) => TooMuchUnread::Prefix,
                });
            }
        }
        for owner in owners(holder) {
            let sum = sums.entry(owner).or_default();
            sum.bytes = sum.bytes_with(place, frame);
            *sum.streams.entry(place).or_default() += 1;
        }
        drop(sums);
        Ok(Some(UnreadPermit {
            unread: Arc::clone(self),
            holder,
            frame: frame.clone(),
        }))
    }

    fn sums(&self) -> MutexGuard<'_, HashMap<Owner, Sum>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All whose bytes a holder's are.
fn owners(holder: Holder) -> impl Iterator<Item = Owner> {
    let of_token = holder.token.map(Owner::Token).into_iter();
    of_token.chain(prefixes(holder).map(Owner::Prefix))
}

// === impl Sum ===

impl Sum {
    /// Once this message is among them as well, which it may be already.
    fn bytes_with(&self, place: usize, frame: &Bytes) -> usize {
        if self.streams.contains_key(&place) {
            self.bytes
        } else {
            self.bytes + frame.len()
        }
    }

    fn give_back(&mut self, place: usize, frame: &Bytes) {
        let Some(streams) = self.streams.get_mut(&place) else {
            return;
        };
        *streams -= 1;
        if *streams == 0 {
            self.streams.remove(&place);
            self.bytes -= frame.len();
        }
    }
}

// === impl UnreadPermit ===

impl Drop for UnreadPermit {
    fn drop(&mut self) {
        let place = self.frame.as_ptr().addr();
        let mut sums = self.unread.sums();
        for owner in owners(self.holder) {
            if let Some(sum) = sums.get_mut(&owner) {
                sum.give_back(place, &self.frame);
                if sum.streams.is_empty() {
                    sums.remove(&owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const LARGE: usize = WATCH_UNTAKEN_BYTES_MIN;

    fn message() -> Bytes {
        vec![7; LARGE].into()
    }

    fn holder(token: Option<u32>, last: u8) -> Holder {
        Holder {
            token,
            address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))),
        }
    }

    /// Room for three messages of a token, for four of an address.
    fn unread() -> Arc<UnreadBytes> {
        Arc::new(UnreadBytes::new(UnreadBounds {
            counted_from: LARGE,
            per_token: 3 * LARGE,
            per_prefix: [4 * LARGE, 100 * LARGE, 100 * LARGE],
            on_loopback: 100 * LARGE,
        }))
    }

    #[test]
    fn message_beyond_what_may_wait_is_refused_until_one_is_taken() {
        let unread = unread();
        let hold = |holder| unread.hold(holder, &message());
        let mut held: Vec<_> = (0..3).map(|_| hold(holder(Some(1), 1))).collect();
        assert!(held.iter().all(|one| matches!(one, Ok(Some(_)))));
        let refused = hold(holder(Some(1), 1)).err();
        assert_eq!(refused, Some(TooMuchUnread::Token));
        held.extend((0..4).map(|_| hold(holder(None, 1))));
        assert!(held.iter().all(Result::is_ok));
        let refused = hold(holder(None, 1)).err();
        assert_eq!(refused, Some(TooMuchUnread::Prefix));
        assert!(hold(holder(None, 2)).is_ok(), "of another address");
        assert!(hold(holder(Some(2), 1)).is_ok(), "by its token alone");
        held.pop();
        assert!(hold(holder(None, 1)).is_ok());
        held.clear();
        assert!(unread.sums().is_empty(), "nothing is left of it");
    }

    #[test]
    fn message_that_many_are_told_counts_once_and_small_ones_not() {
        let unread = unread();
        let (shared, own) = (message(), message());
        let hold = |frame: &Bytes| unread.hold(holder(Some(1), 1), frame);
        let shared: Vec<_> = (0..100).map(|_| hold(&shared)).collect();
        assert!(shared.iter().all(Result::is_ok));
        let own: Vec<_> = (0..100).map(|_| hold(&own)).collect();
        assert!(own.iter().all(Result::is_ok));
        let small = vec![7; LARGE - 1].into();
        let small = (0..100).map(|_| hold(&small));
        assert!(small.into_iter().all(|one| matches!(one, Ok(None))));
        let third = hold(&message());
        assert!(third.is_ok());
        assert!(hold(&message()).is_err());
        drop(shared);
        assert!(hold(&message()).is_ok());
    }

    #[test]
    fn message_larger_than_the_bound_is_handed_out_alone() {
        let unread = unread();
        let huge = Bytes::from(vec![7; 5 * LARGE]);
        let held = unread.hold(holder(Some(1), 1), &huge);
        assert!(matches!(held, Ok(Some(_))));
        assert!(unread.hold(holder(Some(1), 1), &message()).is_err());
    }
}
