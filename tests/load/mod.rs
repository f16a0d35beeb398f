//! Clients that report until their server is gone, keep what was not answered, and send it
//! again to the next one under the same ids.

pub mod teller;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::domain::UtcMillis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::child::{self, Server};
use crate::reports::{self, Reporter, as_kept};
use teller::Teller;

/// Most incidents of one call.
const PER_CALL: usize = 20;
/// Incidents of one stream that are under way at once.
const IN_FLIGHT: usize = 16;
/// How often a report that was answered is sent again.
const AGAIN: f64 = 0.15;
/// Incidents that one client asks for at once.
const GETS_AT_ONCE: usize = 8;

/// How long a server may take to stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);

type Reporting = ReportingServiceClient<Channel>;

/// Counts answers, so that something can happen after a number of them.
#[derive(Default)]
struct Answers {
    count: AtomicU64,
    more: Notify,
}

impl Answers {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.more.notify_one();
    }

    /// Waits for a number of answers. Only one may wait.
    async fn reach(&self, target: u64) {
        while self.count.load(Ordering::Relaxed) < target {
            self.more.notified().await;
        }
    }
}

/// By which call a client reports.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Single,
    Batch,
    Stream,
}

/// A report and, once it came, its answer.
struct Report {
    incident: pb::Incident,
    answer: Option<pb::Accepted>,
}

/// One who reports.
struct Client {
    habit: Habit,
    rng: StdRng,
    reporter: Reporter,
    reports: Vec<Report>,
    /// Reports without an answer that are not under way.
    unanswered: VecDeque<usize>,
    /// By what it noticed that the server is gone.
    noticed: Option<Status>,
}

/// All who report.
pub struct Crowd {
    clients: Vec<Client>,
}

impl Crowd {
    /// Some of each habit.
    pub fn new(seed: u64, now: UtcMillis) -> Self {
        let habits = [Habit::Single, Habit::Batch, Habit::Stream];
        let habits = habits.iter().cycle().take(2 * habits.len());
        let clients = habits.zip(seed..).map(|(habit, seed)| Client {
            habit: *habit,
            rng: StdRng::seed_from_u64(seed),
            reporter: Reporter::new(seed, now),
            reports: Vec::new(),
            unanswered: VecDeque::new(),
            noticed: None,
        });
        Self {
            clients: clients.collect(),
        }
    }

    /// All report; after a number of answers `end` takes the server down under them.
    pub async fn report_until(&mut self, channel: &Channel, answers: u64, end: impl AsyncFnOnce()) {
        let given = Arc::new(Answers::default());
        let mut reporting = pin!(self.report(channel, &given));
        tokio::select! {
            () = given.reach(answers) => {}
            noticed = &mut reporting => panic!("all gave up while the server ran: {noticed:?}"),
        }
        tokio::join!(end(), reporting);
    }

    /// All report until the server is gone. Tells by what each of them noticed.
    async fn report(&mut self, channel: &Channel, answers: &Arc<Answers>) -> Vec<Status> {
        self.each(channel, &Task::Report(Arc::clone(answers))).await;
        let noticed = self.clients.iter_mut();
        noticed.filter_map(|client| client.noticed.take()).collect()
    }

    /// Sends again whatever was not answered, until all is.
    pub async fn finish(&mut self, channel: &Channel) {
        self.each(channel, &Task::Finish).await;
    }

