//! One period against another, through the API.

use mistap::api::pb::v1 as pb;
use mistap::domain::UtcMillis;
use mistap::domain::time::{DAY_MS, HOUR_MS};
use pb::query_figures_with_progress_response::Step;
use pb::statistics_service_client::StatisticsServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{
    START, Service, at, feed_of_gvb, founding_story, once_open, report_all, taps_of_line,
    tell_taps, with_progress,
};

/// Twelve days each, in winter time: until the day of `START`, and until those.
const DAYS: i64 = 12;
const MIDNIGHT: i64 = START.0 - 15 * HOUR_MS;

/// Midnight of so many days before the day of `START`.
fn midnight(days: i64) -> i64 {
    MIDNIGHT - days * DAY_MS
}

fn window(first: i64) -> Option<pb::Window> {
    Some(pb::Window {
        start: at(UtcMillis(midnight(first))),
        end: at(UtcMillis(midnight(first - DAYS))),
    })
}

/// So many taps of line 10 on each day, and so many reports, one after the other on its days.
async fn tell(channel: &Channel, first: i64, taps_a_day: u64, reports: i64) {
    let count = |day| taps_of_line("GVB:10", UtcMillis(midnight(first - day)), taps_a_day);
    let feed = feed_of_gvb("gvb.lines", pb::TapGrain::Line, pb::TapInterval::Day);
    tell_taps(channel, feed, (0..DAYS).map(count)).await;
    report(channel, first, reports).await;
}

/// So many reports of line 10, one after the other on the days.
async fn report(channel: &Channel, first: i64, reports: i64) {
    let report = |number: i64| pb::Incident {
        operator: "GVB".into(),
        line: "10".into(),
        occurred_at: at(UtcMillis(midnight(first - number % DAYS) + 9 * HOUR_MS)),
        precision: pb::TimePrecision::Hour.into(),
        ..founding_story()
    };
    report_all(channel, (0..reports).map(report)).await;
}

/// A service whose record began before either period.
async fn begun_before_both() -> Service {
    let dir = TempDir::new().expect("a folder");
    Service::start_later(dir, 3 * DAYS).await
}

async fn compare(
    channel: &Channel,
    request: pb::ComparePeriodsRequest,
) -> Result<pb::ComparePeriodsResponse, Status> {
    let mut client = StatisticsServiceClient::new(channel.clone());
    once_open(async || client.compare_periods(request.clone()).await).await
}

fn line_ten() -> pb::ComparePeriodsRequest {
    pb::ComparePeriodsRequest {
        filter: Some(pb::Filter {
            lines: vec!["GVB:10".into()],
            ..pb::Filter::default()
        }),
        window: window(DAYS),
        with_window: window(2 * DAYS),
        ..pb::ComparePeriodsRequest::default()
    }
}

#[tokio::test]
async fn forty_reports_after_fifty_two_show_no_difference_and_a_hundred_do() {
    let service = begun_before_both().await;
    let channel = service.connect().await;
    tell(&channel, DAYS, 25_000, 40).await;
    tell(&channel, 2 * DAYS, 25_000, 52).await;
    let answer = compare(&channel, line_ten()).await.expect("an answer");
    assert_eq!(answer.verdict(), pb::ComparisonVerdict::NoDifference);
    assert_eq!(answer.over(), pb::ComparedOver::Taps);
    let (period, with) = (
        answer.period.expect("one"),
        answer.with_period.expect("one"),
    );
    assert_eq!((period.count, with.count), (40, 52));
    assert_eq!((period.compared, period.exposure), (40, 300_000));
    assert_eq!((with.compared, with.exposure), (52, 300_000));
    let rate = period.rate.expect("a rate");
    assert_eq!((rate.matched, rate.taps), (40, 300_000));
    let shown = |value: Option<f64>| format!("{:.1}", value.expect("there is a rate"));
    let all = [rate.value, rate.low, rate.high].map(shown);
    assert_eq!(all, ["13.3", "9.5", "18.2"]);
    assert_eq!(period.feeds.len(), 1);
    let ratio = answer.ratio.expect("a ratio");
    // With scipy, as in `stats::comparison`.
    assert!(
        (ratio.low - 0.496_302_742_614_960_7).abs() < 1e-12,
        "{ratio:?}"
    );
    let high = ratio.high.expect("an end");
    assert!((high - 1.184_338_522_373_712_4).abs() < 1e-12, "{ratio:?}");
    assert!(
        (ratio.p_value - 0.251_322_103_474_854_34).abs() < 1e-12,
        "{ratio:?}"
    );
    assert!((ratio.dispersion - 1.0).abs() < 1e-12, "{ratio:?}");
    let place = format!("mistap, comparison as of position {}: ", answer.position);
    assert!(answer.citation.starts_with(&place), "{}", answer.citation);
    assert!(
        answer.citation.contains(", against "),
        "{}",
        answer.citation
    );
    // More come in.
    tell(&channel, DAYS, 25_000, 60).await;
    let answer = compare(&channel, line_ten()).await.expect("an answer");
    assert_eq!(answer.verdict(), pb::ComparisonVerdict::Higher);
    let turned = pb::ComparePeriodsRequest {
        window: line_ten().with_window,
        with_window: line_ten().window,
        ..line_ten()
    };
    let answer = compare(&channel, turned).await.expect("an answer");
    assert_eq!(answer.verdict(), pb::ComparisonVerdict::Lower);
    // At another level, the same counts show nothing.
    let sure = pb::ComparePeriodsRequest {
        rates: Some(pb::RatesRequest {
            level: 0.999_999,
            ..pb::RatesRequest::default()
        }),
        ..line_ten()
    };
    let answer = compare(&channel, sure).await.expect("an answer");
    assert_eq!(answer.verdict(), pb::ComparisonVerdict::NoDifference);
    service.stop().await;
}

