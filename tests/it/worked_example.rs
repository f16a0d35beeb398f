//! The worked example, through the service: line 10 of GVB, a month with 40 reports of 27
//! installations and 300,000 taps, as an exact figure and as everybody gets it.

use std::collections::HashMap;

use mistap::api::pb::v1 as pb;
use mistap::domain::UtcMillis;
use mistap::domain::time::{DAY_MS, HOUR_MS};
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use tempfile::TempDir;

use crate::editions::{behind_proxy, text_once_closed};
use crate::support::{
    self, START, Service, at, feed_of_gvb, founding_story, once_open, taps_of_line,
};

/// The first of November in Amsterdam.
const MONTH: UtcMillis = UtcMillis(START.0 - 15 * HOUR_MS - 22 * DAY_MS);
const DAYS: i64 = 30;
const TAPS_PER_DAY: u64 = 10_000;
const REPORTS: i64 = 40;
const INSTALLATIONS: i64 = 27;
/// Of another line, so that there is anything beside the line.
const OTHERS: i64 = 20;

/// Reports a check-in of this day by this installation, from an address of its own.
async fn report(service: &Service, line: &str, installation: i64, day: i64) {
    let incident = pb::Incident {
        line: line.into(),
        installation_id: format!("an-installation-of-the-example-{installation:03}"),
        occurred_at: at(UtcMillis(MONTH.0 + day * DAY_MS + 12 * HOUR_MS)),
        ..founding_story()
    };
    let mut request = tonic::Request::new(pb::ReportIncidentRequest {
        incident: Some(incident),
        ..pb::ReportIncidentRequest::default()
    });
    let from = format!("203.0.113.1, 198.51.{installation}.7");
    let from = from.parse().expect("a value");
    request.metadata_mut().insert("x-forwarded-for", from);
    let mut client = ReportingServiceClient::new(service.connect().await);
    client.report_incident(request).await.expect("recorded");
}

async fn tell_taps(service: &Service) {
    let midnight = |day: i64| UtcMillis(MONTH.0 + day * DAY_MS);
    let count = |day| taps_of_line("GVB:10", midnight(day), TAPS_PER_DAY);
    let feed = feed_of_gvb("gvb.lines", pb::TapGrain::Line, pb::TapInterval::Day);
    support::tell_taps(&service.connect().await, feed, (0..DAYS).map(count)).await;
}

/// The exact rate of line 10 in the month.
async fn exact(service: &Service) -> pb::Rate {
    let request = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            filter: None,
            by: vec![pb::Dimension::Line.into()],
            window: Some(pb::Window {
                start: at(MONTH),
                end: at(UtcMillis(MONTH.0 + DAYS * DAY_MS)),
            }),
        }),
        rates: Some(pb::RatesRequest::default()),
        ..pb::QueryFiguresRequest::default()
    };
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let answer = once_open(async || client.query_figures(request.clone()).await)
        .await
        .expect("answered");
    let of_line = answer
        .figures
        .into_iter()
        .find(|figure| figure.keys[0].value == "GVB:10");
    of_line.expect("line 10").rate.expect("asked for")
}

/// The row of line 10 in a table of an edition, by column.
fn row_of_line_10(table: &str) -> HashMap<String, String> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let columns = reader.headers().expect("a header").clone();
    let rows = reader.records().map(|row| row.expect("a row"));
    let rows = rows.map(|row| {
        let cells = columns.iter().zip(&row);
        let cells = cells.map(|(column, cell)| (column.to_owned(), cell.to_owned()));
        cells.collect::<HashMap<_, _>>()
    });
    let mut of_line = rows.filter(|row| row["key"] == "GVB:10");
    of_line.next().expect("line 10 is published")
}

#[tokio::test]
async fn line_10_has_13_3_reports_per_100_000_taps_exactly_and_in_the_edition() {
    let service = behind_proxy(TempDir::new().expect("a folder"), START).await;
    for number in 0..REPORTS {
        report(&service, "10", number % INSTALLATIONS, number % 22).await;
    }
    for number in 0..OTHERS {
        report(&service, "12", 100 + number, number).await;
    }
    let ended = UtcMillis(MONTH.0 + (DAYS + 1) * DAY_MS);
    let service = behind_proxy(service.stop().await, ended).await;
    tell_taps(&service).await;
    let rate = exact(&service).await;
    assert_eq!((rate.reports, rate.matched, rate.taps), (40, 40, 300_000));
    assert_eq!(rate.unit(), pb::RateUnit::ReportsPer100000Taps);
    let one_digit = |value: Option<f64>| format!("{:.1}", value.expect("there is one"));
    let found = [rate.value, rate.low, rate.high].map(one_digit);
    // The days scatter less than chance has them, so that nothing widens it.
    assert_eq!(found, ["13.3", "9.5", "18.2"]);

    let closed = UtcMillis(MONTH.0 + 52 * DAY_MS);
    let service = behind_proxy(service.stop().await, closed).await;
    let path = "/editions/2026-11/gvb/line.csv";
    let row = row_of_line_10(&text_once_closed(&service, path).await);
    let told = |column: &str| row[column].as_str();
    assert_eq!(
        (told("count"), told("flag"), told("taps")),
        ("40", "exact", "300000")
    );
    assert_eq!((told("coverage"), told("unit")), ("1.0", "per-100000-taps"));
    assert_eq!(
        told("interval_method"),
        "garwood 0.95 dispersion not estimated"
    );
    assert_eq!(told("no_rate"), "");
    let figures = ["rate", "low", "high"].map(|column| {
        let value: f64 = row[column].parse().expect("a number");
        format!("{value:.1}")
    });
    assert_eq!(figures, ["13.3", "9.5", "18.2"]);
    service.stop().await;
}
