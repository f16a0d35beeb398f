//! A network overlaid by feeds.
//!
//! A feed replaces, for each operator of which it has lines, the lines of that operator,
//! as far as it can know: what lies wholly before or after the days it was made for stays,
//! and what it no longer lists ends on the day before it. Stops are united: a stop that the
//! feed has is as the feed says, but keeps its code if the feed calls it by that of another
//! of its platforms. So reports about taps of some months ago still find the line that ran
//! then, and figures of a stop go on.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Feed, Line, Operator, Stop, Validity};
use super::names;
use crate::domain::{LineId, LocalDay, OperatorCode, StopId};

/// Days between two feeds of one operator in which a line that both list is taken to have run.
const GAP_DAYS_MAX: i32 = 31;

/// What `base` becomes, feed after feed.
pub(super) fn overlay(base: Feed, feeds: Vec<Feed>) -> Feed {
    feeds.into_iter().fold(base, overlay_one)
}

fn overlay_one(base: Feed, mut feed: Feed) -> Feed {
    keep_codes(&base.stops, &mut feed);
    let covered: BTreeSet<OperatorCode> =
        feed.lines.iter().map(|line| line.id.operator()).collect();
    let mut lines: BTreeMap<LineId, Line> = feed
        .lines
        .into_iter()
        .map(|line| (line.id.clone(), line))
        .collect();
    for old in base.lines {
        if let Some(new) = lines.get_mut(&old.id) {
            if !is_given_anew(old.validity, new.validity) {
                new.validity = new.validity.union(old.validity);
            }
        } else if !covered.contains(&old.id.operator()) {
            lines.insert(old.id.clone(), old);
        } else if let Some(validity) = what_remains(old.validity, feed.validity) {
            lines.insert(old.id.clone(), Line { validity, ..old });
        }
    }
    let mut stops: BTreeMap<StopId, Stop> = with_codes(base.stops, |stop| stop.id.clone());
    stops.extend(with_codes(feed.stops, |stop| stop.id.clone()));
    let mut operators: BTreeMap<OperatorCode, Operator> =
        with_codes(feed.operators, |operator| operator.code.clone());
    // A name that is known already is more telling than the one in a feed.
    operators.extend(with_codes(base.operators, |operator| operator.code.clone()));
    Feed {
        operators: operators.into_values().collect(),
        lines: lines.into_values().collect(),
        stops: stops.into_values().collect(),
        validity: Validity::default(),
    }
}

/// Gives stops of a feed the codes that the base has for them. They are the same if the name
/// is, and the base's code is one of the feed's platforms there.
fn keep_codes(base: &[Stop], feed: &mut Feed) {
    let known: BTreeMap<&str, &Stop> = base.iter().map(|stop| (stop.id.as_str(), stop)).collect();
    let listed: BTreeSet<StopId> = feed.stops.iter().map(|stop| stop.id.clone()).collect();
    let mut renamed = BTreeMap::new();
    for stop in &mut feed.stops {
        if known.contains_key(stop.id.as_str()) {
            continue;
        }
        let name = names::key(&stop.full_name());
        let codes = stop.platforms.iter().filter_map(|code| known.get(&**code));
        let mut same = codes.filter(|old| !listed.contains(&old.id));
        let Some(old) = same.find(|old| names::key(&old.full_name()) == name) else {
            continue;
        };
        let id = std::mem::replace(&mut stop.id, old.id.clone());
        stop.platforms.push(id.as_str().into());
        stop.platforms
            .retain(|platform| **platform != *old.id.as_str());
        stop.platforms.sort_unstable();
        stop.platforms.dedup();
        renamed.insert(id, old.id.clone());
    }
    let directions = feed.lines.iter_mut().flat_map(|line| &mut line.directions);
    for stop in directions.flat_map(|direction| &mut direction.stops) {
        if let Some(id) = renamed.get(stop) {
            *stop = id.clone();
        }
    }
}

/// Whether a line had long ended when one with its code began: they share no more than the code,
/// and nothing ran in between.
fn is_given_anew(old: Validity, new: Validity) -> bool {
    let ended = old.until.map(|until| until.0.saturating_add(GAP_DAYS_MAX));
    ended
        .zip(new.from)
        .is_some_and(|(ended, from)| ended < from.0)
}

/// What remains of a line's validity if a feed for certain days does not list it: all, if
/// they do not meet; the days before the feed's; or nothing.
fn what_remains(line: Validity, feed: Validity) -> Option<Validity> {
    let day_before = feed.from.map(|from| LocalDay(from.0 - 1));
    let is_before = line
        .until
        .zip(feed.from)
        .is_some_and(|(until, from)| until < from);
    let is_after = line
        .from
        .zip(feed.until)
        .is_some_and(|(from, until)| until < from);
    if is_before || is_after {
        return Some(line);
    }
    let begins_before = match (line.from, feed.from) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(line), Some(feed)) => line < feed,
    };
    begins_before.then_some(Validity {
        from: line.from,
        until: day_before,
    })
}

