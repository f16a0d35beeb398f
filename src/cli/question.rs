//! What questions have in common on the command line: which incidents count, broken down by what,
//! of which days, against which taps, how sure and as of when.

use jiff::Timestamp;

use super::choices::{choice, dimension, numbers};
use super::failure::{Failure, Kind};
use super::values;
use super::when::{Day, Days};
use crate::api::pb::v1 as pb;
use crate::domain::question::Dimension;
use crate::domain::taxonomy::{CardKind, Cause, Mode, Outcome, Signal, StaffAct, TapKind};
use crate::stats::interval::Level;

const DAYS_DEFAULT: i64 = 30;

/// Where.
#[derive(Clone, Debug, clap::Args)]
pub struct PlacesArgs {
    /// Only these operators, by code
    #[arg(long, value_delimiter = ',', value_parser = values::operator)]
    pub operator: Vec<String>,
    /// Only these lines, by identifier: `GVB:10`
    #[arg(long, value_delimiter = ',', value_parser = values::line)]
    pub line: Vec<String>,
    /// Only these stops, by code
    #[arg(long, value_delimiter = ',')]
    pub stop: Vec<String>,
}

impl PlacesArgs {
    /// Whether no place is named.
    pub fn is_everywhere(&self) -> bool {
        self.operator.is_empty() && self.line.is_empty() && self.stop.is_empty()
    }
}

/// Which incidents count.
#[derive(Debug, clap::Args)]
pub struct FilterArgs {
    /// Count what devices observed instead of what people reported
    #[arg(long)]
    pub observed: bool,
    #[command(flatten)]
    places: PlacesArgs,
    /// Only these modes
    #[arg(long, value_delimiter = ',', value_parser = choice::<Mode>())]
    mode: Vec<Mode>,
    /// Only with one of these claimed causes
    #[arg(long, value_delimiter = ',', value_parser = choice::<Cause>())]
    cause: Vec<Cause>,
    /// Only with these cards
    #[arg(long, value_delimiter = ',', value_parser = choice::<CardKind>())]
    card_kind: Vec<CardKind>,
    /// Only with these signals
    #[arg(long, value_delimiter = ',', value_parser = choice::<Signal>())]
    signal: Vec<Signal>,
    /// Only where staff did one of these
    #[arg(long, value_delimiter = ',', value_parser = choice::<StaffAct>())]
    staff_act: Vec<StaffAct>,
    /// Only with one of these outcomes
    #[arg(long, value_delimiter = ',', value_parser = choice::<Outcome>())]
    outcome: Vec<Outcome>,
    /// Only these taps
    #[arg(long, value_delimiter = ',', value_parser = choice::<TapKind>())]
    tap_kind: Vec<TapKind>,
    /// Only in these hours of the day, 0 to 23
    #[arg(long, value_delimiter = ',', value_parser = values::whole(0_u32, 23))]
    hour_of_day: Vec<u32>,
    /// Only on these weekdays, 1 (Monday) to 7
    #[arg(long, value_delimiter = ',', value_parser = values::whole(1_u32, 7))]
    weekday: Vec<u32>,
}

impl FilterArgs {
    /// Where.
    pub fn places(&self) -> &PlacesArgs {
        &self.places
    }

    /// Whose reports: `self-reported` or `observed`.
    pub fn basis(&self) -> &'static str {
        if self.observed {
            "observed"
        } else {
            "self-reported"
        }
    }

    /// As the API takes it.
    pub fn to_wire(&self) -> pb::Filter {
        let basis = if self.observed {
            pb::Basis::Observed
        } else {
            pb::Basis::SelfReported
        };
        pb::Filter {
            basis: basis.into(),
            operators: self.places.operator.clone(),
            lines: self.places.line.clone(),
            stops: self.places.stop.clone(),
            modes: numbers(&self.mode),
            causes: numbers(&self.cause),
            card_kinds: numbers(&self.card_kind),
            signals: numbers(&self.signal),
            staff_acts: numbers(&self.staff_act),
            outcomes: numbers(&self.outcome),
            tap_kinds: numbers(&self.tap_kind),
            hours_of_day: self.hour_of_day.clone(),
            weekdays: self.weekday.clone(),
        }
    }
}

