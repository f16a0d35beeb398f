//! Which shares of what staff did are published: those from which nothing follows about fewer
//! than ten.

use super::*;

type Told = (u32, &'static [StaffAct], Option<Outcome>);

/// As the founding story: let ride, and waited with.
const STORY: &[StaffAct] = &[StaffAct::LetRideFree, StaffAct::WaitedOrHelped];
const RIDE: Told = (12, &[StaffAct::LetRideFree], Some(Outcome::FreeRide));
const REFUSED: Told = (12, &[StaffAct::CouldNotHelp], Some(Outcome::Surcharged));
const HELPED: Told = (12, &[StaffAct::WaitedOrHelped], Some(Outcome::TravelledOn));
const UNTOLD: Told = (12, &[StaffAct::Referred], None);
/// Without staff.
const ALONE: Told = (12, &[], Some(Outcome::TravelledOn));
const SILENT: Told = (12, &[], None);

/// Counts and shares of the "yes" of some questions, in a month of which this was told: by so many
/// each time, and what staff did, if they were there, and how it ended.
fn shares<const N: usize>(told: &[Told], keys: [&str; N]) -> [Option<(u64, f64)>; N] {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for (count, acts, outcome) in told {
        for _ in 0..*count {
            let facts = Facts {
                operator: Some("GVB".parse().expect("a code")),
                staff_present: Some(if acts.is_empty() {
                    StaffPresence::No
                } else {
                    StaffPresence::Yes
                }),
                staff_acts: acts.iter().copied().collect(),
                outcomes: outcome.iter().copied().collect(),
                ..record.facts(at)
            };
            let installation = u32::try_from(record.made).expect("few");
            record.tell(at, facts, installation);
        }
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    keys.map(|key| {
        let mut rows = edition.rows.iter();
        let row = rows.find(|row| (&*row.key, &*row.answer) == (key, "yes"))?;
        Some((row.count, row.rate?))
    })
}

const HELP: &str = "any-that-helps";
const HARM: &str = "any-that-harms";
const FREE: &str = "let-ride-free";
const WAITED: &str = "waited-or-helped";
const COULD_NOT: &str = "could-not-help";
const REFERRED: &str = "referred";

#[test]
fn help_rate_is_withheld_where_it_would_tell_that_all_met_staff() {
    // Whoever told how it ended met staff: told with staff and told at all would be the same.
    let all_met = [RIDE, REFUSED, HELPED, UNTOLD];
    assert_eq!(shares(&all_met, [HELP]), [None]);
    // Neither may the difference be of few.
    let few_did_not = [RIDE, REFUSED, HELPED, UNTOLD, (9, ALONE.1, ALONE.2), SILENT];
    assert_eq!(shares(&few_did_not, [HELP]), [None]);
    let few_were_silent = [
        RIDE,
        REFUSED,
        HELPED,
        UNTOLD,
        ALONE,
        (9, SILENT.1, SILENT.2),
    ];
    assert_eq!(shares(&few_were_silent, [HELP]), [None]);
    // Nor may all who met staff tell how it ended, since whoever did not would be told of.
    let all_ended = [RIDE, REFUSED, HELPED, ALONE, SILENT];
    assert_eq!(shares(&all_ended, [HELP]), [None]);

    let enough = [RIDE, REFUSED, HELPED, UNTOLD, ALONE, SILENT];
    let [help, harm] = shares(&enough, [HELP, HARM]).map(|share| share.expect("published"));
    assert_eq!((help.0, harm.0), (24, 12));
    assert!((help.1 - 2.0 / 3.0).abs() < 1e-5 && (harm.1 - 1.0 / 3.0).abs() < 1e-5);
}

#[test]
fn act_is_withheld_where_the_sum_of_all_would_tell_who_named_two() {
    let rest = [REFUSED, HELPED, UNTOLD, ALONE, SILENT];
    let with = |story: u32, ride: u32| {
        let told = [(story, STORY, RIDE.2), (ride, RIDE.1, RIDE.2)];
        let told: Vec<_> = told.into_iter().chain(rest).collect();
        let shares = shares(&told, [FREE, WAITED, COULD_NOT, REFERRED]);
        let shown = shares.iter().flatten().count();
        (shares[0].map(|share| share.0), shown)
    };
    assert_eq!(with(1, 11).0, None, "one of them was waited with as well");
    assert_eq!(with(9, 3).0, None);
    // Whoever met all four acts would be three times in what was named beyond the first.
    assert_eq!(with(29, 0), (Some(29), 3));
    assert_eq!(with(30, 0), (Some(30), 4));
    // That nobody named two is no more to be told than that few did.
    assert_eq!(with(0, 12).0, None);
}
