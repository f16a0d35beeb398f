//! The figures of one watched question at one moment, shared by all who watch it.

use std::cmp::Ordering;
use std::hash::Hasher;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use siphasher::sip::SipHasher13;

use super::Message;
use super::encoded::{EncodedMessage, MessageCache};
use crate::domain::limits::{WATCH_DIFFERENCES_MAX, WATCH_MESSAGES_KEPT_MAX};
use crate::domain::{Minute, Position, UtcMillis};
use crate::query::Counted;
use crate::query::rates::{Missing, RateFigure, SlidingRates};
use crate::stats::dispersion::Dispersion;
use crate::stats::rate::Matching;

use super::WindowRates;
use super::rows::{Packing, Rows};

/// Of figures that were counted.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// What was counted of a question.
pub struct Seen {
    /// The last place in the journal that is included.
    pub position: Position,
    /// In the window, by the minute of the tap.
    pub counted: Counted,
    /// If rates are asked for; one for each figure.
    pub rates: Option<SlidingRates>,
    /// Recorded in the window's minutes, and not known to the minute.
    pub untimed: u64,
    /// From which minute on both are complete; `None` if they are for the whole window.
    pub complete_from: Option<Minute>,
}

/// The figures of a question, and up to where they hold. Cheap to clone.
#[derive(Clone)]
pub struct State {
    /// All but the rows.
    pub outline: Arc<Outline>,
    body: Arc<Body>,
}

/// A state that a watcher was sent. Its rows are not kept for it: a client that takes nothing
/// would hold them, and each such client others.
#[derive(Clone)]
pub struct Sent {
    /// All but the rows; the same for all who were sent it.
    pub outline: Arc<Outline>,
    body: Weak<Body>,
}

/// What a message says of a state beside its rows. Little to keep.
#[derive(Clone)]
pub struct Outline {
    /// The last place in the journal that is included.
    pub position: Position,
    /// The running minute for which it was counted.
    pub minute: Minute,
    /// No other of this process has it.
    number: u64,
    /// As of which place it was counted first for this minute.
    first_at: Position,
    head: Arc<Head>,
}

struct Head {
    rates: Option<Arc<WindowRates>>,
    total: u64,
    left_out: u64,
    untimed: u64,
    complete_from: Option<Minute>,
    digest: u64,
}

struct Body {
    figures: Arc<Rows>,
    differences: Mutex<Vec<Difference>>,
    told: MessageCache<Telling, Message>,
}

/// What a message tells of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of it.
    Snapshot,
    /// That the client has it.
    Resumed,
    /// What is different from the state with a digest.
    Changes {
        /// Of the state that the client has.
        from_digest: u64,
    },
    /// That the client still has it.
    Heartbeat,
}

/// Equal for equal messages of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Telling {
    kind: Kind,
    position: Position,
    minute: Minute,
    is_window_new: bool,
}

/// What leads from the state with a digest to the one that keeps this.
struct Difference {
    from_digest: u64,
    figures: Arc<Rows>,
}

impl State {
    /// What was counted for a running minute. The digest is keyed with `key`.
    pub fn new(seen: Seen, minute: Minute, key: &[u8; 16]) -> Self {
        let Seen {
            position,
            counted,
            rates,
            untimed,
            complete_from,
        } = seen;
        let (row_rates, rates) = rates.map_or((Vec::new(), None), apart);
        let mut row_rates = row_rates.into_iter();
        let rated = counted.figures.into_iter();
        let rated = rated.map(|figure| (figure, row_rates.next()));
        let mut rated: Vec<_> = rated.collect();
        if !rated.is_sorted_by(|(one, _), (next, _)| one.keys < next.keys) {
            rated.sort_by(|(one, _), (other, _)| one.keys.cmp(&other.keys));
        }
        let mut packing = Packing::default();
        for (figure, rate) in rated {
            let keys = figure.keys.iter().map(String::as_str);
            packing.push(keys, figure.count, rate);
        }
        let figures = packing.pack();
        let mut hasher = SipHasher13::new_with_key(key);
        hash_figures(&mut hasher, &figures);
        hasher.write_u64(counted.total);
        hasher.write_u64(counted.left_out);
        hasher.write_u64(untimed);
        if let Some(Minute(from)) = complete_from {
            hasher.write_u32(from);
        }
        if let Some(rates) = &rates {
            hash_window(&mut hasher, rates);
        }
        let head = Head {
            rates: rates.map(Arc::new),
            total: counted.total,
            left_out: counted.left_out,
            untimed,
            complete_from,
            digest: hasher.finish(),
        };
        let body = Body {
            figures: Arc::new(figures),
            differences: Mutex::default(),
            told: MessageCache::new(WATCH_MESSAGES_KEPT_MAX),
        };
        Self {
            outline: Arc::new(Outline {
                position,
                minute,
                number: NUMBERS.fetch_add(1, atomic::Ordering::Relaxed),
                first_at: position,
                head: Arc::new(head),
            }),
            body: Arc::new(body),
        }
    }