fn with_codes<K: Ord, T>(items: Vec<T>, code: impl Fn(&T) -> K) -> BTreeMap<K, T> {
    items.into_iter().map(|item| (code(&item), item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::taxonomy::Mode;
    use crate::network::Network;
    use crate::network::model::Direction;

    fn validity(from: &str, until: &str) -> Validity {
        Validity {
            from: LocalDay::parse(from),
            until: LocalDay::parse(until),
        }
    }

    fn stop(id: &str, name: &str) -> Stop {
        Stop {
            id: id.parse().expect("a code"),
            name: name.into(),
            town: "Amsterdam".into(),
            latitude: 52.37,
            longitude: 4.9,
            platforms: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn line(id: &str, days: Validity) -> Line {
        Line {
            id: id.parse().expect("an identifier"),
            number: id.split(':').nth(1).expect("a number").into(),
            name: "".into(),
            mode: Mode::Tram,
            validity: days,
            directions: vec![Direction {
                headsign: "".into(),
                stops: vec!["GVB:x".parse().expect("a code")],
            }],
        }
    }

    fn feed(days: Validity, lines: &[&str]) -> Feed {
        Feed {
            operators: Vec::new(),
            lines: lines.iter().map(|id| line(id, days)).collect(),
            stops: vec![stop("GVB:x", "Nergens")],
            validity: days,
        }
    }

    fn over_built_in(feed: Feed) -> Network {
        Network::overlay(&Network::built_in(), vec![feed]).expect("fits")
    }

    #[test]
    fn feed_replaces_lines_of_its_operators_and_leaves_others() {
        let network = over_built_in(feed(validity("2026-01-01", "2026-12-31"), &["GVB:1"]));
        assert_eq!(network.version(), 1);
        let stops = &network.line("GVB:1").expect("listed").directions[0].stops;
        assert_eq!(
            stops.iter().map(StopId::as_str).collect::<Vec<_>>(),
            ["GVB:x"]
        );
        assert!(
            network
                .line("HTM:1")
                .expect("not covered")
                .validity
                .until
                .is_none()
        );
        assert_eq!(
            network.operator("GVB").map(|operator| &*operator.name),
            Some("GVB")
        );
        assert!(network.stop("GVB:06061").is_some());
    }

    #[test]
    fn abolished_lines_stay_and_lines_no_longer_listed_end() {
        let network = over_built_in(feed(validity("2026-01-01", "2026-12-31"), &["GVB:1"]));
        let until = |id| network.line(id).and_then(|line| line.validity.until);
        assert_eq!(until("GVB:10"), LocalDay::parse("2018-07-21"));
        assert_eq!(until("GVB:2"), LocalDay::parse("2025-12-31"));
        assert_eq!(until("GVB:1"), None);
    }

    #[test]
    fn feed_of_the_past_leaves_what_came_later() {
        let network = over_built_in(feed(validity("2017-02-12", "2017-12-09"), &["GVB:10"]));
        assert_eq!(
            network.line("GVB:52").map(|line| line.validity.from),
            Some(LocalDay::parse("2018-07-22"))
        );
        let ten = network.line("GVB:10").expect("listed");
        assert_eq!(ten.validity.until, LocalDay::parse("2018-07-21"));
    }

    #[test]
    fn line_listed_by_feed_after_feed_is_valid_for_all_their_days() {
        let first = over_built_in(feed(validity("2026-01-01", "2026-03-31"), &["NEW:1"]));
        let spring = feed(validity("2026-04-01", "2026-06-30"), &["NEW:1", "NEW:2"]);
        let second = Network::overlay(&first, vec![spring]).expect("fits");
        let line = second.line("NEW:1").expect("listed");
        assert_eq!(line.validity, validity("2026-01-01", "2026-06-30"));
    }

    #[test]
    fn code_that_is_given_anew_did_not_run_in_between() {
        let first = over_built_in(feed(validity("2026-01-01", "2026-03-31"), &["NEW:1"]));
        let later = |from, until| {
            let feed = feed(validity(from, until), &["NEW:1"]);
            let network = Network::overlay(&first, vec![feed]).expect("fits");
            network.line("NEW:1").expect("listed").validity
        };
        let year_after = ("2027-03-01", "2027-06-30");
        let found = later(year_after.0, year_after.1);
        assert_eq!(found, validity(year_after.0, year_after.1));
        let month_after = later("2026-05-01", "2026-06-30");
        assert_eq!(month_after, validity("2026-01-01", "2026-06-30"));
    }

    #[test]
    fn line_that_the_feed_should_know_and_does_not_list_goes() {
        let days = validity("2026-01-01", "2026-03-31");
        let first = over_built_in(feed(days, &["NEW:1", "NEW:2"]));
        let second = Network::overlay(&first, vec![feed(days, &["NEW:2"])]).expect("fits");
        assert!(second.line("NEW:1").is_none());
    }

    #[test]
    fn stop_keeps_its_code_if_the_feed_calls_it_by_another_platform() {
        let mut feed = feed(validity("2026-01-01", "2026-12-31"), &["GVB:1"]);
        let platforms = ["06061", "GVB:06061", "GVB:x"].map(Into::into).to_vec();
        feed.stops = vec![Stop {
            platforms,
            ..stop("GVB:x", "Leidsepl.")
        }];
        let network = over_built_in(feed.clone());
        assert!(network.stop("GVB:x").is_none());
        let kept = network.stop("GVB:06061").expect("kept");
        assert_eq!(
            (&*kept.name, kept.platforms.join(" ").as_str()),
            ("Leidsepl.", "06061 GVB:x")
        );
        assert!(kept.lines.iter().any(|line| line.as_str() == "GVB:1"));

        feed.stops[0].name = "Elsewhere".into();
        assert!(over_built_in(feed).stop("GVB:x").is_some());
    }

    #[test]
    fn feed_of_stops_alone_ends_no_line() {
        let stops_only = Feed {
            lines: Vec::new(),
            ..feed(Validity::default(), &[])
        };
        let network = over_built_in(stops_only);
        assert_eq!(network.all_lines(), Network::built_in().all_lines());
        assert!(network.stop("GVB:x").is_some());
    }
}
