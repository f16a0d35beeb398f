//! Any order of late reports and withdrawals.

use super::*;

/// One report: when the tap was, how long after it was told, and how long after that it was
/// withdrawn, if it was.
#[derive(Clone, Debug)]
struct Told {
    tapped: UtcMillis,
    delay_ms: i64,
    withdrawn_ms: Option<i64>,
}

fn told() -> impl Strategy<Value = Told> {
    // Around month ends and both changes of the clock.
    let around = prop_oneof![
        Just("2026-09-30T22:00"),
        Just("2026-10-24T22:00"),
        Just("2026-10-31T22:00"),
        Just("2026-03-28T22:00"),
        Just("2026-03-31T22:00"),
    ];
    let delay = prop_oneof![0..HOUR_MS, 0..2 * DAY_MS, 18 * DAY_MS..56 * DAY_MS];
    let withdrawn = proptest::option::weighted(0.3, 0..40 * DAY_MS);
    (around, 0..4 * HOUR_MS, delay, withdrawn).prop_map(|(around, plus, delay_ms, withdrawn_ms)| {
        let tapped = UtcMillis(amsterdam(around).0 + plus);
        Told {
            tapped,
            delay_ms,
            withdrawn_ms,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn edition_counts_what_was_told_and_not_withdrawn_before_it_closed(
        all in proptest::collection::vec(told(), 1..120),
    ) {
        let mut record = Record::new();
        let mut events: BTreeMap<(i64, usize), Entry> = BTreeMap::new();
        for (number, one) in all.iter().enumerate() {
            let facts = record.facts(one.tapped);
            let mut pseudonym = [1; 16];
            pseudonym[..8].copy_from_slice(&number.to_be_bytes());
            let personal = Personal {
                installation: Some(Pseudonym(pseudonym)),
                ..personal(one.tapped)
            };
            let at = one.tapped.0 + one.delay_ms;
            if let Some(after) = one.withdrawn_ms {
                let (id, facts) = (facts.id, Box::new(facts.clone()));
                events.insert((at + 1 + after, number), Entry::Withdrawn { id, facts, row: Position(0) });
            }
            let (facts, personal) = (Box::new(facts), Some(Box::new(personal)));
            events.insert((at, number), Entry::Incident { facts, personal });
        }
        for ((at, _), entry) in &events {
            record.append(UtcMillis(*at), entry);
        }
        record.append(amsterdam("2027-03-01T00:00"), &Entry::Tick);
        let mut late = 0;
        for month in ["2026-03-01", "2026-04-01", "2026-09-01", "2026-10-01", "2026-11-01"] {
            let month: Date = month.parse().expect("a date");
            let closes = closing(month);
            let is_live = |one: &&Told, at: UtcMillis| {
                let told = one.tapped.0 + one.delay_ms;
                let withdrawn = one.withdrawn_ms.map(|after| told + 1 + after);
                told < at.0 && withdrawn.is_none_or(|withdrawn| at.0 <= withdrawn)
            };
            let of_month = all.iter().filter(|one| month_of(one.tapped) == month);
            let expected = of_month.filter(|one| is_live(one, closes)).count() as u64;
            let text = month.strftime("%Y-%m").to_string();
            let edition = record.make(&text).expect("over");
            let shown = (10 <= expected).then_some(expected);
            prop_assert_eq!(total(&edition, ""), shown, "{}", text);
            prop_assert_eq!(edition.left_out, Some(0));

            let before = closing(month.checked_sub(1.month()).expect("a date"));
            let too_late = all.iter().filter(|one| {
                let told = one.tapped.0 + one.delay_ms;
                month_of(one.tapped) < month && before.0 <= told && is_live(one, closes)
            });
            // All are of different reporters, who are known to be so within a quarter only.
            let mut by_quarter = BTreeMap::<_, u64>::new();
            for one in too_late {
                let month = month_of(one.tapped);
                let quarter = (month.year(), (month.month() - 1) / 3);
                *by_quarter.entry(quarter).or_default() += 1;
            }
            let too_late: u64 = by_quarter.values().sum();
            late += too_late;
            let is_shown = too_late == 0 || by_quarter.values().any(|count| 10 <= *count);
            let shown = is_shown.then_some(too_late);
            prop_assert_eq!(edition.too_late, shown, "{}", text);

            // What comes afterwards changes nothing.
            let bytes = edition.to_bytes();
            let facts = record.facts(amsterdam(&format!("{month}T12:00")));
            let at = record.writer.last_stamp();
            record.tell(at, facts, 1);
            prop_assert_eq!(record.make(&text).expect("over").to_bytes(), bytes);
        }
        prop_assert!(late <= all.len() as u64);
    }
}
