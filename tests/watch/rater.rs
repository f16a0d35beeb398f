//! Watchers of rates, each held to what it is promised, and in the end to what a question gives.

use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use mistap::api::pb::v1::watch_rates_response::Update;
use mistap::domain::UtcMillis;
use mistap::domain::time::{DAY_SECONDS, HOUR_SECONDS};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::callers::Caller;
use crate::child::PATIENCE;
use crate::incidents::{check_end, oldest_token};
use crate::rates::{Counts, Mirror, counts, rates};
use crate::sight::{self, cited_place};
use crate::support::once_open;

/// How long a watcher waits for a message that may not come.
const SHORT: Duration = Duration::from_millis(20);

/// Rows, the total of them, and what stands in none.
type Rows = (Counts, u64, u64);

/// A watcher of rates.
pub struct Rater {
    caller: Caller,
    by: Vec<i32>,
    /// Whether it asks for rates beside counts.
    is_rated: bool,
    mirror: Mirror,
    messages: Option<Streaming<pb::WatchRatesResponse>>,
    is_first: bool,
    /// Messages so far.
    pub taken: u64,
    /// Those among them that said that nothing had changed since a stream before.
    pub resumed: u64,
    /// Those among them that told the whole state again, in the middle of a stream.
    pub snapshots_midway: u64,
    /// The number that its figures are cited by.
    cited: u64,
    /// The minute of the newest message.
    as_of: Option<prost_types::Timestamp>,
}

impl Rater {
    pub fn new(caller: &Caller, by: &[pb::Dimension], is_rated: bool) -> Self {
        Self {
            caller: caller.clone(),
            by: by.iter().map(|dimension| *dimension as i32).collect(),
            is_rated,
            mirror: Mirror::default(),
            messages: None,
            is_first: true,
            taken: 0,
            resumed: 0,
            snapshots_midway: 0,
            cited: 0,
            as_of: None,
        }
    }

    /// Breaks off, if it watches.
    pub fn disconnect(&mut self) {
        self.messages = None;
    }

    pub fn is_connected(&self) -> bool {
        self.messages.is_some()
    }

    /// Goes on where it was.
    pub async fn connect(&mut self, channel: Channel) -> Result<(), Status> {
        let opened = self.open(channel, self.mirror.token.clone()).await;
        self.messages = match opened {
            // The store with its taps is still being opened.
            Err(status) if self.is_rated && status.code() == Code::Unavailable => None,
            opened => Some(opened?),
        };
        self.is_first = true;
        Ok(())
    }

    /// Offers a token that leads nowhere, is told so for this reason, and begins anew with the one
    /// that it is told instead.
    pub async fn offer(&mut self, channel: Channel, token: &[u8], reason: &str) {
        self.disconnect();
        let refused = self.open(channel.clone(), token.to_vec()).await;
        self.mirror.token = oldest_token(&refused.expect_err("it leads nowhere"), reason);
        self.connect(channel).await.expect("the server runs");
    }

    async fn open(
        &self,
        channel: Channel,
        resume_token: Vec<u8>,
    ) -> Result<Streaming<pb::WatchRatesResponse>, Status> {
        let request = pb::WatchRatesRequest {
            filter: Some(self.filter()),
            by: self.by.clone(),
            window: Some(prost_types::Duration {
                seconds: DAY_SECONDS,
                nanos: 0,
            }),
            pace: Some(prost_types::Duration {
                seconds: 0,
                nanos: 100_000_000,
            }),
            resume_token,
            rates: self.is_rated.then(pb::RatesRequest::default),
        };
        let mut client = LiveServiceClient::new(self.caller.over(channel));
        Ok(client.watch_rates(request).await?.into_inner())
    }

    /// All that its caller may see.
    fn filter(&self) -> pb::Filter {
        pb::Filter {
            operators: self.caller.operators.clone(),
            ..pb::Filter::default()
        }
    }

    /// Takes one message, if one comes in time. A stream that ended is given up.
    pub async fn read(&mut self, patience: Duration) -> bool {
        let Some(messages) = &mut self.messages else {
            return false;
        };
        match tokio::time::timeout(patience, messages.message()).await {
            Err(_) => false,
            Ok(Ok(Some(message))) => {
                self.take(&message);
                true
            }
            Ok(Ok(None)) => {
                self.messages = None;
                false
            }
            Ok(Err(status)) => {
                self.messages = None;
                check_end(&status);
                false
            }
        }
    }

    fn take(&mut self, message: &pb::WatchRatesResponse) {
        let verdict = self.mirror.take(message, self.is_first);
        assert_eq!(verdict, Ok(()), "{message:?}");
        if self.caller.is_operator() {
            let own = &self.caller.operators;
            let verdict = sight::hold(&sight::OF_RATES, message, own);
            assert_eq!(verdict, Ok(()), "{message:?}");
        } else {
            assert_eq!(message.cited_position, message.position);
        }
        let is_due = self.is_first || self.as_of != message.as_of;
        let place = is_due.then_some(message.cited_position);
        assert_eq!(cited_place(message), place, "cited: {message:?}");
        let is_whole = matches!(message.update, Some(Update::Snapshot(_)));
        self.snapshots_midway += u64::from(is_whole && !self.is_first);
        self.resumed += u64::from(matches!(message.update, Some(Update::Resumed(_))));
        self.as_of = message.as_of;
        self.cited = message.cited_position;
        self.is_first = false;
        self.taken += 1;
    }

