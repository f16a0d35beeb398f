//! A network overlaid by feeds.
//!
//! A feed replaces, for each operator of which it has lines, the lines of that operator,
//! as far as it can know: what lies wholly before or after the days it was made for stays,
//! and what it no longer lists ends on the day before it. Stops are united: a stop that the
//! feed has is as the feed says. So reports about taps of some months ago still find the
//! line that ran then.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Feed, Line, Operator, Stop, Validity};
use crate::domain::{LineId, LocalDay, OperatorCode, StopId};

/// What `base` becomes, feed after feed.
pub(super) fn overlay(base: Feed, feeds: Vec<Feed>) -> Feed {
    feeds.into_iter().fold(base, overlay_one)
}

fn overlay_one(base: Feed, feed: Feed) -> Feed {
    let covered: BTreeSet<OperatorCode> =
        feed.lines.iter().map(|line| line.id.operator()).collect();
    let mut lines: BTreeMap<LineId, Line> = feed
        .lines
        .into_iter()
        .map(|line| (line.id.clone(), line))
        .collect();
    for old in base.lines {
        if let Some(new) = lines.get_mut(&old.id) {
            new.validity = new.validity.union(old.validity);
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
