//! Outages through the API: a steward declares and withdraws them, figures list their days and
//! have a second figure without them, and the record proves it.

use mistap::api::pb::v1 as pb;
use mistap::auth::{NewToken, Role, Token, TokenFile};
use mistap::client::{Bearer, Connection};
use mistap::domain::time::{DAY_MS, HOUR_MS};
use mistap::domain::{LocalDay, UtcMillis};
use mistap::ingest::ClockCheck;
use mistap::ingest::repair::{self, verify};
use pb::operations_service_client::OperationsServiceClient;
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{START, Service, at, feed_of_gvb, founding_story, once_open};

type Operations = OperationsServiceClient<Connection>;

/// Midnight three days before the day of `START`, in Amsterdam.
const MIDNIGHT: UtcMillis = UtcMillis(START.0 - 15 * HOUR_MS - 3 * DAY_MS);
/// The three days of the tests.
const DAYS: [&str; 3] = ["2026-11-20", "2026-11-21", "2026-11-22"];
/// Reports of GVB on each of them, and of RET on the last but one.
const REPORTS: [usize; 3] = [4, 7, 2];
const REPORTS_OF_RET: usize = 5;
/// Taps of GVB on each day.
const TAPS: u64 = 10_000;

fn outage(operator: &str, first: &str, last: &str) -> Option<pb::Outage> {
    Some(pb::Outage {
        operator_code: operator.into(),
        first_day: first.into(),
        last_day: last.into(),
    })
}

async fn declare(client: &mut Operations, outage: Option<pb::Outage>) -> Result<u64, Status> {
    let answer = client.declare_outage(pb::DeclareOutageRequest { outage });
    Ok(answer.await?.into_inner().position)
}

async fn withdraw(client: &mut Operations, outage: Option<pb::Outage>) -> Result<u64, Status> {
    let answer = client.withdraw_outage(pb::WithdrawOutageRequest { outage });
    Ok(answer.await?.into_inner().position)
}

async fn open(service: &Service) -> Connection {
    Bearer::default().over(service.connect().await)
}

async fn record(connection: &Connection) {
    let mut incidents = Vec::new();
    for (day, reports) in (0_i64..).zip(REPORTS) {
        let of_ret = if day == 1 { REPORTS_OF_RET } else { 0 };
        let operators = [("GVB", reports), ("RET", of_ret)];
        for (operator, count) in operators {
            incidents.extend((0..count).map(|_| pb::Incident {
                operator: operator.into(),
                line: String::new(),
                occurred_at: at(UtcMillis(MIDNIGHT.0 + day * DAY_MS + 9 * HOUR_MS)),
                precision: pb::TimePrecision::Hour.into(),
                ..founding_story()
            }));
        }
    }
    let mut client = ReportingServiceClient::new(connection.clone());
    let request = pb::ReportIncidentsRequest { incidents };
    client.report_incidents(request).await.expect("recorded");
    let count = |day: i64| pb::TapCount {
        start: at(UtcMillis(MIDNIGHT.0 + day * DAY_MS)),
        taps: TAPS,
        ..pb::TapCount::default()
    };
    let request = pb::RecordTapCountsRequest {
        feed: Some(feed_of_gvb(
            "gvb.days",
            pb::TapGrain::Operator,
            pb::TapInterval::Day,
        )),
        counts: (0..3).map(count).collect(),
    };
    let mut client = OperationsServiceClient::new(connection.clone());
    client.record_tap_counts(request).await.expect("recorded");
}

async fn ask(
    connection: &Connection,
    operators: &[&str],
    by: &[pb::Dimension],
    as_of_position: Option<u64>,
) -> pb::QueryFiguresResponse {
    let operators = operators.iter().map(|code| (*code).to_owned()).collect();
    let request = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            filter: Some(pb::Filter {
                operators,
                ..pb::Filter::default()
            }),
            by: by.iter().map(|dimension| *dimension as i32).collect(),
            window: Some(pb::Window {
                start: at(MIDNIGHT),
                end: at(UtcMillis(MIDNIGHT.0 + 3 * DAY_MS)),
            }),
        }),
        rates: Some(pb::RatesRequest::default()),
        as_of_position,
        ..pb::QueryFiguresRequest::default()
    };
    let mut client = StatisticsServiceClient::new(connection.clone());
    once_open(async || client.query_figures(request.clone()).await)
        .await
        .expect("an answer")
}