    /// Takes over the figures of a known state if they are equal, so that they are in memory
    /// once; says whether they are. Of another minute it keeps its own number and place: what
    /// fills this window may have come after the place at which the one before was counted.
    pub fn share(&mut self, known: &Self) -> bool {
        let is_equal = self.outline.digest() == known.outline.digest();
        if is_equal {
            let outline = Arc::make_mut(&mut self.outline);
            outline.head = Arc::clone(&known.outline.head);
            if outline.minute == known.outline.minute {
                outline.number = known.outline.number;
                outline.first_at = known.outline.first_at;
            }
            self.body = Arc::clone(&known.body);
        }
        is_equal
    }

    /// All rows, by key.
    pub fn figures(&self) -> &Arc<Rows> {
        &self.body.figures
    }

    /// For whoever was sent this.
    pub fn sent(&self) -> Sent {
        Sent {
            outline: Arc::clone(&self.outline),
            body: Arc::downgrade(&self.body),
        }
    }

    /// Whether it is the newest that some watcher was sent, or may be about to be.
    pub fn is_sent(&self) -> bool {
        1 < Arc::strong_count(&self.body) || 0 < Arc::weak_count(&self.body)
    }

    /// Lets go of its messages: a newer state took its place, and nobody is told it any more.
    pub fn forget_messages(&self) {
        self.body.told.forget();
        let poisoned = PoisonError::into_inner;
        self.body
            .differences
            .lock()
            .unwrap_or_else(poisoned)
            .clear();
    }

    /// The message of a kind, made once for all watchers who get it, to whom its window is new or
    /// is not. Those of another position or minute are let go of: each may be a whole state, and a
    /// watcher knows the newest position before it is told anything.
    pub fn told(
        &self,
        kind: Kind,
        is_window_new: bool,
        make: impl FnOnce() -> Message,
    ) -> Arc<EncodedMessage<Message>> {
        let telling = Telling {
            kind,
            position: self.outline.position,
            minute: self.outline.minute,
            is_window_new,
        };
        let is_as_new =
            |known: &Telling| (known.position, known.minute) == (telling.position, telling.minute);
        self.body.told.retain(is_as_new);
        self.body.told.find_or_keep(telling, make)
    }

    /// What leads from an earlier state to this one, by key; a count of 0 removes a row. Made
    /// once for all watchers that come from the same state.
    pub fn since(&self, earlier: &Self) -> Arc<Rows> {
        if let Some(known) = self.known_difference(earlier.outline.digest()) {
            return known;
        }
        let figures = Arc::new(difference(&earlier.body.figures, &self.body.figures));
        let poisoned = PoisonError::into_inner;
        let mut differences = self.body.differences.lock().unwrap_or_else(poisoned);
        if differences.len() < WATCH_DIFFERENCES_MAX {
            differences.push(Difference {
                from_digest: earlier.outline.digest(),
                figures: Arc::clone(&figures),
            });
        }
        figures
    }

    fn known_difference(&self, from_digest: u64) -> Option<Arc<Rows>> {
        let poisoned = PoisonError::into_inner;
        let differences = self.body.differences.lock().unwrap_or_else(poisoned);
        let known = differences
            .iter()
            .find(|difference| difference.from_digest == from_digest)?;
        Some(Arc::clone(&known.figures))
    }
}

impl Sent {
    /// The state, if it is still kept.
    pub fn state(&self) -> Option<State> {
        Some(State {
            outline: Arc::clone(&self.outline),
            body: self.body.upgrade()?,
        })
    }
}

