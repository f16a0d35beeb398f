//! Small random data sets: reports of a quarter, and what became of each.

use std::collections::{BTreeSet, HashMap, HashSet};

use mistap::domain::incident::CauseClaim;
use mistap::domain::taxonomy::{
    CardKind, Cause, ClaimSource, Outcome, SetOf, Signal, StaffAct, TapKind,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::profile::{Attributes, Place, Universe};

/// Months of one data set: a quarter.
pub const MONTHS: usize = 3;
/// Local days of a month on which taps were, from the first.
pub const DAYS: usize = 3;
/// The days of those of which nobody asks the day: most are of the last, so that a feed can miss one
/// of the others and still tell of most.
const SKEWED: [usize; 6] = [0, 1, 2, 2, 2, 2];
/// Days after the tap on which a report that is not in time for its day was told.
pub const DAYS_LATE: usize = 3;
const OPERATORS: [&str; 4] = ["ARR", "GVB", "HTM", "NS"];
/// In place of an operator: reports whose operator is not known. They have no taps.
pub const NOT_SAID: &str = "not-said";
const LINES: [&str; 5] = ["1", "10", "14", "26", "4"];
const STATIONS: [&str; 2] = ["CS", "RAI"];
/// Lines after which the days repeat that a feed misses.
const LINES_IN_TURN: usize = 3;
const COUNTED_PER_MONTH_MAX: usize = 10;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Told in time.
    Told,
    /// Told in time, and taken back before its edition closed.
    Withdrawn,
    /// Told in time, and taken back when its edition had closed.
    WithdrawnLater,
    /// Told otherwise at first: with this profile.
    Amended(usize),
    /// Told in time, and told otherwise when its edition had closed.
    AmendedLater(usize),
    /// Told when its edition had closed.
    TooLate,
}

/// One report.
#[derive(Clone, Debug)]
pub struct Told {
    /// Of the quarter.
    pub month: usize,
    /// Of `Data::operators`.
    pub operator: usize,
    /// Of `Data::universe`.
    pub profile: usize,
    /// Who told it.
    pub reporter: u32,
    /// Its day, if its profile says nothing of one.
    pub day: usize,
    /// What became of it.
    pub fate: Fate,
}

/// Taps of an operator, told by one feed or by several of different kinds.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Of `Data::operators`.
    pub operator: usize,
    /// Whether of lines, by day; else of the operator, by hour.
    pub is_of_lines: bool,
    /// Kinds that are counted, by each feed.
    pub kinds: Vec<SetOf<TapKind>>,
    /// The local hour at which a day of it begins.
    pub day_begins: u32,
    /// Days of which no taps are told, from the first of the month: by month and part of it, and
    /// for lines in turn.
    misses: [Vec<Vec<Vec<usize>>>; MONTHS],
}

impl Feed {
    /// Whether taps of a kind are told.
    pub fn tells(&self, kind: TapKind) -> bool {
        self.kinds.iter().any(|kinds| kinds.contains(kind))
    }

    /// Days of a month of which one of its parts tells no taps of what has this number among the
    /// lines.
    pub fn missed_by(&self, month: usize, part: usize, place: usize) -> &[usize] {
        let in_turn = &self.misses[month][part];
        &in_turn[place % in_turn.len()]
    }

    /// Days of a month of which any of its parts tells none.
    pub fn missed(&self, month: usize, place: usize) -> BTreeSet<usize> {
        let parts = 0..self.kinds.len();
        let missed = parts.flat_map(|part| self.missed_by(month, part, place));
        missed.copied().collect()
    }
}

/// Three months of reports.
#[derive(Debug)]
pub struct Data {
    /// Codes.
    pub operators: Vec<&'static str>,
    /// Everything that a report can say.
    pub universe: Universe,
    /// Whether devices tell them.
    pub are_observed: bool,
    /// The reports, month by month, each in the order in which it was told.
    pub told: Vec<Told>,
    /// Taps told.
    pub feeds: Vec<Feed>,
}

