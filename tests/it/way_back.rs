//! What a reporter can do later, with the secret: amend, withdraw, erase, follow, and see
//! everything that is kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::app::system_clock;
use mistap::domain::time::DAY_MS;
use mistap::ingest::repair;
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

use crate::child::{self, Server};
use crate::reports;
use crate::support::{SECRET, START, Service, at, founding_story, once_open, that_day};

type Client = ReportingServiceClient<Channel>;

async fn client(service: &Service) -> Client {
    ReportingServiceClient::new(service.connect().await)
}

async fn report(client: &mut Client, incident: &pb::Incident) -> pb::Accepted {
    let request = pb::ReportIncidentRequest {
        incident: Some(incident.clone()),
        ..pb::ReportIncidentRequest::default()
    };
    let answer = client.report_incident(request).await.expect("recorded");
    answer.into_inner().accepted.expect("always there")
}

async fn answer(client: &mut Client, id: &str, everything: bool) -> pb::GetIncidentResponse {
    let request = pb::GetIncidentRequest {
        incident_id: id.to_owned(),
        incident_secret: SECRET.to_vec(),
        everything,
    };
    let answer = client.get_incident(request).await.expect("it is there");
    answer.into_inner()
}

async fn get(client: &mut Client, id: &str) -> pb::RecordedIncident {
    let answer = answer(client, id, false).await;
    answer.recorded.expect("always there")
}

async fn everything(client: &mut Client, id: &str) -> serde_json::Value {
    let answer = answer(client, id, true).await;
    serde_json::from_str(&answer.everything_json).expect("it is JSON")
}

fn amendment(id: &str) -> pb::AmendIncidentRequest {
    pb::AmendIncidentRequest {
        incident_id: id.to_owned(),
        incident_secret: SECRET.to_vec(),
        ..pb::AmendIncidentRequest::default()
    }
}

/// Counts of that day by staff act, and the position.
async fn acts(service: &Service, as_of: Option<u64>) -> (Vec<(String, u64)>, u64) {
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let request = pb::QueryFiguresRequest {
        as_of_position: as_of,
        ..that_day(&[pb::Dimension::StaffAct])
    };
    let answer = once_open(async || client.query_figures(request.clone()).await).await;
    let answer = answer.expect("an answer");
    let act = |figure: &pb::Figure| figure.keys[0].value.clone();
    let figures = answer.figures.iter();
    let mut counts: Vec<_> = figures.map(|it| (act(it), it.count)).collect();
    counts.sort_unstable();
    (counts, answer.position)
}

/// The number of everything that `words` made and that is in any file of a folder.
fn words_in(folder: &Path) -> BTreeSet<usize> {
    const BEGIN: &[u8] = b"woorden van ";
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(words_in(&path));
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        for part in bytes.split(|byte| *byte == 0) {
            let starts = 0..part.len().saturating_sub(BEGIN.len() + 3);
            for start in starts.filter(|start| part[*start..].starts_with(BEGIN)) {
                let digits = &part[start + BEGIN.len()..][..4];
                let number = str::from_utf8(digits).expect("digits").parse();
                found.insert(number.expect("a number"));
            }
        }
    }
    found
}

/// Whether bytes are in any file of a folder.
fn is_in_folder(folder: &Path, needle: &[u8]) -> bool {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .any(|path| {
            if path.is_dir() {
                return is_in_folder(&path, needle);
            }
            let bytes = fs::read(&path).expect("a file");
            let is_in = |part: &[u8]| part.windows(needle.len()).any(|window| window == needle);
            bytes.split(|byte| *byte == 0).any(is_in)
        })
}

