//! A network overlaid by feeds.
//!
//! A feed replaces, for each operator of which it has lines, the lines of that operator,
//! as far as it can know: what lies wholly before or after the days it was made for stays,
//! and what it no longer lists ends on the day before them. A feed of the past is one after
//! whose days a line of the operator began: it changes no line that still runs, and no stop, but
//! adds what was not known. One that does not say its last day is of now.
//!
//! Stops are united: a stop that the feed has is as the feed says, but keeps its code if the
//! feed calls it by another. So reports about taps of some months ago still find the line that
//! ran then, and figures of a stop go on.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::model::{Feed, Line, Operator, Stop, Validity};
use super::{builtin, names};
use crate::domain::{LineId, LocalDay, OperatorCode, StopId};

/// Days between two feeds of one operator in which a line that both list is taken to have run.
const GAP_DAYS_MAX: i32 = 31;

/// What `base` becomes, feed after feed.
pub(super) fn overlay(base: Feed, feeds: Vec<Feed>) -> Feed {
    feeds.into_iter().fold(base, overlay_one)
}

fn overlay_one(base: Feed, mut feed: Feed) -> Feed {
    keep_codes(&base.stops, &mut feed);
    let covered = days_of_operators(&feed.lines);
    let known = known_days(&base.lines);
    let is_past_for = |(operator, days): (_, &Validity)| is_past(*days, known.get(operator));
    let is_feed_past = covered.iter().any(is_past_for);
    let mut lines: BTreeMap<LineId, Line> = with_codes(feed.lines, |line| line.id.clone());
    for old in base.lines {
        let (operator, ran) = (old.id.operator(), old.validity);
        let stays = |days| stays(ran, days, known.get(&operator));
        let line = match (lines.remove(&old.id), covered.get(&operator)) {
            (Some(new), _) if stays(new.validity) => Some(with_days_of(old, new.validity)),
            (Some(new), _) => Some(with_days_of(new, ran)),
            (None, Some(days)) if !stays(*days) => {
                what_remains(ran, *days).map(|validity| Line { validity, ..old })
            }
            (None, _) => Some(old),
        };
        lines.extend(line.map(|line| (line.id.clone(), line)));
    }
    let mut operators: BTreeMap<OperatorCode, Operator> =
        with_codes(feed.operators, |operator| operator.code.clone());
    // A name that is known already is more telling than the one in a feed.
    operators.extend(with_codes(base.operators, |operator| operator.code.clone()));
    let mut stops = with_codes(base.stops, |stop| stop.id.clone());
    if is_feed_past {
        add_unknown(&mut stops, feed.stops);
    } else {
        stops.extend(with_codes(feed.stops, |stop| stop.id.clone()));
    }
    Feed {
        operators: operators.into_values().collect(),
        lines: lines.into_values().collect(),
        stops: stops.into_values().collect(),
    }
}

/// For which days a feed has lines of each operator.
fn days_of_operators(lines: &[Line]) -> BTreeMap<OperatorCode, Validity> {
    let mut days = BTreeMap::<OperatorCode, Validity>::new();
    for line in lines {
        let of_operator = days.entry(line.id.operator()).or_insert(line.validity);
        *of_operator = of_operator.union(line.validity);
    }
    days
}

/// The latest day of each operator that the base knows of: on which a line of it began. Last
/// days do not count: a feed for the rest of the year says nothing of the changes until then.
fn known_days(lines: &[Line]) -> BTreeMap<OperatorCode, LocalDay> {
    let mut known = builtin::known_days();
    for line in lines {
        if let Some(first_day) = line.validity.from {
            let latest = known.entry(line.id.operator()).or_insert(first_day);
            *latest = first_day.max(*latest);
        }
    }
    known
}

/// Whether a feed for these days is of the past, if this is the latest day that is known.
fn is_past(days: Validity, known: Option<&LocalDay>) -> bool {
    let until_and_known = days.until.zip(known);
    until_and_known.is_some_and(|(until, known)| until < *known)
}

