//! Feeds of tap counts and their counts.

use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::taps::{DayBegin, Refusals, TapGrain, TapInterval, TapKinds, TapScope, Taps};
use crate::domain::taxonomy::{TapKind, Taxonomy};
use crate::domain::text::{InvalidText, holds_card_number};
use crate::domain::{LineId, LocalDay, OperatorCode, StopId, TapCount, TapFeed, UtcMillis};

/// Most kinds of tap in one list.
const KINDS_MAX: usize = 8;

/// When counts are taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The first service day that is kept.
    pub from: LocalDay,
    /// Intervals must be over by now.
    pub now: UtcMillis,
}

/// Checks a feed's declaration.
pub fn parse_feed(at: Path<'_>, feed: Option<&pb::TapFeed>) -> Result<TapFeed, Violations> {
    let mut found = Violations::default();
    let Some(feed) = found.some(at, feed, "must be given") else {
        return Err(found);
    };
    let id_at = at.field("feed_id");
    let id = found
        .ok(id_at, without_card(&feed.feed_id))
        .and_then(|id| found.ok(id_at, id.parse()));
    let operator = feed.operator_code.parse::<OperatorCode>();
    let operator = found.ok(at.field("operator_code"), operator);
    let grain = known(feed.grain).and_then(TapGrain::from_number);
    let grain = found.some(at.field("grain"), grain, "must be a value of TapGrain");
    let interval = known(feed.interval).and_then(TapInterval::from_number);
    let interval = found.some(
        at.field("interval"),
        interval,
        "must be a value of TapInterval",
    );
    let kinds_at = at.field("tap_kinds");
    let violations = found.count();
    let kinds = found.choices::<TapKind>(kinds_at, &feed.tap_kinds, KINDS_MAX, false);
    // Said once: a kind that is not known is no kind either.
    let kinds = if violations == found.count() {
        found.ok(kinds_at, TapKinds::new(kinds))
    } else {
        None
    };
    let refusals = known(feed.refusals).and_then(Refusals::from_number);
    let refusals = found.some(
        at.field("refusals"),
        refusals,
        "must be a value of Refusals",
    );
    let day_begin = found.ok(at.field("day_begins"), DayBegin::new(feed.day_begins));
    let parsed = || {
        Some(TapFeed {
            id: id?,
            operator: operator?,
            grain: grain?,
            interval: interval?,
            kinds: kinds?,
            refusals: refusals?,
            day_begin: day_begin?,
        })
    };
    let parsed = parsed();
    found.finish(parsed)
}

fn known(number: i32) -> Option<u8> {
    u8::try_from(number).ok()
}

/// Checks one count of a feed.
pub fn parse_count(
    at: Path<'_>,
    count: &pb::TapCount,
    feed: &TapFeed,
    taken: Taken,
) -> Result<TapCount, Violations> {
    let mut found = Violations::default();
    let has_line = matches!(feed.grain, TapGrain::Line | TapGrain::LineStop);
    let has_stop = matches!(feed.grain, TapGrain::Stop | TapGrain::LineStop);
    let line = parse_id::<LineId>(at.field("line_id"), &count.line_id, has_line, &mut found);
    let stop = parse_id::<StopId>(at.field("stop_id"), &count.stop_id, has_stop, &mut found);
    if line
        .as_ref()
        .is_some_and(|line| line.operator() != feed.operator)
    {
        found.add(at.field("line_id"), "must be a line of the feed's operator");
    }
    let taps = found.ok(at.field("taps"), Taps::new(count.taps));
    let slot = parse_slot(at.field("start"), count, feed, taken, &mut found);
    let scope = match feed.grain {
        TapGrain::Operator => Some(TapScope::Operator),
        TapGrain::Line => line.map(TapScope::Line),
        TapGrain::Stop => stop.map(TapScope::Stop),
        TapGrain::LineStop => {
            let pair = line.zip(stop);
            pair.map(|(line, stop)| TapScope::LineStop(line, stop))
        }
    };
    let parsed = || {
        Some(TapCount {
            scope: scope?,
            slot: slot?,
            taps: taps?,
        })
    };
    let parsed = parsed();
    found.finish(parsed)
}

