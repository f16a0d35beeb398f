//! `mistap bench durable`: reports, one a call, each durable before it is answered, with 64 in
//! flight.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prost_types::Timestamp;
use tempfile::TempDir;
use tonic::transport::Channel;

use super::Plan;
use super::children::{self, Server};
use super::contest::{self, Better, Contest, Effort, Place};
use super::load::{self, Templates};
use super::peers::postgres::{Postgres, RollUp};
use super::peers::redis::Redis;
use super::wire::Wire;
use super::world;
use crate::api::Clock;
use crate::api::pb::v1 as pb;
use crate::cli::{Failure, Kind};
use crate::domain::Entry;
use crate::domain::time::{DAY_MS, HOUR_SECONDS};
use crate::journal::{self, Settings};
use pb::statistics_service_client::StatisticsServiceClient;

/// Reports in flight.
pub const IN_FLIGHT: usize = 64;
/// Connections that they are spread over.
const CONNECTIONS: usize = 4;
/// Different reports that are sent, each many times with another id.
const TEMPLATES: usize = 16_384;
/// Entries that the raw journal is written with.
const ENTRIES: usize = 1_024;

/// The least ratios of ours that are aimed at.
const ECHO_TARGET: f64 = 0.4;
const POSTGRES_TARGET: f64 = 5.0;

/// Runs it.
pub async fn run(plan: &Plan) -> Result<(), Failure> {
    let network = world::network(plan.size)?;
    let incidents = world::incidents(&network, plan.templates(TEMPLATES), (plan.now)())?;
    let templates = Arc::new(Templates::unary(&incidents));
    let folder = children::throw_away("mistap-bench-durable-")?;
    let data = folder.path().join("data");
    world::save(&network, &data)?;
    let server = Server::serve(&data)?;
    let questions = server.connect(1).await?;
    let ours = server.wires(CONNECTIONS).await?;
    let echo_server = Server::echo()?;
    let echo = echo_server.wires(CONNECTIONS).await?;
    let mut journal = RawJournal::open(plan).await?;
    let mut postgres = if plan.with_peers {
        Postgres::start()?
    } else {
        None
    };
    let mut redis = if plan.with_peers {
        Redis::start()?
    } else {
        None
    };

    contest::say(&format!(
        "\nload client: {} ({IN_FLIGHT} in flight, {CONNECTIONS} connections)",
        load::NAME
    ))?;
    let (mut contest, places) = enter(plan);
    warm_up(plan, &ours, &echo, &templates).await?;
    let mut recorded = contest_total(&questions[0], plan).await?;
    let (mut effort, mut echo_effort) = (Effort::default(), Effort::default());
    for _ in 0..plan.rounds {
        let before = Effort::so_far(&server);
        let (tally, seconds) = load(plan, &ours, &templates).await?;
        effort.add_since(before, &server, tally.recorded);
        recorded += tally.recorded;
        contest.note(places.ours, rate(tally.recorded, seconds));
        let before = Effort::so_far(&echo_server);
        let (tally, seconds) = load(plan, &echo, &templates).await?;
        echo_effort.add_since(before, &echo_server, tally.recorded);
        contest.note(places.echo, rate(tally.recorded, seconds));
        contest.note(places.journal, journal.measure(plan.span, &plan.now)?);
        for (roll_up, place) in places.postgres {
            match &mut postgres {
                Some(postgres) => contest.note(place, postgres.inserts(roll_up, plan.span)?),
                None => contest.skip(place, missing(plan)),
            }
        }
        match &mut redis {
            Some(redis) => contest.note(places.redis, redis.appends(plan.span)?),
            None => contest.skip(places.redis, missing(plan)),
        }
    }
    check_count(
        "mistap",
        recorded,
        contest_total(&questions[0], plan).await?,
    )?;
    if let Some(postgres) = &postgres {
        postgres.check_counts()?;
    }
    contest.print()?;
    effort.say("mistap")?;
    echo_effort.say("the no-op echo")
}

/// Who takes part, ours first.
struct Places {
    ours: Place,
    echo: Place,
    journal: Place,
    postgres: [(RollUp, Place); 2],
    redis: Place,
}

