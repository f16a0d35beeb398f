//! Tests of screening: the rule, case by case. The attack on its results is in `tests/it`.

use std::borrow::Cow;

use super::*;

/// A sheet with one table, of so many reports in each class, each by another reporter.
fn sheet(classes: &[(&'static str, u32)]) -> Sheet {
    let keys: Vec<_> = keys(classes);
    let reporters = (0..).take(keys.len()).collect();
    let mut sheet = Sheet::new(reporters);
    sheet.divide("line", None, |row| Cow::Borrowed(keys[row]));
    sheet
}

fn keys(classes: &[(&'static str, u32)]) -> Vec<&'static str> {
    let repeat = |(key, count): &(&'static str, u32)| std::iter::repeat_n(*key, *count as usize);
    classes.iter().flat_map(repeat).collect()
}

fn published(sheet: Sheet) -> Published {
    let key = Cow::Borrowed("GVB");
    screen(&[Group { key, sheet }]).expect("ten reporters")
}

fn table(published: &Published, name: &str) -> (Vec<(String, u64)>, u64) {
    let table = published.groups()[0].table(name).expect("open");
    let parts = table.parts().iter();
    let parts = parts.map(|part| (part.key().to_owned(), part.reports()));
    (parts.collect(), table.rest())
}

fn check(classes: &[(&'static str, u32)], parts: &[(&str, u64)], rest: u64) {
    let found = table(&published(sheet(classes)), "line");
    let parts: Vec<_> = parts
        .iter()
        .map(|(key, count)| ((*key).to_owned(), *count))
        .collect();
    assert_eq!(found, (parts, rest), "{classes:?}");
}

#[test]
fn class_below_ten_joins_the_rest() {
    check(
        &[("a", 30), ("b", 9), ("c", 9), ("d", 10)],
        &[("a", 30), ("d", 10)],
        18,
    );
    check(&[("a", 30), ("b", 10)], &[("a", 30), ("b", 10)], 0);
}

#[test]
fn smallest_part_joins_a_rest_that_is_too_small_and_ties_go_by_key() {
    check(&[("a", 30), ("b", 12), ("c", 9)], &[("a", 30)], 21);
    check(&[("a", 12), ("b", 12), ("c", 1)], &[("b", 12)], 13);
    check(
        &[("a", 12), ("b", 12), ("c", 12), ("d", 1)],
        &[("b", 12), ("c", 12)],
        13,
    );
}

#[test]
fn fewer_than_two_parts_show_only_the_parent() {
    check(&[("a", 30)], &[], 30);
    check(&[("a", 30), ("b", 9)], &[], 39);
    check(&[("a", 9), ("b", 9)], &[], 18);
}

#[test]
fn ten_reports_of_nine_reporters_are_too_few() {
    let keys = keys(&[("a", 40), ("b", 40), ("c", 20)]);
    let reporter = |row: u32| if row < 80 { row } else { 100 + row % 9 };
    let mut sheet = Sheet::new((0..100).map(reporter).collect());
    sheet.divide("line", None, |row| Cow::Borrowed(keys[row]));
    let (parts, rest) = table(&published(sheet), "line");
    assert_eq!((parts, rest), (vec![("b".to_owned(), 40)], 60));
}

#[test]
fn reporter_in_two_small_classes_counts_once_in_the_rest() {
    // Five reporters told both of b and of c: together they are five, not ten.
    let keys = keys(&[("a", 40), ("b", 5), ("c", 5), ("d", 20)]);
    let reporter = |row: u32| {
        if (45..50).contains(&row) {
            row - 5
        } else {
            row
        }
    };
    let mut sheet = Sheet::new((0..70).map(reporter).collect());
    sheet.divide("line", None, |row| Cow::Borrowed(keys[row]));
    let (parts, rest) = table(&published(sheet), "line");
    assert_eq!((parts, rest), (vec![("a".to_owned(), 40)], 30));
}

#[test]
fn nothing_is_published_of_fewer_than_ten_reporters() {
    let group = |sheet| Group {
        key: Cow::Borrowed("GVB"),
        sheet,
    };
    assert_eq!(screen(&[group(sheet(&[("a", 9)]))]), None);
    assert_eq!(screen(&[]), None);
    assert!(screen(&[group(sheet(&[("a", 10)]))]).is_some());
}

#[test]
fn operators_with_too_few_reporters_have_no_tables() {
    let group = |key, classes: &[_], first: u32| {
        let keys = keys(classes);
        let mut sheet = Sheet::new((first..).take(keys.len()).collect());
        sheet.divide("line", None, |row| Cow::Borrowed(keys[row]));
        Group {
            key: Cow::Borrowed(key),
            sheet,
        }
    };
    let groups = [
        group("NS", &[("a", 20), ("b", 20)], 0),
        group("GVB", &[("a", 15)], 100),
        group("HTM", &[("a", 3)], 200),
    ];
    let published = screen(&groups).expect("ten reporters");
    let shown: Vec<_> = published.groups().iter().map(PublishedGroup::key).collect();
    assert_eq!(shown, ["NS"]);
    assert_eq!(published.division().rest(), 18);
    assert_eq!(published.division().reports(), 58);
    assert!(published.group("GVB").is_none());
    // The only operator that anybody told of is the whole.
    let published = screen(&groups[1..2]).expect("ten reporters");
    assert_eq!(published.groups()[0].reports(), 15);
    assert!(published.division().parts().is_empty());
}

/// Tickets, and the causes of the same reports.
fn tickets(causes: &[((&'static str, &'static str), u32)]) -> Sheet {
    let mut classes = Vec::new();
    for (class, count) in causes {
        classes.extend(std::iter::repeat_n(*class, *count as usize));
    }
    let mut sheet = Sheet::new((0..).take(classes.len()).collect());
    sheet.divide("card-kind", None, |row| Cow::Borrowed(classes[row].0));
    sheet.divide("cause", None, |row| Cow::Borrowed(classes[row].1));
    sheet.know(Logic::Inside {
        inner: ClassName::new("cause", "rejected"),
        outer: ClassName::new("card-kind", "barcode"),
    });
    sheet
}

#[test]
fn class_inside_another_stands_alone_only_if_the_difference_is_ten() {
    let of = |between| {
        let causes = [
            (("barcode", "rejected"), 12),
            (("barcode", "other"), between),
            (("student", "other"), 30),
        ];
        table(&published(tickets(&causes)), "cause").0.len()
    };
    assert_eq!(of(10), 2);
    assert_eq!(of(9), 0);
}

#[test]
fn class_inside_another_that_is_joined_is_measured_against_the_rest() {
    // Barcode tickets are joined with those of another kind: the rest but the refused is 9.
    let causes = [
        (("barcode", "rejected"), 12),
        (("barcode", "other"), 4),
        (("disposable", "other"), 5),
        (("student", "other"), 30),
    ];
    let published = published(tickets(&causes));
    assert_eq!(
        table(&published, "card-kind"),
        (vec![("student".into(), 30)], 21)
    );
    assert_eq!(table(&published, "cause"), (vec![], 51));
}

/// What staff did in each report: told of or not, and two acts.
fn staff(only_first: u32, only_second: u32, both: u32, untold: u32) -> Published {
    let acts = keys(&[
        ("yn", only_first),
        ("ny", only_second),
        ("yy", both),
        ("", untold),
    ]);
    let mut sheet = Sheet::new((0..).take(acts.len()).collect());
    let told = ClassName::new("staff", "told");
    let yes = |is_yes| if is_yes { "yes" } else { "no" };
    sheet.divide("staff", None, |row| {
        Cow::Borrowed(if acts[row].is_empty() {
            "not-told"
        } else {
            "told"
        })
    });
    for (place, name) in ["act-1", "act-2"].into_iter().enumerate() {
        sheet.divide(name, Some(&told), |row| {
            Cow::Borrowed(yes(acts[row].as_bytes()[place] == b'y'))
        });
    }
    sheet.know(Logic::Covered {
        outer: told,
        by: ["act-1", "act-2"]
            .map(|act| ClassName::new(act, "yes"))
            .to_vec(),
    });
    published(sheet)
}

#[test]
fn table_of_a_class_that_is_not_shown_is_not_shown() {
    let tables = |published: &Published| published.groups()[0].tables().len();
    assert_eq!(tables(&staff(20, 20, 20, 10)), 3);
    assert_eq!(tables(&staff(20, 20, 20, 9)), 1);
    // If everybody told, that is the whole.
    assert_eq!(tables(&staff(20, 20, 20, 0)), 3);
}

#[test]
fn acts_that_cover_all_answers_must_overlap_in_ten() {
    let acts = |published: &Published| ["act-1", "act-2"].map(|act| table(published, act).0.len());
    assert_eq!(acts(&staff(20, 25, 10, 10)), [2, 2]);
    // The smaller is no longer shown, neither as a part nor as what is left of the other.
    assert_eq!(acts(&staff(20, 25, 9, 10)), [0, 2]);
}

#[test]
fn surplus_of_several_acts_must_leave_room_for_ten_who_did_all() {
    let shown = |both: usize| {
        let alone = [(12, [0, 0]), (13, [1, 1]), (14, [2, 2])];
        let twice = [(both, [0, 1]), (6, [0, 2]), (4, [1, 2])];
        let rows: Vec<[usize; 2]> = alone
            .into_iter()
            .chain(twice)
            .flat_map(|(count, acts)| std::iter::repeat_n(acts, count))
            .collect();
        let mut sheet = Sheet::new((0..).take(rows.len()).collect());
        sheet.divide("told", None, |_| Cow::Borrowed("yes"));
        let acts = ["act-1", "act-2", "act-3"];
        for (act, name) in acts.into_iter().enumerate() {
            sheet.divide(name, None, |row| {
                let did = rows[row].contains(&act);
                Cow::Borrowed(if did { "yes" } else { "no" })
            });
        }
        sheet.know(Logic::Covered {
            outer: ClassName::new("told", "yes"),
            by: acts.map(|act| ClassName::new(act, "yes")).to_vec(),
        });
        let published = published(sheet);
        acts.map(|act| table(&published, act).0.len())
    };
    // Of 19 more acts than answers, two are of each who did all three: nine at most.
    assert_eq!(shown(9), [2, 2, 0]);
    assert_eq!(shown(10), [2, 2, 2]);
}

#[test]
fn act_that_nobody_did_covers_nothing() {
    let rows = [(20, "yes", "no"), (25, "no", "yes"), (9, "yes", "yes")];
    let rows = rows.into_iter();
    let rows: Vec<_> = rows
        .flat_map(|(count, one, two)| std::iter::repeat_n((one, two), count))
        .collect();
    let mut sheet = Sheet::new((0..).take(rows.len()).collect());
    sheet.divide("told", None, |_| Cow::Borrowed("yes"));
    sheet.divide("act-1", None, |row| Cow::Borrowed(rows[row].0));
    sheet.divide("act-2", None, |row| Cow::Borrowed(rows[row].1));
    sheet.divide("act-3", None, |_| Cow::Borrowed("no"));
    sheet.know(Logic::Covered {
        outer: ClassName::new("told", "yes"),
        by: vec![
            ClassName::new("act-1", "yes"),
            ClassName::new("act-2", "yes"),
            ClassName::new("act-3", "yes"),
        ],
    });
    // Whoever knows that nobody did the third knows of how many did both others.
    let published = published(sheet);
    assert_eq!(table(&published, "act-1"), (Vec::new(), 54));
    assert_eq!(table(&published, "act-2").0.len(), 2);
}

/// Three months of lines, and what is published of their quarter.
fn quarter(months: [&[(&'static str, u32)]; 3]) -> Vec<(String, u64)> {
    let groups = months.map(|month| {
        [Group {
            key: Cow::Borrowed("GVB"),
            sheet: sheet(month),
        }]
    });
    let published = groups
        .each_ref()
        .map(|groups| screen(groups).expect("ten reporters"));
    let [first, second, third] = &groups;
    let months = [
        (&first[..], &published[0]),
        (&second[..], &published[1]),
        (&third[..], &published[2]),
    ];
    let quarters = screen_quarter("line", months);
    let parts = quarters.iter().flat_map(PublishedQuarter::parts);
    parts
        .map(|part| (part.key().to_owned(), part.reports()))
        .collect()
}

#[test]
fn line_of_no_month_appears_for_the_quarter_if_it_and_the_rest_have_ten() {
    // Reporters are those of the first month again, so that each month has its own tail.
    let month: &[_] = &[("a", 40), ("b", 8), ("c", 8)];
    assert_eq!(quarter([month; 3]), []);
    let first: &[_] = &[("a", 40), ("b", 8), ("c", 8)];
    let second: &[_] = &[("a", 60), ("b", 8), ("c", 8)];
    assert_eq!(quarter([first, second, first]), [("c".to_owned(), 24)]);
}

#[test]
fn line_that_was_published_for_a_month_does_not_appear_for_the_quarter() {
    let with: &[_] = &[("a", 40), ("b", 15), ("c", 6), ("d", 7)];
    let without: &[_] = &[("a", 70), ("b", 9), ("c", 9), ("d", 9)];
    let found = quarter([with, without, without]);
    assert!(found.iter().all(|(line, _)| line != "b"), "{found:?}");
    assert!(!found.is_empty());
}

#[test]
fn count_of_fewer_than_ten_reporters_is_withheld() {
    let counts = [(0, 0), (1, 1), (30, 9), (30, 10)];
    assert_eq!(
        counts.map(|(reports, reporters)| screen_count(reports, reporters)),
        [Some(0), None, None, Some(30)]
    );
}