impl Outline {
    /// The same within a minute as long as no other figures come between, and another otherwise.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// As of which place these figures were counted first in this minute, as long as no others
    /// came between.
    pub fn first_at(&self) -> Position {
        self.first_at
    }

    /// What belongs to all rates, if they are asked for.
    pub fn rates(&self) -> Option<&Arc<WindowRates>> {
        self.head.rates.as_ref()
    }

    /// Distinct incidents in the window.
    pub fn total(&self) -> u64 {
        self.head.total
    }

    /// Those among them that stand in no row.
    pub fn left_out(&self) -> u64 {
        self.head.left_out
    }

    /// Those recorded in the window's minutes that are not known to the minute.
    pub fn untimed(&self) -> u64 {
        self.head.untimed
    }

    /// From when on it is complete; `None` if it is for the whole window.
    pub fn complete_from(&self) -> Option<UtcMillis> {
        self.head.complete_from.map(Minute::start)
    }

    /// Start of the running minute.
    pub fn as_of(&self) -> UtcMillis {
        self.minute.start()
    }

    /// Equal for equal figures and totals, whenever and in whichever process they were
    /// counted. Others share one by a chance of 1 in 2^64.
    pub fn digest(&self) -> u64 {
        self.head.digest
    }
}

/// Lengths go in as well, so that no two lists of keys look alike.
fn hash_figures(hasher: &mut SipHasher13, figures: &Rows) {
    hasher.write_u64(figures.len() as u64);
    for figure in figures.iter() {
        hasher.write_u64(figure.keys().len() as u64);
        for key in figure.keys() {
            hasher.write_u64(key.len() as u64);
            hasher.write(key.as_bytes());
        }
        hasher.write_u64(figure.count());
        if let Some(rate) = figure.rate() {
            hash_rate(hasher, rate);
        }
    }
}

/// Everything of a rate follows from these and from the feeds, but its intervals, which the
/// dispersions decide.
fn hash_rate(hasher: &mut SipHasher13, figure: &RateFigure) {
    let Matching {
        days,
        days_with_taps,
        reports,
        matched,
        refused,
        taps,
        contradictions,
    } = figure.matching;
    let told = figure.told;
    let scatter = figure.reports_per_failure.map(|ratio| ratio.dispersion);
    let scatter = scatter.unwrap_or(Dispersion::NONE).factor();
    for number in [
        days,
        days_with_taps,
        reports,
        matched,
        refused,
        taps,
        contradictions,
        told.self_reports,
        told.observed_refusals,
        figure.dispersion.factor().to_bits(),
        figure.dispersion.days().into(),
        scatter.to_bits(),
    ] {
        hasher.write_u64(number);
    }
    for place in figure.feeds.places() {
        hasher.write_u64(place as u64);
    }
    let reason = figure.rate.err().map_or("", Missing::key);
    hasher.write_u64(reason.len() as u64);
    hasher.write(reason.as_bytes());
}

fn hash_window(hasher: &mut SipHasher13, rates: &WindowRates) {
    hash_rate(hasher, &rates.total);
    for (feed, days) in &rates.feeds {
        hasher.write_u64(feed.id.as_str().len() as u64);
        hasher.write(feed.id.as_str().as_bytes());
        hasher.write_u64(*days);
    }
    if let Some(rated) = rates.rated {
        hasher.write_u32(rated.start.0);
        hasher.write_u32(rated.end.0);
    }
}

/// The rates of rows, and what belongs to all.
fn apart(rates: SlidingRates) -> (Vec<RateFigure>, Option<WindowRates>) {
    let window = WindowRates {
        total: rates.total,
        feeds: rates.feeds,
        rated: rates.rated,
    };
    (rates.rows, Some(window))
}

