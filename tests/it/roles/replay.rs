//! An operator that replays whatever it is told, as id, secret, token, case number and anything
//! else that a call takes, gets at nothing that it may not see.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use mistap::api::pb::v1 as pb;
use mistap::auth::{Role, table};
use mistap::client::{Bearer, Connection};
use prost_reflect::DynamicMessage;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::walk::{Walk, check, guarded, names, shows_card};
use super::{Guarded, Told, reason};
use crate::child::PATIENCE;
use crate::raw::Call;
use crate::requests::{self, FieldPath, Named};
use crate::support::{SECRET, START, founding_story, new_id};

/// Calls under way at once.
const AT_ONCE: usize = 16;
/// Values of one field of one method that are replayed: one shape is refused like another.
const OF_A_FIELD: usize = 1;
/// Shortest text that could be a key to anything.
const KEY_BYTES_MIN: usize = 6;

/// What an operator was told, all of it.
#[derive(Default)]
struct Harvest(BTreeSet<Vec<u8>>);

impl Harvest {
    fn add(&mut self, bytes: &[u8]) {
        if KEY_BYTES_MIN <= bytes.len() {
            self.0.insert(bytes.to_vec());
        }
    }

    /// What is in answers, and not in what everybody is told.
    fn of(walk: &Walk<'_>) -> Self {
        let mut harvest = Self::default();
        let mut public = Self::default();
        for ((method, role), told) in &walk.told {
            let is_own = *role == Role::Operator && table::call(method) == table::OPERATORS;
            let is_public = *role == Role::Public && table::call(method) == table::EVERYBODY;
            let of_whom = match (is_own, is_public) {
                (true, _) => &mut harvest,
                // What a reporter is told is its own, even if anybody may report.
                (_, true) if !method.contains("Report") => &mut public,
                _ => continue,
            };
            for values in told.by_field.values() {
                // Of those that are alike some do: there are thousands of case numbers.
                let some = if is_public { usize::MAX } else { OF_A_FIELD };
                let values = values.iter().rev().take(some);
                values.for_each(|value| of_whom.add(value));
            }
        }
        Self(harvest.0.difference(&public.0).cloned().collect())
    }

    /// What is in a refusal: tokens stand there in hexadecimal digits.
    fn add_refusal(&mut self, status: &Status) {
        self.add(status.message().as_bytes());
        let info = status.get_details_error_info();
        for (_, value) in info.into_iter().flat_map(|info| info.metadata) {
            self.add(value.as_bytes());
            if let Ok(bytes) = base16ct::mixed::decode_vec(&value) {
                self.add(&bytes);
            }
        }
    }
}

/// A method, one of its fields, and a request with something in that field.
struct Replayed {
    method: String,
    path: FieldPath,
    request: Vec<u8>,
}

/// Every call with each of these in each of its fields.
fn replays(named: &Named, harvest: &Harvest) -> Vec<Replayed> {
    let mut found = Vec::new();
    for (method, described) in requests::methods() {
        for path in requests::texts(&described.input()) {
            for bytes in &harvest.0 {
                let mut named = named.clone();
                named.incident.incident_id = new_id();
                let request = requests::request(&method, &named);
                let kind = described.input();
                // Bytes that are no text are written as texts write them.
                let request = requests::with(&request, kind.clone(), &path, bytes).or_else(|| {
                    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                    requests::with(&request, kind, &path, hex.as_bytes())
                });
                found.push(Replayed {
                    method: method.clone(),
                    path: path.clone(),
                    request: request.expect("hexadecimal digits are a text"),
                });
            }
        }
    }
    found
}

/// What is told to whoever replays something.
async fn told(connection: Connection, replayed: &Replayed) -> Result<Told, Status> {
    let method = &replayed.method;
    let mut call = Call::open(connection, method, replayed.request.clone()).await?;
    let mut told = Told::default();
    if let Some(bytes) = call.next().await? {
        let kind = super::walk::output(method);
        told.add(&DynamicMessage::decode(kind, &*bytes).expect("an answer"));
    }
    Ok(told)
}