#[tokio::test]
async fn comparison_as_of_a_position_stays_what_it_was() {
    let service = begun_before_both().await;
    let channel = service.connect().await;
    tell(&channel, DAYS, 25_000, 40).await;
    tell(&channel, 2 * DAYS, 25_000, 52).await;
    let before = compare(&channel, line_ten()).await.expect("an answer");
    assert_eq!(before.verdict(), pb::ComparisonVerdict::NoDifference);
    // Both periods are told again, and more of one.
    tell(&channel, DAYS, 30_000, 60).await;
    tell(&channel, 2 * DAYS, 20_000, 1).await;
    let now = compare(&channel, line_ten()).await.expect("an answer");
    assert_ne!(now.ratio, before.ratio);
    let then = pb::ComparePeriodsRequest {
        as_of_position: Some(before.position),
        ..line_ten()
    };
    let check = async |channel: &Channel| {
        let found = compare(channel, then.clone()).await.expect("an answer");
        assert_eq!(found, before);
        let asked = pb::QueryFiguresWithProgressRequest {
            comparison: Some(then.clone()),
            ..pb::QueryFiguresWithProgressRequest::default()
        };
        let (told, found) = with_progress(channel, asked).await.expect("an answer");
        assert_eq!(found, Step::Comparison(before.clone()));
        assert!(told.iter().any(|progress| 0 < progress.entries_to_read));
    };
    check(&channel).await;
    let again = Service::start_in(service.stop().await).await;
    check(&again.connect().await).await;
    again.stop().await;
}

#[tokio::test]
async fn nothing_is_said_over_hours_of_before_the_record_began() {
    let service = Service::start().await;
    let channel = service.connect().await;
    // All of them late: nobody knows how many others there were.
    report(&channel, DAYS, 40).await;
    report(&channel, 2 * DAYS, 1).await;
    let answer = compare(&channel, line_ten()).await.expect("an answer");
    assert_eq!(answer.over(), pb::ComparedOver::Time);
    assert_eq!(answer.verdict(), pb::ComparisonVerdict::NoHours);
    assert_eq!(answer.ratio, None);
    let periods = [answer.period, answer.with_period].map(|one| one.expect("one"));
    assert_eq!(periods.each_ref().map(|one| one.count), [40, 1]);
    // None of them, and over no hour.
    let compared = |one: &pb::ComparedPeriod| (one.compared, one.exposure);
    assert_eq!(periods.each_ref().map(compared), [(0, 0), (0, 0)]);
    service.stop().await;
}

#[tokio::test]
async fn periods_that_overlap_and_feeds_that_nobody_knows_are_refused() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let check = async |request, field: &str| {
        let refused = compare(&channel, request).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        let told = tonic_types::StatusExt::get_details_bad_request(&refused).expect("fields");
        assert_eq!(told.field_violations[0].field, field);
    };
    let overlapping = pb::ComparePeriodsRequest {
        with_window: line_ten().window,
        ..line_ten()
    };
    check(overlapping, "with_window").await;
    let unknown = pb::ComparePeriodsRequest {
        rates: Some(pb::RatesRequest {
            feeds: vec!["other".into()],
            ..pb::RatesRequest::default()
        }),
        ..line_ten()
    };
    check(unknown, "rates.feeds[0]").await;
    service.stop().await;
}
