//! `mistap verify` proves that every figure is the fold of the journal; `mistap rebuild`
//! makes everything but the journal anew from it; `mistap restore` does so for a copy that was
//! brought back, and gives it an identity of its own.

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::path::Path;

use serde_json::json;

use super::failure::{Failure, Kind};
use super::output::{Card, Format, place};
use super::progress;
use super::reading::cut_short;
use super::serve;
use crate::auth::{Keys, ReceiptKeys, TokenFile};
use crate::ingest::CommandClock;
use crate::ingest::repair::{self, Finding, FoldReport, Rebuilt, RepairError, Report, Restored};
use crate::journal;

/// Longer than any answer to a question of yes or no.
const ANSWER_BYTES_MAX: u64 = 80;

/// Runs `mistap verify`.
pub fn verify(dir: &Path, format: Format) -> Result<(), Failure> {
    let bar = progress::bar(0, "entries", "folding the journal");
    let report = repair::verify(dir, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| failure(&error, dir))?;
    let mut out = io::stdout().lock();
    let printed = match format {
        Format::Table => print(&report, &mut out),
        Format::Csv | Format::Json => to_card(&report).print(format, &mut out),
    };
    // What is wrong is told though nobody reads the report.
    verdict(&report, dir).and(printed)
}

fn verdict(report: &Report, dir: &Path) -> Result<(), Failure> {
    if report.is_clean() {
        return Ok(());
    }
    let failure = Failure::new(Kind::Damage, "the folder is not as the journal says");
    let is_whole = report.journal.problems.is_empty() && !report.is_journal_short();
    if !is_whole && journal::is_removal_cut_short(&dir.join("journal")) {
        return Err(cut_short(dir));
    }
    Err(if is_whole {
        failure.with_hint(format!("mistap rebuild --data {}", dir.display()))
    } else {
        failure.with_hint(format!(
            "bring the journal's files back from a backup, as nothing can make them again; then, \
             or if they are a copy that was brought back: mistap restore --data {}",
            dir.display()
        ))
    })
}

/// Runs `mistap rebuild`.
pub fn rebuild(dir: &Path, clock: CommandClock) -> Result<(), Failure> {
    let bar = progress::bar(0, "entries", "rebuilding");
    let rebuilt = repair::rebuild(dir, clock, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let rebuilt = rebuilt.map_err(|error| failure(&error, dir))?;
    if rebuilt.restored.is_some() {
        return tell_restored(&rebuilt, dir, &mut io::stdout());
    }
    print_rebuilt(&rebuilt, &mut io::stdout())
}

/// Runs `mistap restore`. A record that was not brought back from a copy would lose its identity
/// for nothing, so that it asks first.
pub fn restore(dir: &Path, is_meant: bool, clock: CommandClock) -> Result<(), Failure> {
    if !is_meant {
        ask(dir)?;
    }
    let bar = progress::bar(0, "entries", "rebuilding");
    let restored = repair::restore(dir, clock, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let Restored { rebuilt, .. } = restored.map_err(|error| failure(&error, dir))?;
    tell_restored(&rebuilt, dir, &mut io::stdout())
}

/// Refuses unless whoever sits at the terminal says yes.
fn ask(dir: &Path) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "this cannot be undone, and there is no terminal to ask at";
        return Err(Failure::new(Kind::Refused, message).with_hint(
            "repeat the command with --yes, if the folder is a copy that was brought back",
        ));
    }
    let question = format!(
        "Resume tokens, case numbers and citations of what came after the copy in {} will lead \
         nowhere. This cannot be undone. Go on? [y/N] ",
        dir.display()
    );
    let asked = io::stderr().write_all(question.as_bytes());
    // Where nobody is asked, nothing is done.
    asked.map_err(|error| Failure::from(error).said_in_any_case())?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .take(ANSWER_BYTES_MAX)
        .read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Kind::Refused, "nothing was changed")),
    }
}

/// Prints what came of it. That entries are gone is told though nobody reads that.
fn tell_restored(rebuilt: &Rebuilt, dir: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let printed = print_restored(rebuilt, dir, out);
    match rebuilt.lost {
        0 => printed,
        lost => printed.map_err(|failure| {
            let told = format!("{lost} entries came after the copy, and are GONE");
            failure.said_in_any_case().with_detail(told)
        }),
    }
}

/// What is different from here on, and what is as it was at the copy though it had changed since.
fn print_restored(rebuilt: &Rebuilt, dir: &Path, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(at) = rebuilt.restored {
        writeln!(
            out,
            "the record goes on from what is here, as position {at} of its journal says"
        )?;
    }
    if 0 < rebuilt.lost {
        writeln!(
            out,
            "{} entries came after it, and are GONE; the checkpoint that counted them is kept as \
             checkpoint.aside until a report is erased, single incidents go or it is rebuilt",
            rebuilt.lost
        )?;
    }
    writeln!(
        out,
        "watchers begin again; case numbers and citations of what came after it lead nowhere; \
         figures, and receipts of what is here, are as they were"
    )?;
    writeln!(
        out,
        "RECEIPTS of what came after it still check as signed, but name positions that other \
         entries take: nothing here bears them out"
    )?;
    for told in brought_back(dir) {
        writeln!(out, "{told}")?;
    }
    print_rebuilt(rebuilt, out)
}

