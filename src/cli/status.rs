//! `mistap status`: what a data folder holds, and when what ends. Reads only, and needs no
//! server.

use std::io;
use std::path::Path;

use serde_json::json;

use super::failure::Failure;
use super::key_history::{self, KeyHistory, LOSS_MEANS};
use super::output::{Format, Sheet};
use super::reading::{check_journal, read_folder};
use super::serve::{self, FolderError};
use crate::auth::{ReceiptKeys, key_period, period_ends_at};
use crate::domain::limits::{INCIDENT_MONTHS_DEFAULT, PERSONAL_DAYS_DEFAULT, WORDS_DAYS_DEFAULT};
use crate::domain::{LocalDay, LocalMonth, UtcMillis};
use crate::edition::library::{EditionError, Library};
use crate::edition::month;
use crate::journal::{self, Wanted};
use crate::upkeep::editions::CUT_MEANS;
use crate::upkeep::retention::RemovalProgress;

const RECEIPT_KEYS_LOST: &str = "LOST: receipts can be neither checked nor made again, unless the \
                                 file comes back from a backup; the next start makes a new one";

/// Stands for the quarters of a file of keys together.
const ALL_KEYS: &str = "all quarters";

/// Prints what there is to say, a line for each.
pub fn status(dir: &Path, format: Format, today: LocalDay) -> Result<(), Failure> {
    let sheet = read_folder(dir, || told(dir, today))?;
    sheet.print(format, &mut io::stdout().lock())
}

fn told(dir: &Path, today: LocalDay) -> Result<Sheet, Failure> {
    let failed = |error: &dyn FolderError| {
        serve::unusable(format!("{} cannot be read", dir.display()), error)
    };
    check_journal(dir)?;
    let journal_dir = dir.join("journal");
    let (reader, _) = journal::open_reader(&journal_dir).map_err(|error| failed(&error))?;
    let mut sheet = Sheet::new(["what", "state"]);
    let mut say = |what: &str, state: String| sheet.push(vec![json!(what), json!(state)]);
    let is_served = journal::is_in_use(&journal_dir).map_err(|error| failed(&error))?;
    let running = if is_served { "running" } else { "not running" };
    say("service", running.to_owned());
    let entries = format!("{} to {}", reader.horizon(), reader.last());
    say("entries", entries);
    if let Some(began) = reader.began().map_err(|error| failed(&error))? {
        say("counted since", day_of(began));
    }
    for record in reader.wanted_from(reader.horizon(), Wanted::Restores) {
        let record = record.map_err(|error| failed(&error))?;
        let (on, position) = (day_of(record.stamp), record.position);
        let state = format!("on {on}: from a copy of what lies before position {position}");
        say("restored", state);
    }
    let library = Library::open_reading(dir, reader.clone()).map_err(|error| failed(&error))?;
    if let Some(last) = library.list().last() {
        let next = month::closes_at(month::next(last.month));
        let state = format!("{}; the next closes on {}", last.month, day_of(next));
        say("last edition", state);
    }
    for month in library.cut().map_err(|error| failed(&error))? {
        let state = format!("LOST: it {CUT_MEANS}");
        say(&format!("edition of {month}"), state);
    }
    let awaited = library.awaited().map_err(|error| failed(&error))?;
    for month in &awaited {
        let since = day_of(month::closes_at(*month));
        let how = if is_served {
            "the log of the service says why, if it cannot be"
        } else {
            "the service closes it while it runs"
        };
        let state = format!(
            "due since {since} and not closed yet: {how}; keys of quarters that ended and single \
             incidents whose time has come wait for it"
        );
        say(&format!("edition of {month}"), state);
    }
    let done = RemovalProgress::read(dir);
    let words = (done.words_from, done.words_days, WORDS_DAYS_DEFAULT);
    say("notes and words", kept(words));
    let all = (done.all_from, done.personal_days, PERSONAL_DAYS_DEFAULT);
    say("personal parts", kept(all));
    say("single incidents", kept_months(&done));
    let history = KeyHistory::read(&reader).map_err(|error| failed(&error))?;
    let told = keys(dir, &history, &awaited, today).map_err(|error| failed(&error))?;
    for (period, state) in told {
        say(&format!("key of {period}"), state);
    }
    if !ReceiptKeys::exist(dir) {
        say("keys of receipts", RECEIPT_KEYS_LOST.to_owned());
    }
    Ok(sheet)
}

/// From when on something is there, and how long it is kept: as the last server was set, or as
/// the next will be unless it is set otherwise.
fn kept((from, set_days, default_days): (Option<LocalDay>, Option<u32>, u32)) -> String {
    let days = match set_days {
        Some(days) => format!("kept {days} days"),
        None => format!("kept {default_days} days unless set otherwise"),
    };
    match from {
        Some(from) => format!("{days}; taken away of all reports before {from}"),
        None => format!("{days}; none taken away yet"),
    }
}

/// As `kept`, of single incidents.
fn kept_months(done: &RemovalProgress) -> String {
    let months = match done.incident_months {
        Some(months) => format!("kept {months} months after the one in which they came"),
        None => format!(
            "kept {INCIDENT_MONTHS_DEFAULT} months after the one in which they came unless set \
             otherwise"
        ),
    };
    match done.incidents_from {
        Some(from) => format!("{months}; all that came before {from} count in tallies alone"),
        None => format!("{months}; all are there"),
    }
}

