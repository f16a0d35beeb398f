//! Where the publisher's figures come from: the ledger's recent rows.
//!
//! A view is taken under the ledger's lock, which costs no more than counting references up;
//! everything is counted on the view, off the lock.

use std::sync::Arc;

use crate::domain::entry::Epoch;
use crate::domain::limits::WATCHED_ROWS_MAX;
use crate::domain::{Minute, Position, Row};
use crate::ledger::{Dictionary, Ledger, Recent};
use crate::query::{Counted, Counter};

use super::Watch;

/// A half-open span of minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinuteSpan {
    /// The first.
    pub start: Minute,
    /// The one after the last.
    pub end: Minute,
}

/// What figures are counted from.
pub trait Source: Send + Sync + 'static {
    /// See `View`.
    type View: View;

    /// The journal's identity.
    fn epoch(&self) -> Epoch;

    /// The rows as they are now. May wait for a lock, so not for async threads.
    fn view(&self) -> Self::View;
}

/// The recent rows as of one position. Counting takes up to some tenths of a second, so it is
/// not for async threads.
pub trait View {
    /// The last place in the journal that is included.
    fn position(&self) -> Position;

    /// The figures of a watch; `None` if there are more than `WATCHED_ROWS_MAX`.
    fn count(&self, watch: &Watch, span: MinuteSpan) -> Option<Counted>;

    /// Incidents that the watch takes in, that were recorded in the span, and that are not
    /// known to the minute.
    fn untimed(&self, watch: &Watch, span: MinuteSpan) -> u64;

    /// From which minute on the span is complete; `None` if all of it is. Under a flood of
    /// reports the oldest rows are let go.
    fn complete_from(&self, span: MinuteSpan) -> Option<Minute>;

    /// Whether a change of one of these rows can make a difference. All of them are known to
    /// the view.
    fn is_concerned(&self, watch: &Watch, rows: &[Row]) -> bool;
}

/// The recent rows of a ledger.
pub struct LedgerView {
    recent: Recent,
    untimed: Recent,
    dictionary: Arc<Dictionary>,
    position: Position,
}

impl Source for Arc<Ledger> {
    type View = LedgerView;

    fn epoch(&self) -> Epoch {
        self.read().epoch()
    }

    fn view(&self) -> LedgerView {
        let state = self.read();
        LedgerView {
            recent: state.recent().clone(),
            untimed: state.untimed().clone(),
            dictionary: Arc::clone(state.dictionary()),
            position: state.position(),
        }
    }
}

impl View for LedgerView {
    fn position(&self) -> Position {
        self.position
    }

    fn count(&self, watch: &Watch, span: MinuteSpan) -> Option<Counted> {
        let mut counter = Counter::new(&watch.filter, &watch.by, &self.dictionary);
        for row in self.recent.rows(span.start, span.end) {
            counter.count(row);
            if WATCHED_ROWS_MAX < counter.rows() {
                return None;
            }
        }
        counter.finish(&self.dictionary, WATCHED_ROWS_MAX)
    }

    fn untimed(&self, watch: &Watch, span: MinuteSpan) -> u64 {
        let counter = Counter::new(&watch.filter, &watch.by, &self.dictionary);
        let rows = self.untimed.rows(span.start, span.end);
        rows.filter(|row| counter.matches(row)).count() as u64
    }

    fn complete_from(&self, span: MinuteSpan) -> Option<Minute> {
        let recent = self.recent.complete_from();
        let from = recent.max(self.untimed.complete_from());
        (span.start < from).then_some(from)
    }

