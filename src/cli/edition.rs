//! `mistap edition`: what is published, and proof of it.

mod people;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::output::{Format, Sheet};
use super::reading::{check_journal, read_folder};
use super::serve::{self, FolderError};
use super::when::{Days, Period};
use super::{values, when};
use crate::api::Clock;
use crate::api::convert::edition::from_row;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use crate::client::Connection;
use crate::config::{ClockSettings, DataSettings};
use crate::domain::limits::EDITION_ROWS_PER_PAGE_MAX;
use crate::domain::{LocalMonth, UtcMillis};
use crate::edition::library::{Closed, EditionError, Library, Verdict};
use crate::edition::{NOT_SAID, columns, download, month};
use crate::ingest::{self, ClockCheck, Options, Running};
use crate::journal::{self, JournalError};
use crate::network::Network;
use crate::upkeep::editions::{CUT_MEANS, CloseError, Closing, close_due};

const STOP_WAIT: std::time::Duration = std::time::Duration::from_secs(600);
/// The committer looks at the clock each second.
const TICK_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What to do with editions.
#[derive(Debug, clap::Subcommand)]
pub enum EditionCommand {
    /// List the editions that a server publishes
    List,
    /// Show the figures of an edition
    Show(ShowArgs),
    /// Close all editions that are due in a data folder that no server uses
    Close {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
        /// What its clock is worth.
        #[command(flatten)]
        clock: ClockSettings,
    },
    /// Prove that the editions of a data folder are what was closed, and what the journal gives
    Verify {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
        /// Only this month, as in 2026-10
        #[arg(long, value_parser = month_of)]
        month: Option<LocalMonth>,
    },
}

/// Which figures to show.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The month, as in 2026-10, `last-month` or `2-months-ago`
    month: String,
    /// Only of this operator, by code, or `not-said`: reports of which it is not known
    #[arg(long, value_parser = operator_of)]
    operator: Option<String>,
    /// Only of this dimension, as in line or staff-act
    #[arg(long)]
    dimension: Option<String>,
}

fn month_of(text: &str) -> Result<LocalMonth, String> {
    month::parse(text).ok_or_else(|| "must be a month, as in 2026-10".to_owned())
}

/// Takes the code of an operator, or what editions have instead where nobody named one.
fn operator_of(text: &str) -> Result<String, values::Rule> {
    match text {
        NOT_SAID => Ok(text.to_owned()),
        _ => values::operator(text),
    }
}

/// Runs `mistap edition`.
pub async fn edition(
    command: EditionCommand,
    server: &ServerArgs,
    format: Format,
    now: Clock,
) -> Result<(), Failure> {
    match command {
        EditionCommand::List => list(server, format).await,
        EditionCommand::Show(args) => show(args, server, format, now).await,
        EditionCommand::Close { data, clock } => {
            close(&data.dir, serve::clock_check(clock), now).await
        }
        EditionCommand::Verify { data, month } => verify(&data.dir, month, format),
    }
}

async fn list(server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let mut client = StatisticsServiceClient::new(server.connect().await?);
    let request = pb::ListEditionsRequest {};
    let found = client.list_editions(request).await?.into_inner().editions;
    let mut sheet = Sheet::new(["edition", "closed_at", "sha256", "path"]);
    for edition in found {
        let closed_at = when::from_wire(edition.closed_at.as_ref());
        sheet.push(vec![
            json!(edition.month),
            json!(closed_at.map(|at| at.to_string())),
            json!(edition.sha256),
            json!(edition.path),
        ]);
    }
    sheet.print(format, &mut io::stdout().lock())
}

/// The month that words like `last-month` mean; anything else is for the server to judge.
fn month_in_words(text: String, now: UtcMillis) -> Result<String, Failure> {
    let Ok(period @ Period::MonthsAgo(_)) = text.parse() else {
        return Ok(text);
    };
    let now = Timestamp::from_millisecond(now.0).unwrap_or(Timestamp::UNIX_EPOCH);
    let first = Days::of(period, now)?.first;
    Ok(first.strftime("%Y-%m").to_string())
}

