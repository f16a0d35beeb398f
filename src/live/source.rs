//! Where the publisher's figures come from: the ledger's recent rows, and the taps told.
//!
//! A view is taken under the ledger's lock, which costs no more than counting references up;
//! everything is counted on the view, off the lock. Taps are read anew only when any changed
//! or the window reached another quarter of an hour.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::entry::Epoch;
use crate::domain::limits::WATCHED_ROWS_MAX;
use crate::domain::{Filter, Minute, MinuteSpan, Position, Row, UtcMillis};
use crate::journal::Reader;
use crate::ledger::{Dictionary, Ledger, LedgerError, Recent, State};
use crate::query::rates::{Known, Sliding, WindowTaps};
use crate::query::{Counted, Counter, QueryError};

use super::state::Seen;
use super::{Watch, WatchError};

/// The taps of one watched question, from one count to the next.
#[derive(Default)]
pub struct TapsKept(Mutex<Option<WindowTaps>>);

/// What figures are counted from.
pub trait Source: Send + Sync + 'static {
    /// See `View`.
    type View: View;

    /// The journal's identity as of now.
    fn epoch(&self) -> Epoch;

    /// The oldest position that is kept, from 1 up.
    fn horizon(&self) -> Position;

    /// Everything through here is applied. May wait for a lock, but never for long.
    fn applied(&self) -> Position;

    /// Time since some beginning, by which it is measured how long counting takes.
    fn elapsed(&self) -> Duration;

    /// The rows as they are now. May wait for a lock, so not for async threads.
    fn view(&self) -> Self::View;
}

/// The recent rows as of one position. Counting takes up to some tenths of a second, so it is
/// not for async threads.
pub trait View {
    /// The figures of a watch, as of this view's place in the journal or, where taps had to
    /// be read, of a later one.
    fn see(&self, watch: &Watch, span: MinuteSpan, kept: &TapsKept) -> Result<Seen, WatchError>;

    /// Whether a change of one of these rows can make a difference. All of them are known to
    /// the view.
    fn is_concerned(&self, watch: &Watch, rows: &[Row]) -> bool;
}

/// A ledger, and the journal that it is the fold of.
pub struct LedgerSource {
    ledger: Arc<Ledger>,
    reader: Reader,
    begun: Instant,
}

/// The recent rows of a ledger.
pub struct LedgerView {
    ledger: Arc<Ledger>,
    /// Place of the last change of any count of taps.
    taps_changed: Position,
    recent: Recent,
    untimed: Recent,
    dictionary: Arc<Dictionary>,
    position: Position,
}

impl LedgerSource {
    /// Of a running record.
    pub fn new(ledger: Arc<Ledger>, reader: Reader) -> Self {
        let begun = Instant::now();
        Self {
            ledger,
            reader,
            begun,
        }
    }
}

impl Source for LedgerSource {
    type View = LedgerView;

    fn epoch(&self) -> Epoch {
        self.ledger.read().epoch_now()
    }

    fn horizon(&self) -> Position {
        self.reader.horizon()
    }

    fn applied(&self) -> Position {
        self.ledger.read().position()
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn view(&self) -> LedgerView {
        LedgerView::of(&self.ledger, &self.ledger.read())
    }
}

impl View for LedgerView {
    fn see(&self, watch: &Watch, span: MinuteSpan, kept: &TapsKept) -> Result<Seen, WatchError> {
        let Some(wanted) = &watch.rates else {
            return self.seen(watch, span, None);
        };
        let asked = Sliding {
            filter: &watch.filter,
            by: &watch.by,
            wanted,
            span,
        };
        let mut kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taps) = &*kept
            && taps.holds_for(span, self.taps_changed)
        {
            return self.seen(watch, span, Some((taps, asked)));
        }
        let view = self.ledger.tap_view(|state| Self::of(&self.ledger, state));
        let (taps, later) = view.map_err(QueryError::from).map_err(told)?;
        let read = WindowTaps::read(&taps, asked).map_err(told)?;
        // Tap counts may be put into the store again.
        drop(taps);
        let seen = later.seen(watch, span, Some((&read, asked)));
        *kept = Some(read);
        seen
    }