/// Both are sorted by key, without repeats; so is the result.
fn difference(earlier: &Rows, later: &Rows) -> Rows {
    let (mut earlier, mut later) = (earlier.iter().peekable(), later.iter().peekable());
    let mut changed = Packing::default();
    loop {
        let order = match (earlier.peek(), later.peek()) {
            (None, None) => return changed.pack(),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.keys().cmp(new.keys()),
        };
        let old = earlier.next_if(|_| order.is_le());
        let new = later.next_if(|_| order.is_ge());
        match (old, new) {
            // Removed.
            (Some(old), None) => changed.push(old.keys(), 0, None),
            (None, Some(new)) => changed.push_row(new),
            (Some(old), Some(new)) if old != new => changed.push_row(new),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::MinuteSpan;
    use crate::live::{Cited, Update};
    use crate::query::Figure;

    fn state(counts: &BTreeMap<u8, u64>) -> State {
        let figure = |(key, count): (&u8, &u64)| Figure {
            keys: vec![format!("{key:03}")],
            count: *count,
            rests_on_few_days: None,
        };
        let counted = Counted {
            figures: counts.iter().rev().map(figure).collect(),
            total: counts.values().sum(),
            left_out: 0,
        };
        let seen = Seen {
            position: Position(1),
            rates: None,
            counted,
            untimed: 0,
            complete_from: None,
        };
        State::new(seen, Minute(1), &[7; 16])
    }

    proptest! {
        #[test]
        fn difference_leads_from_any_state_to_any_other(
            old in prop::collection::btree_map(0u8..20, 1u64..4, 0..12),
            new in prop::collection::btree_map(0u8..20, 1u64..4, 0..12),
        ) {
            let changes = state(&new).since(&state(&old));
            let mut reached = old.clone();
            for change in changes.iter() {
                let key = change.keys().next().and_then(|key| key.parse().ok());
                let key = key.expect("made from a number");
                prop_assert_ne!(reached.get(&key).copied().unwrap_or(0), change.count());
                reached.insert(key, change.count());
            }
            reached.retain(|_, count| *count != 0);
            prop_assert!(changes.iter().is_sorted_by(|one, next| one.keys().lt(next.keys())));
            prop_assert_eq!(&reached, &new);
            prop_assert_eq!(state(&old).outline.digest() == state(&new).outline.digest(), old == new);
        }
    }

    #[test]
    fn figures_that_are_the_same_in_another_minute_are_of_a_place_of_their_own() {
        let of = |position, minute| {
            let mut one = state(&BTreeMap::from([(1, 1)]));
            let outline = Arc::make_mut(&mut one.outline);
            outline.position = Position(position);
            outline.first_at = Position(position);
            outline.minute = Minute(minute);
            one
        };
        let known = of(3, 1);
        let (mut same, mut later) = (of(5, 1), of(5, 2));
        assert!(same.share(&known) && later.share(&known));
        let cited = |state: &State| (state.outline.number(), state.outline.first_at());
        assert_eq!(cited(&same), cited(&known));
        assert_eq!(later.outline.first_at(), Position(5));
        assert_ne!(later.outline.number(), known.outline.number());
        assert!(
            Arc::ptr_eq(later.figures(), known.figures()),
            "in memory once"
        );
    }

    #[test]
    fn message_is_kept_as_long_as_it_is_what_the_newest_are_told() {
        let known = state(&BTreeMap::from([(1, 1)]));
        let tell = |state: &State| {
            let message = || Message {
                resume_token: Bytes::new(),
                position: state.outline.position,
                as_of: state.outline.as_of(),
                total: state.outline.total(),
                left_out: 0,
                untimed: 0,
                complete_from: None,
                rates: None,
                cited: Cited {
                    window: MinuteSpan {
                        start: Minute(0),
                        end: Minute(1),
                    },
                    first_at: state.outline.first_at(),
                    number: state.outline.number(),
                },
                is_window_new: true,
                update: Update::Snapshot(Arc::clone(state.figures())),
            };
            Arc::downgrade(&state.told(Kind::Snapshot, true, message))
        };
        let told = tell(&known);
        assert!(told.ptr_eq(&tell(&known)), "made once");
        let mut reached = known.clone();
        let outline = Arc::make_mut(&mut reached.outline);
        outline.position = outline.position.next();
        let (before, told) = (told, tell(&reached));
        assert!(before.upgrade().is_none(), "nobody is told it any more");
        assert!(told.upgrade().is_some());
    }

    #[test]
    fn difference_is_made_once_for_all_watchers() {
        let old = state(&BTreeMap::from([(1, 1)]));
        let new = state(&BTreeMap::from([(1, 2)]));
        assert!(Arc::ptr_eq(&new.since(&old), &new.since(&old.clone())));
    }
}
