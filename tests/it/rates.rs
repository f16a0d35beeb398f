//! Rates through the API: reports against taps, interval by interval, now and as of an earlier
//! position.

use mistap::api::pb::v1 as pb;
use mistap::domain::UtcMillis;
use mistap::domain::time::{DAY_MS, HOUR_MS};
use pb::operations_service_client::OperationsServiceClient;
use pb::query_figures_with_progress_response::Step;
use pb::statistics_service_client::StatisticsServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{
    self, START, Service, at, feed_of_gvb, founding_story, once_open, report_all, taps_of_line,
    with_progress,
};

/// Midnight of the day before `START`, in Amsterdam.
const MIDNIGHT: UtcMillis = UtcMillis(START.0 - 15 * HOUR_MS - DAY_MS);
const HOURS: u64 = 24;

/// So many taps of line 10 in each hour of the day, of all kinds.
async fn tell_taps(channel: &Channel, taps: u64) {
    let start = |hour: i64| UtcMillis(MIDNIGHT.0 + hour * HOUR_MS);
    let count = |hour| taps_of_line("GVB:10", start(hour), taps);
    let feed = feed_of_gvb("gvb.lines", pb::TapGrain::Line, pb::TapInterval::Hour);
    support::tell_taps(channel, feed, (0..24).map(count)).await;
}

async fn report(channel: &Channel, count: usize, change: impl Fn(&mut pb::Incident)) {
    let one = |_| {
        let mut incident = pb::Incident {
            operator: "GVB".into(),
            line: "10".into(),
            occurred_at: at(UtcMillis(MIDNIGHT.0 + 9 * HOUR_MS)),
            precision: pb::TimePrecision::Hour.into(),
            tap_kind: pb::TapKind::CheckIn.into(),
            ..founding_story()
        };
        change(&mut incident);
        incident
    };
    report_all(channel, (0..count).map(one)).await;
}

fn request(by: &[pb::Dimension], as_of_position: Option<u64>) -> pb::QueryFiguresRequest {
    pb::QueryFiguresRequest {
        question: Some(pb::Question {
            filter: None,
            by: by.iter().map(|dimension| *dimension as i32).collect(),
            window: Some(pb::Window {
                start: at(MIDNIGHT),
                end: at(UtcMillis(MIDNIGHT.0 + DAY_MS)),
            }),
        }),
        rates: Some(pb::RatesRequest::default()),
        as_of_position,
        ..pb::QueryFiguresRequest::default()
    }
}

async fn ask(
    channel: &Channel,
    by: &[pb::Dimension],
    as_of_position: Option<u64>,
) -> pb::QueryFiguresResponse {
    let request = request(by, as_of_position);
    let mut client = StatisticsServiceClient::new(channel.clone());
    once_open(async || client.query_figures(request.clone()).await)
        .await
        .expect("an answer")
}

#[tokio::test]
async fn reports_are_set_against_the_taps_of_their_line_and_hour() {
    let service = Service::start().await;
    let channel = service.connect().await;
    tell_taps(&channel, 1_000).await;
    report(&channel, 12, |_| ()).await;
    // Known only to the day, which is too coarse for taps by the hour; and no tap at all.
    report(&channel, 2, |incident| {
        incident.precision = pb::TimePrecision::Day.into();
    })
    .await;
    report(&channel, 3, |incident| {
        incident.tap_kind = pb::TapKind::Inspection.into();
    })
    .await;
    let answer = ask(&channel, &[pb::Dimension::Line], None).await;
    assert_eq!(answer.total, 17);
    assert_eq!(answer.figures[0].keys[0].value, "GVB:10");
    assert!(
        answer
            .effort
            .as_ref()
            .is_some_and(|effort| effort.from_tallies)
    );
    for rate in [answer.figures[0].rate.as_ref(), answer.total_rate.as_ref()] {
        let rate = rate.expect("asked for");
        assert_eq!((rate.reports, rate.matched), (14, 12));
        assert_eq!(rate.taps, HOURS * 1_000);
        assert_eq!(rate.unit(), pb::RateUnit::ReportsPer100000Taps);
        let value = rate.value.expect("there is one");
        assert!((value - 50.0).abs() < 1e-9, "{value}");
        // Garwood of 12 events, over 0.24 times 100,000 taps.
        let (low, high) = (rate.low.expect("an end"), rate.high.expect("an end"));
        assert!((low - 6.200_575 / 0.24).abs() < 1e-4, "{low}");
        assert!((high - 20.961_59 / 0.24).abs() < 1e-4, "{high}");
        assert_eq!(rate.method, "garwood");
    }
    let by_hour = ask(&channel, &[pb::Dimension::HourOfDay], None).await;
    assert_eq!(by_hour.figures.len(), 1);
    let rate = by_hour.figures[0].rate.as_ref().expect("asked for");
    assert_eq!((rate.matched, rate.taps), (12, 1_000));
    service.stop().await;
}

