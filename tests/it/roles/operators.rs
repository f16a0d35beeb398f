//! Whose word makes an operator: the network's, and of one that no network knows the steward's, who
//! tells of it or binds a token to it. Nobody else adds one by inventing its code.

use std::sync::Arc;

use mistap::api::pb::v1 as pb;
use mistap::auth::Role;
use mistap::client::Connection;
use mistap::domain::UtcMillis;
use mistap::domain::time::HOUR_MS;
use mistap::network::{Feed, Network, Operator};
use tempfile::TempDir;

use super::{Guarded, Operations, Reporting, Statistics, add};
use crate::support::{START, Service, at, founding_story, new_id, once_open, that_day};

/// Beyond what the tallies tell apart.
const INVENTED: i64 = 1_100;
/// More than the few operators of these tests take, and a small part of what each of so many
/// hours took if an invented operator had a row in it.
const ATTRIBUTE_BYTES_MAX: usize = 4 << 20;

fn of_operator(code: &str) -> pb::Incident {
    pb::Incident {
        incident_id: new_id(),
        operator: code.into(),
        line: String::new(),
        ..founding_story()
    }
}

async fn report(connection: &Connection, incidents: Vec<pb::Incident>) -> Vec<pb::Accepted> {
    let request = pb::ReportIncidentsRequest { incidents };
    let mut client = Reporting::new(connection.clone());
    let answer = client.report_incidents(request).await.expect("an answer");
    let results = answer.into_inner().results;
    let accepted = results.into_iter().map(|one| match one.outcome {
        Some(pb::result::Outcome::Accepted(accepted)) => accepted,
        refused => panic!("{refused:?}"),
    });
    accepted.collect()
}

/// For which operator a report of one code is counted.
async fn counted_for(connection: &Connection, incident: pb::Incident) -> String {
    let accepted = report(connection, vec![incident]).await;
    accepted.into_iter().map(|one| one.operator_code).collect()
}

async fn total(connection: &Connection, code: &str) -> u64 {
    let mut request = that_day(&[]);
    let question = request.question.as_mut().expect("always there");
    question.filter = Some(pb::Filter {
        operators: vec![code.into()],
        ..pb::Filter::default()
    });
    let mut client = Statistics::new(connection.clone());
    let answer = once_open(async || client.query_figures(request.clone()).await).await;
    answer.expect("an answer").total
}

#[tokio::test]
async fn invented_operators_take_neither_the_place_of_real_ones_nor_memory() {
    let guarded = Guarded::start().await;
    let public = guarded.of(Role::Public).await;
    let invented = |number: i64| pb::Incident {
        occurred_at: at(UtcMillis(START.0 - number * HOUR_MS)),
        precision: pb::TimePrecision::Hour as i32,
        ..of_operator(&format!("ZZ{number}"))
    };
    let all: Vec<_> = (0..INVENTED).map(invented).collect();
    for part in all.chunks(all.len().div_ceil(2)) {
        for accepted in report(&public, part.to_vec()).await {
            assert_eq!(accepted.operator_code, "");
        }
    }
    for code in ["GVB", "RET"] {
        assert_eq!(counted_for(&public, of_operator(code)).await, code);
    }
    let steward = guarded.of(Role::Steward).await;
    for code in ["GVB", "RET"] {
        assert_eq!(total(&steward, code).await, 1, "{code}");
    }
    let operator = guarded.with(Some(&guarded.other_operator)).await;
    let request = pb::ListIncidentsRequest {
        operators: vec!["RET".into()],
        ..pb::ListIncidentsRequest::default()
    };
    let listed = Operations::new(operator).list_incidents(request).await;
    assert_eq!(listed.expect("its own").into_inner().cases.len(), 1);
    let memory = guarded.service.ledger().read().memory();
    let attributes = memory.iter().find(|(part, _)| part.contains("attributes"));
    let (_, bytes) = attributes.expect("a part of the memory");
    assert!(*bytes < ATTRIBUTE_BYTES_MAX, "{bytes}");
    guarded.service.stop().await;
}

/// A service that knows XYZ by tokens alone.
async fn with_tokens_of_xyz() -> Guarded {
    let folder = TempDir::new().expect("a folder");
    let tokens = [
        (Role::Device, Some("XYZ")),
        (Role::Operator, Some("XYZ")),
        (Role::Steward, None),
    ];
    let tokens = tokens.map(|(role, operator)| (role, add(&folder, role, operator)));
    let other_operator = add(&folder, Role::Operator, Some("GVB"));
    Guarded {
        service: Service::start_in(folder).await,
        tokens: tokens.into(),
        other_operator,
    }
}

#[tokio::test]
async fn operator_that_no_network_knows_counts_once_a_token_is_bound_to_it_or_a_steward_tells_it() {
    let guarded = with_tokens_of_xyz().await;
    let steward = guarded.of(Role::Steward).await;
    for role in [Role::Device, Role::Operator, Role::Steward] {
        let mut incident = of_operator("XYZ");
        if role == Role::Device {
            incident.reporter = pb::ReporterKind::Device as i32;
            incident.line.clear();
        }
        let connection = guarded.of(role).await;
        assert_eq!(counted_for(&connection, incident).await, "XYZ", "{role}");
    }
    // Whoever has the token is to see what travellers tell of it.
    for token in [None, Some(&guarded.other_operator)] {
        let connection = guarded.with(token).await;
        assert_eq!(counted_for(&connection, of_operator("XYZ")).await, "XYZ");
        assert_eq!(counted_for(&connection, of_operator("XYY")).await, "");
    }
    assert_eq!(counted_for(&steward, of_operator("XYY")).await, "XYY");
    // Four told it; the device's is an observation.
    assert_eq!(total(&steward, "XYZ").await, 4);
    guarded.service.stop().await;
}

#[tokio::test]
async fn network_that_comes_later_counts_what_comes_after_it_and_changes_nothing_of_before() {
    let guarded = Guarded::start().await;
    let public = guarded.of(Role::Public).await;
    let before = of_operator("XYZ");
    assert_eq!(counted_for(&public, before.clone()).await, "");
    let operator = Operator {
        code: "XYZ".parse().expect("a code"),
        name: "Xylophone trams".into(),
        lines: 0,
    };
    let feed = Feed {
        operators: vec![operator],
        ..Feed::default()
    };
    let network = Network::overlay(&Network::built_in(), vec![feed]).expect("a network");
    let used = guarded.service.ingest().use_network(Arc::new(network));
    used.await.expect("in use");
    assert_eq!(counted_for(&public, of_operator("XYZ")).await, "XYZ");
    let again = report(&public, vec![before]).await;
    assert!(again[0].repeated && again[0].operator_code.is_empty());
    let steward = guarded.of(Role::Steward).await;
    assert_eq!(total(&steward, "XYZ").await, 1);
    guarded.service.stop().await;
}