/// Whether a line is better known than from a feed for these days: the feed is of the past, and
/// the line still runs, or began later.
fn stays(line: Validity, days: Validity, known: Option<&LocalDay>) -> bool {
    let still_runs = line.until.is_none_or(|until| known <= Some(&until));
    let began_later = line.from.zip(days.until);
    let began_later = began_later.is_some_and(|(from, until)| until < from);
    is_past(days, known) && (still_runs || began_later)
}

/// A line that also ran in the days of another with its code, unless the code was given anew.
fn with_days_of(line: Line, before: Validity) -> Line {
    let validity = if is_given_anew(before, line.validity) {
        line.validity
    } else {
        line.validity.union(before)
    };
    Line { validity, ..line }
}

/// Adds stops of a feed of the past. Those that are known stay as they are, and get the codes of
/// platforms that mean nothing else.
fn add_unknown(stops: &mut BTreeMap<StopId, Stop>, feed: Vec<Stop>) {
    let known: HashSet<Box<str>> = stops.values().flat_map(codes).map(Into::into).collect();
    for mut stop in feed {
        stop.platforms.retain(|code| !known.contains(code));
        match stops.entry(stop.id.clone()) {
            Entry::Vacant(place) => {
                place.insert(stop);
            }
            Entry::Occupied(mut place) => {
                let platforms = &mut place.get_mut().platforms;
                platforms.append(&mut stop.platforms);
                platforms.sort_unstable();
            }
        }
    }
}

/// Gives stops of a feed the codes that the base has for them. What the feed calls them is the
/// code of a platform.
fn keep_codes(base: &[Stop], feed: &mut Feed) {
    let renamed = same_stops(base, &feed.stops);
    for stop in &mut feed.stops {
        let Some(id) = renamed.get(&stop.id) else {
            continue;
        };
        stop.platforms.push(stop.id.as_str().into());
        stop.platforms.retain(|platform| **platform != *id.as_str());
        stop.platforms.sort_unstable();
        stop.platforms.dedup();
        stop.id = id.clone();
    }
    let directions = feed.lines.iter_mut().flat_map(|line| &mut line.directions);
    for stop in directions.flat_map(|direction| &mut direction.stops) {
        if let Some(id) = renamed.get(stop) {
            *stop = id.clone();
        }
    }
}

/// For stops of a feed whose codes the base does not have, the codes that it has for them. They
/// are the same if they have one name and share a code, their own or that of a platform. Each is
/// the same as one other at most: as the one with which it shares most.
fn same_stops(base: &[Stop], feed: &[Stop]) -> BTreeMap<StopId, StopId> {
    let known: HashSet<&StopId> = base.iter().map(|stop| &stop.id).collect();
    let listed: HashSet<&StopId> = feed.iter().map(|stop| &stop.id).collect();
    let mut by_code = HashMap::<&str, Vec<&Stop>>::new();
    for old in base.iter().filter(|old| !listed.contains(&old.id)) {
        for code in codes(old) {
            by_code.entry(code).or_default().push(old);
        }
    }
    let mut pairs = Vec::new();
    for new in feed.iter().filter(|new| !known.contains(&new.id)) {
        let mut shared = BTreeMap::<&StopId, (u32, &Stop)>::new();
        for old in codes(new).filter_map(|code| by_code.get(code)).flatten() {
            shared.entry(&old.id).or_insert((0, old)).0 += 1;
        }
        let name = |stop: &Stop| names::key(&stop.full_name());
        let same = shared.values().filter(|(_, old)| name(old) == name(new));
        pairs.extend(same.map(|(count, old)| (Reverse(*count), &old.id, &new.id)));
    }
    pairs.sort_unstable();
    let (mut same, mut taken) = (BTreeMap::new(), HashSet::new());
    for (_, old, new) in pairs {
        if !same.contains_key(new) && taken.insert(old) {
            same.insert(new.clone(), old.clone());
        }
    }
    same
}

