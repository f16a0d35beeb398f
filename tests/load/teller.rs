//! One who tells tap counts, and takes back and erases reports of its own, until the server is
//! gone. What was answered of it holds for ever; what was not may have been done, or not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mistap::api::pb::v1 as pb;
use mistap::domain::UtcMillis;
use mistap::domain::time::HOUR_MS;
use mistap::network::Network;
use pb::operations_service_client::OperationsServiceClient;
use pb::reporting_service_client::ReportingServiceClient;
use prost_types::Timestamp;
use tonic::Status;
use tonic::transport::Channel;

use super::DRAIN_MAX;
use crate::reports::{Reporter, feed_of_stops};

const STOPS: u64 = 3;
const HOURS: u64 = 40;
/// How often taps are told for each report that is taken back.
const TELLINGS: u64 = 5;
/// Unlike those of any other who reports.
const SEED_APART: u64 = 1_000_000;

/// A stop, and the beginning of an hour.
type Place = (String, i64);

/// The last two numbers told of one stop and hour.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    answered: u64,
    sent: u64,
}

/// A report of its own, and what of it was answered.
struct Case {
    incident: pb::Incident,
    is_withdrawn: bool,
    is_erased: bool,
}

/// Tells taps, takes back and erases.
pub struct Teller {
    now: UtcMillis,
    reporter: Reporter,
    /// How often taps were told.
    steps: u64,
    taps: BTreeMap<Place, Told>,
    cases: Vec<Case>,
}

impl Teller {
    /// Who has told nothing.
    pub fn new(seed: u64, now: UtcMillis) -> Self {
        Self {
            now,
            reporter: Reporter::new(seed.wrapping_add(SEED_APART), now),
            steps: 0,
            taps: BTreeMap::new(),
            cases: Vec::new(),
        }
    }

    /// Goes on until the server is gone.
    pub async fn go_on(&mut self, channel: &Channel) {
        while self.step(channel).await.is_ok() {}
    }

    async fn step(&mut self, channel: &Channel) -> Result<(), Status> {
        for _ in 0..TELLINGS {
            self.steps += 1;
            self.tell_taps(channel).await?;
        }
        let case = Case {
            incident: self.reporter.next(),
            is_withdrawn: false,
            is_erased: false,
        };
        self.cases.push(case);
        let case = self.cases.last_mut().expect("pushed");
        case.take_back(channel).await
    }

    /// Always a higher number than before, so that an old one is known.
    async fn tell_taps(&mut self, channel: &Channel) -> Result<(), Status> {
        let place = place_of_step(self.steps, self.now);
        let told = self.taps.entry(place.clone()).or_default();
        told.sent = self.steps;
        let request = pb::RecordTapCountsRequest {
            feed: Some(feed_of_stops()),
            counts: vec![count(place, told.sent)],
        };
        let mut client = OperationsServiceClient::new(channel.clone());
        let results = client
            .record_tap_counts(request)
            .await?
            .into_inner()
            .results;
        assert!(matches!(
            results[0].outcome,
            Some(pb::tap_count_result::Outcome::Recorded(_))
        ));
        told.answered = told.sent;
        Ok(())
    }

    /// How often it told taps.
    pub fn tellings(&self) -> u64 {
        self.steps
    }

    /// How many reports of its own it sent.
    pub fn reports(&self) -> usize {
        self.cases.len()
    }

    /// Takes back whatever is not, so that no report of its own counts.
    pub async fn finish(&mut self, channel: &Channel) {
        for case in &mut self.cases {
            let done = case.take_back(channel).await;
            done.expect("the server stays");
        }
    }

    /// What was answered is so.
    pub async fn look_back(&self, channel: &Channel, part: usize) {
        let mut client = ReportingServiceClient::new(channel.clone());
        let answered = self.cases.iter().filter(|case| case.is_withdrawn);
        for case in answered.step_by(part) {
            let request = pb::GetIncidentRequest {
                incident_id: case.incident.incident_id.clone(),
                incident_secret: case.incident.incident_secret.clone(),
                everything: false,
            };
            let response = client.get_incident(request).await.expect("it is there");
            let recorded = response.into_inner().recorded.expect("always there");
            assert!(recorded.withdrawn, "it was taken back");
            assert!(
                !case.is_erased || recorded.erased_at.is_some(),
                "it was erased"
            );
        }
    }

    /// The folder of a server that is gone has the taps that were answered last, or sent since.
    pub fn check_taps(&self, folder: &Path) {
        let kept = kept_taps(folder, self.now);
        for (place, told) in &self.taps {
            let taps = kept.get(place).copied().unwrap_or(0);
            assert!(
                (told.answered..=told.sent).contains(&taps),
                "{place:?}: {taps}, not {told:?}"
            );
        }
    }
}

impl Case {
    /// Reports, withdraws and erases, as far as it was not answered.
    async fn take_back(&mut self, channel: &Channel) -> Result<(), Status> {
        let mut client = ReportingServiceClient::new(channel.clone());
        let incident_id = self.incident.incident_id.clone();
        let incident_secret = self.incident.incident_secret.clone();
        if !self.is_withdrawn {
            let request = pb::ReportIncidentRequest {
                incident: Some(self.incident.clone()),
                ..pb::ReportIncidentRequest::default()
            };
            client.report_incident(request).await?;
            let request = pb::WithdrawIncidentRequest {
                incident_id: incident_id.clone(),
                incident_secret: incident_secret.clone(),
            };
            client.withdraw_incident(request).await?;
            self.is_withdrawn = true;
        }
        if !self.is_erased {
            let request = pb::EraseIncidentRequest {
                incident_id,
                incident_secret,
            };
            client.erase_incident(request).await?;
            self.is_erased = true;
        }
        Ok(())
    }
}

/// The taps in the folder of a server that is gone.
pub fn kept_taps(folder: &Path, now: UtcMillis) -> BTreeMap<Place, u64> {
    let network = Arc::new(Network::built_in());
    let running = mistap::ingest::start(folder, network, move || now).expect("it starts");
    running.wait_for_store();
    let (view, ()) = running.ledger.tap_view(|_| ()).expect("the store is open");
    let reader = view.reader();
    let mut kept = BTreeMap::new();
    for book in view.book.feeds().iter().take(1) {
        for (day, told) in book.days() {
            let begin = i64::from(book.feed().hours(*day).0) * HOUR_MS;
            let each = |scope: u32, slot: u8, taps: u32| {
                let (_, stop) = book.scopes()[scope as usize];
                let stop = view.dictionary.stop(stop).expect("a stop").to_string();
                kept.insert((stop, begin + i64::from(slot) * HOUR_MS), u64::from(taps));
            };
            let read = reader.each_count(0, book.feed().interval, *day, &told.chunks, each);
            read.expect("whole");
        }
    }
    drop(view);
    // Nobody has a file of it open from here on.
    running.stop(DRAIN_MAX).expect("it stops");
    kept
}

/// Of which stop and hour taps are told the first, second and so on time.
pub fn place_of_step(step: u64, now: UtcMillis) -> Place {
    let hour = i64::try_from(step / STOPS % HOURS).expect("few");
    let start = (now.0 / HOUR_MS - 2 - hour) * HOUR_MS;
    (format!("stop-{}", step % STOPS), start)
}

/// Taps of a stop and hour.
pub fn count((stop_id, start): Place, taps: u64) -> pb::TapCount {
    pb::TapCount {
        stop_id,
        start: Some(Timestamp {
            seconds: start / 1_000,
            nanos: 0,
        }),
        taps,
        ..pb::TapCount::default()
    }
}