fn enter(plan: &Plan) -> (Contest, Places) {
    let contest = Contest::new("durable reports", "reports a second", Better::More);
    let mut contest = contest.with_targets(plan.with_targets);
    let ours = contest.enter("mistap", None);
    let echo = contest.enter("no-op tonic echo, same client", Some(ECHO_TARGET));
    let journal = contest.enter("raw journal, 64 an append, in process", None);
    let postgres = [
        (
            RollUp::LineHours,
            "PostgreSQL insert + roll-up by line and hour, pgbench -c 64",
        ),
        (
            RollUp::Questions,
            "PostgreSQL insert + roll-ups for the three questions",
        ),
    ];
    let postgres =
        postgres.map(|(roll_up, name)| (roll_up, contest.enter(name, Some(POSTGRES_TARGET))));
    let redis = contest.enter("Redis XADD, always synced, redis-benchmark -c 64", None);
    let places = Places {
        ours,
        echo,
        journal,
        postgres,
        redis,
    };
    (contest, places)
}

/// Why a peer is skipped.
pub fn missing(plan: &Plan) -> &'static str {
    if plan.with_peers {
        "not installed"
    } else {
        "left out"
    }
}

/// A rate.
pub fn rate(count: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = count as f64;
    count / seconds
}

/// Refuses to go on if what is counted is not what was sent.
pub fn check_count(who: &str, sent: u64, counted: u64) -> Result<(), Failure> {
    if sent == counted {
        return Ok(());
    }
    let text = format!("{who} counts {counted} incidents where {sent} were recorded");
    Err(Failure::new(Kind::Damage, text))
}

/// All that a server has counted.
pub async fn contest_total(channel: &Channel, plan: &Plan) -> Result<u64, Failure> {
    let hour = |ms: i64| Timestamp {
        seconds: ms.div_euclid(1_000).div_euclid(HOUR_SECONDS) * HOUR_SECONDS,
        nanos: 0,
    };
    let now = (plan.now)().0;
    let window = pb::Window {
        start: Some(hour(now - 2 * world::HISTORY_DAYS * DAY_MS)),
        end: Some(hour(now + 3 * DAY_MS)),
    };
    let request = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            window: Some(window),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut client = StatisticsServiceClient::new(channel.clone());
    Ok(client.query_figures(request).await?.into_inner().total)
}

async fn load(
    plan: &Plan,
    wires: &[Wire],
    templates: &Arc<Templates>,
) -> Result<(load::Tally, f64), Failure> {
    load::unary(wires, templates, IN_FLIGHT, plan.span, &plan.now).await
}

/// First calls are slower.
async fn warm_up(
    plan: &Plan,
    ours: &[Wire],
    echo: &[Wire],
    templates: &Arc<Templates>,
) -> Result<(), Failure> {
    for wires in [ours, echo] {
        load::unary(wires, templates, IN_FLIGHT, plan.span / 4, &plan.now).await?;
    }
    Ok(())
}

/// The journal alone: no API, no checks, no counting.
struct RawJournal {
    writer: journal::Writer,
    encoded: Vec<journal::Encoded>,
    _folder: TempDir,
}

impl RawJournal {
    /// With entries as a server writes them.
    async fn open(plan: &Plan) -> Result<Self, Failure> {
        let folder = children::throw_away("mistap-bench-journal-")?;
        let sample = world::record(&plan.dir, plan.size, plan.few_incidents, (plan.now)()).await?;
        let failed = |error| Failure::unexpected("the raw journal failed", &error);
        let (reader, _) = journal::open_reader(&sample.join("journal")).map_err(failed)?;
        let mut encoded = Vec::new();
        let records = reader.entries_from(reader.horizon()).map_err(failed)?;
        for record in records.take(ENTRIES) {
            let entry = record.map_err(failed)?.entry;
            if matches!(entry, Entry::Incident { .. }) {
                encoded.push(journal::encode(&entry));
            }
        }
        let dir = folder.path().join("raw");
        let (writer, _, _) = journal::open(&dir, Settings::default()).map_err(failed)?;
        Ok(Self {
            writer,
            encoded,
            _folder: folder,
        })
    }

    /// Entries a second.
    fn measure(&mut self, span: Duration, now: &Clock) -> Result<f64, Failure> {
        let begun = Instant::now();
        let mut entries = 0;
        for batch in self.encoded.chunks_exact(IN_FLIGHT).cycle() {
            if span <= begun.elapsed() {
                break;
            }
            let appended = self.writer.append(batch, now());
            appended.map_err(|error| Failure::unexpected("the raw journal failed", &error))?;
            entries += batch.len() as u64;
        }
        Ok(rate(entries, begun.elapsed().as_secs_f64()))
    }
}