    fn is_concerned(&self, watch: &Watch, rows: &[Row]) -> bool {
        let concerns = |filter: &Filter| {
            let counter = Counter::new(filter, &watch.by, &self.dictionary);
            rows.iter().any(|row| counter.matches(row))
        };
        // Beside rates stands what the other basis told, and attempts are of all failures.
        concerns(&watch.filter)
            || watch.rates.is_some()
                && (concerns(&watch.filter.of_other_basis())
                    || concerns(&watch.filter.of_any_failure()))
    }
}

impl LedgerView {
    fn of(ledger: &Arc<Ledger>, state: &State) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            taps_changed: state.taps().last(),
            recent: state.recent().clone(),
            untimed: state.untimed().clone(),
            dictionary: Arc::clone(state.dictionary()),
            position: state.position(),
        }
    }

    fn seen(
        &self,
        watch: &Watch,
        span: MinuteSpan,
        taps: Option<(&WindowTaps, Sliding<'_>)>,
    ) -> Result<Seen, WatchError> {
        let counted = self.count(watch, span).ok_or(WatchError::TooManyRows)?;
        let rates = taps.and_then(|(taps, asked)| {
            let rows = self.recent.rows_by_minute(span.start, span.end);
            let known = Known {
                dictionary: &self.dictionary,
                began: self.ledger.began(),
                complete_from: self.recent.complete_from(),
            };
            taps.rates(asked, &counted.figures, rows, known)
        });
        Ok(Seen {
            position: self.position,
            counted,
            rates,
            untimed: self.untimed(watch, span),
            complete_from: self.complete_from(span),
        })
    }

    /// `None` if there are more than `WATCHED_ROWS_MAX`.
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

    /// Incidents that the watch takes in, that were recorded in the span, and that are not
    /// known to the minute.
    fn untimed(&self, watch: &Watch, span: MinuteSpan) -> u64 {
        let counter = Counter::new(&watch.filter, &watch.by, &self.dictionary);
        let rows = self.untimed.rows(span.start, span.end);
        rows.filter(|row| counter.matches(row)).count() as u64
    }

    /// From which minute on the span is complete; `None` if all of it is. Nothing is known of
    /// before the record began, and under a flood of reports the oldest rows are let go.
    fn complete_from(&self, span: MinuteSpan) -> Option<Minute> {
        let kept = [&self.recent, &self.untimed].map(Recent::complete_from);
        let began = self.ledger.began().and_then(UtcMillis::minute);
        let from = kept.into_iter().chain(began).max()?;
        (span.start < from).then_some(from)
    }
}

