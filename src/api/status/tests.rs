//! Each error has its code, its reason and its advice, in the forms that clients get.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{DOMAIN, Problem};
use crate::api::convert::violation::{Path, Violations};
use crate::domain::LocalDay;
use crate::domain::limits::{WATCHED_QUESTIONS_PER_TOKEN_MAX, WATCHED_RATES_PER_TOKEN_MAX};
use crate::ingest::{CaseError, GetError, SubmitError};
use crate::ledger::LedgerError;
use crate::live::log::LogError;
use crate::live::{Gone, NoPermit, TooMuchUnread, WatchError};
use crate::query::QueryError;

/// Code, reason, and whether another try is worth it, as a client sees them.
fn told(problem: impl Into<Problem>) -> (Code, String, bool) {
    let status = Status::from(problem.into());
    let details = status.get_error_details();
    let info = details.error_info().expect("always there");
    assert_eq!(info.domain, DOMAIN);
    let is_retry = details.retry_info().is_some();
    (status.code(), info.reason.clone(), is_retry)
}

#[test]
fn each_error_has_its_code_reason_and_advice() {
    let check = |problem: Problem, code, reason: &str, is_retry| {
        assert_eq!(told(problem), (code, reason.to_owned(), is_retry));
    };
    let exhausted = Code::ResourceExhausted;
    let invalid = Code::InvalidArgument;
    check(SubmitError::Busy.into(), exhausted, "BUSY", true);
    check(
        SubmitError::Stopping.into(),
        Code::Unavailable,
        "STOPPING",
        true,
    );
    check(
        SubmitError::Conflict.into(),
        Code::AlreadyExists,
        "ID_TAKEN",
        false,
    );
    check(
        SubmitError::DiskReserve.into(),
        exhausted,
        "DISK_RESERVE",
        true,
    );
    check(
        SubmitError::ClockUnsure.into(),
        Code::Unavailable,
        "CLOCK_UNSURE",
        true,
    );
    check(
        SubmitError::Poisoned.into(),
        Code::Unavailable,
        "CANNOT_STORE",
        true,
    );
    check(
        SubmitError::Keys.into(),
        Code::Unavailable,
        "CANNOT_STORE",
        true,
    );
    check(
        GetError::NotFound.into(),
        Code::NotFound,
        "NOT_FOUND",
        false,
    );
    let refused = Code::FailedPrecondition;
    check(CaseError::NoStaff.into(), refused, "NO_STAFF", false);
    check(CaseError::Gone.into(), refused, "GONE", false);
    check(CaseError::Full.into(), refused, "FULL", false);
    check(CaseError::Over.into(), refused, "WAY_BACK_OVER", false);
    check(CaseError::NoOperator.into(), refused, "NO_OPERATOR", false);
    check(
        CaseError::Get(GetError::NotFound).into(),
        Code::NotFound,
        "NOT_FOUND",
        false,
    );
    check(
        Problem::of_case(GetError::NotFound.into()),
        Code::NotFound,
        "NO_CASE",
        false,
    );
    check(
        Problem::of_case(CaseError::Over),
        refused,
        "WAY_BACK_OVER",
        false,
    );
    let opening = LedgerError::StoreOpening;
    check(opening.into(), Code::Unavailable, "STORE_OPENING", true);
    check(QueryError::PageToken.into(), invalid, "INVALID", false);
    check(
        QueryError::TooManyRows.into(),
        invalid,
        "TOO_MANY_ROWS",
        false,
    );
    check(QueryError::Busy.into(), exhausted, "BUSY", true);
    check(
        WatchError::Full.into(),
        exhausted,
        "TOO_MANY_WATCHERS",
        true,
    );
    for error in [
        WatchError::TooManyQuestions,
        WatchError::TooManyRated,
        WatchError::TooManyRowsOfToken,
    ] {
        check(error.into(), exhausted, "TOO_MANY_QUESTIONS", true);
    }
    check(
        WatchError::TooManyRows.into(),
        invalid,
        "TOO_MANY_ROWS",
        false,
    );
    check(
        WatchError::Uncountable.into(),
        Code::Unavailable,
        "COUNTING_FAILED",
        true,
    );
    check(
        WatchError::Stopping.into(),
        Code::Unavailable,
        "STOPPING",
        true,
    );
    check(
        WatchError::Failed.into(),
        Code::Unavailable,
        "LIVE_FAILED",
        false,
    );
    let gone = |why| LogError::Gone {
        why,
        oldest_token: vec![2],
    };
    let range = Code::OutOfRange;
    check(
        gone(Gone::OtherJournal).into(),
        range,
        "TOKEN_OF_OTHER_JOURNAL",
        false,
    );
    check(gone(Gone::TooOld).into(), range, "TOKEN_TOO_OLD", false);
    check(gone(Gone::Ahead).into(), range, "TOKEN_AHEAD", false);
    check(LogError::Token.into(), invalid, "INVALID", false);
    check(
        LogError::Stopping.into(),
        Code::Unavailable,
        "STOPPING",
        true,
    );
    check(
        LogError::Failed.into(),
        Code::Unavailable,
        "LOG_FAILED",
        true,
    );
    check(NoPermit::Total.into(), exhausted, "TOO_MANY_WATCHERS", true);
    check(
        Problem::too_much_untaken(TooMuchUnread::Token, b"after"),
        exhausted,
        "TOO_MUCH_UNTAKEN",
        true,
    );
    check(Problem::untaken(), Code::DeadlineExceeded, "UNTAKEN", false);
    check(WatchError::Token.into(), invalid, "INVALID", false);
    let unknown = WatchError::UnknownFeed { place: 1 };
    check(unknown.into(), invalid, "INVALID", false);
    let clash = WatchError::FeedsClash { place: 2, other: 0 };
    check(clash.into(), invalid, "INVALID", false);
    check(
        WatchError::StoreOpening.into(),
        Code::Unavailable,
        "STORE_OPENING",
        true,
    );
    let gone = WatchError::Gone {
        why: Gone::TooOld,
        oldest_token: vec![2],
    };
    check(gone.into(), range, "TOKEN_TOO_OLD", false);
    check(Problem::internal(), Code::Internal, "INTERNAL", false);
    check(Problem::too_large(), exhausted, "MESSAGE_TOO_LARGE", false);
    check(Problem::malformed(), invalid, "MALFORMED", false);
    let unknown = Code::Unimplemented;
    check(Problem::compressed(), unknown, "COMPRESSED", false);
    check(Problem::no_such_method(), unknown, "NO_SUCH_METHOD", false);
    check(
        Problem::too_late(),
        Code::DeadlineExceeded,
        "TOO_LATE",
        false,
    );
}

