//! `mistap bench bulk`: many reports in streams, each durable and counted before it is
//! answered.

use std::sync::Arc;
use std::time::Instant;

use prost::Message;

use super::Plan;
use super::children::{self, Server};
use super::contest::{self, Better, Contest, Effort};
use super::durable::{check_count, contest_total, missing, rate};
use super::load::{self, Templates};
use super::peers::postgres::{Postgres, RollUp};
use super::world;
use crate::api::pb::v1 as pb;
use crate::cli::Failure;

/// Streams, each on a connection of its own.
const STREAMS: usize = 4;
const TEMPLATES: usize = 65_536;
/// Reports in one measurement, for each second that it may take.
const REPORTS_PER_SECOND: f64 = 150_000.0;

/// The least ratio of ours that is aimed at.
const COPY_TARGET: f64 = 2.0;
/// How many connections PostgreSQL copies in; of these its best counts, as ours has several
/// streams.
const COPY_CONNECTIONS: [u64; 3] = [1, 2, 4];

/// Runs it.
pub async fn run(plan: &Plan) -> Result<(), Failure> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let count = (plan.span.as_secs_f64() * REPORTS_PER_SECOND) as u64;
    let network = world::network(plan.size)?;
    let incidents = world::incidents(&network, plan.templates(TEMPLATES), (plan.now)())?;
    let templates = Arc::new(Templates::streamed(&incidents));
    let folder = children::throw_away("mistap-bench-bulk-")?;
    let data = folder.path().join("data");
    world::save(&network, &data)?;
    let server = Server::serve(&data)?;
    let channels = server.connect(STREAMS).await?;
    let mut postgres = if plan.with_peers {
        Postgres::start()?
    } else {
        None
    };

    contest::say(&format!(
        "\nload client: {} ({STREAMS} streams, {count} reports)",
        load::STREAMS_NAME
    ))?;
    let mut contest = Contest::new("bulk reports", "reports a second", Better::More)
        .with_targets(plan.with_targets);
    let ours = contest.enter("mistap", None);
    let copies = [
        (
            RollUp::None,
            "PostgreSQL COPY, best of 1, 2 and 4 connections, same fields, no tallies",
        ),
        (
            RollUp::Questions,
            "the same + roll-ups for the three questions",
        ),
    ]
    .map(|(roll_up, name)| (roll_up, contest.enter(name, Some(COPY_TARGET))));
    let decode = contest.enter("decoding the messages, one thread, in process", None);
    load::streamed(&channels, &templates, count / 4, &plan.now).await?;
    let mut recorded = contest_total(&channels[0], plan).await?;
    let mut effort = Effort::default();
    for _ in 0..plan.rounds {
        let before = Effort::so_far(&server);
        let (tally, seconds) = load::streamed(&channels, &templates, count, &plan.now).await?;
        effort.add_since(before, &server, tally.recorded);
        recorded += tally.recorded;
        contest.note(ours, rate(tally.recorded, seconds));
        for (roll_up, place) in copies {
            match &mut postgres {
                Some(postgres) => {
                    let copied = best_copy(plan, postgres, roll_up, &incidents, count)?;
                    contest.note(place, copied);
                }
                None => contest.skip(place, missing(plan)),
            }
        }
        contest.note(decode, decode_rate(&templates)?);
    }
    check_count("mistap", recorded, contest_total(&channels[0], plan).await?)?;
    if let Some(postgres) = &postgres {
        postgres.check_counts()?;
    }
    contest.print()?;
    effort.say("mistap")
}

/// Reports a second over as many connections as are best for it.
fn best_copy(
    plan: &Plan,
    postgres: &mut Postgres,
    roll_up: RollUp,
    incidents: &[pb::Incident],
    count: u64,
) -> Result<f64, Failure> {
    let mut best = 0.0_f64;
    for connections in COPY_CONNECTIONS {
        let now = (plan.now)();
        let copied = postgres.copy(roll_up, connections, incidents, count, now)?;
        best = best.max(copied);
    }
    Ok(best)
}

fn decode_rate(templates: &Templates) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut decoded = 0;
    for message in templates.messages() {
        let request = pb::StreamIncidentsRequest::decode(message)
            .map_err(|error| Failure::unexpected("a message cannot be read", &error))?;
        decoded += u64::from(request.incident.is_some());
    }
    Ok(rate(decoded, begun.elapsed().as_secs_f64()))
}