/// What a copy brings back, and what it may lack: nothing else tells it.
fn brought_back(dir: &Path) -> Vec<&'static str> {
    let mut told = vec![
        "BACK AGAIN, as the record does not know of what came after the copy: words that \
         travellers erased since, and reports that they withdrew or amended since; they have to be \
         asked to do so again",
        "words and personal parts whose time is over go again soon after the next start",
    ];
    told.push(if TokenFile::path(dir).exists() {
        "tokens are those of the file `tokens` as it lies here: if it came with the copy, revoke \
         again what was revoked since (mistap token list)"
    } else {
        "there is no file of tokens: the server will listen to this machine alone, and whoever \
         calls may do everything"
    });
    told.push(if Keys::exist(dir) {
        "keys of pseudonyms are those of the file `keys` as it lies here: one of a quarter that \
         is over is destroyed again, but keys that were rotated since the copy may be the old ones"
    } else {
        "there are no keys of pseudonyms: the next start makes new ones, so that cards and \
         installations of before cannot be joined with later ones, and case numbers and citations \
         of before lead nowhere"
    });
    if !ReceiptKeys::exist(dir) {
        told.push(
            "there are NO keys of receipts: receipts of before can be neither checked nor made \
             again, unless the file `receipt-keys` is brought back before the next start",
        );
    }
    told
}

fn print_rebuilt(rebuilt: &Rebuilt, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(
        out,
        "rebuilt from {} entries, through position {}",
        rebuilt.entries, rebuilt.position
    )?;
    writeln!(
        out,
        "digest {}",
        base16ct::lower::encode_string(&rebuilt.digest)
    )?;
    Ok(())
}

/// For programs.
fn to_card(report: &Report) -> Card {
    let (journal, fold) = (&report.journal, report.fold.as_ref());
    let count = |of: fn(&FoldReport) -> u64| json!(fold.map(of));
    let problems: Vec<_> = journal.problems.iter().map(|one| chain(one)).collect();
    let digest = fold.map(|fold| base16ct::lower::encode_string(&fold.digest));
    let mut card = Card::default();
    let is_known = report.is_all_compared() || !report.is_clean();
    card.push("is_clean", is_known.then(|| report.is_clean()));
    card.push("entries", journal.records);
    card.push("segments", journal.segments.len());
    card.push("bytes", journal.bytes);
    card.push("torn_bytes", journal.torn_bytes);
    card.push("problems", problems);
    card.push("incidents", count(|fold| fold.incidents));
    card.push("position", fold.and_then(|fold| place(fold.position.0)));
    card.push("checkpoint", fold.map(|fold| found(&fold.checkpoint)));
    card.push("store", fold.map(|fold| found(&fold.store)));
    card.push("blocks_compared", count(|fold| fold.blocks_compared));
    card.push("blocks", count(|fold| fold.blocks));
    card.push(
        "tap_blocks_compared",
        count(|fold| fold.tap_blocks_compared),
    );
    card.push("tap_blocks", count(|fold| fold.tap_blocks));
    card.push("digest", digest);
    card
}

fn print(report: &Report, out: &mut impl Write) -> Result<(), Failure> {
    let journal = &report.journal;
    writeln!(
        out,
        "journal     {} entries in {} segments, {} bytes",
        journal.records,
        journal.segments.len(),
        journal.bytes
    )?;
    if 0 < journal.torn_bytes {
        writeln!(
            out,
            "            {} bytes torn at the end, never acknowledged",
            journal.torn_bytes
        )?;
    }
    for problem in &journal.problems {
        writeln!(out, "            {}", chain(problem))?;
    }
    if let Some(fold) = &report.fold {
        writeln!(
            out,
            "fold        {} incidents, through position {}",
            fold.incidents, fold.position
        )?;
        writeln!(out, "checkpoint  {}", found(&fold.checkpoint))?;
        writeln!(
            out,
            "store       {}; {} of {} blocks compared, {} of {} blocks of tap counts",
            found(&fold.store),
            fold.blocks_compared,
            fold.blocks,
            fold.tap_blocks_compared,
            fold.tap_blocks
        )?;
        writeln!(
            out,
            "digest      {}",
            base16ct::lower::encode_string(&fold.digest)
        )?;
    }
    if let Some(left_out) = report.fold.as_ref().and_then(|fold| left_out(&fold.store)) {
        writeln!(out, "NOT COMPARED: {left_out} to prove all of it")?;
    }
    Ok(())
}

/// What was not compared, and what to do first so that it is.
fn left_out(store: &Finding) -> Option<&'static str> {
    match store {
        Finding::InUse => Some("what the server has open; stop it first"),
        Finding::ReadOnly => Some("the store, where nothing may be written; copy the folder first"),
        Finding::Missing
        | Finding::Equal
        | Finding::Partial
        | Finding::Differs
        | Finding::Ahead(_)
        | Finding::Unusable(_) => None,
    }
}