fn parse_id<T>(at: Path<'_>, text: &str, is_wanted: bool, found: &mut Violations) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match (is_wanted, text.is_empty()) {
        (false, true) => None,
        (false, false) => {
            found.add(at, "must be empty, as the feed's grain has none");
            None
        }
        (true, true) => {
            found.add(at, "must be given, as the feed's grain says");
            None
        }
        (true, false) => found
            .ok(at, without_card(text))
            .and_then(|text| found.ok(at, text.parse())),
    }
}

/// The same text, unless it could be a card's number in the wrong column.
fn without_card(text: &str) -> Result<&str, InvalidText> {
    if holds_card_number(text) {
        Err(InvalidText::HoldsCard)
    } else {
        Ok(text)
    }
}

fn parse_slot(
    at: Path<'_>,
    count: &pb::TapCount,
    feed: &TapFeed,
    taken: Taken,
    found: &mut Violations,
) -> Option<crate::domain::TapSlot> {
    let given = found.some(at, count.start.as_ref(), "must be given")?;
    let start = found.timestamp(at, Some(given))?;
    let slot = match given.nanos {
        0 => feed.slot_at(start),
        _ => None,
    };
    let rule = match feed.interval {
        TapInterval::Quarter => "must be a whole quarter of an hour in the years 2000 to 2099",
        TapInterval::Hour => "must be a whole hour in the years 2000 to 2099",
        TapInterval::Day => "must be the hour at which the feed's service day begins",
    };
    let slot = found.some(at, slot, rule)?;
    if slot.day < taken.from {
        let rule = format_args!(
            "must not be before {}: older counts are not kept",
            taken.from
        );
        found.add(at, rule);
    }
    if taken.now < feed.end(slot) {
        found.add(at, "must be an interval that is over");
    }
    Some(slot)
}

/// A feed's declaration.
pub fn to_feed(feed: &TapFeed) -> pb::TapFeed {
    let kinds = feed.kinds.set().iter();
    pb::TapFeed {
        feed_id: feed.id.to_string(),
        operator_code: feed.operator.to_string(),
        grain: feed.grain.number().into(),
        interval: feed.interval.number().into(),
        tap_kinds: kinds.map(|kind| i32::from(kind.number())).collect(),
        refusals: feed.refusals.number().into(),
        day_begins: feed.day_begin.hour().into(),
    }
}

/// What differs between a feed as it was declared and as it is declared now.
pub fn differences(at: Path<'_>, recorded: &TapFeed, now: &TapFeed) -> Violations {
    let mut found = Violations::default();
    for field in recorded.differences(now) {
        let was = match field {
            "operator_code" => recorded.operator.to_string(),
            "grain" => recorded.grain.key().to_owned(),
            "interval" => recorded.interval.key().to_owned(),
            "refusals" => recorded.refusals.key().to_owned(),
            "day_begins" => recorded.day_begin.hour().to_string(),
            _ => kinds(recorded),
        };
        found.add(
            at.field(field),
            format_args!("must be {was}, as it was declared before"),
        );
    }
    found
}

