//! Places in the journal: who is not a steward learns none from answers, tokens or refusals,
//! and can go on from what it is given all the same.

use mistap::auth::table::Disclosure;
use mistap::domain::UtcMillis;
use mistap::domain::time::HOUR_MS;

use super::*;
use crate::support::{START, at, feed_of_gvb, once_open};

type Events = tonic::Streaming<pb::WatchIncidentsResponse>;

/// From here on numbers stand for places.
const FIRST_CITATION: u64 = 1 << 60;

fn of_gvb() -> pb::Filter {
    pb::Filter {
        operators: vec!["GVB".into()],
        ..pb::Filter::default()
    }
}

async fn report(guarded: &Guarded, operator: &str) -> u64 {
    let mut client = Reporting::new(guarded.of(Role::Steward).await);
    let request = pb::ReportIncidentRequest {
        incident: Some(pb::Incident {
            operator: operator.into(),
            line: String::new(),
            ..founding_story()
        }),
        ..pb::ReportIncidentRequest::default()
    };
    let answer = client.report_incident(request).await.expect("recorded");
    answer.into_inner().accepted.expect("it is").position
}

/// Figures of GVB, as of what an earlier answer said.
async fn figures(
    guarded: &Guarded,
    role: Role,
    as_of: Option<u64>,
) -> Result<pb::QueryFiguresResponse, Status> {
    let mut client = Statistics::new(guarded.of(role).await);
    let request = pb::QueryFiguresRequest {
        as_of_position: as_of,
        ..query(of_gvb(), &[])
    };
    once_open(async || client.query_figures(request.clone()).await).await
}

#[test]
fn every_place_in_an_answer_has_its_row() {
    let pool = pool();
    let mut open: Vec<_> = pool
        .services()
        .flat_map(|service| {
            let methods: Vec<_> = service.methods().collect();
            methods.into_iter().map(|method| method.output())
        })
        .collect();
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    while let Some(answer) = open.pop() {
        if !seen.insert(answer.full_name().to_owned()) {
            continue;
        }
        for field in answer.fields() {
            if field.name() == "position" || field.name().ends_with("_position") {
                found.insert((answer.name().to_owned(), field.name().to_owned()));
            }
            open.extend(field.kind().as_message().cloned());
        }
    }
    let rows = table::POSITION_FIELDS.iter();
    let rows: BTreeSet<_> = rows
        .map(|(message, field, _)| ((*message).to_owned(), (*field).to_owned()))
        .collect();
    assert_eq!(found, rows);
    // What `FIELDS` says of a place is the same.
    for (message, field, place) in table::POSITION_FIELDS {
        let mut fields = table::FIELDS.iter();
        let row = fields.find(|(known, name, _)| (known, name) == (message, field));
        let is_told = row.is_none_or(|(.., roles)| roles.has(Role::Operator));
        assert!(
            row.is_none() || !is_told && *place == Disclosure::Nothing,
            "{message}.{field}"
        );
    }
}

#[tokio::test]
async fn operator_cites_a_figure_without_learning_its_place() {
    let guarded = Guarded::start().await;
    let place = report(&guarded, "GVB").await;
    let told = figures(&guarded, Role::Operator, None).await.expect("told");
    assert_eq!(told.total, 1);
    assert!(FIRST_CITATION <= told.position, "{}", told.position);
    assert!(
        told.citation
            .contains(&format!("position {}:", told.position)),
        "{}",
        told.citation
    );
    // Nothing happened, and that does not show.
    let again = figures(&guarded, Role::Operator, None).await.expect("told");
    assert_ne!(again.position, told.position);
    report(&guarded, "GVB").await;
    for role in [Role::Operator, Role::Steward] {
        for cited in [&told, &again] {
            let then = figures(&guarded, role, Some(cited.position)).await;
            assert_eq!(then.expect("as it was").total, 1, "{role}");
        }
        let now = figures(&guarded, role, None).await.expect("told");
        assert_eq!(now.total, 2, "{role}");
    }
    let steward = figures(&guarded, Role::Steward, None).await.expect("told");
    assert!((place..FIRST_CITATION).contains(&steward.position));
    // An operator cannot ask by place, nor make a number up.
    for number in [0, place, steward.position, told.position ^ 1, u64::MAX] {
        let refused = figures(&guarded, Role::Operator, Some(number)).await;
        assert_eq!(fields(&refused), ["as_of_position"], "{number}");
    }
}

