//! Random reports that do not depend on words, and the figures that a plain count of them
//! gives.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use mistap::domain::UtcMillis;
use mistap::domain::taxonomy::{
    CardKind, Cause, Mode, Outcome, Signal, StaffAct, TapKind, Taxonomy,
};
use mistap::domain::time::{DAY_MS, HOUR_MS};
use mistap::network::Network;
use prost_types::Timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tonic::Code;
use tonic::transport::Channel;

use crate::child::{PATIENCE, until};

/// How far back reports are about.
const DAYS_BACK: i64 = 70;
/// Breakdowns that tallies can answer, and others that need a scan of blocks.
const BREAKDOWNS: [&[pb::Dimension]; 9] = [
    &[],
    &[pb::Dimension::Line],
    &[pb::Dimension::Operator, pb::Dimension::Month],
    &[pb::Dimension::Stop, pb::Dimension::Day],
    &[pb::Dimension::StaffAct],
    &[pb::Dimension::HourOfDay, pb::Dimension::Weekday],
    &[
        pb::Dimension::Line,
        pb::Dimension::Signal,
        pb::Dimension::HourOfDay,
    ],
    &[pb::Dimension::Cause, pb::Dimension::CardKind],
    &[
        pb::Dimension::Mode,
        pb::Dimension::Outcome,
        pb::Dimension::TapKind,
    ],
];

/// A feed of GVB that tells check-ins by stop and hour, of days that begin at four.
pub fn feed_of_stops() -> pb::TapFeed {
    pb::TapFeed {
        feed_id: "gvb.stops".into(),
        operator_code: "GVB".into(),
        grain: pb::TapGrain::Stop.into(),
        interval: pb::TapInterval::Hour.into(),
        tap_kinds: vec![pb::TapKind::CheckIn.into()],
        refusals: pb::Refusals::Unknown.into(),
        day_begins: 4,
    }
}

/// A seed that differs each time, or `MISTAP_SEED`. Printed, for the test harness shows
/// what a failed test printed.
pub fn seed() -> u64 {
    let seed = match std::env::var("MISTAP_SEED") {
        Ok(seed) => seed.parse().expect("MISTAP_SEED is a number"),
        Err(_) => getrandom::u64().expect("random bytes"),
    };
    tell(&format!("MISTAP_SEED={seed} makes the same choices again"));
    seed
}

/// Tells what is worth knowing when a test fails.
#[expect(clippy::print_stdout, reason = "the test harness shows it")]
pub fn tell(text: &str) {
    println!("{text}");
}

/// Makes reports.
pub struct Reporter {
    rng: StdRng,
    now: UtcMillis,
    lines: Vec<String>,
    stops: Vec<String>,
}

impl Reporter {
    /// One whose reports follow from a seed and are sent at `now`.
    pub fn new(seed: u64, now: UtcMillis) -> Self {
        let network = Network::built_in();
        let lines = network.all_lines().iter();
        let stops = network.all_stops().iter();
        Self {
            rng: StdRng::seed_from_u64(seed),
            now,
            lines: lines.map(|line| line.id.to_string()).collect(),
            stops: stops.map(|stop| stop.id.to_string()).collect(),
        }
    }

    /// Another report, with an id and a secret of its own.
    pub fn next(&mut self) -> pb::Incident {
        let mut incident = pb::Incident {
            incident_id: self.id(),
            incident_secret: self.rng.random::<[u8; 32]>().to_vec(),
            mode: self.maybe::<Mode>(),
            tap_kind: self.maybe::<TapKind>(),
            signal: self.maybe::<Signal>(),
            card_kind: self.maybe::<CardKind>(),
            attempts: self.rng.random_range(0..=20),
            staff_acts: self.several::<StaffAct>(),
            outcomes: self.several::<Outcome>(),
            ..pb::Incident::default()
        };
        self.add_time(&mut incident);
        self.add_place(&mut incident);
        self.add_persons(&mut incident);
        for cause in self.several::<Cause>() {
            let source = pb::ClaimSource::Staff as i32;
            incident.cause_claims.push(pb::CauseClaim { cause, source });
        }
        incident
    }

