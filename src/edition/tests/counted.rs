//! What counts for which month, and in which of its figures.

use super::*;

#[test]
fn month_is_closed_only_when_the_journal_has_passed_its_closing() {
    let mut record = Record::new();
    for _ in 0..12 {
        record.tell_of_gvb(amsterdam("2026-10-31T23:30"));
    }
    record.append(amsterdam("2026-11-21T23:59"), &Entry::Tick);
    assert!(record.make("2026-10").is_none());
    assert!(record.library().due().expect("readable").is_empty());
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    assert_eq!(record.library().due().expect("readable"), [of("2026-10")]);
    let edition = record.make("2026-10").expect("over");
    assert_eq!(total(&edition, ""), Some(12));
    assert_eq!(total(&edition, "GVB"), Some(12));
    // The record began on the last day of the month.
    assert_eq!(
        edition.counted_since.as_deref(),
        Some("2026-10-31T22:30:00Z")
    );
}

#[test]
fn journal_that_is_empty_has_no_editions() {
    let record = Record::new();
    assert!(record.library().due().expect("readable").is_empty());
    assert!(record.make("2026-10").is_none());
}

#[test]
fn what_comes_on_day_22_is_too_late_and_counted_as_such() {
    let mut record = Record::new();
    let tapped = amsterdam("2026-10-31T12:00");
    for _ in 0..15 {
        record.tell_of_gvb(tapped);
    }
    let late = |record: &mut Record, at, count| {
        for _ in 0..count {
            let facts = record.facts(tapped);
            let installation = 1_000 + u32::try_from(record.made).expect("few");
            record.tell(at, facts, installation);
        }
    };
    late(&mut record, amsterdam("2026-11-21T23:59"), 3);
    late(&mut record, amsterdam("2026-11-22T00:00"), 11);
    // Devices are no people, and never added to them.
    for _ in 0..12 {
        let facts = Facts {
            reporter: ReporterKind::Device,
            ..record.facts(tapped)
        };
        record.tell(amsterdam("2026-11-22T00:00"), facts, 5_000);
    }
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    let october = record.make("2026-10").expect("over");
    assert_eq!((total(&october, ""), october.too_late), (Some(18), Some(0)));
    let november = record.make("2026-11").expect("over");
    assert_eq!((total(&november, ""), november.too_late), (None, Some(11)));
}

#[test]
fn surplus_reports_of_one_reporter_are_left_out_and_told() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for _ in 0..15 {
        record.tell_of_gvb(at);
    }
    let surplus = |record: &mut Record, people: u32| {
        for (day, person) in (0..25).flat_map(|day| (0..people).map(move |one| (day, one))) {
            let at = UtcMillis(at.0 + day * DAY_MS);
            let facts = record.facts(at);
            record.tell(at, facts, 77_777 + person);
        }
    };
    surplus(&mut record, 1);
    let mut other = Record::new();
    surplus(&mut other, 10);
    for record in [&mut record, &mut other] {
        record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    }
    let figures = |record: &Record| {
        let edition = record.make("2026-10").expect("over");
        (total(&edition, ""), edition.left_out)
    };
    // Whoever told too much alone is not told of.
    assert_eq!(figures(&record), (Some(25), None));
    assert_eq!(figures(&other), (Some(100), Some(150)));
}

#[test]
fn day_parts_hold_only_what_was_recorded_by_noon_of_the_next() {
    let mut record = Record::new();
    // The clock changes in the night between.
    let tapped = amsterdam("2026-10-24T18:00");
    for (at, count) in [("2026-10-25T11:59", 12), ("2026-10-25T12:00", 14)] {
        for _ in 0..count {
            let facts = record.facts(tapped);
            let installation = u32::try_from(record.made).expect("few");
            record.tell(amsterdam(at), facts, installation);
        }
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    // Nobody named an operator, so that "not said" is the whole.
    let days = edition.rows.iter().filter(|row| row.dimension == "day");
    let days: Vec<_> = days.map(|row| (row.key.as_str(), row.count)).collect();
    assert_eq!(days, [("2026-10-24", 12), ("recorded-later", 14)]);
}

#[test]
fn staff_figures_are_shares_of_those_who_answered() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for place in 0..120 {
        let facts = record.facts(at);
        let (act, ending) = match place {
            0..40 => (Some(StaffAct::LetRideFree), Outcome::FreeRide),
            40..80 => (Some(StaffAct::CouldNotHelp), Outcome::Surcharged),
            _ => (None, Outcome::TravelledOn),
        };
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            staff_present: (place < 100).then_some(StaffPresence::Yes),
            staff_acts: act.into_iter().collect(),
            outcomes: (place % 2 == 0).then_some(ending).into_iter().collect(),
            ..facts
        };
        record.tell(at, facts, place);
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    let share = |key: &str, answer: &str| {
        let mut rows = edition.rows.iter();
        let row = rows.find(|row| row.key == key && row.answer == answer)?;
        Some((row.count, row.rate, row.low, row.high))
    };
    // Forty of the eighty who answered: those who did not are no "no".
    let (count, rate, low, high) = share("could-not-help", "yes").expect("published");
    assert_eq!((count, rate), (40, Some(0.5)));
    // By Wilson, z = 1.959964.
    assert_eq!((low, high), (Some(0.392974), Some(0.607026)));
    let mut rows = edition.rows.iter();
    let row = rows.find(|row| row.key == "could-not-help" && row.rate.is_some());
    let method = row.and_then(|row| row.interval_method.as_deref());
    assert_eq!(method, Some("wilson 0.95 dispersion not estimated"));
    // Help and harm stand on those who answered both.
    for key in ["any-that-helps", "any-that-harms"] {
        let found = share(key, "yes").map(|found| (found.0, found.1));
        assert_eq!(found, Some((20, Some(0.5))), "{key}");
    }
    assert_eq!(share("with-staff", "no").map(|found| found.0), Some(40));
}