#[tokio::test]
async fn amendment_counts_instead_and_figures_as_of_before_stay() {
    let service = Service::start().await;
    let mut client = client(&service).await;
    let mut incident = founding_story();
    incident.staff_acts = vec![pb::StaffAct::PromisedToCallBack as i32];
    incident.occurred_at = at(mistap::domain::UtcMillis(START.0 - DAY_MS / 4));
    let id = incident.incident_id.clone();
    report(&mut client, &incident).await;
    let (before, position) = acts(&service, None).await;
    assert_eq!(before, [("promised-to-call-back".to_owned(), 1)]);

    let request = pb::AmendIncidentRequest {
        called_back: pb::CalledBack::Yes as i32,
        extra_cost: 1,
        ..amendment(&id)
    };
    for _ in 0..2 {
        let amended = client.amend_incident(request.clone()).await.expect("taken");
        let recorded = amended.into_inner().recorded.expect("always there");
        assert_eq!(recorded.called_back, pb::CalledBack::Yes as i32);
        assert_eq!(
            recorded.amended_at.len(),
            1,
            "the same again changes nothing"
        );
    }
    let promised = ("promised-to-call-back".to_owned(), 1);
    let called = ("called-back".to_owned(), 1);
    assert_eq!(acts(&service, None).await.0, [called, promised.clone()]);
    assert_eq!(acts(&service, Some(position)).await.0, before);

    let not = pb::AmendIncidentRequest {
        called_back: pb::CalledBack::No as i32,
        ..amendment(&id)
    };
    client.amend_incident(not).await.expect("taken");
    assert_eq!(
        acts(&service, None).await.0,
        std::slice::from_ref(&promised)
    );
    let recorded = get(&mut client, &id).await;
    assert_eq!(recorded.called_back, pb::CalledBack::No as i32);
    assert_eq!(recorded.incident.expect("told").note, "ach, meisje");

    let folder = service.stop().await;
    let report = repair::verify(folder.path(), &mut |_, _| {}).expect("it can be read");
    assert!(report.is_clean(), "{report:?}");
    let service = Service::start_in(folder).await;
    assert_eq!(acts(&service, None).await.0, [promised]);
    assert_eq!(acts(&service, Some(position)).await.0, before);
    service.stop().await;
}