impl Data {
    /// The data set of a seed.
    pub fn random(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut operators = OPERATORS[..random.random_range(1..=OPERATORS.len())].to_vec();
        operators.extend(random.random_bool(0.3).then_some(NOT_SAID));
        let universe = Universe::new(attributes(&mut random));
        // Reporters tell several times, and the smaller their number, the more often.
        let reporters = random.random_range(12..120);
        let power = random.random_range(2..5);
        let sizes: Vec<u32> = operators
            .iter()
            .map(|_| {
                if random.random_bool(0.3) {
                    14
                } else {
                    random.random_range(20..130)
                }
            })
            .collect();
        let mut told = Vec::new();
        let weights: Vec<f64> = universe
            .profiles
            .iter()
            .map(|profile| random.random::<f64>().powi(power) * profile.attributes.weight())
            .collect();
        for month in 0..MONTHS {
            for (operator, size) in sizes.iter().enumerate() {
                for _ in 0..random.random_range(0..=*size) {
                    let profile = pick(&mut random, &weights);
                    told.push(Told {
                        month,
                        operator,
                        profile,
                        reporter: random.random_range(0..reporters),
                        day: SKEWED[random.random_range(0..SKEWED.len())],
                        fate: fate(&mut random, &universe, profile),
                    });
                }
            }
        }
        let feeds = operators.iter().enumerate();
        let feeds = feeds.filter(|(_, code)| **code != NOT_SAID);
        let feeds = feeds.flat_map(|(operator, _)| [(operator, false), (operator, true)]);
        let feeds: Vec<_> = feeds
            .filter_map(|(operator, is_of_lines)| feed(&mut random, operator, is_of_lines))
            .collect();
        Self {
            operators,
            universe,
            are_observed: random.random_bool(0.1),
            told,
            feeds,
        }
    }

    /// What an edition counts one of for each reporter: a line, a station, or whatever else of an
    /// operator, and a day.
    fn counted_by(&self, told: &Told) -> (u32, usize, Option<&'static str>, usize) {
        let attributes = &self.universe.profiles[told.profile].attributes;
        let place = match attributes.place {
            Place::Line(place) | Place::Station(place) => Some(place),
            Place::NotSaid => None,
        };
        (told.reporter, told.operator, place, self.day(told))
    }

    /// The day of a report, from the first of its month.
    pub fn day(&self, told: &Told) -> usize {
        let day = self.universe.profiles[told.profile].attributes.day;
        day.unwrap_or(told.day)
    }

    /// The reports that an edition has to count, and those that it has to leave out.
    pub fn counted(&self, month: usize) -> (Vec<&Told>, Vec<&Told>) {
        let is_there = |told: &&Told| {
            told.month == month && !matches!(told.fate, Fate::Withdrawn | Fate::TooLate)
        };
        // In the order of the journal.
        let mut there: Vec<_> = self.told.iter().filter(is_there).collect();
        there.sort_by_key(|told| {
            let is_in_time = self.universe.profiles[told.profile].attributes.is_in_time;
            self.day(told) + if is_in_time { 0 } else { DAYS_LATE }
        });
        let there = there.into_iter();
        if self.are_observed {
            return (there.collect(), Vec::new());
        }
        let mut seen = HashSet::new();
        let mut of_reporter: HashMap<u32, usize> = HashMap::new();
        there.partition(|told| {
            let counted = of_reporter.entry(told.reporter).or_default();
            let counts = *counted < COUNTED_PER_MONTH_MAX && seen.insert(self.counted_by(told));
            *counted += usize::from(counts);
            counts
        })
    }
}

/// In ten, some are taken back, told otherwise or too late.
fn fate(random: &mut StdRng, universe: &Universe, profile: usize) -> Fate {
    let other = |random: &mut StdRng| {
        let others = universe.amendable(profile);
        (!others.is_empty()).then(|| others[random.random_range(0..others.len())])
    };
    match random.random_range(0..40) {
        0 => Fate::Withdrawn,
        1 => Fate::WithdrawnLater,
        2 | 3 => Fate::TooLate,
        4..7 => other(random).map_or(Fate::Told, Fate::Amended),
        7 => other(random).map_or(Fate::Told, Fate::AmendedLater),
        _ => Fate::Told,
    }
}

fn feed(random: &mut StdRng, operator: usize, is_of_lines: bool) -> Option<Feed> {
    let (ins, outs) = (TapKind::CheckIn, TapKind::CheckOut);
    let kinds: &[&[TapKind]] = match random.random_range(0..3) {
        0 => &[&[ins]],
        1 => &[&[ins, outs]],
        _ => &[&[outs], &[ins]],
    };
    let misses = |random: &mut StdRng| {
        let days = 0..DAYS;
        days.filter(|_| random.random_bool(0.1)).collect()
    };
    let feed = Feed {
        operator,
        is_of_lines,
        kinds: kinds
            .iter()
            .map(|kinds| kinds.iter().copied().collect())
            .collect(),
        // Only then must an hour be known for a day's taps.
        day_begins: if is_of_lines && random.random_bool(0.5) {
            3
        } else {
            0
        },
        misses: [(); MONTHS].map(|()| {
            let parts = kinds.iter();
            let in_turn = if is_of_lines { LINES_IN_TURN } else { 1 };
            parts
                .map(|_| (0..in_turn).map(|_| misses(random)).collect())
                .collect()
        }),
    };
    random.random_bool(0.8).then_some(feed)
}