#[test]
fn causes_stand_by_their_source_and_refused_barcodes_within_their_tickets() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for place in 0..60 {
        let facts = record.facts(at);
        let is_barcode = place < 20;
        let cause = if place < 14 {
            Cause::BarcodeRejected
        } else {
            Cause::ReaderFault
        };
        let facts = Facts {
            operator: Some("NS".parse().expect("a code")),
            card_kind: Some(if is_barcode {
                CardKind::BarcodeTicket
            } else {
                CardKind::Student
            }),
            cause_claims: [CauseClaim {
                cause,
                source: ClaimSource::Display,
            }]
            .into_iter()
            .collect(),
            outcomes: [Outcome::TravelledOn].into_iter().collect(),
            ..facts
        };
        record.tell(at, facts, place);
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    let of = |dimension: &str| {
        let rows = edition
            .rows
            .iter()
            .filter(move |row| row.dimension == dimension);
        rows.map(|row| (row.key.clone(), row.count))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("card-kind"),
        [("barcode-ticket".into(), 20), ("student".into(), 40)]
    );
    // Six barcode tickets failed for another reason: causes would tell so.
    assert_eq!(of("cause"), []);
}

#[test]
fn what_devices_observed_is_counted_apart_and_by_taps() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for _ in 0..30 {
        let facts = record.facts(at);
        let facts = Facts {
            reporter: ReporterKind::Device,
            operator: Some("RET".parse().expect("a code")),
            ..facts
        };
        // One card, thirty times.
        record.tell(at, facts, 1);
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    assert_eq!(total(&edition, ""), None);
    let observed = edition.rows.iter().find(|row| row.basis == "observed");
    assert_eq!(observed.map(|row| row.count), Some(30));
    assert_eq!(edition.left_out, Some(0));
}

#[test]
fn days_of_outages_are_listed_as_they_were_declared_when_the_edition_closed() {
    let mut record = Record::new();
    let change = |operator: Option<&str>, days: [&str; 2], is_withdrawal| {
        let operator = operator.map(|code| code.parse().expect("a code"));
        let [first, last] = days.map(|day| LocalDay::parse(day).expect("a date"));
        Entry::OutageChanged(OutageChange {
            outage: Outage::new(operator, first, last).expect("sound"),
            is_withdrawal,
        })
    };
    for _ in 0..12 {
        record.tell_of_gvb(amsterdam("2026-10-20T10:00"));
    }
    let told = [
        // The last two days belong to the next month.
        (
            "2026-11-02T09:00",
            change(None, ["2026-10-30", "2026-11-02"], false),
        ),
        (
            "2026-11-03T09:00",
            change(Some("GVB"), ["2026-10-20", "2026-10-20"], false),
        ),
        (
            "2026-11-04T09:00",
            change(None, ["2026-10-30", "2026-10-30"], true),
        ),
    ];
    for (at, entry) in told {
        record.append(amsterdam(at), &entry);
    }
    let late = change(None, ["2026-10-05", "2026-10-05"], false);
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    record.append(amsterdam("2026-11-22T00:01"), &late);
    let library = record.library();
    let closed = record.close(&library, "2026-10");
    let held = library.get(of("2026-10")).expect("whole").expect("closed");
    let days = held.edition.outages.iter();
    let days: Vec<_> = days.map(|one| (&*one.day, &*one.operator_code)).collect();
    assert_eq!(days, [("2026-10-20", "GVB"), ("2026-10-31", "")]);
    // They count all the same.
    assert_eq!(held.edition.rows[0].count, 12);
    assert_eq!(Hash::of(&held.edition.to_bytes()), closed.hash);
    let verdict = library.verify(of("2026-10")).expect("whole");
    assert_eq!(verdict, Some(Verdict::Recomputed));
}

#[test]
fn tap_that_was_told_while_the_clock_was_disputed_is_of_its_month() {
    // The machine slept, and goes on by the time of before for some minutes.
    let mut record = Record::new();
    record.append(amsterdam("2026-09-01T12:00"), &Entry::Tick);
    for hours in [24, 1] {
        let at = UtcMillis(amsterdam("2026-10-01T00:05").0 - hours * HOUR_MS);
        for _ in 0..12 {
            let facts = Facts {
                operator: Some("GVB".parse().expect("a code")),
                ..record.facts(amsterdam("2026-10-01T00:05"))
            };
            let installation = u32::try_from(record.made).expect("few");
            record.tell(at, facts, installation);
        }
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    assert_eq!(total(&record.make("2026-09").expect("over"), ""), None);
    assert_eq!(total(&record.make("2026-10").expect("over"), ""), Some(24));
}