/// Whether an answer tells what leads to a reporter, or to another operator.
fn strange<'a>(told: &'a Told, ids: &BTreeSet<String>) -> Option<&'a String> {
    let is_strange = |text: &&String| {
        let text = text.as_str();
        let is_receipt = text.split('.').count() == 3 && text.starts_with("eyJ");
        ids.contains(text) || is_receipt || names(text, "RET") || shows_card(text)
    };
    told.texts.iter().find(is_strange)
}

async fn check_replays(guarded: &Guarded, replays: Vec<Replayed>, ids: &BTreeSet<String>) {
    let connection = guarded.of(Role::Operator).await;
    let calls = replays.into_iter().map(|replayed| {
        let connection = connection.clone();
        async move {
            let result = tokio::time::timeout(PATIENCE, told(connection, &replayed)).await;
            let result = result.unwrap_or_else(|_| panic!("{} does not answer", replayed.method));
            (replayed, result)
        }
    });
    let mut calls = stream::iter(calls).buffer_unordered(AT_ONCE);
    let mut answered = BTreeSet::new();
    while let Some((replayed, result)) = calls.next().await {
        let Replayed { method, path, .. } = &replayed;
        let names: Vec<_> = path.iter().map(|field| field.name()).collect();
        let place = format!("{method} with something in {}", names.join("."));
        match result {
            Ok(told) => {
                assert!(table::call(method) != table::HOLDERS, "{place} is answered");
                assert!(table::call(method).has(Role::Operator), "{place}");
                let is_public = table::call(method).has(Role::Public);
                let is_own = is_public || strange(&told, ids).is_none();
                assert!(is_own, "{place}: {:?}", strange(&told, ids));
                assert!(!told.bytes.contains(&SECRET[..]), "{place}");
                answered.insert(method.clone());
                check(&[((method.clone(), Role::Operator), told)].into());
            }
            Err(status) => {
                let code = status.code();
                let is_refused = ![Code::Internal, Code::Unknown].contains(&code);
                assert!(is_refused, "{place}: {status:?}");
                let message = format!("{status:?}");
                assert!(ids.iter().all(|id| !message.contains(id)), "{place}");
            }
        }
    }
    // Some of what it was told is good for what it may do.
    assert!(
        answered.contains("OperationsService/RespondToIncident"),
        "{answered:?}"
    );
    assert!(
        answered.contains("OperationsService/ListIncidents"),
        "{answered:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operator_that_replays_all_it_is_told_in_every_field_of_every_call_gets_at_nothing() {
    let guarded = guarded().await;
    let walk = Walk::all(&guarded).await;
    let mut harvest = Harvest::of(&walk);
    let ids = walk.ids.clone();
    assert!(4 < ids.len());
    // A token that is no place to begin is refused with another.
    let watch = pb::WatchIncidentsRequest {
        operators: vec!["GVB".into()],
        start: Some(pb::watch_incidents_request::Start::ResumeToken(vec![1; 24])),
        ..pb::WatchIncidentsRequest::default()
    };
    let mut live = super::Live::new(guarded.of(Role::Operator).await);
    let refused = live
        .watch_incidents(watch)
        .await
        .expect_err("no token of ours");
    harvest.add_refusal(&refused);
    let case_number = walk.case_number.clone();
    let named = Named {
        incident: pb::Incident {
            stop: String::new(),
            ..founding_story()
        },
        case_number,
        now: START,
    };
    assert!(10 < harvest.0.len(), "{}", harvest.0.len());
    check_replays(&guarded, replays(&named, &harvest), &ids).await;
    check_no_token(&guarded, &harvest).await;
}

/// Nothing of it is a token.
async fn check_no_token(guarded: &Guarded, harvest: &Harvest) {
    for bytes in &harvest.0 {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = String::from_utf8(bytes.clone()).unwrap_or_else(|_| hex.clone());
        for token in [text, format!("mistap_{hex:0<64.64}")] {
            let Ok(bearer) = Bearer::new(&token) else {
                continue;
            };
            let connection = bearer.over(guarded.service.connect().await);
            let mut client = super::Statistics::new(connection);
            let result = client.query_figures(super::that_day(&[])).await;
            assert_eq!(reason(&result), "TOKEN_UNKNOWN");
        }
    }
}