async fn show(
    args: ShowArgs,
    server: &ServerArgs,
    format: Format,
    now: Clock,
) -> Result<(), Failure> {
    let mut client = StatisticsServiceClient::new(server.connect().await?);
    let request = pb::GetEditionRequest {
        month: month_in_words(args.month, now())?,
        operator_code: args.operator.unwrap_or_default(),
        dimension: args.dimension.unwrap_or_default(),
        page_size: u32::try_from(EDITION_ROWS_PER_PAGE_MAX).unwrap_or(0),
        page_token: String::new(),
    };
    let (rows, citation) = read(&mut client, request.clone()).await?;
    let is_part = !request.operator_code.is_empty() || !request.dimension.is_empty();
    if rows.is_empty() && is_part {
        return Err(nothing_of_these(&mut client, request).await?);
    }
    let sheet = match format {
        Format::Table => people::sheet(&rows),
        Format::Csv => sheet(&rows, Some(&citation)),
        Format::Json => sheet(&rows, None),
    };
    let mut out = io::stdout().lock();
    sheet.print(format, &mut out)?;
    match format {
        Format::Table => {
            writeln!(out)?;
            people::write_notes(&rows, &mut out)?;
            writeln!(out, "{citation}")?;
        }
        Format::Csv | Format::Json => writeln!(io::stderr().lock(), "{citation}")?,
    }
    Ok(())
}

/// Reads all rows that are asked for, and how they are cited.
async fn read(
    client: &mut StatisticsServiceClient<Connection>,
    mut request: pb::GetEditionRequest,
) -> Result<(Vec<pb::EditionRow>, String), Failure> {
    let mut rows = Vec::new();
    loop {
        let page = client.get_edition(request.clone()).await?.into_inner();
        rows.extend(page.rows);
        if page.next_page_token.is_empty() {
            return Ok((rows, page.edition.unwrap_or_default().citation));
        }
        request.page_token = page.next_page_token;
    }
}

/// Says what there is in an edition that has nothing of what was asked for: a misspelt name is
/// not to be taken for an operator of which nothing was reported.
async fn nothing_of_these(
    client: &mut StatisticsServiceClient<Connection>,
    request: pb::GetEditionRequest,
) -> Result<Failure, Failure> {
    let all = pb::GetEditionRequest {
        operator_code: String::new(),
        dimension: String::new(),
        ..request.clone()
    };
    let (rows, _) = read(client, all).await?;
    let named = |of: fn(&pb::EditionRow) -> &str| {
        let names: BTreeSet<&str> = rows
            .iter()
            .map(of)
            .filter(|name| !name.is_empty())
            .collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut failure = Failure::new(Kind::NotFound, "the edition has no rows of that");
    if !request.operator_code.is_empty() {
        let operators = named(|row| &row.operator_code);
        failure = failure.with_detail(format!("its operators: {operators}"));
    }
    if !request.dimension.is_empty() {
        let dimensions = named(|row| &row.dimension);
        failure = failure.with_detail(format!("its dimensions: {dimensions}"));
    }
    Ok(failure)
}

/// Rows as they are downloaded, so that one script reads both: with the line to cite as the last
/// column in CSV, which has nowhere else to say it.
fn sheet(rows: &[pb::EditionRow], citation: Option<&str>) -> Sheet {
    let columns = download::csv_columns().map(|column| column.name);
    let own = columns::all().len() + usize::from(citation.is_some());
    let mut sheet = Sheet::new(columns.take(own));
    for row in rows {
        let mut values = columns::values(&from_row(row), &row.edition, row.method_version);
        values.extend(citation.map(|line| json!(line)));
        sheet.push(values);
    }
    sheet
}

async fn close(dir: &Path, clock_check: ClockCheck, now: Clock) -> Result<(), Failure> {
    let unusable = |error: &dyn FolderError| serve::unusable_folder(dir, error);
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::unexpected(format!("{} cannot be used", dir.display()), error)
    };
    check_journal(dir)?;
    let network = Network::load_latest(dir).map_err(|error| unusable(&error))?;
    let network = Arc::new(network.unwrap_or_else(Network::built_in));
    let options = Options {
        clock_check,
        ..Options::default()
    };
    let clock = Arc::clone(&now);
    let running = ingest::start_with(dir, network, move || clock(), options);
    let running = running.map_err(|error| serve::unopened(dir, &error))?;
    let closing = close_over(dir, &running, &now).await;
    let stopping = tokio::task::spawn_blocking(move || running.stop(STOP_WAIT));
    let stopped = stopping.await.map_err(|error| failed(&error))?;
    let closing = closing?;
    stopped.map_err(|error| failed(&error))?;
    tell_closed(&closing, &mut io::stdout())
}