/// The fields that a refused question names.
fn fields(problem: Problem) -> Vec<String> {
    let told = problem.violations.into_iter();
    told.map(|one| one.field).collect()
}

#[test]
fn refused_comparison_names_the_windows_that_begin_too_early() {
    let first = LocalDay::parse("2026-10-01").expect("a day");
    let day = |shift: i32| LocalDay(first.0 + shift).window();
    let check = |shifts: [i32; 2], expected: &[&str]| {
        let error = QueryError::Ended { first };
        let problem = Problem::of_comparison(error, &shifts.map(day), true);
        assert_eq!(told(problem.clone()).1, "INCIDENTS_ENDED");
        assert_eq!(fields(problem), expected);
    };
    check([-1, 0], &["window"]);
    check([1, -1], &["with_window"]);
    check([-2, -1], &["window", "with_window"]);
    let error = QueryError::Ended { first };
    assert_eq!(
        fields(Problem::of_window(error, "filter", true)),
        ["window"]
    );
    let error = QueryError::Ended { first };
    assert_eq!(fields(error.into()), ["question.window"]);
}

#[test]
fn too_many_rows_are_told_of_a_field_that_the_request_has() {
    let windows = [LocalDay(20_000).window(), LocalDay(20_001).window()];
    let comparison = Problem::of_comparison(QueryError::TooManyRows, &windows, true);
    let staff = Problem::of_window(QueryError::TooManyRows, "filter", true);
    let times = Problem::of_window(QueryError::TooManyRows, "operators", true);
    for (problem, field) in [
        (comparison, "filter"),
        (staff, "filter"),
        (times, "operators"),
        (QueryError::TooManyRows.into(), "question"),
    ] {
        assert_eq!(told(problem.clone()).1, "TOO_MANY_ROWS");
        assert_eq!(fields(problem), [field]);
    }
}