    /// Asks for answered incidents: for all of them, or for one in `part`.
    pub async fn look_back(&mut self, channel: &Channel, part: usize) {
        self.each(channel, &Task::LookBack { part }).await;
        let mut places: Vec<_> = self.answered().map(|(_, answer)| answer.position).collect();
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), count, "every incident has a place of its own");
    }

    /// All that were sent.
    pub fn sent(&self) -> impl Iterator<Item = &pb::Incident> + Clone {
        let reports = self.clients.iter().flat_map(|client| &client.reports);
        reports.map(|report| &report.incident)
    }

    /// All that were answered.
    pub fn answered(&self) -> impl Iterator<Item = (&pb::Incident, &pb::Accepted)> + Clone {
        let reports = self.clients.iter().flat_map(|client| &client.reports);
        reports.filter_map(|report| Some((&report.incident, report.answer.as_ref()?)))
    }

    /// Gives each client the task, all at once. A client's panic goes on here.
    async fn each(&mut self, channel: &Channel, task: &Task) {
        let work = self.clients.drain(..).map(|mut client| {
            let (reporting, task) = (Reporting::new(channel.clone()), task.clone());
            tokio::spawn(async move {
                client.work(reporting, task).await;
                client
            })
        });
        let work: Vec<_> = work.collect();
        for client in work {
            match client.await {
                Ok(client) => self.clients.push(client),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }
}

/// What clients are to do.
#[derive(Clone)]
enum Task {
    Report(Arc<Answers>),
    Finish,
    LookBack { part: usize },
}

impl Client {
    async fn work(&mut self, mut reporting: Reporting, task: Task) {
        match task {
            Task::Report(answers) => {
                self.noticed = Some(self.report(&mut reporting, &answers).await);
                self.unanswered = (0..self.reports.len())
                    .filter(|&index| self.reports[index].answer.is_none())
                    .collect();
            }
            Task::Finish => self.finish(&mut reporting).await,
            Task::LookBack { part } => self.look_back(&mut reporting, part).await,
        }
    }

    async fn report(&mut self, reporting: &mut Reporting, answers: &Answers) -> Status {
        loop {
            let done = match self.habit {
                Habit::Single => self.report_one(reporting, answers).await,
                Habit::Batch => {
                    let count = self.rng.random_range(1..=PER_CALL);
                    let indexes: Vec<_> = (0..count).map(|_| self.next_index()).collect();
                    self.report_several(reporting, &indexes, answers).await
                }
                Habit::Stream => self.report_in_a_stream(reporting, answers).await,
            };
            if let Err(status) = done {
                return status;
            }
        }
    }

    async fn report_one(
        &mut self,
        reporting: &mut Reporting,
        answers: &Answers,
    ) -> Result<(), Status> {
        let index = self.next_index();
        let request = pb::ReportIncidentRequest {
            incident: Some(self.reports[index].incident.clone()),
            ..pb::ReportIncidentRequest::default()
        };
        let response = reporting.report_incident(request).await?.into_inner();
        self.note(index, response.accepted.expect("always there"), answers);
        Ok(())
    }

    async fn report_several(
        &mut self,
        reporting: &mut Reporting,
        indexes: &[usize],
        answers: &Answers,
    ) -> Result<(), Status> {
        let incident = |index: &usize| self.reports[*index].incident.clone();
        let request = pb::ReportIncidentsRequest {
            incidents: indexes.iter().map(incident).collect(),
        };
        let response = reporting.report_incidents(request).await?.into_inner();
        assert_eq!(response.results.len(), indexes.len());
        for (index, result) in indexes.iter().zip(response.results) {
            self.note_result(*index, result, answers)?;
        }
        Ok(())
    }

    async fn report_in_a_stream(
        &mut self,
        reporting: &mut Reporting,
        answers: &Answers,
    ) -> Result<(), Status> {
        let (requests, sent) = mpsc::channel(IN_FLIGHT);
        for _ in 0..IN_FLIGHT {
            let request = self.next_of_stream();
            requests.send(request).await.expect("there is room");
        }
        let response = reporting
            .stream_incidents(ReceiverStream::new(sent))
            .await?;
        let mut results = response.into_inner();
        while let Some(response) = results.next().await {
            let response = response?;
            let index = usize::try_from(response.sequence).expect("as it was sent");
            self.note_result(index, response.result.expect("always there"), answers)?;
            if requests.send(self.next_of_stream()).await.is_err() {
                break;
            }
        }
        Err(Status::unavailable("the stream ended"))
    }

    fn next_of_stream(&mut self) -> pb::StreamIncidentsRequest {
        let index = self.next_index();
        pb::StreamIncidentsRequest {
            incident: Some(Box::new(self.reports[index].incident.clone())),
            sequence: u64::try_from(index).expect("it fits"),
        }
    }

    /// What to send next: what had no answer, sometimes what had one, else a new report.
    fn next_index(&mut self) -> usize {
        if let Some(index) = self.unanswered.pop_front() {
            return index;
        }
        if !self.reports.is_empty() && self.rng.random_bool(AGAIN) {
            return self.rng.random_range(0..self.reports.len());
        }
        let incident = self.reporter.next();
        let answer = None;
        self.reports.push(Report { incident, answer });
        self.reports.len() - 1
    }

    fn note_result(
        &mut self,
        index: usize,
        result: pb::Result,
        answers: &Answers,
    ) -> Result<(), Status> {
        match result.outcome.expect("always there") {
            pb::result::Outcome::Accepted(accepted) => self.note(index, accepted, answers),
            pb::result::Outcome::Refusal(refusal) => {
                return Err(Status::new(Code::from(refusal.code), refusal.message));
            }
        }
        Ok(())
    }

    /// An answer is for ever: a repeat is told the place and the time of the first.
    fn note(&mut self, index: usize, accepted: pb::Accepted, answers: &Answers) {
        let report = &mut self.reports[index];
        assert_eq!(accepted.incident_id, report.incident.incident_id);
        if let Some(first) = &report.answer {
            assert!(accepted.repeated, "it was recorded already: {first:?}");
            assert_eq!(accepted.position, first.position);
            assert_eq!(accepted.received_at, first.received_at);
            return;
        }
        report.answer = Some(accepted);
        answers.add();
    }

    async fn finish(&mut self, reporting: &mut Reporting) {
        let answers = Answers::default();
        let unanswered: Vec<_> = self.unanswered.drain(..).collect();
        for indexes in unanswered.chunks(PER_CALL) {
            let done = self.report_several(reporting, indexes, &answers).await;
            done.expect("the server stays");
        }
    }

    async fn look_back(&self, reporting: &mut Reporting, part: usize) {
        let answered = self.reports.iter().filter(|report| report.answer.is_some());
        let asked = answered.skip(usize::from(part > 1)).step_by(part);
        let asked: Vec<_> = asked.collect();
        for some in asked.chunks(GETS_AT_ONCE) {
            let gets = some.iter().map(|report| get(reporting.clone(), report));
            futures_util::future::join_all(gets).await;
        }
    }
}

/// The incident is there as it was told, in the place that was told.
async fn get(mut reporting: Reporting, report: &Report) {
    let request = pb::GetIncidentRequest {
        incident_id: report.incident.incident_id.clone(),
        incident_secret: report.incident.incident_secret.clone(),
        everything: false,
    };
    let response = reporting.get_incident(request).await;
    let recorded = response
        .expect("an answered incident is there")
        .into_inner();
    let recorded = recorded.recorded.expect("always there");
    let answer = report.answer.as_ref().expect("only answered ones");
    assert_eq!(recorded.position, answer.position);
    assert_eq!(recorded.received_at, answer.received_at);
    assert!(!recorded.withdrawn);
    let mut incident = recorded.incident.expect("always there");
    let mut told = as_kept(&report.incident);
    if told.precision() == pb::TimePrecision::Day {
        // Only its day is kept.
        incident.occurred_at = None;
        told.occurred_at = None;
    }
    assert_eq!(incident, told);
}

/// One record that goes through many ends.
pub struct Trial {
    /// The data folder.
    pub folder: PathBuf,
    /// For what the trial chooses.
    pub rng: StdRng,
    /// Those who report to it.
    pub crowd: Crowd,
    /// Who tells it taps, and takes reports back.
    pub teller: Teller,
    /// Entries between two checkpoints, if not as usual.
    pub checkpoint_entries: Option<u64>,
    now: UtcMillis,
}

impl Trial {
    /// With an empty record.
    pub fn new(folder: &Path, seed: u64) -> Self {
        let now = mistap::app::system_clock()();
        Self {
            folder: folder.to_owned(),
            rng: StdRng::seed_from_u64(seed),
            crowd: Crowd::new(seed, now),
            teller: Teller::new(seed, now),
            checkpoint_entries: None,
            now,
        }
    }

    /// What starts a server.
    pub fn serve(&self) -> tokio::process::Command {
        let mut command = child::serve(&self.folder);
        if let Some(entries) = self.checkpoint_entries {
            command.arg(format!("--checkpoint-entries={entries}"));
        }
        command
    }

    /// Starts a server, whatever the one before left.
    pub async fn start(&self) -> (Server, Channel) {
        let server = Server::start(self.serve()).await;
        let server = server.expect("it starts again");
        let channel = server.connect().await;
        (server, channel)
    }

    /// Those that were sent without an answer may have been recorded, or not.
    pub async fn check_total(&self, channel: &Channel) {
        let figures = reports::ask(channel, self.now).await;
        let total = reports::total(&figures);
        let answered = self.crowd.answered().count() as u64;
        let sent = (self.crowd.sent().count() + self.teller.reports()) as u64;
        assert!(
            (answered..=sent).contains(&total),
            "{answered} of {sent} answered, {total} counted"
        );
    }

    /// Everything is sent until it is answered; then everything is there, and counts once.
    pub async fn settle(&mut self) {
        let (server, channel) = self.start().await;
        self.crowd.finish(&channel).await;
        self.teller.finish(&channel).await;
        self.crowd.look_back(&channel, 1).await;
        self.teller.look_back(&channel, 1).await;
        let figures = reports::ask(&channel, self.now).await;
        assert_eq!(figures, reports::count(self.crowd.sent()));
        drop(channel);
        stop(server).await;
    }

    /// Proves the folder by `mistap verify`.
    pub async fn verify(&self) {
        let mut command = child::mistap();
        command.arg("verify").arg("--data").arg(&self.folder);
        let output = command.output().await.expect("the program can be run");
        assert!(output.status.success(), "{output:?}");
    }
}

/// Stops a server in order, and in time.
pub async fn stop(server: Server) {
    let begun = Instant::now();
    let end = server.terminate().await;
    assert!(end.status.success(), "{end:?}");
    assert!(begun.elapsed() < DRAIN_MAX, "{:?}", begun.elapsed());
}