/// What to break down by.
#[derive(Debug, clap::Args)]
pub struct ByArgs {
    /// Break down by up to three dimensions
    #[arg(long, value_delimiter = ',', value_parser = dimension())]
    by: Vec<Dimension>,
}

impl ByArgs {
    /// As the API takes it.
    pub fn to_wire(&self) -> Vec<i32> {
        self.by
            .iter()
            .map(|dimension| to_wire_dimension(*dimension))
            .collect()
    }

    /// What is broken down by.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.by
    }

    /// The headings of the columns of keys.
    pub fn columns(&self) -> Vec<String> {
        self.by
            .iter()
            .map(|dimension| dimension.key().replace('-', "_"))
            .collect()
    }
}

fn to_wire_dimension(dimension: Dimension) -> i32 {
    let place = Dimension::ALL.iter().position(|other| *other == dimension);
    i32::try_from(place.expect("every dimension is in the list") + 1).expect("fourteen of them")
}

/// Of which days.
#[derive(Debug, clap::Args)]
pub struct DaysArgs {
    /// First day: `2026-11-01`, `today` or `yesterday`; 30 days ago if left out
    #[arg(long)]
    from: Option<Day>,
    /// Last day, as `--from`; today if left out, and yesterday where scopes are ranked
    #[arg(long)]
    to: Option<Day>,
}

impl DaysArgs {
    /// As they are now; to `last` if none is said.
    pub fn days(&self, last: Day, now: Timestamp) -> Result<Days, Failure> {
        let first = self.from.unwrap_or(Day::DaysAgo(DAYS_DEFAULT));
        let days = Days::new(first, self.to.unwrap_or(last), now)?;
        if days.last < days.first {
            let message = format!("--from is {}, after --to, {}", days.first, days.last);
            let failure = Failure::new(Kind::Refused, message);
            return Err(match self.to {
                Some(_) => failure,
                None => failure.with_hint("name the last day with --to, which was left out"),
            });
        }
        Ok(days)
    }
}

/// Against which taps.
#[derive(Debug, clap::Args)]
pub struct TapsArgs {
    /// Only against the taps of these feeds
    #[arg(long, value_delimiter = ',')]
    pub feed: Vec<String>,
    /// Leave out days on which an outage was declared
    #[arg(long)]
    pub without_outages: bool,
}

impl TapsArgs {
    /// What is done with days of declared outages.
    pub fn how_outages(&self) -> &'static str {
        if self.without_outages {
            "left out"
        } else {
            "counted in: leave them out with --without-outages"
        }
    }
}

/// How sure.
#[derive(Debug, clap::Args)]
pub struct LevelArgs {
    /// How sure to be, 0.5 to 0.999999
    #[arg(
        long,
        default_value_t = 0.95,
        value_parser = values::fraction(Level::MIN, Level::MAX)
    )]
    pub level: f64,
}

/// As of when.
#[derive(Debug, clap::Args)]
pub struct AsOfArgs {
    /// As the figures were when this position of the record was the last
    #[arg(long, value_name = "POSITION", value_parser = values::position)]
    pub as_of: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_the_wrong_way_round_say_which_day_was_meant_by_none() {
        let now: Timestamp = "2026-11-23T08:15:00Z".parse().expect("a time");
        let refused = |from, to| {
            let args = DaysArgs {
                from: Some(from),
                to,
            };
            let days = args.days(Day::YESTERDAY, now);
            days.expect_err("the wrong way round").to_string()
        };
        let left_out = refused(Day::TODAY, None);
        assert!(left_out.contains("--to, 2026-11-22"), "{left_out}");
        assert!(left_out.contains("hint: name the last day"), "{left_out}");
        let said = refused(Day::TODAY, Some(Day::YESTERDAY));
        assert!(!said.contains("hint"), "{said}");
    }

    #[test]
    fn dimensions_have_the_numbers_of_the_api() {
        for dimension in Dimension::ALL {
            let wire = pb::Dimension::try_from(to_wire_dimension(dimension)).expect("a number");
            let name = format!(
                "DIMENSION_{}",
                dimension.key().replace('-', "_").to_uppercase()
            );
            assert_eq!(wire.as_str_name(), name);
        }
    }
}
