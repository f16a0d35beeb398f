//! Rankings through the API: a line that is reported far more often stands first, with what
//! would reverse it.

use mistap::api::pb::v1 as pb;
use mistap::domain::UtcMillis;
use mistap::domain::time::{DAY_MS, HOUR_MS};
use pb::query_figures_with_progress_response::Step;
use pb::statistics_service_client::StatisticsServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    self, START, Service, at, feed_of_gvb, founding_story, once_open, report_all, taps_of_line,
    with_progress,
};

/// Midnight of the day before `START`, in Amsterdam.
const MIDNIGHT: UtcMillis = UtcMillis(START.0 - 15 * HOUR_MS - DAY_MS);
const LINES: [&str; 24] = [
    "1", "2", "3", "4", "5", "7", "12", "13", "14", "15", "17", "18", "21", "22", "24", "27", "34",
    "35", "37", "40", "41", "48", "62", "65",
];
const BAD: &str = "13";

async fn tell_taps(channel: &Channel, taps: u64) {
    let count = |line| taps_of_line(&format!("GVB:{line}"), MIDNIGHT, taps);
    let feed = pb::TapFeed {
        tap_kinds: vec![pb::TapKind::CheckIn.into()],
        refusals: pb::Refusals::Unknown.into(),
        ..feed_of_gvb("gvb.lines", pb::TapGrain::Line, pb::TapInterval::Day)
    };
    support::tell_taps(channel, feed, LINES.map(count)).await;
}

async fn report(channel: &Channel) {
    let one = |line: &str| pb::Incident {
        line: line.to_owned(),
        occurred_at: at(UtcMillis(MIDNIGHT.0 + 9 * HOUR_MS)),
        mode: pb::Mode::Unspecified.into(),
        ..founding_story()
    };
    let count = |line: &str| if line == BAD { 80 } else { 10 };
    let incidents = LINES
        .iter()
        .flat_map(|line| (0..count(line)).map(move |_| one(line)));
    report_all(channel, incidents).await;
}

async fn rank(
    channel: &Channel,
    request: pb::RankScopesRequest,
) -> Result<pb::RankScopesResponse, Status> {
    let mut client = StatisticsServiceClient::new(channel.clone());
    once_open(async || client.rank_scopes(request.clone()).await).await
}

fn by_line() -> pb::RankScopesRequest {
    pb::RankScopesRequest {
        by: pb::Dimension::Line.into(),
        window: Some(pb::Window {
            start: at(MIDNIGHT),
            end: at(UtcMillis(MIDNIGHT.0 + DAY_MS)),
        }),
        ..pb::RankScopesRequest::default()
    }
}

#[tokio::test]
async fn line_that_is_reported_far_more_often_stands_first() {
    let service = Service::start().await;
    let channel = service.connect().await;
    tell_taps(&channel, 10_000).await;
    report(&channel).await;
    let answer = rank(&channel, by_line()).await.expect("a ranking");
    assert_eq!(answer.verdict(), pb::RankingVerdict::Shown);
    assert_eq!(answer.scopes_ranked, 24);
    assert_eq!(answer.scopes.len(), 24);
    let first = &answer.scopes[0];
    let scope = first.scope.as_ref().expect("always there");
    assert_eq!(scope.key.as_ref().map(|key| &*key.value), Some("GVB:13"));
    let rate = scope.rate.as_ref().expect("always there");
    assert_eq!((rate.matched, rate.taps), (80, 10_000));
    assert!(0.999 < first.probability_above);
    let ratio = first.reversing_ratio.expect("of self-reports");
    assert!((4.0..8.0).contains(&ratio), "{ratio}");
    assert!(first.expected_rank.is_none() && first.shrunken_rate.is_none());
    // 310 reports over 240,000 taps.
    let network = answer.network_rate.expect("there are rates");
    assert!((network - 310.0 / 2.4).abs() < 1e-9, "{network}");
    assert_eq!(answer.feeds[0].days, 1);

    let two = pb::RankScopesRequest {
        limit: 2,
        ..by_line()
    };
    let two = rank(&channel, two).await.expect("a ranking");
    assert_eq!((two.scopes.len(), two.scopes_ranked), (2, 24));
    let observed = pb::RankScopesRequest {
        filter: Some(pb::Filter {
            basis: pb::Basis::Observed.into(),
            ..pb::Filter::default()
        }),
        ..by_line()
    };
    let observed = rank(&channel, observed).await.expect("an answer");
    assert_eq!(observed.verdict(), pb::RankingVerdict::TooFewScopes);
    assert_eq!(observed.scopes_without_rate, 24, "taps of unknown refusals");
    service.stop().await;
}

#[tokio::test]
async fn ranking_as_of_a_position_stays_what_it_was() {
    let service = Service::start().await;
    let channel = service.connect().await;
    tell_taps(&channel, 10_000).await;
    report(&channel).await;
    let before = rank(&channel, by_line()).await.expect("a ranking");
    assert_eq!(before.verdict(), pb::RankingVerdict::Shown);
    // Told again, and late.
    tell_taps(&channel, 25_000).await;
    report(&channel).await;
    let now = rank(&channel, by_line()).await.expect("a ranking");
    assert_ne!(now.scopes, before.scopes);
    let then = pb::RankScopesRequest {
        as_of_position: Some(before.position),
        ..by_line()
    };
    let check = async |channel: &Channel| {
        let found = rank(channel, then.clone()).await.expect("a ranking");
        assert_eq!(found, before);
        let asked = pb::QueryFiguresWithProgressRequest {
            ranking: Some(then.clone()),
            ..pb::QueryFiguresWithProgressRequest::default()
        };
        let (told, found) = with_progress(channel, asked).await.expect("a ranking");
        assert_eq!(found, Step::Ranking(before.clone()));
        // The day was told again, so that the record is read.
        assert!(told.iter().any(|progress| 0 < progress.entries_to_read));
    };
    check(&channel).await;
    let again = Service::start_in(service.stop().await).await;
    let channel = again.connect().await;
    check(&channel).await;
    let far = pb::RankScopesRequest {
        as_of_position: Some(now.position + 1_000),
        ..by_line()
    };
    let refused = rank(&channel, far).await.expect_err("refused");
    assert_eq!(refused.code(), Code::OutOfRange);
    again.stop().await;
}

#[tokio::test]
async fn ranking_of_what_cannot_be_ranked_is_refused_with_its_field() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let check = async |request, field: &str| {
        let refused = rank(&channel, request).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        let details = refused.get_error_details();
        let told = &details.bad_request().expect("told").field_violations;
        assert_eq!(told[0].field, field);
    };
    let unknown = pb::RankScopesRequest {
        feeds: vec!["other".into()],
        ..by_line()
    };
    check(unknown, "feeds[0]").await;
    let by_mode = pb::RankScopesRequest {
        by: pb::Dimension::Mode.into(),
        ..by_line()
    };
    check(by_mode, "by").await;
    service.stop().await;
}