fn days(answer: &pb::QueryFiguresResponse) -> Vec<(&str, &str)> {
    let days = answer.outage_days.iter();
    days.map(|one| (one.day.as_str(), one.operator_code.as_str()))
        .collect()
}

/// Rows by their first key, with their count and what is left of it.
fn rows(answer: &pb::QueryFiguresResponse) -> Vec<(&str, u64, Option<u64>)> {
    let rows = answer.figures.iter();
    rows.map(|row| {
        let less = row.without_outages.as_ref().map(|less| less.count);
        (row.keys[0].value.as_str(), row.count, less)
    })
    .collect()
}

#[tokio::test]
async fn figures_list_days_of_outages_and_have_a_second_figure_without_them() {
    let service = Service::start().await;
    let connection = open(&service).await;
    record(&connection).await;
    let before = ask(&connection, &["GVB"], &[pb::Dimension::Day], None).await;
    assert!(before.outage_days.is_empty() && before.without_outages.is_none());
    assert!(
        before
            .figures
            .iter()
            .all(|row| row.without_outages.is_none())
    );

    let mut client = OperationsServiceClient::new(connection.clone());
    let gvb = || outage("GVB", DAYS[1], "");
    let at = declare(&mut client, gvb()).await.expect("declared");
    assert!(before.position < at);
    let again = declare(&mut client, gvb()).await.expect("it is already");
    assert_eq!(again, 0, "nothing changes");

    let by_day = ask(&connection, &["GVB"], &[pb::Dimension::Day], None).await;
    assert_eq!(days(&by_day), [(DAYS[1], "GVB")]);
    let expected = [
        (DAYS[0], 4, Some(4)),
        (DAYS[1], 7, None),
        (DAYS[2], 2, Some(2)),
    ];
    assert_eq!(rows(&by_day), expected);
    let without = by_day.without_outages.expect("an outage was declared");
    assert_eq!((by_day.total, without.total), (13, 6));
    let rates = [by_day.total_rate, without.total_rate].map(|rate| rate.expect("asked for"));
    let made = rates
        .each_ref()
        .map(|rate| (rate.taps, rate.days, rate.days_with_taps));
    assert_eq!(made, [(3 * TAPS, 3, 3), (2 * TAPS, 2, 2)]);
    let value = rates[1].value.expect("taps are known");
    assert!((value - 30.0).abs() < 1e-9, "{value}: 6 of 20,000");

    // Another operator's outage is none of RET's, but a day of it counts for no row of both.
    let ret = ask(&connection, &["RET"], &[pb::Dimension::Operator], None).await;
    assert_eq!((days(&ret), rows(&ret)), (vec![], vec![("RET", 5, None)]));
    let both = ask(&connection, &[], &[pb::Dimension::Operator], None).await;
    assert_eq!(rows(&both), [("GVB", 13, Some(6)), ("RET", 5, Some(0))]);

    let network = outage("", DAYS[0], DAYS[2]);
    declare(&mut client, network).await.expect("declared");
    let gone = withdraw(&mut client, outage("", DAYS[2], "")).await;
    let gone = gone.expect("withdrawn");
    let left = ask(&connection, &["GVB"], &[pb::Dimension::Operator], None).await;
    let expected = [(DAYS[0], ""), (DAYS[1], ""), (DAYS[1], "GVB")];
    assert_eq!(days(&left), expected);
    assert_eq!(rows(&left), [("GVB", 13, Some(2))]);
    let then = ask(
        &connection,
        &["GVB"],
        &[pb::Dimension::Operator],
        Some(gone - 1),
    )
    .await;
    assert_eq!(days(&then).len(), 4);
    assert_eq!(rows(&then), [("GVB", 13, None)], "no day is left");
    assert_eq!(then.without_outages.map(|without| without.total), Some(0));

    let again = Service::start_in(service.stop().await).await;
    let connection = open(&again).await;
    let same = ask(&connection, &["GVB"], &[pb::Dimension::Operator], None).await;
    assert_eq!((days(&same), rows(&same)), (days(&left), rows(&left)));
    let mut client = OperationsServiceClient::new(connection);
    let listed = client.list_outages(pb::ListOutagesRequest::default()).await;
    let listed = listed.expect("listed").into_inner();
    assert_eq!(listed.days, same.outage_days);
    let told: Vec<_> = listed.changes.iter().map(|told| told.withdrawn).collect();
    assert_eq!(told, [false, false, true]);
    let folder = again.stop().await;
    let proven = || {
        let report = verify(folder.path(), &mut |_, _| {}).expect("it can be read");
        assert!(report.is_clean(), "{report:?}");
        report.fold.expect("the journal is whole").digest
    };
    let digest = proven();
    let rebuilt = repair::rebuild(folder.path(), ClockCheck::Always.at(START), &mut |_, _| {})
        .expect("nobody has it open");
    assert_eq!(rebuilt.digest, digest);
    assert_eq!(proven(), digest);
}