/// All that reports of a data set can say. The more of one, the less of all else, so that
/// what has to be solved stays small.
fn attributes(random: &mut StdRng) -> Vec<Attributes> {
    let mut all = vec![Attributes::default()];
    let theme = random.random_range(0..100);
    match theme {
        0..40 => cards_and_causes(random, &mut all),
        40..65 => {
            cross(&mut all, &lines(random, 2), |one, place| one.place = place);
            let acts = [
                StaffAct::LetRideFree,
                StaffAct::WaitedOrHelped,
                StaffAct::Sympathised,
                StaffAct::CouldNotHelp,
            ];
            cross(&mut all, &subsets(&acts), |one, acts| one.acts = acts);
            if random.random_bool(0.5) {
                all.retain(|one| one.place == Place::Line(LINES[0]));
                let outcomes = subsets(&[Outcome::Surcharged, Outcome::TravelledOn]);
                cross(&mut all, &outcomes, |one, ends| one.outcomes = ends);
            } else {
                let cards = [CardKind::Student, CardKind::Personal].map(Some);
                cross(&mut all, &cards, |one, card| one.card = card);
            }
        }
        65..90 => {
            cross(&mut all, &lines(random, 3), |one, place| one.place = place);
            let kinds = [
                Some(TapKind::CheckIn),
                None,
                Some(TapKind::CheckOut),
                Some(TapKind::Transfer),
            ];
            let kinds = &kinds[..random.random_range(2..=kinds.len())];
            cross(&mut all, kinds, |one, kind| one.tap_kind = kind);
            let hours = [None, Some(8), Some(12), Some(18)];
            let hours = &hours[..random.random_range(2..=hours.len())];
            cross(&mut all, hours, |one, hour| one.hour = hour);
        }
        _ => {
            cross(&mut all, &lines(random, 2), |one, place| one.place = place);
            let days: Vec<_> = (0..DAYS).map(Some).collect();
            cross(&mut all, &days, |one, day| one.day = day);
            cross(&mut all, &[true, false], |one, in_time| {
                one.is_in_time = in_time;
            });
            if random.random_bool(0.5) {
                let signals = [Some(Signal::RedBeep), Some(Signal::DeadScreen), None];
                cross(&mut all, &signals, |one, signal| one.signal = signal);
            } else {
                let kinds = [Some(TapKind::CheckIn), Some(TapKind::CheckOut), None];
                cross(&mut all, &kinds, |one, kind| one.tap_kind = kind);
            }
        }
    }
    all
}

/// Places, kinds of card and what the display showed as the cause.
fn cards_and_causes(random: &mut StdRng, all: &mut Vec<Attributes>) {
    let mut places = lines(random, LINES.len());
    if random.random_bool(0.3) {
        places.truncate(3);
        places.extend(STATIONS.map(Place::Station));
        places.push(Place::NotSaid);
    }
    cross(all, &places, |one, place| one.place = place);
    let cards = [
        Some(CardKind::BarcodeTicket),
        Some(CardKind::Personal),
        None,
    ];
    let cards = &cards[random.random_range(0..2)..];
    cross(all, cards, |one, card| one.card = card);
    let causes = [Some(Cause::BarcodeRejected), Some(Cause::ReaderFault), None];
    let causes = &causes[random.random_range(0..2)..];
    cross(all, causes, |one, cause| {
        let source = ClaimSource::Display;
        let claims = cause.map(|cause| CauseClaim { cause, source });
        one.causes = claims.into_iter().collect();
    });
    // A barcode that was refused was one.
    all.retain(|one| {
        let is_refused = |claim: &CauseClaim| claim.cause == Cause::BarcodeRejected;
        !one.causes.iter().any(is_refused) || one.card == Some(CardKind::BarcodeTicket)
    });
}

/// Some lines, two at least.
fn lines(random: &mut StdRng, most: usize) -> Vec<Place> {
    let mut places: Vec<_> = LINES.into_iter().map(Place::Line).collect();
    places.truncate(random.random_range(2..=most));
    places
}

/// Every value with all that there is so far.
fn cross<T: Clone>(all: &mut Vec<Attributes>, values: &[T], set: impl Fn(&mut Attributes, T)) {
    let crossed = all.iter().flat_map(|one| {
        values.iter().map(|value| {
            let mut one = one.clone();
            set(&mut one, value.clone());
            one
        })
    });
    *all = crossed.collect();
}

fn subsets<T: mistap::domain::taxonomy::Taxonomy>(values: &[T]) -> Vec<SetOf<T>> {
    let subset = |bits: usize| {
        let chosen = values.iter().enumerate();
        let chosen = chosen.filter(move |(place, _)| bits >> place & 1 == 1);
        chosen.map(|(_, value)| *value).collect()
    };
    (0..1 << values.len()).map(subset).collect()
}

fn pick(random: &mut StdRng, weights: &[f64]) -> usize {
    let mut left = random.random::<f64>() * weights.iter().sum::<f64>();
    let chosen = weights.iter().position(|weight| {
        left -= weight;
        left <= 0.0
    });
    chosen.unwrap_or(weights.len() - 1)
}