    fn is_concerned(&self, watch: &Watch, rows: &[Row]) -> bool {
        let counter = Counter::new(&watch.filter, &watch.by, &self.dictionary);
        rows.iter().any(|row| counter.matches(row))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::limits::{WATCH_WINDOW_MINUTES_MAX, WATCH_WINDOW_MINUTES_MIN};
    use crate::domain::question::Breakdown;
    use crate::domain::taxonomy::{Mode, ReporterKind, TimePrecision};
    use crate::domain::{Basis, Dimension, Entry, Filter, RowTime};
    use crate::ledger::testing::{EPOCH, Maker};
    use crate::ledger::{Applied, State};

    fn watches(window_minutes: u32) -> [Watch; 3] {
        let watch = |filter, dimensions| Watch {
            filter,
            by: Breakdown::new(dimensions).expect("few and different"),
            window_minutes,
        };
        let mut trams = Filter::all(Basis::SelfReported);
        trams.modes.insert(Mode::Tram);
        [
            watch(Filter::all(Basis::SelfReported), vec![Dimension::Line]),
            watch(Filter::all(Basis::Observed), Vec::new()),
            watch(trams, vec![Dimension::Stop, Dimension::Cause]),
        ]
    }

    fn changed_rows(applied: Vec<Applied>) -> Vec<Row> {
        let row = |applied| match applied {
            Applied::Recorded { row } | Applied::Withdrawn { row } => Some(row),
            Applied::Repeated { .. } | Applied::Nothing | Applied::Noted | Applied::Taps(_) => None,
        };
        applied.into_iter().filter_map(row).collect()
    }

    #[test]
    fn incident_known_to_the_day_is_seen_when_it_comes_in() {
        let mut maker = Maker::new(7);
        let entries = maker.entries(400);
        let (position, stamp, _) = entries.last().expect("some were asked for").clone();
        let ledger = Arc::new(Ledger::new(State::new(EPOCH)));
        ledger.apply(&entries);
        let [all, ..] = watches(60);
        let span = all.span(stamp.minute().expect("after 1970"));
        let before = ledger.view().untimed(&all, span);
        let mut facts = maker.facts(stamp);
        facts.time = RowTime::Day(stamp.hour().expect("supported").local_day());
        facts.precision = TimePrecision::Day;
        facts.reporter = ReporterKind::Traveller;
        let (id, told) = (facts.id, Box::new(facts));
        let report = Entry::Incident {
            facts: told.clone(),
            personal: None,
        };
        let applied = ledger.apply(&[(position.next(), stamp, report)]);
        let view = ledger.view();
        assert_eq!(view.untimed(&all, span), before + 1);
        assert!(view.is_concerned(&all, &changed_rows(applied)));
        let withdrawn = Entry::Withdrawn { id, facts: told };
        ledger.apply(&[(position.next().next(), stamp, withdrawn)]);
        assert_eq!(ledger.view().untimed(&all, span), before);
    }

    #[test]
    fn span_from_before_rows_that_were_let_go_is_not_complete() {
        let ledger = Arc::new(Ledger::new(State::new(EPOCH)));
        let entries = Maker::new(7).entries(400);
        ledger.apply(&entries);
        let view = ledger.view();
        let from = view.recent.complete_from();
        let span = |start| MinuteSpan {
            start,
            end: Minute(from.0 + 60),
        };
        assert_eq!(view.complete_from(span(from)), None);
        let before = Minute(from.0 - 1);
        assert_eq!(view.complete_from(span(before)), Some(from));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn rows_that_change_a_figure_are_of_concern(
            seed: u64,
            window_minutes in WATCH_WINDOW_MINUTES_MIN..=WATCH_WINDOW_MINUTES_MAX,
        ) {
            let ledger = Arc::new(Ledger::new(State::new(EPOCH)));
            let watches = watches(window_minutes);
            for entry in Maker::new(seed).entries(100) {
                let minute = entry.1.minute().expect("after 1970");
                let before = ledger.view();
                let rows = changed_rows(ledger.apply(std::slice::from_ref(&entry)));
                let after = ledger.view();
                prop_assert_eq!(after.position(), entry.0);
                for watch in &watches {
                    let span = watch.span(minute);
                    let is_changed = before.count(watch, span) != after.count(watch, span)
                        || before.untimed(watch, span) != after.untimed(watch, span);
                    let is_concerned = after.is_concerned(watch, &rows);
                    prop_assert!(!is_changed || is_concerned);
                }
            }
        }
    }
}