#[tokio::test]
async fn rates_as_of_a_position_stay_what_they_were() {
    let service = Service::start().await;
    let channel = service.connect().await;
    tell_taps(&channel, 1_000).await;
    report(&channel, 12, |_| ()).await;
    let before = ask(&channel, &[pb::Dimension::Line], None).await;
    // Told late, and told again.
    report(&channel, 5, |_| ()).await;
    tell_taps(&channel, 2_000).await;
    let now = ask(&channel, &[pb::Dimension::Line], None).await;
    let rate = now.figures[0].rate.as_ref().expect("asked for");
    assert_eq!((rate.matched, rate.taps), (17, HOURS * 2_000));
    let check = async |channel: &Channel| {
        let position = before.position;
        let then = ask(channel, &[pb::Dimension::Line], Some(position)).await;
        assert_eq!(then.position, position);
        assert_eq!(then.figures, before.figures);
        assert_eq!(then.total_rate, before.total_rate);
        assert_eq!(then.feeds, before.feeds);
    };
    check(&channel).await;
    let again = Service::start_in(service.stop().await).await;
    check(&again.connect().await).await;
    again.stop().await;
}

/// What is told of how far figures are, and they.
async fn slowly(
    channel: &Channel,
    query: Option<pb::QueryFiguresRequest>,
) -> Result<(Vec<pb::QueryProgress>, pb::QueryFiguresResponse), tonic::Status> {
    let request = pb::QueryFiguresWithProgressRequest {
        query,
        ..pb::QueryFiguresWithProgressRequest::default()
    };
    match with_progress(channel, request).await? {
        (told, Step::Answer(answer)) => Ok((told, answer)),
        (_, other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answer_that_reads_the_record_tells_how_far_it_is_and_is_the_same() {
    let service = Service::start().await;
    let channel = service.connect().await;
    tell_taps(&channel, 1_000).await;
    report(&channel, 12, |_| ()).await;
    let position = ask(&channel, &[], None).await.position;
    tell_taps(&channel, 2_000).await;
    let by = [pb::Dimension::Line];
    let known = ask(&channel, &by, Some(position)).await;
    assert_eq!(
        known.figures[0].rate.as_ref().map(|rate| rate.taps),
        Some(24_000)
    );
    let asked = request(&by, Some(position));
    let (told, found) = slowly(&channel, Some(asked)).await.expect("an answer");
    assert_eq!(found.figures, known.figures);
    assert_eq!(found.total_rate, known.total_rate);
    // The day was told again, so that the record is read.
    let first = told.first().expect("something is told");
    assert!(first.entries_read <= first.entries_to_read && 0 < first.entries_to_read);
    // As of now there is nothing to read.
    let (told, found) = slowly(&channel, Some(request(&by, None)))
        .await
        .expect("an answer");
    assert_eq!(told, []);
    assert_eq!(
        found.figures[0].rate.as_ref().map(|rate| rate.taps),
        Some(48_000)
    );
    service.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_told_before_any_progress() {
    let service = Service::start().await;
    let channel = service.connect().await;
    // Nothing is asked, or two things are.
    let both = pb::QueryFiguresWithProgressRequest {
        query: Some(request(&[], None)),
        ranking: Some(pb::RankScopesRequest::default()),
        ..pb::QueryFiguresWithProgressRequest::default()
    };
    for asked in [pb::QueryFiguresWithProgressRequest::default(), both] {
        let refused = with_progress(&channel, asked).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        let told = tonic_types::StatusExt::get_details_bad_request(&refused).expect("fields");
        assert_eq!(told.field_violations[0].field, "query");
    }
    let far = request(&[], Some(u64::MAX));
    let refused = slowly(&channel, Some(far)).await.expect_err("refused");
    assert!(
        [Code::OutOfRange, Code::Unavailable].contains(&refused.code()),
        "{refused}"
    );
    service.stop().await;
}

#[tokio::test]
async fn feeds_of_different_lines_are_added_up_and_named_ones_that_clash_are_refused() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut operations = OperationsServiceClient::new(channel.clone());
    let mut tell = async |name: &str, line: &str| {
        let count = |hour: i64| pb::TapCount {
            line_id: line.into(),
            start: at(UtcMillis(MIDNIGHT.0 + hour * HOUR_MS)),
            taps: 1_000,
            ..pb::TapCount::default()
        };
        let feed = feed_of_gvb(name, pb::TapGrain::Line, pb::TapInterval::Hour);
        let request = pb::RecordTapCountsRequest {
            feed: Some(feed),
            counts: (0..24).map(count).collect(),
        };
        operations
            .record_tap_counts(request)
            .await
            .expect("recorded");
    };
    tell("gvb.tram", "GVB:10").await;
    tell("gvb.bus", "GVB:22").await;
    tell("gvb.night", "GVB:22").await;
    report(&channel, 12, |_| ()).await;
    report(&channel, 6, |incident| {
        incident.mode = pb::Mode::Bus.into();
        incident.line = "22".into();
    })
    .await;
    let named = |names: &[&str]| pb::QueryFiguresRequest {
        rates: Some(pb::RatesRequest {
            feeds: names.iter().map(|name| (*name).to_owned()).collect(),
            ..pb::RatesRequest::default()
        }),
        ..request(&[pb::Dimension::Line], None)
    };
    let mut client = StatisticsServiceClient::new(channel.clone());
    for names in [&[][..], &["gvb.tram", "gvb.bus"]] {
        let asked = named(names);
        let answer = once_open(async || client.query_figures(asked.clone()).await).await;
        let answer = answer.expect("an answer");
        let rates = answer.figures.iter().map(|figure| figure.rate.as_ref());
        let rates = rates.map(|rate| rate.and_then(|rate| rate.value));
        assert_eq!(rates.collect::<Vec<_>>(), [Some(50.0), Some(25.0)]);
        let total = answer.total_rate.expect("asked for");
        assert_eq!((total.matched, total.taps), (18, 2 * HOURS * 1_000));
        assert_eq!(answer.feeds.len(), 2);
        assert!(answer.effort.is_some_and(|effort| effort.from_tallies));
    }
    let refused = client
        .query_figures(named(&["gvb.night", "gvb.tram", "gvb.bus"]))
        .await
        .expect_err("two of them tell line 22");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let told = tonic_types::StatusExt::get_details_bad_request(&refused).expect("fields");
    let told = &told.field_violations[0];
    assert_eq!(told.field, "rates.feeds[2]");
    assert!(told.description.contains("rates.feeds[0]"), "{told:?}");
    service.stop().await;
}

#[tokio::test]
async fn rows_by_hour_need_taps_only_of_days_on_which_their_hour_is_asked_about_and_exists() {
    // From 25 to 31 March 2026. On the 29th, clocks go from 02 to 03.
    const FIRST: i64 = START.0 - 244 * DAY_MS + 9 * HOUR_MS;
    const HOURS_OF_WEEK: i64 = 7 * 24 - 1;
    let service = Service::start().await;
    let channel = service.connect().await;
    let count = |hour: i64| pb::TapCount {
        line_id: "GVB:10".into(),
        start: at(UtcMillis(FIRST + hour * HOUR_MS)),
        taps: 1_000,
        ..pb::TapCount::default()
    };
    let request = pb::RecordTapCountsRequest {
        feed: Some(feed_of_gvb(
            "gvb.lines",
            pb::TapGrain::Line,
            pb::TapInterval::Hour,
        )),
        counts: (0..HOURS_OF_WEEK).map(count).collect(),
    };
    let mut operations = OperationsServiceClient::new(channel.clone());
    operations
        .record_tap_counts(request)
        .await
        .expect("recorded");
    // On the 26th at 01, 02 and 14.
    for hour in [25, 26, 38] {
        report(&channel, 1, |incident| {
            incident.occurred_at = at(UtcMillis(FIRST + hour * HOUR_MS));
        })
        .await;
    }
    let mut client = StatisticsServiceClient::new(channel.clone());
    let mut check = async |start: i64, end: i64, days: [u32; 3], all: u32| {
        let mut asked = request_by_hour(start, end);
        asked.rates = Some(pb::RatesRequest::default());
        let answer = once_open(async || client.query_figures(asked.clone()).await).await;
        let answer = answer.expect("an answer");
        let rates = answer
            .figures
            .iter()
            .filter_map(|figure| figure.rate.as_ref());
        let told = rates.map(|rate| (rate.days, rate.days_with_taps, rate.value.is_some()));
        let told: Vec<_> = told.collect();
        assert_eq!(told, days.map(|days| (days, days, true)));
        let total = answer.total_rate.expect("asked for");
        assert_eq!((total.days, total.value.is_some()), (all, true));
    };
    let hours = |hour: i64| FIRST + hour * HOUR_MS;
    check(hours(0), hours(HOURS_OF_WEEK), [7, 6, 7], 7).await;
    // From noon to noon over three days, and over one.
    check(hours(12), hours(12 + 3 * 24), [3, 3, 3], 4).await;
    check(hours(24), hours(24 + 36), [2, 2, 1], 2).await;
    service.stop().await;
}

fn request_by_hour(start: i64, end: i64) -> pb::QueryFiguresRequest {
    let asked = request(&[pb::Dimension::HourOfDay], None);
    pb::QueryFiguresRequest {
        question: asked.question.map(|question| pb::Question {
            window: Some(pb::Window {
                start: at(UtcMillis(start)),
                end: at(UtcMillis(end)),
            }),
            ..question
        }),
        ..asked
    }
}
