//! What a report can say, and the classes of published tables that it then lies in.

use mistap::domain::incident::CauseClaim;
use mistap::domain::taxonomy::{
    CardKind, ClaimSource, Outcome, SetOf, Signal, StaffAct, TapKind, Taxonomy,
};

const NOT_SAID: &str = "not-said";
/// Acts that helped on, and outcomes that harmed, as the method page tells.
const HELPING: [StaffAct; 3] = [
    StaffAct::LetRideFree,
    StaffAct::WaitedOrHelped,
    StaffAct::LetTryAgain,
];
const HARMFUL: [Outcome; 4] = [
    Outcome::PaidAgain,
    Outcome::Surcharged,
    Outcome::Refused,
    Outcome::MissedRide,
];

/// Where a tap was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On a line, of its operator.
    Line(&'static str),
    /// At a station, of its operator.
    Station(&'static str),
    /// Nobody said.
    #[default]
    NotSaid,
}

/// What a report says.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Where.
    pub place: Place,
    /// Claimed causes.
    pub causes: Vec<CauseClaim>,
    /// What was held to the reader.
    pub card: Option<CardKind>,
    /// What the reader showed.
    pub signal: Option<Signal>,
    /// What the tap was meant to do.
    pub tap_kind: Option<TapKind>,
    /// The local hour; `None` if only the day is known.
    pub hour: Option<u8>,
    /// The day, from the first of the month; `None` if it is no matter.
    pub day: Option<usize>,
    /// Whether it was told before the day's part closed.
    pub is_in_time: bool,
    /// What staff did.
    pub acts: SetOf<StaffAct>,
    /// How it ended.
    pub outcomes: SetOf<Outcome>,
}

/// A class of a table, as a reader calls it.
pub type Class = (String, String);

/// What a report can say, with the classes that it lies in.
#[derive(Debug)]
pub struct Profile {
    /// What it says.
    pub attributes: Attributes,
    /// For each table that divides it, its class: a place in `Universe::classes`.
    pub classes: Vec<usize>,
}

/// Everything that reports of a data set can say.
#[derive(Debug)]
pub struct Universe {
    /// Each once.
    pub profiles: Vec<Profile>,
    /// All classes that any of them lies in.
    pub classes: Vec<Class>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            place: Place::NotSaid,
            causes: Vec::new(),
            card: None,
            signal: None,
            tap_kind: Some(TapKind::CheckIn),
            hour: Some(12),
            day: None,
            is_in_time: true,
            acts: SetOf::EMPTY,
            outcomes: SetOf::EMPTY,
        }
    }
}

impl Universe {
    /// Of all that can be said.
    pub fn new(all: Vec<Attributes>) -> Self {
        let mut universe = Self {
            profiles: Vec::new(),
            classes: Vec::new(),
        };
        for attributes in all {
            let classes = attributes.classes().into_iter();
            let classes = classes.map(|class| universe.number(class)).collect();
            universe.profiles.push(Profile {
                attributes,
                classes,
            });
        }
        universe
    }

    fn number(&mut self, class: Class) -> usize {
        let found = self.find(&class.0, &class.1);
        found.unwrap_or_else(|| {
            self.classes.push(class);
            self.classes.len() - 1
        })
    }

    /// The number of a class; `None` if no profile lies in it.
    pub fn find(&self, table: &str, key: &str) -> Option<usize> {
        let mut classes = self.classes.iter();
        classes.position(|class| class.0 == table && class.1 == key)
    }

    /// The class of a profile in a table; `None` if the table does not divide it.
    pub fn class_in(&self, profile: usize, table: &str) -> Option<usize> {
        let classes = self.profiles[profile].classes.iter();
        classes
            .copied()
            .find(|class| self.classes[*class].0 == table)
    }

    /// What can become this profile by an amendment: it adds an act of staff.
    pub fn amendable(&self, profile: usize) -> Vec<usize> {
        let after = &self.profiles[profile].attributes;
        let before = (0..self.profiles.len()).filter(|other| {
            let before = &self.profiles[*other].attributes;
            let with_acts = Attributes {
                acts: after.acts,
                ..before.clone()
            };
            with_acts == *after && before.acts != after.acts
        });
        before.collect()
    }
}

impl Attributes {
    /// How often it is told beside others: most tell of a check-in, and when it was, so that there
    /// are rates.
    pub fn weight(&self) -> f64 {
        let of_kind = if self.tap_kind == Some(TapKind::CheckIn) {
            6.0
        } else {
            1.0
        };
        let of_time = if self.hour.is_some() { 3.0 } else { 1.0 };
        of_kind * of_time
    }

    fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<(&str, String)> = vec![
            (
                "line",
                match self.place {
                    Place::Line(line) => line.to_owned(),
                    Place::Station(station) => format!("at {station}"),
                    Place::NotSaid => NOT_SAID.to_owned(),
                },
            ),
            ("card-kind", said(self.card)),
            ("signal", said(self.signal)),
            ("tap-kind", said(self.tap_kind)),
            (
                "part-of-day",
                match self.hour {
                    None => NOT_SAID.to_owned(),
                    Some(0..6) => "00-06".to_owned(),
                    Some(6..10) => "06-10".to_owned(),
                    Some(10..16) => "10-16".to_owned(),
                    Some(16..20) => "16-20".to_owned(),
                    Some(_) => "20-24".to_owned(),
                },
            ),
            ("staff-answered", answer(!self.acts.is_empty())),
            ("outcome-answered", answer(!self.outcomes.is_empty())),
        ];
        if !self.is_in_time {
            classes.push(("day", "recorded-later".to_owned()));
        } else if let Some(day) = self.day {
            classes.push(("day", day.to_string()));
        }
        let mut classes: Vec<Class> = classes
            .into_iter()
            .map(|(table, key)| (table.to_owned(), key))
            .collect();
        for source in ClaimSource::ALL {
            let mut claims = self.causes.iter();
            let claim = claims.find(|claim| claim.source == *source);
            let key = claim.map_or(NOT_SAID, |claim| claim.cause.key());
            classes.push((format!("cause/{}", source.key()), key.to_owned()));
        }
        classes.extend(self.endings());
        classes
    }

    /// The classes of what staff did and how it ended: of those who answered.
    fn endings(&self) -> Vec<Class> {
        let mut classes = Vec::new();
        let has_acts = !self.acts.is_empty();
        let has_outcomes = !self.outcomes.is_empty();
        if has_acts {
            for act in StaffAct::ALL {
                let table = format!("staff-act/{}", act.key());
                classes.push((table, answer(self.acts.contains(*act))));
            }
            classes.push(("outcome-answered/with-staff".into(), answer(has_outcomes)));
        }
        if has_outcomes {
            for outcome in Outcome::ALL {
                let table = format!("outcome/{}", outcome.key());
                classes.push((table, answer(self.outcomes.contains(*outcome))));
            }
        }
        if has_acts && has_outcomes {
            let helped = HELPING.iter().any(|act| self.acts.contains(*act));
            let harmed = HARMFUL.iter().any(|end| self.outcomes.contains(*end));
            classes.push(("staff-act/any-that-helps".into(), answer(helped)));
            classes.push(("outcome/any-that-harms".into(), answer(harmed)));
        }
        classes
    }
}

fn said<T: Taxonomy>(value: Option<T>) -> String {
    value.map_or(NOT_SAID, T::key).to_owned()
}

fn answer(is_yes: bool) -> String {
    if is_yes { "yes" } else { "no" }.to_owned()
}