/// Closes what is due by now in a folder that is open.
async fn close_over(dir: &Path, running: &Running, now: &Clock) -> Result<Closing, Failure> {
    if running.ingest.is_clock_unsure() {
        // It is for minutes, for which a command does not wait.
        let message = format!(
            "the clock is more than 35 days past the last entry of {}, and may be wrong: nothing \
             is closed",
            dir.display()
        );
        let hint = "look at the clock, then close with --trust-clock";
        return Err(Failure::new(Kind::Refused, message).with_hint(hint));
    }
    let unusable = |error: &dyn FolderError| serve::unusable_folder(dir, error);
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::unexpected(format!("{} cannot be used", dir.display()), error)
    };
    let journal = |error| unusable(&error);
    until_told_the_time(running, now()).await.map_err(journal)?;
    let library = Library::open(dir, running.reader.clone()).map_err(|error| unusable(&error))?;
    close_due(&Arc::new(library), &running.ingest)
        .await
        .map_err(|error| failed(&error))
}

/// Waits until the journal knows what time it is, since what is due is due by its stamps: after a
/// rest, the next tick says so. It does not come where the clock is behind or the disk is full.
async fn until_told_the_time(running: &Running, now: UtcMillis) -> Result<(), JournalError> {
    let mut reached = running.ingest.reached();
    let last = running.reader.last();
    let stamp = running.reader.stamp(last)?;
    if stamp.is_some_and(|stamp| now.minute() <= stamp.minute()) {
        return Ok(());
    }
    let ticked = reached.wait_for(|reached| last < *reached);
    // Without one, what was due before still is.
    let _ = tokio::time::timeout(TICK_WAIT, ticked).await;
    Ok(())
}

/// Prints what is closed. What cannot be is told though nobody reads that.
fn tell_closed(closing: &Closing, out: &mut impl Write) -> Result<(), Failure> {
    let printed = print_closed(closing, out);
    verdict(closing).and(printed)
}

fn print_closed(closing: &Closing, out: &mut impl Write) -> Result<(), Failure> {
    for edition in &closing.closed {
        writeln!(out, "{} closed, sha256 {}", edition.month, edition.hash)?;
    }
    for month in &closing.cut {
        writeln!(out, "{month} {CUT_MEANS}")?;
    }
    let is_nothing = closing.closed.is_empty() && closing.cut.is_empty();
    if is_nothing && closing.failed.is_empty() {
        writeln!(out, "no edition is due")?;
    }
    Ok(())
}

fn verdict(closing: &Closing) -> Result<(), Failure> {
    let mut problems = closing.failed.iter();
    let Some((month, error)) = problems.next() else {
        return Ok(());
    };
    let others = problems.map(|(month, _)| format!("nor can that of {month}"));
    let message = format!("the edition of {month} is due and cannot be closed");
    let kind = match error {
        CloseError::Edition(error) => error.advised().0,
        CloseError::Note(_) | CloseError::Panic => Kind::Unexpected,
    };
    let failure = Failure::caused(kind, message, error);
    Err(others.fold(failure, Failure::with_detail))
}

fn verify(dir: &Path, month: Option<LocalMonth>, format: Format) -> Result<(), Failure> {
    let (sheet, is_clean) = read_folder(dir, || verified(dir, month))?;
    let printed = sheet.print(format, &mut io::stdout().lock());
    if is_clean {
        return printed;
    }
    // Told though nobody reads which it is.
    Err(
        Failure::new(Kind::Damage, "an edition is not what was closed").with_hint(
            "restore its file from a backup; one that is gone is made again by `mistap edition \
                 close` as long as the journal holds its reports",
        ),
    )
}