/// The code of a stop, and those of its platforms.
fn codes(stop: &Stop) -> impl Iterator<Item = &str> {
    let platforms = stop.platforms.iter().map(|code| &**code);
    std::iter::once(stop.id.as_str()).chain(platforms)
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

    fn stops_of<'a>(network: &'a Network, line: &str) -> Vec<&'a str> {
        let line = network.line(line).expect("listed");
        let stops = &line.directions[0].stops;
        stops.iter().map(|stop| stop.as_str()).collect()
    }

    #[test]
    fn feed_of_the_past_changes_no_line_that_still_runs() {
        let built_in = Network::built_in();
        let past = validity("2017-02-12", "2017-12-09");
        let check = |base: &Network, line: &str| {
            let network = Network::overlay(base, vec![feed(past, &[line])]).expect("fits");
            assert_eq!(network.line(line), base.line(line));
        };
        check(&built_in, "GVB:1");
        check(&built_in, "HTM:1");
        check(&built_in, "RET:E");
        let days = validity("2026-01-01", "2026-03-31");
        check(&over_built_in(feed(days, &["NEW:1"])), "NEW:1");
    }

    #[test]
    fn line_that_ended_is_as_a_feed_of_the_past_says_unless_it_began_later() {
        let past = feed(validity("2017-02-12", "2017-12-09"), &["GVB:10", "NEW:1"]);
        let of_2024 = feed(validity("2024-01-01", "2024-12-31"), &["NEW:1"]);
        let of_2026 = feed(validity("2026-01-01", "2026-12-31"), &["NEW:2"]);
        let mut base = over_built_in(of_2024);
        base = Network::overlay(&base, vec![of_2026]).expect("fits");
        let network = Network::overlay(&base, vec![past]).expect("fits");
        assert_eq!(stops_of(&network, "GVB:10"), ["GVB:x"]);
        assert_eq!(network.line("NEW:1"), base.line("NEW:1"));
    }

    #[test]
    fn line_that_a_feed_of_the_past_does_not_list_goes_on() {
        let past = validity("2017-02-12", "2017-12-09");
        let network = over_built_in(feed(past, &["GVB:10", "GVB:old"]));
        for line in ["GVB:2", "GVB:52"] {
            assert_eq!(network.line(line), Network::built_in().line(line));
        }
        assert_eq!(network.line("GVB:old").expect("new").validity, past);
        let again = Network::overlay(&network, vec![feed(past, &["GVB:10"])]).expect("fits");
        assert!(again.line("GVB:old").is_none());
    }

    #[test]
    fn line_listed_by_quarter_after_quarter_is_as_the_later_says_whichever_comes_first() {
        let spring = feed(validity("2026-04-01", "2026-06-30"), &["NEW:1"]);
        let mut winter = feed(validity("2026-01-01", "2026-03-31"), &["NEW:1"]);
        winter.lines[0].directions[0].stops = vec!["GVB:06061".parse().expect("a code")];
        let feeds = [[winter.clone(), spring.clone()], [spring, winter]];
        for feeds in feeds {
            let network = Network::overlay(&Network::built_in(), feeds.to_vec()).expect("fits");
            let line = network.line("NEW:1").expect("listed");
            assert_eq!(line.validity, validity("2026-01-01", "2026-06-30"));
            assert_eq!(stops_of(&network, "NEW:1"), ["GVB:x"]);
        }
    }

    #[test]
    fn feed_that_does_not_say_its_days_is_of_now() {
        let network = over_built_in(feed(Validity::default(), &["GVB:1"]));
        assert_eq!(stops_of(&network, "GVB:1"), ["GVB:x"]);
    }

    #[test]
    fn stops_of_a_feed_of_the_past_are_added_and_change_no_other() {
        let of = |days| {
            let mut feed = feed(days, &["GVB:1"]);
            feed.stops.push(Stop {
                platforms: vec!["06061".into(), "06073".into()],
                ..stop("GVB:06061", "Vroeger")
            });
            feed
        };
        let now = Feed {
            stops: vec![
                stop("GVB:x", "Nergens"),
                Stop {
                    platforms: vec!["06073".into()],
                    ..stop("GVB:06073", "Spui")
                },
            ],
            ..feed(validity("2026-01-01", "2026-12-31"), &["GVB:1"])
        };
        let base = over_built_in(now);
        let past = of(validity("2017-02-12", "2017-12-09"));
        let network = Network::overlay(&base, vec![past]).expect("fits");
        let kept = network.stop("GVB:06061").expect("there");
        let before = base.stop("GVB:06061").expect("built in");
        assert_eq!((&kept.name, kept.latitude), (&before.name, before.latitude));
        // Its codes are known as far as they mean nothing else now.
        assert_eq!(kept.platforms.concat(), "06061");
        assert!(network.stop("GVB:x").is_some());

        let later = of(validity("2026-06-01", "2026-12-31"));
        let network = Network::overlay(&base, vec![later]).expect("fits");
        let renamed = network.stop("GVB:06061").expect("there");
        assert_eq!(&*renamed.name, "Vroeger");
    }

    #[test]
    fn operators_of_one_feed_have_their_own_days() {
        let first = feed(validity("2026-01-01", "2026-03-31"), &["AAA:1", "BBB:1"]);
        let mut second = feed(validity("2026-02-01", "2026-12-31"), &["AAA:2"]);
        let later = feed(validity("2026-03-01", "2026-12-31"), &["BBB:2"]);
        second.lines.extend(later.lines);
        let network = Network::overlay(&over_built_in(first), vec![second]).expect("fits");
        let until = |id| network.line(id).and_then(|line| line.validity.until);
        assert_eq!(until("AAA:1"), LocalDay::parse("2026-01-31"));
        assert_eq!(until("BBB:1"), LocalDay::parse("2026-02-28"));
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

    /// A feed of stops alone: for each, its code, name and platforms.
    fn feed_of(stops: &[(&str, &str, &[&str])]) -> Feed {
        let stops = stops.iter().map(|(id, name, platforms)| Stop {
            platforms: platforms.iter().map(|code| (*code).into()).collect(),
            ..stop(id, name)
        });
        Feed {
            stops: stops.collect(),
            ..Feed::default()
        }
    }

    /// The stops with a name that the second feed leaves, with their platforms.
    fn after(first: &Feed, second: &Feed, name: &str) -> Vec<String> {
        let feeds = vec![first.clone(), second.clone()];
        let network = Network::overlay(&Network::built_in(), feeds).expect("fits");
        let stops = network.all_stops().iter();
        let named = stops.filter(|stop| &*stop.name == name);
        named
            .map(|stop| format!("{}: {}", stop.id, stop.platforms.join(" ")))
            .collect()
    }

    #[test]
    fn stop_keeps_its_code_if_the_platform_that_bore_it_is_gone() {
        let first = feed_of(&[("30000001", "Markt 9", &["p1", "p2", "30000002"])]);
        let second = feed_of(&[("30000002", "Markt 9", &["p2"])]);
        assert_eq!(after(&first, &second, "Markt 9"), ["30000001: 30000002 p2"]);
    }

    #[test]
    fn stop_keeps_its_code_if_its_area_gets_another_number() {
        let first = feed_of(&[("456014", "Markt 9", &["30000001", "30000002"])]);
        let second = feed_of(&[("456999", "Markt 9", &["30000001", "30000003"])]);
        let kept = ["456014: 30000001 30000003 456999"];
        assert_eq!(after(&first, &second, "Markt 9"), kept);

        let elsewhere = feed_of(&[("456999", "Markt 10", &["30000001"])]);
        assert_eq!(after(&first, &elsewhere, "Markt 10"), ["456999: 30000001"]);
    }

    #[test]
    fn stop_that_comes_apart_leaves_its_code_to_its_larger_part() {
        let first = feed_of(&[("456014", "Markt 9", &["a", "b", "c"])]);
        let second = feed_of(&[
            ("a", "Markt 9", &["a1"]),
            ("456999", "Markt 9", &["b", "c"]),
        ]);
        let kept = ["456014: 456999 b c", "a: a1"];
        assert_eq!(after(&first, &second, "Markt 9"), kept);

        let lines = feed(validity("2026-01-01", "2026-12-31"), &["NEW:1"]).lines;
        let mut second = Feed { lines, ..second };
        let direction = &mut second.lines[0].directions[0];
        direction.stops = ["456999", "a"]
            .map(|id| id.parse().expect("a code"))
            .to_vec();
        let feeds = vec![first, second];
        let network = Network::overlay(&Network::built_in(), feeds).expect("fits");
        assert_eq!(stops_of(&network, "NEW:1"), ["456014", "a"]);
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