/// A ranking, a comparison and times to reply of GVB, as of what an earlier answer said.
async fn others(guarded: &Guarded, role: Role, as_of: Option<u64>) -> Vec<Result<u64, Status>> {
    let mut statistics = Statistics::new(guarded.of(role).await);
    let window = |from: i64, to: i64| {
        Some(pb::Window {
            start: at(UtcMillis(START.0 + from * HOUR_MS)),
            end: at(UtcMillis(START.0 + to * HOUR_MS)),
        })
    };
    let rank = pb::RankScopesRequest {
        filter: Some(of_gvb()),
        by: pb::Dimension::Line as i32,
        window: window(-24, 1),
        as_of_position: as_of,
        ..pb::RankScopesRequest::default()
    };
    let compare = pb::ComparePeriodsRequest {
        filter: Some(of_gvb()),
        window: window(-24, 1),
        with_window: window(-48, -24),
        as_of_position: as_of,
        ..pb::ComparePeriodsRequest::default()
    };
    let times = pb::GetReplyTimesRequest {
        operators: vec!["GVB".into()],
        window: window(-24, 1),
        as_of_position: as_of,
    };
    let ranking = statistics.rank_scopes(rank).await;
    let comparison = statistics.compare_periods(compare).await;
    let mut operations = Operations::new(guarded.of(role).await);
    let times = operations.get_reply_times(times).await;
    vec![
        ranking.map(|answer| answer.into_inner().position),
        comparison.map(|answer| answer.into_inner().position),
        times.map(|answer| answer.into_inner().position),
    ]
}

#[tokio::test]
async fn rankings_comparisons_and_times_are_asked_again_by_what_cites_them() {
    let guarded = Guarded::start().await;
    let place = report(&guarded, "GVB").await;
    figures(&guarded, Role::Operator, None).await.expect("told");
    let cited = others(&guarded, Role::Operator, None).await;
    report(&guarded, "GVB").await;
    for cited in cited {
        let cited = cited.expect("told");
        assert!(FIRST_CITATION <= cited, "{cited}");
        for role in [Role::Operator, Role::Steward] {
            for again in others(&guarded, role, Some(cited)).await {
                let again = again.expect("as it was");
                assert_eq!(again < FIRST_CITATION, role == Role::Steward, "{again}");
                assert!(role == Role::Operator || again <= place, "{again}");
            }
        }
    }
    for refused in others(&guarded, Role::Operator, Some(place)).await {
        assert_eq!(fields(&refused), ["as_of_position"]);
    }
}

#[tokio::test]
async fn numbers_that_stand_for_places_outlive_a_restart() {
    let mut guarded = Guarded::start().await;
    report(&guarded, "GVB").await;
    let told = figures(&guarded, Role::Operator, None).await.expect("told");
    let mut watching = watch(&guarded, None).await.expect("open");
    let token = watching.message().await.expect("open").expect("a message");
    drop(watching);
    let folder = guarded.service.stop().await;
    guarded.service = Service::start_in(folder).await;
    report(&guarded, "GVB").await;
    let then = figures(&guarded, Role::Operator, Some(told.position)).await;
    assert_eq!(then.expect("as it was").total, 1);
    let mut resumed = watch(&guarded, Some(token.resume_token))
        .await
        .expect("open");
    loop {
        let message = resumed.message().await.expect("open").expect("a message");
        if let Some(pb::watch_incidents_response::Update::Events(told)) = message.update {
            assert_eq!(told.events.len(), 1);
            break;
        }
    }
}

async fn watch(guarded: &Guarded, token: Option<Vec<u8>>) -> Result<Events, Status> {
    let mut client = Live::new(guarded.of(Role::Operator).await);
    let start = token.map(pb::watch_incidents_request::Start::ResumeToken);
    let request = pb::WatchIncidentsRequest {
        start,
        ..watch_gvb()
    };
    Ok(client.watch_incidents(request).await?.into_inner())
}

async fn watch_rates(
    guarded: &Guarded,
    role: Role,
    resume_token: Vec<u8>,
) -> Result<pb::WatchRatesResponse, Status> {
    let mut client = Live::new(guarded.of(role).await);
    let request = pb::WatchRatesRequest {
        filter: Some(of_gvb()),
        resume_token,
        ..pb::WatchRatesRequest::default()
    };
    let mut stream = client.watch_rates(request).await?.into_inner();
    Ok(stream.message().await?.expect("a message"))
}

async fn list(guarded: &Guarded, page_token: Vec<u8>) -> Result<pb::ListIncidentsResponse, Status> {
    let mut client = Operations::new(guarded.of(Role::Operator).await);
    let request = pb::ListIncidentsRequest {
        operators: vec!["GVB".into()],
        page_size: 1,
        page_token,
        ..pb::ListIncidentsRequest::default()
    };
    once_open(async || client.list_incidents(request.clone()).await).await
}