/// The months of editions that are due in a folder and still to be closed; none if it has no
/// journal.
pub(super) fn awaited(dir: &Path) -> Result<Vec<LocalMonth>, EditionError> {
    let journal_dir = dir.join("journal");
    if !journal::exists(&journal_dir)? {
        return Ok(Vec::new());
    }
    let (reader, _) = journal::open_reader(&journal_dir)?;
    Library::open_reading(dir, reader)?.awaited()
}

/// What is to be said of the keys of a folder: each quarter, and when its key ends or ended; and
/// whatever was lost. `awaited` are the months of editions that are due, rising.
pub(super) fn keys(
    dir: &Path,
    history: &KeyHistory,
    awaited: &[LocalMonth],
    today: LocalDay,
) -> Result<Vec<(String, String)>, crate::auth::KeyError> {
    let file = key_history::file(dir)?;
    let losses = history.losses(file.as_ref()).into_iter();
    let losses = losses.map(|loss| (ALL_KEYS.to_owned(), loss));
    let Some(file) = file else {
        let lost = format!("LOST: {LOSS_MEANS}; the next start makes new keys");
        let told = losses.chain([(ALL_KEYS.to_owned(), lost)]);
        return Ok(told.collect());
    };
    let mut told: Vec<_> = losses.collect();
    for (period, on) in history.destroyed() {
        if !file.periods.contains_key(&period) {
            let state = format!("destroyed, with its pseudonyms, on {on}");
            told.push((quarter(period), state));
        }
    }
    for period in file.periods.keys().copied() {
        let use_of = if period == key_period(today) {
            "in use"
        } else if period < key_period(today) {
            "for late reports"
        } else {
            "made ahead"
        };
        let since = history.since(&file, period);
        let since = since.map_or_else(String::new, |since| format!("; {since}"));
        let end = end_of(period_ends_at(period), awaited, today);
        told.push((quarter(period), format!("{use_of}{since}; {end}")));
    }
    for period in history.missing(&file, today.start().start()) {
        let lost = "LOST: it is not in the file; the next start makes a new one, and what was \
                    reported under it cannot be joined with what comes";
        told.push((quarter(period), lost.to_owned()));
    }
    Ok(told)
}

/// When a key that is there will be destroyed, or what that waits for.
fn end_of(ends: UtcMillis, awaited: &[LocalMonth], today: LocalDay) -> String {
    let day = day_of(ends);
    if today.start().start() < ends {
        return format!("destroyed, with its pseudonyms, from {day} on");
    }
    match awaited.first() {
        Some(month) => format!("OVERDUE since {day}: waits for the edition of {month}"),
        None => format!("to be destroyed since {day}, by the service soon after its start"),
    }
}

/// As in `2026-Q4`.
pub(super) fn quarter(period: u32) -> String {
    format!("{:04}-Q{}", period / 4, period % 4 + 1)
}

fn day_of(at: UtcMillis) -> String {
    let day = at.hour().map(|hour| hour.local_day());
    day.map_or_else(String::new, |day| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Keys;
    use crate::cli::failure::Kind;

    #[test]
    fn journal_that_cannot_be_looked_into_is_not_told_as_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let today = LocalDay::parse("2026-11-23").expect("a day");
        let failure = || told(dir.path(), today).expect_err("nothing to tell");
        assert_eq!(failure().kind(), Kind::NotFound);
        std::fs::write(dir.path().join("journal"), "no folder").expect("written");
        let failure = failure();
        assert_eq!(failure.kind(), Kind::Unexpected);
        assert!(failure.to_string().contains("cannot list"), "{failure}");
    }

    #[test]
    fn keys_are_told_by_quarter_with_their_end_and_a_lost_file_is_told_as_such() {
        let dir = tempfile::tempdir().expect("a folder");
        let today = LocalDay::parse("2026-11-23").expect("a day");
        let lost = keys(dir.path(), &KeyHistory::default(), &[], today).expect("told");
        assert!(lost[0].1.starts_with("LOST"), "{lost:?}");
        let made = Keys::open(dir.path()).expect("made");
        let next = LocalDay::parse("2027-01-01").expect("a day");
        made.make(today, next).expect("made");
        let told = keys(dir.path(), &KeyHistory::default(), &[], today).expect("told");
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].0, "2026-Q4");
        assert_eq!(
            told[0].1,
            "in use; destroyed, with its pseudonyms, from 2027-01-22 on"
        );
        assert_eq!(told[1].0, "2027-Q1");
        assert!(told[1].1.starts_with("made ahead"));
        // Months later, with and without an edition that it waits for.
        let later = LocalDay::parse("2027-02-01").expect("a day");
        let awaited = [month::parse("2026-12").expect("a month")];
        for (awaited, expected) in [
            (
                &awaited[..],
                "OVERDUE since 2027-01-22: waits for the edition of 2026-12",
            ),
            (
                &[],
                "to be destroyed since 2027-01-22, by the service soon after its start",
            ),
        ] {
            let told = keys(dir.path(), &KeyHistory::default(), awaited, later).expect("told");
            assert_eq!(told[0].1, format!("for late reports; {expected}"));
        }
    }
}