/// What is found of editions, and whether nothing is wrong.
fn verified(dir: &Path, month: Option<LocalMonth>) -> Result<(Sheet, bool), Failure> {
    let unusable = |error: &dyn FolderError| serve::unusable_folder(dir, error);
    check_journal(dir)?;
    let opened = journal::open_reader(&dir.join("journal"));
    let (reader, _) = opened.map_err(|error| unusable(&error))?;
    let library = Library::open_reading(dir, reader).map_err(|error| unusable(&error))?;
    let is_wanted = |found: &LocalMonth| month.is_none_or(|month| month == *found);
    let months = |closed: Vec<Closed>| {
        let months = closed.into_iter().map(|closed| closed.month);
        months.filter(is_wanted).collect::<BTreeSet<_>>()
    };
    let lost = months(library.lost().map_err(|error| unusable(&error))?);
    let all: BTreeSet<_> = months(library.list()).union(&lost).copied().collect();
    if all.is_empty() {
        let message = match month {
            Some(_) => "there is no such edition",
            None => "there are no editions yet: none is due, or none was closed",
        };
        return Err(Failure::new(Kind::NotFound, message));
    }
    let mut sheet = Sheet::new(["edition", "found"]);
    let mut is_clean = true;
    for month in all {
        let found = if lost.contains(&month) {
            "GONE".to_owned()
        } else {
            match library.verify(month) {
                Err(error @ EditionError::Journal(_)) => return Err(unusable(&error)),
                verdict => found(verdict),
            }
        };
        is_clean &= !["DIFFERS", "GONE", "DAMAGED"]
            .iter()
            .any(|bad| found.starts_with(bad));
        sheet.push(vec![json!(month.to_string()), json!(found)]);
    }
    Ok((sheet, is_clean))
}

/// What checking an edition found, in words. What begins with a word in capitals is wrong.
fn found(verdict: Result<Option<Verdict>, EditionError>) -> String {
    match verdict {
        Ok(Some(Verdict::Recomputed)) => "made again from the journal, to the byte".to_owned(),
        Ok(Some(Verdict::Erased(reports))) => {
            format!("hash as in the journal; {reports} reports erased since, not made again")
        }
        Ok(Some(Verdict::OtherMethod(method))) => {
            format!("hash as in the journal; made by method {method}, not made again")
        }
        Ok(Some(Verdict::Gone)) => {
            "hash as in the journal, which no longer holds its reports".to_owned()
        }
        Ok(Some(Verdict::Differs)) => "DIFFERS from what the journal gives".to_owned(),
        Ok(None) => "GONE".to_owned(),
        Err(error) => format!("DAMAGED: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::SubmitError;

    #[test]
    fn reports_without_an_operator_can_be_asked_for() {
        assert_eq!(operator_of("not-said").as_deref(), Ok("not-said"));
        assert_eq!(operator_of("gvb").as_deref(), Ok("GVB"));
        assert!(operator_of("not-told").is_err());
    }

    #[tokio::test]
    async fn journal_that_cannot_be_looked_into_is_not_told_as_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let failures = async || {
            let now: Clock = Arc::new(|| UtcMillis(0));
            let closed = close(dir.path(), ClockCheck::Never, now).await;
            let verified = verified(dir.path(), None).err();
            [closed.err(), verified].map(|failure| failure.expect("nothing is there"))
        };
        for failure in failures().await {
            assert_eq!(failure.kind(), Kind::NotFound, "{failure}");
        }
        std::fs::write(dir.path().join("journal"), "no folder").expect("written");
        for failure in failures().await {
            assert_eq!(failure.kind(), Kind::Unexpected, "{failure}");
            assert!(failure.to_string().contains("cannot list"), "{failure}");
        }
    }

    #[test]
    fn edition_that_can_be_closed_no_more_is_told_by_whoever_closes() {
        let said = |cut: Vec<LocalMonth>| {
            let closing = Closing {
                cut,
                ..Closing::default()
            };
            let mut out = Vec::new();
            tell_closed(&closing, &mut out).expect("room");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(said(Vec::new()), "no edition is due\n");
        let month = month::parse("2026-10").expect("a month");
        assert_eq!(
            said(vec![month]),
            "2026-10 is due and can be closed no more: the journal no longer holds all that it \
             would be made of\n"
        );
    }

    #[test]
    fn edition_that_cannot_be_closed_is_told_though_nobody_reads_the_others() {
        let month = month::parse("2026-10").expect("a month");
        let closing = Closing {
            cut: vec![month],
            failed: vec![(month, CloseError::Note(SubmitError::Busy))],
            ..Closing::default()
        };
        let (_, mut nobody) = io::pipe().expect("a pipe");
        let failure = tell_closed(&closing, &mut nobody).expect_err("not closed");
        assert!(!failure.is_closed_pipe());
        assert!(failure.to_string().contains("cannot be closed"));
    }
}