fn fields(refused: &Status) -> Vec<String> {
    let details = refused.get_details_bad_request();
    let violations = details.map(|request| request.field_violations);
    let violations = violations.into_iter().flatten();
    violations.map(|violation| violation.field).collect()
}

#[tokio::test]
async fn wrong_outages_are_refused_with_their_fields() {
    let service = Service::start().await;
    let mut client = OperationsServiceClient::new(open(&service).await);
    for (outage, expected) in [
        (None, "outage"),
        (outage("NOBODY", DAYS[0], ""), "outage.operator_code"),
        (outage("GVB", "2026-11-31", ""), "outage.first_day"),
        (outage("GVB", DAYS[1], DAYS[0]), "outage.last_day"),
        (outage("GVB", DAYS[1], "2027-11-22"), "outage.last_day"),
    ] {
        let refused = declare(&mut client, outage.clone())
            .await
            .expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(fields(&refused), [expected]);
        let refused = withdraw(&mut client, outage).await.expect_err("refused");
        assert_eq!(fields(&refused), [expected]);
    }
    let nothing = withdraw(&mut client, outage("GVB", DAYS[0], "")).await;
    assert_eq!(nothing.expect("no such outage"), 0);
    service.stop().await;
}

#[tokio::test]
async fn operators_see_outages_of_their_own_and_of_the_network_and_declare_none() {
    let folder = TempDir::new().expect("a folder");
    let token = |role: Role, operators: &[&str]| -> Token {
        let operators = operators.iter().map(|code| code.parse().expect("a code"));
        let new = NewToken {
            label: format!("{role}"),
            role,
            operators: operators.collect(),
        };
        let today = LocalDay::parse(DAYS[2]).expect("a date");
        TokenFile::add(folder.path(), new, today).expect("made")
    };
    let (steward, gvb) = (token(Role::Steward, &[]), token(Role::Operator, &["GVB"]));
    let service = Service::start_in(folder).await;
    let with = async |token: &Token| -> Operations {
        let bearer = Bearer::new(token.expose()).expect("it can be sent");
        OperationsServiceClient::new(bearer.over(service.connect().await))
    };
    let (mut steward, mut operator) = (with(&steward).await, with(&gvb).await);
    for whose in ["GVB", "RET", ""] {
        let declared = declare(&mut steward, outage(whose, DAYS[0], "")).await;
        declared.expect("a steward may");
    }
    let refused = declare(&mut operator, outage("GVB", DAYS[1], "")).await;
    assert_eq!(refused.expect_err("refused").code(), Code::PermissionDenied);
    let refused = withdraw(&mut operator, outage("GVB", DAYS[0], "")).await;
    assert_eq!(refused.expect_err("refused").code(), Code::PermissionDenied);
    let list = |operators: &[&str]| pb::ListOutagesRequest {
        operators: operators.iter().map(|code| (*code).to_owned()).collect(),
    };
    let listed = operator.list_outages(list(&["GVB"])).await.expect("listed");
    let listed = listed.into_inner();
    let whose: Vec<_> = listed.days.iter().map(|one| &one.operator_code).collect();
    assert_eq!(whose, ["", "GVB"]);
    assert_eq!(listed.changes.len(), 2);
    for others in [&["RET"][..], &[], &["GVB", "RET"]] {
        let refused = operator
            .list_outages(list(others))
            .await
            .expect_err("refused");
        assert_eq!(fields(&refused), ["operators"]);
    }
    service.stop().await;
}