#[tokio::test]
async fn same_tap_told_again_is_one_incident_and_says_so_after_a_kill_too() {
    let folder = TempDir::new().expect("a folder");
    let now = system_clock()().0;
    let mut reporter = reports::Reporter::new(reports::seed(), mistap::domain::UtcMillis(now));
    let mut tap = |seconds: i64, vehicle: &str| pb::Incident {
        incident_id: reporter.next().incident_id,
        occurred_at: at(mistap::domain::UtcMillis(now - 600_000 + seconds * 1_000)),
        installation_id: "an-installation-of-hers".into(),
        vehicle: vehicle.into(),
        ..founding_story()
    };
    let server = Server::start(child::serve(folder.path()))
        .await
        .expect("it starts");
    let mut client = ReportingServiceClient::new(server.connect().await);
    let first = tap(0, "2203");
    let earlier = report(&mut client, &first).await;
    assert!(!earlier.same_as_earlier);
    server.kill().await;

    let server = Server::start(child::serve(folder.path()))
        .await
        .expect("it starts");
    let mut client = ReportingServiceClient::new(server.connect().await);
    let again = tap(120, "2203");
    let accepted = report(&mut client, &again).await;
    assert!(accepted.same_as_earlier && !accepted.repeated);
    let repeated = report(&mut client, &again).await;
    assert!(repeated.same_as_earlier && repeated.repeated);
    assert_eq!(repeated.position, accepted.position);
    // Another reader, and a tap that is later.
    assert!(!report(&mut client, &tap(60, "2204")).await.same_as_earlier);
    assert!(!report(&mut client, &tap(121, "2203")).await.same_as_earlier);
    let recorded = get(&mut client, &again.incident_id).await;
    assert!(recorded.same_as_earlier && !recorded.withdrawn);
    assert!(!get(&mut client, &first.incident_id).await.same_as_earlier);
    let facts = &everything(&mut client, &again.incident_id).await[0]["facts"];
    let told = earlier.position.to_string();
    assert_eq!(facts["tells_again"], told, "{facts}");
    server.kill().await;
    let report = repair::verify(folder.path(), &mut |_, _| {}).expect("it can be read");
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn whoever_knows_only_a_card_learns_nothing_of_what_was_reported_with_it_and_silences_nobody()
{
    let service = Service::start().await;
    let mut client = client(&service).await;
    let told = |card: &str, installation: &str, secret: u8| pb::Incident {
        card_number: card.into(),
        installation_id: installation.into(),
        incident_secret: vec![secret; 32],
        ..founding_story()
    };
    let total = async || -> u64 {
        let counted = acts(&service, None).await.0;
        counted.iter().map(|(_, count)| *count).max().unwrap_or(0)
    };
    // A stranger who is first takes nothing of hers away.
    let stranger = told("3528 0160 4471 9359", "an-installation-of-a-stranger", 9);
    assert!(!report(&mut client, &stranger).await.same_as_earlier);
    assert_eq!(total().await, 1);
    let hers = told("3528 0160 4471 9359", "an-installation-of-hers", 1);
    assert!(!report(&mut client, &hers).await.same_as_earlier);
    assert_eq!(total().await, 2);
    // With her card, and with one that nobody reported with.
    let mut shapes = Vec::new();
    let probes = [
        told("3528 0160 4471 9359", "an-installation-of-another", 2),
        told("3528 0160 4471 9403", "an-installation-of-a-third", 3),
    ];
    for probe in probes {
        let key = (probe.incident_id.clone(), probe.incident_secret.clone());
        let first = report(&mut client, &probe).await;
        let again = report(&mut client, &probe).await;
        assert!(again.repeated);
        let request = pb::GetIncidentRequest {
            incident_id: key.0.clone(),
            incident_secret: key.1.clone(),
            everything: true,
        };
        let kept = client.get_incident(request).await.expect("it is there");
        let kept = kept.into_inner();
        let request = pb::GetReceiptRequest {
            incident_id: key.0,
            incident_secret: key.1,
            qr_code: false,
        };
        let receipt = client.get_receipt(request).await.expect("a receipt");
        let claims = claims(&receipt.into_inner().receipt);
        let everything = serde_json::from_str(&kept.everything_json).expect("it is JSON");
        let recorded = kept.recorded.expect("always there");
        shapes.push((
            [first, again].map(|it| (it.same_as_earlier, it.warnings.len())),
            recorded.same_as_earlier,
            names(&everything),
            names(&claims),
        ));
    }
    assert_eq!(shapes[0], shapes[1]);
    assert!(!shapes[0].1);
    // Both count, as an operator that knows the card and watches would else see that hers does.
    assert_eq!(total().await, 4);
    // Her own secret says that it is she, with another installation too.
    let hers = told("3528 0160 4471 9359", "a-new-installation-of-hers", 1);
    assert!(report(&mut client, &hers).await.same_as_earlier);
    assert_eq!(total().await, 4);
    service.stop().await;
}

fn claims(jws: &str) -> serde_json::Value {
    let claims = jws.split('.').nth(1).expect("three parts");
    let bytes = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    serde_json::from_slice(&bytes).expect("it is JSON")
}

/// All names in it, with where they stand.
fn names(value: &serde_json::Value) -> Vec<String> {
    let below = |name: String, value| {
        let inner = names(value)
            .into_iter()
            .map(move |it| format!("{name}.{it}"));
        std::iter::once(String::new())
            .chain(inner)
            .collect::<Vec<_>>()
    };
    match value {
        serde_json::Value::Object(all) => all
            .iter()
            .flat_map(|(name, value)| [vec![name.clone()], below(name.clone(), value)].concat())
            .collect(),
        serde_json::Value::Array(all) => all
            .iter()
            .enumerate()
            .flat_map(|(number, value)| below(number.to_string(), value))
            .collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn call_back_is_asked_for_after_three_days_until_it_is_told() {
    let service = Service::start().await;
    let mut client = client(&service).await;
    for (days, promised, expected) in [(4, true, true), (2, true, false), (4, false, false)] {
        let mut incident = founding_story();
        if promised {
            incident.staff_acts = vec![pb::StaffAct::PromisedToCallBack as i32];
        }
        incident.occurred_at = at(mistap::domain::UtcMillis(START.0 - days * DAY_MS));
        report(&mut client, &incident).await;
        let id = &incident.incident_id;
        let recorded = get(&mut client, id).await;
        assert_eq!(recorded.call_back_asked, expected, "{days} {promised}");
        let request = pb::AmendIncidentRequest {
            called_back: pb::CalledBack::No as i32,
            ..amendment(id)
        };
        client.amend_incident(request).await.expect("taken");
        assert!(!get(&mut client, id).await.call_back_asked);
    }
    service.stop().await;
}

#[tokio::test]
async fn wrong_secret_and_unknown_id_are_refused_alike_by_every_call() {
    let service = Service::start().await;
    let mut client = client(&service).await;
    let incident = founding_story();
    report(&mut client, &incident).await;
    let unknown = founding_story().incident_id;
    let known = incident.incident_id;
    let mut told = Vec::new();
    for (id, secret) in [(&known, vec![1; 32]), (&unknown, SECRET.to_vec())] {
        let (incident_id, incident_secret) = (id.clone(), secret);
        let get = pb::GetIncidentRequest {
            incident_id: incident_id.clone(),
            incident_secret: incident_secret.clone(),
            everything: true,
        };
        let amend = pb::AmendIncidentRequest {
            incident_id: incident_id.clone(),
            incident_secret: incident_secret.clone(),
            called_back: 1,
            ..pb::AmendIncidentRequest::default()
        };
        let withdraw = pb::WithdrawIncidentRequest {
            incident_id: incident_id.clone(),
            incident_secret: incident_secret.clone(),
        };
        let erase = pb::EraseIncidentRequest {
            incident_id: incident_id.clone(),
            incident_secret: incident_secret.clone(),
        };
        let follow = pb::FollowIncidentRequest {
            incident_id,
            incident_secret,
        };
        for status in [
            client.get_incident(get).await.map(drop),
            client.amend_incident(amend).await.map(drop),
            client.withdraw_incident(withdraw).await.map(drop),
            client.erase_incident(erase).await.map(drop),
            client.follow_incident(follow).await.map(drop),
        ] {
            let status = status.expect_err("refused");
            assert_eq!(status.code(), Code::NotFound);
            told.push((status.message().to_owned(), status.details().to_owned()));
        }
    }
    let (first, second) = told.split_at(5);
    assert_eq!(first, second);
    assert!(!get(&mut client, &known).await.withdrawn);
    service.stop().await;
}

#[tokio::test]
async fn withdrawal_takes_an_amended_incident_out_of_the_figures() {
    let service = Service::start().await;
    let mut client = client(&service).await;
    let incident = founding_story();
    let id = incident.incident_id.clone();
    report(&mut client, &incident).await;
    let request = pb::AmendIncidentRequest {
        staff_acts: vec![pb::StaffAct::Sympathised as i32],
        ..amendment(&id)
    };
    client.amend_incident(request.clone()).await.expect("taken");
    assert_eq!(acts(&service, None).await.0.len(), 3);
    let withdraw = pb::WithdrawIncidentRequest {
        incident_id: id.clone(),
        incident_secret: SECRET.to_vec(),
    };
    for _ in 0..2 {
        let answer = client.withdraw_incident(withdraw.clone()).await;
        let recorded = answer.expect("taken").into_inner().recorded;
        assert!(recorded.expect("always there").withdrawn);
    }
    assert!(acts(&service, None).await.0.is_empty());
    let refused = client.amend_incident(request).await.expect_err("too late");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let entries = everything(&mut client, &id).await;
    let kinds: Vec<_> = entries.as_array().expect("an array").iter().collect();
    let kinds: Vec<_> = kinds.iter().map(|entry| &entry["entry"]).collect();
    assert_eq!(kinds, ["report", "amendment", "withdrawal"]);
    service.stop().await;
}

#[tokio::test]
async fn erased_words_are_nowhere_in_the_folder_and_a_repeat_says_erased() {
    const WORDS: &str = "zij had een gele regenjas aan";
    let service = Service::start().await;
    let mut client = client(&service).await;
    let other = founding_story();
    report(&mut client, &other).await;
    let mut incident = founding_story();
    incident.note = WORDS.into();
    incident.stop = "bij de gele kiosk".into();
    incident.vehicle = "ZX81".into();
    incident.installation_id = "installation-of-hers".into();
    let id = incident.incident_id.clone();
    let first = report(&mut client, &incident).await;
    let kept = everything(&mut client, &id).await;
    assert_eq!(kept[0]["personal"]["note"], WORDS);
    let pseudonym = &kept[0]["personal"]["installation_pseudonym"];
    let names: Vec<_> = pseudonym.as_object().expect("is kept").keys().collect();
    assert_eq!(
        names,
        ["is_kept", "until"],
        "never the pseudonym: {pseudonym}"
    );
    assert!(
        is_in_folder(service.folder(), WORDS.as_bytes()),
        "the control"
    );
    let before = acts(&service, None).await.0;

    let erase = pb::EraseIncidentRequest {
        incident_id: id.clone(),
        incident_secret: SECRET.to_vec(),
    };
    for _ in 0..2 {
        let answer = client.erase_incident(erase.clone()).await.expect("erased");
        let recorded = answer.into_inner().recorded.expect("always there");
        assert!(recorded.erased_at.is_some());
        let left = recorded.incident.expect("what is counted");
        assert!(left.note.is_empty() && left.vehicle.is_empty() && left.stop.is_empty());
    }
    for words in [WORDS, "gele kiosk", "ZX81"] {
        assert!(!is_in_folder(service.folder(), words.as_bytes()), "{words}");
    }
    let kept = everything(&mut client, &id).await;
    assert!(kept[0]["personal"].is_null());
    assert_eq!(
        acts(&service, None).await.0,
        before,
        "what was counted stays"
    );
    let again = report(&mut client, &incident).await;
    assert!(again.erased && again.repeated);
    assert_eq!(again.position, first.position);
    assert!(!report(&mut client, &other).await.erased);
    assert_eq!(get(&mut client, &other.incident_id).await.erased_at, None);

    let folder = service.stop().await;
    let verified = repair::verify(folder.path(), &mut |_, _| {}).expect("it can be read");
    assert!(verified.is_clean(), "{verified:?}");
    let service = Service::start_in(folder).await;
    let mut client = self::client(&service).await;
    assert!(get(&mut client, &id).await.erased_at.is_some());
    assert!(report(&mut client, &incident).await.erased);
    assert_eq!(acts(&service, None).await.0, before);
    assert!(!is_in_folder(service.folder(), WORDS.as_bytes()));
    service.stop().await;
}

#[tokio::test]
async fn words_of_an_id_that_came_twice_in_one_call_go_with_the_report() {
    let service = Service::start().await;
    let mut client = client(&service).await;
    let words = ["zij had een gele regenjas aan", "de bestuurder lachte erom"];
    let incident = founding_story();
    let [first, other] = words.map(|note| pb::Incident {
        note: note.into(),
        ..incident.clone()
    });
    let request = pb::ReportIncidentsRequest {
        incidents: vec![first.clone(), first.clone(), other],
    };
    let answer = client.report_incidents(request).await.expect("recorded");
    let results = answer.into_inner().results;
    let repeated = |result: pb::Result| match result.outcome {
        Some(pb::result::Outcome::Accepted(accepted)) => Ok(accepted.repeated),
        Some(pb::result::Outcome::Refusal(refusal)) => Err(refusal.code),
        None => panic!("an outcome"),
    };
    let told: Vec<_> = results.into_iter().map(repeated).collect();
    assert_eq!(told, [Ok(false), Ok(true), Err(Code::AlreadyExists as i32)]);
    let erase = pb::EraseIncidentRequest {
        incident_id: first.incident_id.clone(),
        incident_secret: SECRET.to_vec(),
    };
    client.erase_incident(erase).await.expect("erased");
    for words in words {
        assert!(!is_in_folder(service.folder(), words.as_bytes()), "{words}");
    }
    service.stop().await;
}

#[tokio::test]
async fn follower_hears_of_each_change_and_the_end() {
    let service = Service::start().await;
    let mut client = client(&service).await;
    let incident = founding_story();
    report(&mut client, &incident).await;
    let follow = pb::FollowIncidentRequest {
        incident_id: incident.incident_id.clone(),
        incident_secret: SECRET.to_vec(),
    };
    let mut stream = client
        .follow_incident(follow)
        .await
        .expect("open")
        .into_inner();
    let next = async |stream: &mut tonic::Streaming<pb::FollowIncidentResponse>| loop {
        let message = stream.message().await?.expect("it goes on");
        if let Some(recorded) = message.recorded {
            return Ok::<_, tonic::Status>(recorded);
        }
    };
    assert!(
        next(&mut stream)
            .await
            .expect("the first")
            .amended_at
            .is_empty()
    );
    let request = pb::AmendIncidentRequest {
        called_back: pb::CalledBack::No as i32,
        ..amendment(&incident.incident_id)
    };
    client.amend_incident(request).await.expect("taken");
    assert_eq!(
        next(&mut stream).await.expect("a change").amended_at.len(),
        1
    );
    drop(client);
    let ending = tokio::spawn(service.stop());
    let status = next(&mut stream).await.expect_err("the service stops");
    assert_eq!(status.code(), Code::Unavailable);
    drop(stream);
    ending.await.expect("it ends");
}

#[tokio::test]
async fn one_address_cannot_take_every_stream_of_those_who_follow() {
    let folder = tempfile::tempdir().expect("a folder");
    let bounds = mistap::live::PermitBounds {
        on_loopback: 2,
        ..Default::default()
    };
    let service = Service::start_with(folder, |settings| settings.follow_permits = bounds).await;
    let mut client = client(&service).await;
    let incident = founding_story();
    report(&mut client, &incident).await;
    let follow = pb::FollowIncidentRequest {
        incident_id: incident.incident_id.clone(),
        incident_secret: SECRET.to_vec(),
    };
    let mut held = Vec::new();
    for _ in 0..2 {
        let open = client.follow_incident(follow.clone()).await;
        held.push(open.expect("open").into_inner());
    }
    let refused = client.follow_incident(follow).await.expect_err("too many");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let mut live = LiveServiceClient::new(service.connect().await);
    let mut watching = Vec::new();
    for _ in 0..3 {
        let open = live.watch_rates(pb::WatchRatesRequest::default()).await;
        watching.push(open.expect("whoever follows takes no place of who watches"));
    }
    drop((watching, live));
    drop(held);
    drop(client);
    service.stop().await;
}

/// How many times a server is killed while it erases.
const KILLS: usize = 4;
const ERASED: usize = 60;
/// How many are erased at once.
const AT_ONCE: usize = 3;

fn words(number: usize) -> String {
    format!("woorden van {number:04} einde")
}

#[tokio::test]
async fn kill_in_the_middle_of_erasing_loses_nothing_and_leaves_no_word_of_what_was_erased() {
    let mut random = StdRng::seed_from_u64(reports::seed());
    let folder = TempDir::new().expect("a folder");
    let now = system_clock()();
    let mut made = reports::Reporter::new(random.random(), now);
    let incidents: Vec<pb::Incident> = (0..ERASED * 2)
        .map(|number| pb::Incident {
            incident_secret: SECRET.to_vec(),
            note: words(number),
            ..made.next()
        })
        .collect();
    let mut answered: Vec<usize> = Vec::new();
    for round in 0..=KILLS {
        let server = Server::start(child::serve(folder.path())).await;
        let server = server.expect("it starts");
        let client = Client::new(server.connect().await);
        if round == 0 {
            let incidents = incidents.clone();
            let request = pb::ReportIncidentsRequest { incidents };
            let all = client.clone().report_incidents(request).await;
            assert_eq!(
                all.expect("recorded").into_inner().results.len(),
                ERASED * 2
            );
        }
        check(client.clone(), folder.path(), &incidents, &answered).await;
        if round == KILLS {
            server.terminate().await;
            break;
        }
        let share = ERASED / KILLS;
        let todo: Vec<usize> = (round * share..(round + 1) * share).collect();
        let erasing = todo.into_iter().map(|number| {
            let mut client = client.clone();
            let request = pb::EraseIncidentRequest {
                incident_id: incidents[number].incident_id.clone(),
                incident_secret: SECRET.to_vec(),
            };
            async move { (number, client.erase_incident(request).await.is_ok()) }
        });
        let erasing: Vec<_> = erasing.collect();
        let (answers, mut heard) = tokio::sync::mpsc::channel(share);
        let erasing = tokio::spawn(async move {
            let mut results = futures_util::stream::iter(erasing).buffer_unordered(AT_ONCE);
            while let Some((number, is_ok)) = results.next().await {
                if is_ok {
                    answers.send(number).await.expect("somebody hears it");
                }
            }
        });
        // In the midst of others, when some were answered.
        for _ in 0..random.random_range(1..=share / 3) {
            answered.push(heard.recv().await.expect("an answer"));
        }
        server.kill().await;
        erasing.await.expect("no panic");
        while let Some(number) = heard.recv().await {
            answered.push(number);
        }
    }
    assert!(
        KILLS <= answered.len() && answered.len() < ERASED,
        "{answered:?}"
    );
    let verified = repair::verify(folder.path(), &mut |_, _| {}).expect("it can be read");
    assert!(verified.is_clean(), "{verified:?}");
    reports::tell(&format!("{} erasures were answered", answered.len()));
}

/// Whatever says that it is erased has no word left in any file, what was answered says so, and
/// all else is whole.
async fn check(mut client: Client, folder: &Path, incidents: &[pb::Incident], answered: &[usize]) {
    let there = words_in(folder);
    for (number, incident) in incidents.iter().enumerate() {
        let recorded = get(&mut client, &incident.incident_id).await;
        let is_erased = recorded.erased_at.is_some();
        assert!(
            is_erased || !answered.contains(&number),
            "{number} was answered"
        );
        let left = recorded.incident.expect("always there");
        let is_whole = left.note == words(number);
        assert_eq!(is_whole, !is_erased, "{number}");
        assert_eq!(there.contains(&number), !is_erased, "{number}");
    }
}