    fn id(&mut self) -> String {
        let made = self.now.0 - self.rng.random_range(0..3 * DAY_MS);
        let millis = u64::try_from(made).expect("after 1970");
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &self.rng.random());
        id.into_uuid().to_string()
    }

    fn add_time(&mut self, incident: &mut pb::Incident) {
        let precisions = [
            pb::TimePrecision::Exact,
            pb::TimePrecision::Hour,
            pb::TimePrecision::Day,
        ];
        let precision = *precisions.choose(&mut self.rng).expect("three");
        incident.precision = precision as i32;
        let back = self.rng.random_range(0..DAYS_BACK * DAY_MS);
        incident.occurred_at = Some(timestamp(UtcMillis(self.now.0 - back)));
    }

    /// By identifiers, so that what is found does not depend on words.
    fn add_place(&mut self, incident: &mut pb::Incident) {
        if self.rng.random_bool(0.8) {
            incident.line = self.lines.choose(&mut self.rng).cloned().expect("lines");
        } else if self.rng.random_bool(0.5) {
            incident.operator = "RET".into();
        }
        if self.rng.random_bool(0.7) {
            incident.stop = self.stops.choose(&mut self.rng).cloned().expect("stops");
        }
    }

    fn add_persons(&mut self, incident: &mut pb::Incident) {
        let is_device = self.rng.random_bool(0.2);
        let reporter = if is_device {
            pb::ReporterKind::Device
        } else {
            pb::ReporterKind::Traveller
        };
        incident.reporter = reporter as i32;
        if self.rng.random_bool(0.4) {
            let digits = self.rng.random_range(0..1_000_000_000_000_u64);
            incident.card_number = format!("3528{digits:012}");
        }
        if self.rng.random_bool(0.4) {
            incident.installation_id = format!("installation-{:08x}", self.rng.random::<u32>());
        }
        if self.rng.random_bool(0.4) {
            let words = ["ach,", "meisje", "rood", "piep", "overvol", "gratis"];
            let count = self.rng.random_range(1..20);
            let words: Vec<_> = (0..count)
                .map(|_| *words.choose(&mut self.rng).expect("words"))
                .collect();
            incident.note = words.join(" ");
        }
    }

    fn maybe<T: Taxonomy>(&mut self) -> i32 {
        if self.rng.random_bool(0.15) {
            return 0;
        }
        i32::from(T::ALL.choose(&mut self.rng).expect("values").number())
    }

    /// In the order of their numbers, as they are given back.
    fn several<T: Taxonomy>(&mut self) -> Vec<i32> {
        let count = self.rng.random_range(0..3);
        let chosen = T::ALL.choose_multiple(&mut self.rng, count);
        let mut numbers: Vec<_> = chosen.map(|value| i32::from(value.number())).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// A report as it must come back: without what leads back to a person.
pub fn as_kept(incident: &pb::Incident) -> pb::Incident {
    pb::Incident {
        incident_secret: Vec::new(),
        card_number: String::new(),
        installation_id: String::new(),
        ..incident.clone()
    }
}

/// What a question came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Incidents that it takes in.
    pub total: u64,
    /// Those of them that stand in no row.
    pub left_out: u64,
    /// By keys.
    pub rows: BTreeMap<Vec<String>, u64>,
}

/// Asks the server for every breakdown and basis, each with all its pages; again for as long
/// as its store is opening. `now` is the time of the reports.
pub async fn ask(channel: &Channel, now: UtcMillis) -> Vec<Figures> {
    let asking = async {
        let mut answers = Vec::new();
        for (basis, by) in questions() {
            answers.push(ask_one(channel, request(basis, by, now)).await);
        }
        answers
    };
    let asking = tokio::time::timeout(PATIENCE, asking);
    asking.await.expect("the store opens in time")
}

async fn ask_one(channel: &Channel, mut request: pb::QueryFiguresRequest) -> Figures {
    let mut client = StatisticsServiceClient::new(channel.clone());
    let mut figures = Figures::default();
    loop {
        let answer = until("the store is open", async || {
            match client.query_figures(request.clone()).await {
                Err(status) if status.code() == Code::Unavailable => None,
                answer => Some(answer.expect("an answer").into_inner()),
            }
        });
        let answer = answer.await;
        figures.total = answer.total;
        figures.left_out = answer.left_out;
        for row in answer.figures {
            let keys = row.keys.into_iter().map(|key| key.value).collect();
            let before = figures.rows.insert(keys, row.count);
            assert_eq!(before, None, "a row stands in one page only");
        }
        if answer.next_page_token.is_empty() {
            return figures;
        }
        request.page_token = answer.next_page_token;
    }
}

/// What `ask` must answer when these incidents are counted.
pub fn count<'a>(incidents: impl Iterator<Item = &'a pb::Incident>) -> Vec<Figures> {
    let incidents: Vec<_> = incidents.collect();
    questions()
        .map(|(basis, by)| {
            let mut figures = Figures::default();
            for incident in incidents.iter().filter(|one| basis_of(one) == basis) {
                figures.add(incident, by);
            }
            figures
        })
        .collect()
}

/// Incidents of both kinds that an answer of `ask` or `count` takes in.
pub fn total(answers: &[Figures]) -> u64 {
    let totals = questions().zip(answers);
    totals
        .filter(|((_, by), _)| by.is_empty())
        .map(|(_, figures)| figures.total)
        .sum()
}

