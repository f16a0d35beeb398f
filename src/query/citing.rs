//! The one line that cites figures: what they are, of what, as of when, and by which method. Two
//! figures of other periods, bases or filters have different lines; by what they are broken down,
//! and how sure their intervals are, stands beside them.

use std::fmt::Display;

use crate::domain::method::METHOD;
use crate::domain::question::{Dimension, Filter};
use crate::domain::taxonomy::{SetOf, Taxonomy};
use crate::domain::text::holds_card_number;
use crate::domain::{Basis, Hour, Minute, MinuteSpan, Window};
use crate::ledger::FOLD_VERSION;

const HOUR_MINUTES: u32 = 60;

/// One line that names the source of exact figures.
pub fn citation(filter: &Filter, window: Window, place: u64) -> String {
    cited("exact figures", &failed(filter), &period(window), place)
}

/// The same of figures that may leave out the days of declared outages.
pub fn citation_without_outages(
    filter: &Filter,
    window: Window,
    leaves_out: bool,
    place: u64,
) -> String {
    let period = format!("{}{}", period(window), less_outages(leaves_out));
    cited("exact figures", &failed(filter), &period, place)
}

/// One line that names the source of a comparison of two periods.
pub fn citation_of_comparison(
    filter: &Filter,
    windows: [Window; 2],
    leaves_out: bool,
    place: u64,
) -> String {
    let [asked, with] = windows.map(period);
    cited(
        "comparison",
        &failed(filter),
        &format!("{asked}, against {with}{}", less_outages(leaves_out)),
        place,
    )
}

/// One line that names the source of figures over a window that slides.
pub fn citation_of_watch(filter: &Filter, window: MinuteSpan, place: u64) -> String {
    let [start, end] = [window.start, window.end].map(local);
    let window = format!("{start} to {end}");
    cited("live figures", &failed(filter), &window, place)
}

/// One line that names the source of times to reply.
pub fn citation_of_replies(window: Window, place: u64) -> String {
    let about = "how long operators took to answer reports";
    cited("times to reply", about, &period(window), place)
}

fn failed(filter: &Filter) -> String {
    let by = match filter.basis {
        Basis::SelfReported => "reported by travellers and staff",
        Basis::Observed => "observed by devices",
    };
    format!("failed check-ins as {by}{}", restricted(filter))
}

fn less_outages(leaves_out: bool) -> &'static str {
    if leaves_out {
        " without days of declared outages"
    } else {
        ""
    }
}

/// Its first and its last day, if it is whole days; else when it begins and when it ends.
fn period(window: Window) -> String {
    let ends = [window.start(), window.end()];
    if ends.iter().all(|hour| hour.local_day().start() == *hour) {
        let last = Hour(window.end().0 - 1);
        return format!("{} to {}", window.start().local_day(), last.local_day());
    }
    let [start, end] = ends.map(|hour| local(Minute(hour.0 * HOUR_MINUTES)));
    format!("{start} to {end}")
}

/// `2026-11-23 15:01`, and in the hour that clocks of October repeat `2026-10-25 02:30 CEST` or
/// `CET`. Local time is whole hours from UTC.
fn local(minute: Minute) -> String {
    let hour = minute.hour();
    let hour_of_day = hour.hour_of_day();
    let is_repeated_by = |other: u32| other != hour.0 && Hour(other).hour_of_day() == hour_of_day;
    let zone = if is_repeated_by(hour.0.saturating_add(1)) {
        " CEST"
    } else if is_repeated_by(hour.0.saturating_sub(1)) {
        " CET"
    } else {
        ""
    };
    format!(
        "{} {hour_of_day:02}:{:02}{zone}",
        hour.local_day(),
        minute.0 % HOUR_MINUTES
    )
}

fn cited(what: &str, about: &str, period: &str, place: u64) -> String {
    format!(
        "mistap, {what} as of position {place}: {about}, {period} (Europe/Amsterdam), method {METHOD}, \
         fold {FOLD_VERSION}"
    )
}

/// What a filter restricts to, in brackets: ` (line: GVB:10, GVB:14; weekday: 1)`; empty if to
/// nothing. Whose reports count is no part of it.
fn restricted(filter: &Filter) -> String {
    let parts = [
        part(Dimension::Operator, &filter.operators),
        part(Dimension::Line, &filter.lines),
        part(Dimension::Stop, &filter.stops),
        part(Dimension::Mode, keys(filter.modes)),
        part(Dimension::Cause, keys(filter.causes)),
        part(Dimension::CardKind, keys(filter.card_kinds)),
        part(Dimension::Signal, keys(filter.signals)),
        part(Dimension::StaffAct, keys(filter.staff_acts)),
        part(Dimension::Outcome, keys(filter.outcomes)),
        part(Dimension::TapKind, keys(filter.tap_kinds)),
        part(Dimension::HourOfDay, bits(filter.hours_of_day)),
        part(Dimension::Weekday, bits(filter.weekdays.into())),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join("; "))
    }
}