/// A token of each kind, as an operator gets it now.
async fn tokens(guarded: &Guarded) -> [Vec<u8>; 3] {
    let mut watching = watch(guarded, None).await.expect("open");
    let incidents = watching.message().await.expect("open").expect("a message");
    let rates = watch_rates(guarded, Role::Operator, Vec::new())
        .await
        .expect("told");
    let page = list(guarded, Vec::new()).await.expect("told");
    assert_eq!(
        (incidents.position, rates.position, page.as_of_position),
        (0, 0, 0)
    );
    assert!(!page.next_page_token.is_empty());
    [
        incidents.resume_token,
        rates.resume_token,
        page.next_page_token,
    ]
}

/// Tokens of the same place, a little later: watchers who ask at once are told the same.
async fn other_tokens(guarded: &Guarded, first: &[Vec<u8>; 3]) -> [Vec<u8>; 3] {
    let others = async {
        loop {
            let second = tokens(guarded).await;
            if second[0] != first[0] {
                return second;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, others).await;
    in_time.expect("tokens change")
}

/// Offers a token of a kind.
async fn offer(guarded: &Guarded, kind: usize, token: Vec<u8>) -> Result<(), Status> {
    match kind {
        0 => watch(guarded, Some(token)).await.map(drop),
        1 => watch_rates(guarded, Role::Operator, token).await.map(drop),
        _ => list(guarded, token).await.map(drop),
    }
}

#[tokio::test]
async fn token_tells_an_operator_nothing_and_is_refused_if_a_bit_is_not_as_it_was() {
    // What all tokens of a kind and a journal begin with.
    const SHOWN: [usize; 3] = [9, 9, 0];
    const RATES: usize = 1;
    let guarded = Guarded::start().await;
    for _ in 0..3 {
        report(&guarded, "GVB").await;
    }
    let first = tokens(&guarded).await;
    let (first, second) = (&first, &other_tokens(&guarded, &first).await);
    for (kind, ((one, other), shown)) in first.iter().zip(second).zip(SHOWN).enumerate() {
        assert_eq!(one[..shown], other[..shown]);
        // Of counts that are the same the token is, too. Else about one byte of 256 is the same
        // by chance.
        let hidden = one[shown..].iter().zip(&other[shown..]);
        let same = hidden.filter(|(a, b)| a == b).count();
        assert!(
            kind == RATES || same < 8,
            "{same} bytes of tokens of one place are the same"
        );
        offer(&guarded, kind, one.clone())
            .await
            .expect("it is ours");
        for at in 0..one.len() {
            let mut forged = one.clone();
            forged[at] ^= 0x10;
            let refused = offer(&guarded, kind, forged).await.expect_err("forged");
            // A token of what seems to be another journal is told as that.
            let expected = match at {
                1..9 if kind < 2 => Code::OutOfRange,
                _ => Code::InvalidArgument,
            };
            assert_eq!(refused.code(), expected, "byte {at} of kind {kind}");
        }
        for wrong in 0..3 {
            if wrong != kind {
                let refused = offer(&guarded, wrong, one.clone()).await;
                assert_eq!(
                    refused.expect_err("another's").code(),
                    Code::InvalidArgument
                );
            }
        }
    }
}

/// Somebody else who watches the same, as long as this is open.
async fn watched_meanwhile(guarded: &Guarded) -> tonic::Streaming<pb::WatchRatesResponse> {
    let mut client = Live::new(guarded.of(Role::Steward).await);
    let request = pb::WatchRatesRequest {
        filter: Some(of_gvb()),
        ..pb::WatchRatesRequest::default()
    };
    let open = client.watch_rates(request).await;
    open.expect("open").into_inner()
}

#[tokio::test]
async fn token_of_counts_changes_with_the_counts_and_not_with_what_else_is_reported() {
    let guarded = Guarded::start().await;
    let place = report(&guarded, "GVB").await;
    let _open = watched_meanwhile(&guarded).await;
    let token_at = async |place: u64| {
        until_so("counts follow", async || {
            let told = watch_rates(&guarded, Role::Steward, Vec::new()).await;
            place <= told.expect("told").position
        })
        .await;
        let told = watch_rates(&guarded, Role::Operator, Vec::new()).await;
        told.expect("told").resume_token
    };
    let before = token_at(place).await;
    let place = report(&guarded, "RET").await;
    assert_eq!(token_at(place).await, before);
    let place = report(&guarded, "GVB").await;
    let after = token_at(place).await;
    assert_ne!(after, before);
    let resumed = watch_rates(&guarded, Role::Operator, after).await;
    let update = resumed.expect("told").update;
    use pb::watch_rates_response::Update;
    assert!(matches!(update, Some(Update::Resumed(_))), "{update:?}");
}

/// The number in a watch's citation.
fn cited(message: &pb::WatchRatesResponse) -> u64 {
    let (_, from) = message
        .citation
        .split_once("mistap, live figures as of position ")
        .expect("a first message is cited");
    let (place, _) = from.split_once(':').expect("a place");
    place.parse().expect("a number")
}

#[tokio::test]
async fn operator_cites_what_it_watches_and_learns_neither_its_place_nor_what_else_is_reported() {
    let guarded = Guarded::start().await;
    let place = report(&guarded, "GVB").await;
    let _open = watched_meanwhile(&guarded).await;
    let told_at = async |place: u64| {
        until_so("counts follow", async || {
            let told = watch_rates(&guarded, Role::Steward, Vec::new()).await;
            let told = told.expect("told");
            assert_eq!(cited(&told), told.position);
            place <= told.position
        })
        .await;
        let told = watch_rates(&guarded, Role::Operator, Vec::new()).await;
        told.expect("told")
    };
    let before = told_at(place).await;
    assert!(FIRST_CITATION <= cited(&before), "{}", before.citation);
    let place = report(&guarded, "RET").await;
    assert_eq!(told_at(place).await.citation, before.citation);
    let place = report(&guarded, "GVB").await;
    let after = told_at(place).await;
    assert_ne!(cited(&after), cited(&before));
    for (told, total) in [(before, 1), (after, 2)] {
        for role in [Role::Operator, Role::Steward] {
            let then = figures(&guarded, role, Some(cited(&told))).await;
            assert_eq!(then.expect("as it was").total, total, "{role}");
        }
    }
}

#[tokio::test]
async fn tokens_of_another_record_are_refused_as_such() {
    let (one, other) = (Guarded::start().await, Guarded::start().await);
    for guarded in [&one, &other] {
        report(guarded, "GVB").await;
        report(guarded, "GVB").await;
    }
    for (kind, token) in tokens(&one).await.into_iter().enumerate() {
        let refused = offer(&other, kind, token).await;
        let expected = match kind {
            0 | 1 => "TOKEN_OF_OTHER_JOURNAL",
            _ => "INVALID",
        };
        assert_eq!(reason(&refused), expected);
    }
}

#[tokio::test]
async fn places_are_told_to_stewards_alone() {
    let guarded = Guarded::start().await;
    report(&guarded, "GVB").await;
    let outage = pb::DeclareOutageRequest {
        outage: Some(pb::Outage {
            operator_code: "GVB".into(),
            first_day: "2026-11-14".into(),
            last_day: String::new(),
        }),
    };
    let mut steward = Operations::new(guarded.of(Role::Steward).await);
    steward.declare_outage(outage).await.expect("declared");
    for role in [Role::Device, Role::Operator, Role::Steward] {
        let is_steward = role == Role::Steward;
        let mut client = Operations::new(guarded.of(role).await);
        let window = that_day(&[]).question.and_then(|question| question.window);
        let request = pb::RecordTapCountsRequest {
            feed: Some(feed_of_gvb(
                "taps",
                pb::TapGrain::Operator,
                pb::TapInterval::Hour,
            )),
            counts: vec![pb::TapCount {
                start: window.and_then(|window| window.start),
                taps: 1_000,
                ..pb::TapCount::default()
            }],
        };
        let answer = client.record_tap_counts(request).await.expect("recorded");
        let Some(pb::tap_count_result::Outcome::Recorded(recorded)) =
            answer.into_inner().results[0].outcome.clone()
        else {
            panic!("refused");
        };
        assert_eq!(0 < recorded.position, is_steward, "taps as {role}");
        if role == Role::Device {
            continue;
        }
        let asked = pb::ListOutagesRequest {
            operators: vec!["GVB".into()],
        };
        let outages = client.list_outages(asked).await.expect("told").into_inner();
        assert_eq!(
            0 < outages.changes[0].position,
            is_steward,
            "outages as {role}"
        );
        let rates = watch_rates(&guarded, role, Vec::new()).await.expect("told");
        assert_eq!(0 < rates.position, is_steward, "rates as {role}");
        let mut statistics = Statistics::new(guarded.of(role).await);
        let request = pb::RankScopesRequest {
            filter: Some(of_gvb()),
            by: pb::Dimension::Line as i32,
            window,
            ..pb::RankScopesRequest::default()
        };
        let ranking = statistics.rank_scopes(request).await.expect("told");
        let ranking = ranking.into_inner();
        assert_eq!(
            ranking.position < FIRST_CITATION,
            is_steward,
            "ranking as {role}"
        );
        let cited = format!("position {}:", ranking.position);
        assert!(ranking.citation.contains(&cited), "{}", ranking.citation);
    }
}