    /// Reads until its state is what a question gives of everything that was told, which nobody
    /// adds to any more, and where it is told places is said to be of the last report or later.
    pub async fn settle(&mut self, channel: &Channel, now: UtcMillis, last: u64) {
        let answer = ask(&self.caller, channel, self.filter(), &self.by, now).await;
        let expected = (counts(&answer.figures), answer.total, answer.left_out);
        self.arrive(channel, &expected).await;
        let reading = async {
            // A withdrawal of a report without a minute changes no row, and a rate some time later.
            while self.state() != expected
                || !self.has_reached(last)
                || self.other_rates(channel).await.is_some()
            {
                if self.messages.is_none() {
                    let connected = self.connect(channel.clone()).await;
                    connected.expect("the server runs");
                }
                // Where no row changed, only a new stream says so at once.
                if !self.read(SHORT).await {
                    self.messages = None;
                }
            }
        };
        let settled = tokio::time::timeout(PATIENCE, reading).await;
        let place = self.mirror.position;
        let state = self.state();
        assert!(
            settled.is_ok(),
            "{state:?} at {place} is not {expected:?} at {last}, or of other rates: {:?}",
            self.other_rates(channel).await
        );
        self.ask_as_cited(channel, now).await;
    }

    /// Reads its stream, for as long as that is open, until it brought these rows: a new stream
    /// would begin with them whatever the open one tells.
    async fn arrive(&mut self, channel: &Channel, expected: &Rows) {
        let arriving = async {
            while self.state() != *expected {
                if self.messages.is_none() {
                    let connected = self.connect(channel.clone()).await;
                    connected.expect("the server runs");
                }
                self.read(PATIENCE).await;
            }
        };
        let arrived = tokio::time::timeout(PATIENCE, arriving).await;
        let state = self.state();
        assert!(arrived.is_ok(), "{state:?} is not {expected:?}");
    }

    /// The rows that it has.
    pub fn counts(&self) -> &Counts {
        &self.mirror.counts
    }

    fn has_reached(&self, last: u64) -> bool {
        self.caller.is_operator() || last <= self.mirror.position
    }

    fn state(&self) -> Rows {
        let mirror = &self.mirror;
        (mirror.counts.clone(), mirror.total, mirror.left_out)
    }

    /// What a question over the same hours gives in place of its rates, where they differ.
    async fn other_rates(&self, channel: &Channel) -> Option<String> {
        if !self.is_rated {
            return None;
        }
        let window = self.mirror.rated.expect("taps were told");
        let request = question(self.filter(), &self.by, window, true);
        let answer = asked(&self.caller, channel, request).await;
        let asked = rates(&answer.figures);
        assert!(asked.values().any(|rate| 0 < rate.taps), "{asked:?}");
        let total = (&self.mirror.total_rate, &answer.total_rate);
        let own = asked
            .iter()
            .map(|(key, rate)| (self.mirror.rates.get(key), Some(rate)));
        let differ = |(own, asked): &(Option<&pb::Rate>, Option<&pb::Rate>)| own != asked;
        let totals = std::iter::once((total.0.as_ref(), total.1.as_ref()));
        let found = totals.chain(own).find(differ);
        found.map(|(own, asked)| format!("{own:?} in place of {asked:?}"))
    }

    /// What its figures are cited by leads back to them, row by row.
    async fn ask_as_cited(&self, channel: &Channel, now: UtcMillis) {
        let request = pb::QueryFiguresRequest {
            as_of_position: Some(self.cited),
            ..question(self.filter(), &self.by, days_around(now), false)
        };
        let answer = asked(&self.caller, channel, request).await;
        let asked = (counts(&answer.figures), answer.total, answer.left_out);
        assert_eq!(asked, self.state(), "as of {}", self.cited);
    }
}

/// Where the journal is.
pub async fn position(steward: &Caller, channel: &Channel, now: UtcMillis) -> u64 {
    let filter = pb::Filter::default();
    ask(steward, channel, filter, &[], now).await.position
}

/// What a question gives of everything.
async fn ask(
    caller: &Caller,
    channel: &Channel,
    filter: pb::Filter,
    by: &[i32],
    now: UtcMillis,
) -> pb::QueryFiguresResponse {
    let request = question(filter, by, days_around(now), false);
    asked(caller, channel, request).await
}

/// Whole days around a time.
fn days_around(now: UtcMillis) -> pb::Window {
    let begin = now.0 / 1_000 / HOUR_SECONDS * HOUR_SECONDS - 2 * DAY_SECONDS;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    pb::Window {
        start: at(begin),
        end: at(begin + 4 * DAY_SECONDS),
    }
}

fn question(
    filter: pb::Filter,
    by: &[i32],
    window: pb::Window,
    is_rated: bool,
) -> pb::QueryFiguresRequest {
    pb::QueryFiguresRequest {
        question: Some(pb::Question {
            filter: Some(filter),
            by: by.to_vec(),
            window: Some(window),
        }),
        rates: is_rated.then(pb::RatesRequest::default),
        page_size: 10_000,
        ..pb::QueryFiguresRequest::default()
    }
}

async fn asked(
    caller: &Caller,
    channel: &Channel,
    request: pb::QueryFiguresRequest,
) -> pb::QueryFiguresResponse {
    let mut client = StatisticsServiceClient::new(caller.over(channel.clone()));
    let answer = once_open(async || client.query_figures(request.clone()).await);
    answer.await.expect("an answer")
}