/// An identifier that could be a card's number is named by these words alone: whoever asks can
/// write anything, and citations are printed.
fn part<T: Display>(dimension: Dimension, values: impl IntoIterator<Item = T>) -> Option<String> {
    let named = |value: T| match value.to_string() {
        value if holds_card_number(&value) => "one like a card number".to_owned(),
        value => value,
    };
    let values: Vec<String> = values.into_iter().map(named).collect();
    (!values.is_empty()).then(|| format!("{}: {}", dimension.key(), values.join(", ")))
}

fn keys<T: Taxonomy>(set: SetOf<T>) -> impl Iterator<Item = &'static str> {
    set.iter().map(Taxonomy::key)
}

fn bits(bits: u32) -> impl Iterator<Item = u32> {
    (0..u32::BITS).filter(move |bit| bits >> bit & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LocalDay;
    use crate::domain::taxonomy::{CardKind, Mode};

    #[test]
    fn filter_is_told_by_what_it_restricts() {
        let all = Filter::all(Basis::Observed);
        assert_eq!(restricted(&all), "");
        let some = Filter {
            lines: ["GVB:10", "GVB:14"]
                .map(|line| line.parse().expect("a line"))
                .to_vec(),
            modes: [Mode::Tram].into_iter().collect(),
            card_kinds: [CardKind::Student].into_iter().collect(),
            hours_of_day: 1 << 7 | 1,
            weekdays: 1 << 7,
            ..all
        };
        assert_eq!(
            restricted(&some),
            " (line: GVB:10, GVB:14; mode: tram; card-kind: student; hour-of-day: 0, 7; weekday: 7)"
        );
    }

    #[test]
    fn identifier_that_could_be_a_card_number_is_cited_as_that() {
        let some = Filter {
            stops: ["3528016044719359", "9505"]
                .map(|stop| stop.parse().expect("a stop"))
                .to_vec(),
            ..Filter::all(Basis::Observed)
        };
        assert_eq!(restricted(&some), " (stop: one like a card number, 9505)");
    }

    #[test]
    fn windows_that_are_not_whole_days_are_cited_by_their_hours() {
        let check = |day: &str, from: u32, hours: u32, expected: &str| {
            let start = LocalDay::parse(day).expect("a date").start().0 + from;
            let window = Window::new(Hour(start), Hour(start + hours)).expect("some hours");
            let line = citation(&Filter::all(Basis::Observed), window, 1);
            let told = format!("devices, {expected} (Europe/Amsterdam), method");
            assert!(line.contains(&told), "{line}");
        };
        check("2026-11-23", 0, 24, "2026-11-23 to 2026-11-23");
        check("2026-11-23", 7, 1, "2026-11-23 07:00 to 2026-11-23 08:00");
        check("2026-11-23", 8, 1, "2026-11-23 08:00 to 2026-11-23 09:00");
        check("2026-11-23", 12, 24, "2026-11-23 12:00 to 2026-11-24 12:00");
        check("2026-11-23", 0, 36, "2026-11-23 00:00 to 2026-11-24 12:00");
        check("2026-11-23", 12, 12, "2026-11-23 12:00 to 2026-11-24 00:00");
        // Clocks go back from 03 to 02, and in March from 02 on to 03.
        let day = "2026-10-25";
        check(day, 0, 25, "2026-10-25 to 2026-10-25");
        check(day, 2, 1, "2026-10-25 02:00 CEST to 2026-10-25 02:00 CET");
        check(day, 1, 1, "2026-10-25 01:00 to 2026-10-25 02:00 CEST");
        check(day, 3, 1, "2026-10-25 02:00 CET to 2026-10-25 03:00");
        check("2026-03-29", 1, 1, "2026-03-29 01:00 to 2026-03-29 03:00");
        check("2026-03-29", 0, 23, "2026-03-29 to 2026-03-29");
    }

    #[test]
    fn citation_names_basis_period_position_and_method_in_one_line() {
        let day = |text| LocalDay::parse(text).expect("a date").start();
        let window = Window::new(day("2026-10-01"), day("2026-11-01")).expect("a month");
        assert_eq!(
            citation(&Filter::all(Basis::SelfReported), window, 1234),
            format!(
                "mistap, exact figures as of position 1234: failed check-ins as reported by \
                 travellers and staff, 2026-10-01 to 2026-10-31 (Europe/Amsterdam), method \
                 {METHOD}, fold {FOLD_VERSION}"
            )
        );
        let observed = citation(&Filter::all(Basis::Observed), window, 1);
        assert!(observed.contains("as observed by devices") && !observed.contains('\n'));
        let line = |line: &str, leaves_out| {
            let filter = Filter {
                lines: vec![line.parse().expect("a line")],
                ..Filter::all(Basis::Observed)
            };
            citation_without_outages(&filter, window, leaves_out, 1)
        };
        let of_ten = line("GVB:10", false);
        assert!(of_ten.contains("devices (line: GVB:10), 2026"), "{of_ten}");
        assert_ne!(of_ten, line("GVB:14", false));
        let without = line("GVB:10", true);
        let expected = "2026-10-31 without days of declared outages (Europe";
        assert!(without.contains(expected), "{without}");
        let replies = citation_of_replies(window, 7);
        let expected = "mistap, times to reply as of position 7: how long operators took to answer \
                        reports, 2026-10-01 to 2026-10-31 (Europe/Amsterdam), method ";
        assert!(replies.starts_with(expected), "{replies}");
    }
}