fn questions() -> impl Iterator<Item = (pb::Basis, &'static [pb::Dimension])> {
    let bases = [pb::Basis::SelfReported, pb::Basis::Observed];
    bases
        .into_iter()
        .flat_map(|basis| BREAKDOWNS.into_iter().map(move |by| (basis, by)))
}

fn request(basis: pb::Basis, by: &[pb::Dimension], now: UtcMillis) -> pb::QueryFiguresRequest {
    let hour = |at: i64| Some(timestamp(UtcMillis(at - at.rem_euclid(HOUR_MS))));
    let window = pb::Window {
        start: hour(now.0 - (DAYS_BACK + 2) * DAY_MS),
        end: hour(now.0 + 2 * DAY_MS),
    };
    let filter = pb::Filter {
        basis: basis as i32,
        ..pb::Filter::default()
    };
    let question = pb::Question {
        filter: Some(filter),
        by: by.iter().map(|dimension| *dimension as i32).collect(),
        window: Some(window),
    };
    pb::QueryFiguresRequest {
        question: Some(question),
        ..pb::QueryFiguresRequest::default()
    }
}

impl Figures {
    fn add(&mut self, incident: &pb::Incident, by: &[pb::Dimension]) {
        self.total += 1;
        let mut rows = vec![Vec::new()];
        for dimension in by {
            let keys = keys(incident, *dimension);
            let extend = |row: Vec<String>| {
                let longer = |key: &String| [&row[..], std::slice::from_ref(key)].concat();
                keys.iter().map(longer).collect::<Vec<_>>()
            };
            rows = rows.into_iter().flat_map(extend).collect();
        }
        if rows.is_empty() {
            self.left_out += 1;
        }
        // Without a breakdown there is one row, as long as there is an incident.
        for row in rows {
            *self.rows.entry(row).or_default() += 1;
        }
    }
}

fn basis_of(incident: &pb::Incident) -> pb::Basis {
    if incident.reporter() == pb::ReporterKind::Device {
        pb::Basis::Observed
    } else {
        pb::Basis::SelfReported
    }
}

/// The values of an incident in one dimension.
fn keys(incident: &pb::Incident, dimension: pb::Dimension) -> Vec<String> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match dimension {
        pb::Dimension::Unspecified => Vec::new(),
        pb::Dimension::Operator => {
            let operator = incident.line.split(':').next();
            let of_line = operator.and_then(given);
            of_line.or(given(&incident.operator)).into_iter().collect()
        }
        pb::Dimension::Line => given(&incident.line).into_iter().collect(),
        pb::Dimension::Stop => given(&incident.stop).into_iter().collect(),
        pb::Dimension::Mode => choices::<Mode>(&[incident.mode]),
        pb::Dimension::Cause => {
            let causes: Vec<_> = incident.cause_claims.iter().map(|one| one.cause).collect();
            choices::<Cause>(&causes)
        }
        pb::Dimension::CardKind => choices::<CardKind>(&[incident.card_kind]),
        pb::Dimension::Signal => choices::<Signal>(&[incident.signal]),
        pb::Dimension::StaffAct => choices::<StaffAct>(&incident.staff_acts),
        pb::Dimension::Outcome => choices::<Outcome>(&incident.outcomes),
        pb::Dimension::TapKind => choices::<TapKind>(&[incident.tap_kind]),
        pb::Dimension::HourOfDay => match incident.precision() {
            pb::TimePrecision::Day => Vec::new(),
            _ => vec![local(incident, "%H")],
        },
        pb::Dimension::Weekday => vec![local(incident, "%u")],
        pb::Dimension::Day => vec![local(incident, "%Y-%m-%d")],
        pb::Dimension::Month => vec![local(incident, "%Y-%m")],
    }
}

fn choices<T: Taxonomy>(numbers: &[i32]) -> Vec<String> {
    let known = |number: &i32| T::from_number(u8::try_from(*number).expect("small"));
    let known = numbers.iter().filter_map(known);
    known.map(|value| value.key().to_owned()).collect()
}

/// The time of an incident in Amsterdam.
fn local(incident: &pb::Incident, format: &str) -> String {
    let seconds = incident.occurred_at.as_ref().expect("a time").seconds;
    let zone = TimeZone::get("Europe/Amsterdam").expect("it is built in");
    let at = jiff::Timestamp::from_second(seconds).expect("in range");
    at.to_zoned(zone).strftime(format).to_string()
}

fn timestamp(time: UtcMillis) -> Timestamp {
    let nanos = time.0.rem_euclid(1_000) * 1_000_000;
    Timestamp {
        seconds: time.0.div_euclid(1_000),
        nanos: i32::try_from(nanos).expect("less than a second"),
    }
}