fn found(finding: &Finding) -> String {
    match finding {
        Finding::Missing => "none; the next start makes it".to_owned(),
        Finding::Equal => "equal to the fold".to_owned(),
        Finding::Partial => {
            "as far as it goes equal to the fold; the next start adds the rest".to_owned()
        }
        Finding::InUse => "in use by a server, not compared".to_owned(),
        Finding::ReadOnly => "nothing may be written there, not compared".to_owned(),
        Finding::Differs => "DIFFERS from the fold".to_owned(),
        Finding::Ahead(position) => {
            format!("counts entries through position {position}, which the journal has LOST")
        }
        Finding::Unusable(error) => {
            format!(
                "unusable ({}); the next start makes it again",
                chain(error.as_ref())
            )
        }
    }
}

/// Why a folder cannot be worked on.
pub fn failure(error: &RepairError, dir: &Path) -> Failure {
    let message = format!("{} cannot be used", dir.display());
    match error {
        RepairError::NoJournal => Failure::new(Kind::NotFound, message)
            .with_detail(error.to_string())
            .with_hint("name the data folder with --data"),
        RepairError::InUse => Failure::new(Kind::TryAgain, message).with_detail(error.to_string()),
        RepairError::ClockUnsure => Failure::new(Kind::Refused, message)
            .with_detail(error.to_string())
            .with_hint("look at the clock, then repeat the command with --trust-clock"),
        RepairError::RestoredTooOften => {
            Failure::new(Kind::Refused, message).with_detail(error.to_string())
        }
        RepairError::Journal(error) => serve::unusable_folder(dir, error),
        RepairError::BaseMissing | RepairError::BaseDiffers | RepairError::Base(_) => {
            Failure::new(Kind::Damage, message).with_detail(chain(error))
        }
        RepairError::Store(_)
        | RepairError::Refill(_)
        | RepairError::Ledger(_)
        | RepairError::Scratch(_)
        | RepairError::Random(_)
        | RepairError::StillNoted(_)
        | RepairError::SetAside(_)
        | RepairError::Aside(_) => Failure::unexpected(message, error),
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Position;
    use crate::journal::JournalError;

    #[test]
    fn journal_of_another_user_is_not_told_as_damage() {
        let kind = |error: JournalError| failure(&error.into(), Path::new("here")).kind();
        let (action, path) = ("list", Path::new("here").to_owned());
        let source = io::ErrorKind::PermissionDenied.into();
        let denied = JournalError::Permission {
            action,
            path,
            source,
        };
        assert_eq!(kind(denied), Kind::Unexpected);
        let (dir, position) = (Path::new("here").to_owned(), Position(1));
        let damaged = JournalError::MissingSegment { dir, position };
        assert_eq!(kind(damaged), Kind::Damage);
    }

    #[test]
    fn folder_whose_store_was_not_compared_is_not_said_to_be_clean() {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = journal::open(&folder.path().join("journal"), journal::Settings::default());
        drop(opened.expect("new"));
        let mut report = repair::verify(folder.path(), &mut |_, _| {}).expect("whole");
        let mut told = |store| {
            report.fold.as_mut().expect("whole").store = store;
            let (mut lines, mut card) = (Vec::new(), Vec::new());
            print(&report, &mut lines).expect("room");
            let printed = to_card(&report).print(Format::Json, &mut card);
            printed.expect("room");
            let card: serde_json::Value = serde_json::from_slice(&card).expect("one object");
            let lines = String::from_utf8(lines).expect("text");
            let last = lines.lines().last().unwrap_or_default();
            (card["is_clean"].as_bool(), last.to_owned())
        };
        let (is_clean, last) = told(Finding::Equal);
        assert_eq!(is_clean, Some(true));
        assert!(last.starts_with("digest"), "{last}");
        for (store, reason) in [
            (Finding::InUse, "stop it first"),
            (Finding::ReadOnly, "nothing may be written"),
        ] {
            let (is_clean, last) = told(store);
            assert_eq!(is_clean, None, "{last}");
            assert!(
                last.starts_with("NOT COMPARED") && last.contains(reason),
                "{last}"
            );
        }
    }

    #[test]
    fn entries_that_are_gone_are_told_though_nobody_reads_it() {
        let told = |lost| {
            let (_, mut nobody) = io::pipe().expect("a pipe");
            let rebuilt = Rebuilt {
                entries: 3,
                position: Position(4),
                digest: [0; 32],
                lost,
                restored: Some(Position(4)),
            };
            tell_restored(&rebuilt, Path::new("here"), &mut nobody).expect_err("nobody reads")
        };
        assert!(told(0).is_closed_pipe());
        let gone = told(2);
        assert!(!gone.is_closed_pipe());
        assert!(gone.to_string().contains("2 entries"), "{gone}");
    }
}