fn kinds(feed: &TapFeed) -> String {
    let kinds = feed.kinds.set().iter().map(TapKind::key);
    kinds.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    const HOUR: i64 = 490_000;

    fn feed() -> pb::TapFeed {
        pb::TapFeed {
            feed_id: "gvb.tram".into(),
            operator_code: "GVB".into(),
            grain: pb::TapGrain::LineStop as i32,
            interval: pb::TapInterval::Hour as i32,
            tap_kinds: vec![pb::TapKind::CheckIn as i32],
            refusals: pb::Refusals::Unknown as i32,
            day_begins: 0,
        }
    }

    fn count() -> pb::TapCount {
        pb::TapCount {
            line_id: "GVB:10".into(),
            stop_id: "06020".into(),
            start: Some(Timestamp {
                seconds: HOUR * 3_600,
                nanos: 0,
            }),
            taps: 7,
        }
    }

    fn taken() -> Taken {
        Taken {
            from: crate::domain::Hour(490_000).local_day(),
            now: UtcMillis((HOUR + 1) * 3_600_000),
        }
    }

    fn fields(violations: Violations) -> Vec<String> {
        let told = violations.into_told().into_iter();
        told.map(|one| one.field).collect()
    }

    #[test]
    fn every_wrong_field_of_a_feed_is_told() {
        let at = Path::root("feed");
        let parsed = parse_feed(at, Some(&feed())).expect("a feed");
        assert_eq!(to_feed(&parsed), feed());
        let wrong = pb::TapFeed {
            feed_id: "No Name".into(),
            operator_code: "gvb".into(),
            grain: 0,
            interval: 9,
            tap_kinds: vec![pb::TapKind::Inspection as i32],
            refusals: -1,
            day_begins: 12,
        };
        let told = fields(parse_feed(at, Some(&wrong)).expect_err("all is wrong"));
        let expected = [
            "feed.feed_id",
            "feed.operator_code",
            "feed.grain",
            "feed.interval",
            "feed.tap_kinds",
            "feed.refusals",
            "feed.day_begins",
        ];
        assert_eq!(told, expected);
        assert_eq!(fields(parse_feed(at, None).expect_err("nothing")), ["feed"]);
    }

    #[test]
    fn number_of_a_card_in_the_column_of_an_identifier_is_refused() {
        let at = Path::root("feed");
        let with_card = pb::TapFeed {
            feed_id: "a3528016044719359".into(),
            ..feed()
        };
        let told = fields(parse_feed(at, Some(&with_card)).expect_err("a card"));
        assert_eq!(told, ["feed.feed_id"]);
        let feed = TapFeed {
            grain: TapGrain::Stop,
            ..parse_feed(at, Some(&feed())).expect("a feed")
        };
        let count = pb::TapCount {
            stop_id: "3528-0160-4471-9359".into(),
            ..pb::TapCount::default()
        };
        let told = fields(parse_count(at, &count, &feed, taken()).expect_err("a card"));
        assert!(told.contains(&"feed.stop_id".to_owned()), "{told:?}");
    }

    #[test]
    fn every_wrong_field_of_a_count_is_told() {
        let feed = parse_feed(Path::root("feed"), Some(&feed())).expect("a feed");
        let check = |change: fn(&mut pb::TapCount), expected: &[&str]| {
            let mut count = count();
            change(&mut count);
            let at = Path::root("counts").at(3);
            let parsed = parse_count(at, &count, &feed, taken());
            let told = parsed.map_or_else(fields, |_| Vec::new());
            let expected: Vec<_> = expected
                .iter()
                .map(|one| format!("counts[3].{one}"))
                .collect();
            assert_eq!(told, expected);
        };
        let add = |count: &mut pb::TapCount, seconds| {
            if let Some(start) = &mut count.start {
                start.seconds += seconds;
            }
        };
        let _ = add;
        check(|_| (), &[]);
        check(|count| count.line_id = "RET:10".into(), &["line_id"]);
        check(|count| count.taps = u64::MAX, &["taps"]);
        check(|count| count.start = None, &["start"]);
        check(
            |count| {
                *count = pb::TapCount {
                    start: Some(Timestamp {
                        seconds: i64::MAX,
                        nanos: -1,
                    }),
                    taps: 1_000_000_001,
                    ..pb::TapCount::default()
                };
            },
            &["line_id", "stop_id", "taps", "start"],
        );
        for seconds in [1, 900, 3_600, -86_400, -4_000_000_000] {
            let mut count = count();
            add(&mut count, seconds);
            let parsed = parse_count(Path::root("count"), &count, &feed, taken());
            assert_eq!(
                fields(parsed.expect_err("no such time")),
                ["count.start"],
                "{seconds}"
            );
        }
    }

    #[test]
    fn difference_between_declarations_names_field_and_what_was_declared() {
        let at = Path::root("feed");
        let recorded = parse_feed(at, Some(&feed())).expect("a feed");
        let mut other = feed();
        other.refusals = pb::Refusals::Included as i32;
        other.tap_kinds = vec![pb::TapKind::CheckOut as i32];
        let other = parse_feed(at, Some(&other)).expect("a feed");
        let told = differences(at, &recorded, &other).into_told();
        let told: Vec<_> = told
            .iter()
            .map(|one| (one.field.as_str(), one.rule.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "feed.tap_kinds",
                    "must be check-in, as it was declared before"
                ),
                (
                    "feed.refusals",
                    "must be unknown, as it was declared before"
                ),
            ]
        );
    }
}
