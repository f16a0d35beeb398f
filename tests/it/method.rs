//! The method as the API tells it, the page in `docs/` and the constants are one.

use mistap::api::pb::v1 as pb;
use mistap::domain::limits;
use mistap::ledger::FOLD_VERSION;
use pb::operations_service_client::OperationsServiceClient;
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;

use crate::support::{START, Service, at, founding_story, that_day};

const PAGE: &str = include_str!("../../docs/method.md");

#[tokio::test]
async fn method_of_the_api_is_that_of_the_page_and_has_the_numbers_in_use() {
    let service = Service::start().await;
    let mut reporting = ReportingServiceClient::new(service.connect().await);
    let report = pb::ReportIncidentRequest {
        incident: Some(founding_story()),
        ..pb::ReportIncidentRequest::default()
    };
    reporting.report_incident(report).await.expect("recorded");
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let method = client.describe_method(pb::DescribeMethodRequest {}).await;
    let method = method.expect("always told").into_inner();
    assert_eq!(method.fold_version, FOLD_VERSION);
    // Since when it counts is no part of the page, which is of every instance.
    assert_eq!(method.counted_since, at(START));
    for section in &method.sections {
        let part = format!("## {}\n\n{}\n", section.title, section.text);
        assert!(PAGE.contains(&part), "{}", section.key);
    }
    for one in &method.breaks {
        assert!(PAGE.contains(&format!("- {}: {}\n", one.since, one.what)));
    }
    let value = |key: &str| {
        let mut parameters = method.parameters.iter();
        let found = parameters.find(|one| one.key == key);
        found.unwrap_or_else(|| panic!("{key} is told")).value
    };
    let check = |key, expected: f64| {
        assert!((value(key) - expected).abs() < f64::EPSILON, "{key}");
        assert!(PAGE.contains(&format!("| `{key}` | {expected} |")), "{key}");
    };
    check("reporters-min", 10.0);
    check(
        "edition-closes-on-day",
        limits::EDITION_CLOSES_ON_DAY.into(),
    );
    check("ranked-expected-min", limits::RANKED_EXPECTED_MIN);
    check("tap-days", limits::TAP_DAYS_DEFAULT.into());
    check("fold-version", FOLD_VERSION.into());
    for key in ["coalitions", "unfit", "volume", "not-counted"] {
        assert!(method.sections.iter().any(|one| one.key == key), "{key}");
    }
    service.stop().await;
}

#[tokio::test]
async fn answers_are_cited_with_their_position_and_method() {
    let service = Service::start().await;
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let answer = client.query_figures(that_day(&[])).await;
    let answer = answer.expect("an answer").into_inner();
    let as_of = format!("as of position {}:", answer.position);
    assert!(answer.citation.contains(&as_of), "{}", answer.citation);
    assert!(answer.citation.contains("2026-11-23 to 2026-11-23"));
    assert!(!answer.citation.contains('\n'));
    let window = that_day(&[]).question.and_then(|question| question.window);
    let staff = pb::GetStaffFiguresRequest {
        window,
        ..pb::GetStaffFiguresRequest::default()
    };
    let staff = client.get_staff_figures(staff).await;
    let ranking = pb::RankScopesRequest {
        by: pb::Dimension::Line.into(),
        window,
        ..pb::RankScopesRequest::default()
    };
    let ranking = client.rank_scopes(ranking).await;
    let mut operations = OperationsServiceClient::new(service.connect().await);
    let times = pb::GetReplyTimesRequest {
        window,
        ..pb::GetReplyTimesRequest::default()
    };
    let times = operations.get_reply_times(times).await;
    let (staff, ranking, times) = (
        staff.expect("an answer").into_inner(),
        ranking.expect("an answer").into_inner(),
        times.expect("an answer").into_inner(),
    );
    for (position, citation) in [
        (staff.position, staff.citation),
        (ranking.position, ranking.citation),
        (times.position, times.citation),
    ] {
        let as_of = format!("as of position {position}:");
        assert!(
            citation.contains(&as_of) && !citation.contains('\n'),
            "{citation}"
        );
        assert!(citation.contains("2026-11-23 to 2026-11-23"), "{citation}");
    }
    service.stop().await;
}