/// Why taps cannot be read, as watchers are told. What only a person can repair goes to the
/// log.
fn told(error: QueryError) -> WatchError {
    match error {
        QueryError::TooManyRows => WatchError::TooManyRows,
        QueryError::UnknownFeed { place } => WatchError::UnknownFeed { place },
        QueryError::FeedsClash { place, other } => WatchError::FeedsClash { place, other },
        QueryError::Ledger(LedgerError::StoreOpening) | QueryError::Busy => {
            WatchError::StoreOpening
        }
        error => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "taps cannot be read for watchers");
            WatchError::StoreFailed
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::limits::{WATCH_WINDOW_MINUTES_MAX, WATCH_WINDOW_MINUTES_MIN};
    use crate::domain::question::Breakdown;
    use crate::domain::taxonomy::{Mode, ReporterKind, Signal, Taxonomy, TimePrecision};
    use crate::domain::testing::blank_row;
    use crate::domain::{Basis, Dimension, Entry, Filter, Hour, Record, RowTime};
    use crate::ledger::testing::{EPOCH, Maker};
    use crate::ledger::{Applied, State};
    use crate::query::rates::RatesWanted;
    use crate::stats::interval::Level;
    use crate::stats::rate::Estimator;

    fn watches(window_minutes: u32) -> [Watch; 3] {
        let watch = |filter, dimensions| Watch {
            filter,
            by: Breakdown::new(dimensions).expect("few and different"),
            window_minutes,
            rates: None,
        };
        let mut trams = Filter::all(Basis::SelfReported);
        trams.modes.insert(Mode::Tram);
        [
            watch(Filter::all(Basis::SelfReported), vec![Dimension::Line]),
            watch(Filter::all(Basis::Observed), Vec::new()),
            watch(trams, vec![Dimension::Stop, Dimension::Cause]),
        ]
    }

    fn view_of(ledger: &Arc<Ledger>) -> LedgerView {
        LedgerView::of(ledger, &ledger.read())
    }

    fn changed_rows(applied: Vec<Applied>) -> Vec<Row> {
        let rows = |applied| match applied {
            Applied::Recorded { row } | Applied::Withdrawn { row } => vec![row],
            Applied::Amended { before, after } => vec![before, after],
            Applied::Erased { row } => row.into_iter().collect(),
            _ => Vec::new(),
        };
        applied.into_iter().flat_map(rows).collect()
    }

    #[test]
    fn incident_known_to_the_day_is_seen_when_it_comes_in() {
        let mut maker = Maker::new(7);
        let entries = maker.entries(400);
        let last = entries.last().expect("some were asked for");
        let (position, stamp) = (last.position, last.stamp);
        let ledger = Arc::new(Ledger::new(State::new(EPOCH)));
        ledger.apply(&entries);
        let [all, ..] = watches(60);
        let span = all.span(stamp.minute().expect("after 1970"));
        let before = view_of(&ledger).untimed(&all, span);
        let mut facts = maker.facts(stamp);
        facts.time = RowTime::Day(stamp.hour().expect("supported").local_day());
        facts.precision = TimePrecision::Day;
        facts.reporter = ReporterKind::Traveller;
        let (id, told) = (facts.id, Box::new(facts));
        let report = Entry::Incident {
            facts: told.clone(),
            personal: None,
        };
        let applied = ledger.apply(&[Record {
            position: position.next(),
            stamp,
            entry: report,
        }]);
        let view = view_of(&ledger);
        assert_eq!(view.untimed(&all, span), before + 1);
        assert!(view.is_concerned(&all, &changed_rows(applied)));
        let withdrawn = Entry::Withdrawn {
            id,
            facts: told,
            row: Position(0),
        };
        ledger.apply(&[Record {
            position: position.next().next(),
            stamp,
            entry: withdrawn,
        }]);
        assert_eq!(view_of(&ledger).untimed(&all, span), before);
    }

    #[test]
    fn refusal_that_stands_only_below_the_line_is_of_concern_to_rates() {
        let ledger = Arc::new(Ledger::new(State::new(EPOCH)));
        let view = view_of(&ledger);
        let row = |signal: Signal| Row {
            basis: Basis::Observed,
            signal: signal.number(),
            ..blank_row(Position(1), RowTime::Hour(Hour(0)))
        };
        let beeps = |rates| {
            let filter = Filter {
                signals: [Signal::RedBeep].into_iter().collect(),
                ..Filter::all(Basis::Observed)
            };
            Watch {
                filter,
                by: Breakdown::default(),
                window_minutes: 60,
                rates,
            }
        };
        let rates = RatesWanted {
            feeds: Vec::new(),
            estimator: Estimator::Standard,
            level: Level::P95,
        };
        let is_concerned = |rates, signal| view.is_concerned(&beeps(rates), &[row(signal)]);
        assert!(is_concerned(None, Signal::RedBeep));
        assert!(!is_concerned(None, Signal::DeadScreen));
        assert!(is_concerned(Some(rates), Signal::DeadScreen));
    }

    #[test]
    fn window_is_not_complete_before_the_record_began() {
        let ledger = Arc::new(Ledger::new(State::new(EPOCH)));
        let span = MinuteSpan {
            start: Minute(1_000),
            end: Minute(1_060),
        };
        assert_eq!(view_of(&ledger).complete_from(span), None);
        ledger.set_began(UtcMillis(Minute(1_010).start().0 + 1));
        assert_eq!(view_of(&ledger).complete_from(span), Some(Minute(1_010)));
    }

    #[test]
    fn span_from_before_rows_that_were_let_go_is_not_complete() {
        let ledger = Arc::new(Ledger::new(State::new(EPOCH)));
        let entries = Maker::new(7).entries(400);
        ledger.apply(&entries);
        let view = view_of(&ledger);
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
            for record in Maker::new(seed).entries(100) {
                let minute = record.stamp.minute().expect("after 1970");
                let before = view_of(&ledger);
                let rows = changed_rows(ledger.apply(std::slice::from_ref(&record)));
                let after = view_of(&ledger);
                prop_assert_eq!(after.position, record.position);
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