#[test]
fn watcher_that_is_ended_is_told_where_to_resume() {
    let resume_token = vec![2, 0, 255];
    let lagged = Problem::from(LogError::Lagged { resume_token });
    let details = Status::from(lagged).get_error_details();
    let info = details.error_info().expect("always there");
    assert_eq!(info.reason, "WATCHER_LAGGED");
    assert_eq!(info.metadata["resume_token"], "0200ff");
    assert!(details.retry_info().is_some());
}

#[test]
fn bound_of_streams_is_told_as_the_quota_of_whom_it_is_for() {
    let check = |problem: Problem, subject: &str| {
        let status = Status::from(problem);
        let details = status.get_error_details();
        let quota = details.quota_failure().expect("a quota");
        assert_eq!(quota.violations[0].subject, subject);
        assert!(details.retry_info().is_some());
    };
    for (error, bound) in [
        (
            WatchError::TooManyQuestions,
            WATCHED_QUESTIONS_PER_TOKEN_MAX,
        ),
        (WatchError::TooManyRated, WATCHED_RATES_PER_TOKEN_MAX),
    ] {
        let status = Status::from(Problem::from(error));
        let details = status.get_error_details();
        let quota = details.quota_failure().expect("a quota");
        assert_eq!(quota.violations[0].subject, "token");
        let begin = format!("{bound} different questions ");
        assert!(status.message().starts_with(&begin), "{status:?}");
    }
    check(WatchError::Full.into(), "service");
    check(WatchError::TooManyRowsOfToken.into(), "token");
    check(NoPermit::Total.into(), "service");
    check(NoPermit::Token.into(), "token");
    check(NoPermit::Prefix.into(), "address");
    let untaken = |error| Problem::too_much_untaken(error, b"");
    check(untaken(TooMuchUnread::Token), "token");
    check(untaken(TooMuchUnread::Prefix), "address");
}

#[test]
fn violations_travel_with_their_paths_in_both_forms() {
    let mut violations = Violations::one(Path::root("a"), "must be short");
    violations.add(Path::root("b").at(1), "must not come twice");
    let problem = Problem::from(violations);
    let refusal = problem.clone().into_refusal();
    assert_eq!(refusal.code, Code::InvalidArgument as i32);
    assert_eq!(refusal.violations[1].field, "b[1]");
    let status = Status::from(problem);
    let details = status.get_error_details();
    let told = &details.bad_request().expect("violations").field_violations;
    assert_eq!(told[0].field, "a");
    assert_eq!(told[1].description, "must not come twice");
}

#[test]
fn most_violations_that_can_be_told_fit_a_header() {
    const HEADER_BYTES_MAX: usize = 8 * 1024;
    let mut violations = Violations::default();
    let incident = Path::root("incidents").at(999);
    for index in 0..10_000 {
        let claim = incident.field("others_got_through").at(index);
        violations.add(claim, "must be a known value of OthersGotThrough");
    }
    let status = Status::from(Problem::from(violations));
    let base64_bytes = status.details().len().div_ceil(3) * 4;
    assert!(base64_bytes < HEADER_BYTES_MAX, "{base64_bytes}");
    assert!(status.message().contains("10000"));
}
