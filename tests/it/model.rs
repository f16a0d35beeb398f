//! A random run of reports, repeats, conflicts, withdrawals, questions, restarts and crashes
//! agrees with a plain map.

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::domain::{IncidentId, IncidentSecret};
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

use crate::recovery::copy_all;
use crate::reports::{self, Reporter, as_kept, ask};
use crate::support::{START, Service, at};

const CASES: u32 = 6;
const STEPS: usize = 24;
const REPORTS_MAX: usize = 80;

#[derive(Clone, Debug)]
enum Step {
    /// Some new incidents in one call.
    Report(usize),
    /// One that was reported before, as it was.
    Repeat(Index),
    /// The same without its card, by a clock that was set meanwhile.
    RepeatLater(Index),
    /// Another content under its id.
    Conflict(Index),
    /// Its content with another secret.
    Impostor(Index),
    Withdraw(Index),
    Get(Index),
    Ask,
    Restart,
    /// What a process that is killed at this moment leaves on the disk.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<Index>;
    let step = prop_oneof![
        4 => (1..REPORTS_MAX).prop_map(Step::Report),
        2 => index().prop_map(Step::Repeat),
        1 => index().prop_map(Step::RepeatLater),
        1 => index().prop_map(Step::Conflict),
        1 => index().prop_map(Step::Impostor),
        3 => index().prop_map(Step::Withdraw),
        2 => index().prop_map(Step::Get),
        2 => Just(Step::Ask),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..STEPS)
}

/// How every run ends: with a step of each kind.
fn last_steps(index: Index) -> [Step; 9] {
    [
        Step::Report(1),
        Step::Repeat(index),
        Step::RepeatLater(index),
        Step::Conflict(index),
        Step::Impostor(index),
        Step::Withdraw(index),
        Step::Crash,
        Step::Restart,
        Step::Get(index),
    ]
}

/// What must be known of one incident.
struct Known {
    incident: pb::Incident,
    answer: pb::Accepted,
    is_withdrawn: bool,
}

/// The service and, beside it, what it must say.
struct Run {
    service: Service,
    channel: Channel,
    reporter: Reporter,
    known: Vec<Known>,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let service = Service::start().await;
        Self {
            channel: service.connect().await,
            service,
            reporter: Reporter::new(seed, START),
            known: Vec::new(),
        }
    }

    async fn step(mut self, step: Step) -> Self {
        match step {
            Step::Report(count) => self.report(count).await,
            Step::Repeat(index) => self.repeat(index, |_| {}).await,
            Step::RepeatLater(index) => {
                let later = |incident: &mut pb::Incident| {
                    incident.card_number.clear();
                    incident.device_time = at(START);
                };
                self.repeat(index, later).await;
            }
            Step::Conflict(index) => {
                self.conflict(index, |incident| incident.note += "!").await;
            }
            Step::Impostor(index) => {
                self.conflict(index, |incident| incident.incident_secret[0] ^= 1)
                    .await;
            }
            Step::Withdraw(index) => self.withdraw(index).await,
            Step::Get(index) => self.get(index).await,
            Step::Ask => self.ask().await,
            Step::Restart => return self.restart().await,
            Step::Crash => return self.crash().await,
        }
        self
    }

    fn client(&self) -> ReportingServiceClient<Channel> {
        ReportingServiceClient::new(self.channel.clone())
    }

    fn pick(&self, index: Index) -> Option<usize> {
        (!self.known.is_empty()).then(|| index.index(self.known.len()))
    }

    async fn report(&mut self, count: usize) {
        let incidents: Vec<_> = (0..count).map(|_| self.reporter.next()).collect();
        let request = pb::ReportIncidentsRequest {
            incidents: incidents.clone(),
        };
        let response = self.client().report_incidents(request).await;
        let results = response.expect("answered").into_inner().results;
        assert_eq!(results.len(), count);
        for (incident, result) in incidents.into_iter().zip(results) {
            let Some(pb::result::Outcome::Accepted(answer)) = result.outcome else {
                panic!("refused: {result:?}");
            };
            assert!(!answer.repeated);
            self.known.push(Known {
                incident,
                answer,
                is_withdrawn: false,
            });
        }
    }

    async fn send_changed(
        &self,
        known: &Known,
        change: impl FnOnce(&mut pb::Incident),
    ) -> Result<pb::Accepted, tonic::Status> {
        let mut incident = known.incident.clone();
        change(&mut incident);
        let request = pb::ReportIncidentRequest {
            incident: Some(incident),
            ..pb::ReportIncidentRequest::default()
        };
        let response = self.client().report_incident(request).await?.into_inner();
        Ok(response.accepted.expect("always there"))
    }

    async fn repeat(&self, index: Index, change: impl FnOnce(&mut pb::Incident)) {
        let Some(index) = self.pick(index) else {
            return;
        };
        let known = &self.known[index];
        let answer = self.send_changed(known, change).await.expect("a repeat");
        assert!(answer.repeated);
        assert_eq!(answer.position, known.answer.position);
        assert_eq!(answer.received_at, known.answer.received_at);
        assert_eq!(answer.line_match, known.answer.line_match);
        assert_eq!(answer.stop_match, known.answer.stop_match);
    }

    async fn conflict(&self, index: Index, change: impl FnOnce(&mut pb::Incident)) {
        let Some(index) = self.pick(index) else {
            return;
        };
        let refused = self.send_changed(&self.known[index], change).await;
        assert_eq!(refused.expect_err("a conflict").code(), Code::AlreadyExists);
    }

    async fn withdraw(&mut self, index: Index) {
        let Some(index) = self.pick(index) else {
            return;
        };
        let known = &mut self.known[index];
        let id: IncidentId = known.incident.incident_id.parse().expect("an id");
        let secret = IncidentSecret::parse(&known.incident.incident_secret);
        let secret = secret.expect("32 bytes").expect("not empty");
        let withdrawn = self.service.ingest().withdraw(id, &secret).await;
        withdrawn.expect("it can be withdrawn, again too");
        known.is_withdrawn = true;
    }

    async fn get(&self, index: Index) {
        let Some(index) = self.pick(index) else {
            return;
        };
        let known = &self.known[index];
        let mut request = pb::GetIncidentRequest {
            incident_id: known.incident.incident_id.clone(),
            incident_secret: known.incident.incident_secret.clone(),
            everything: false,
        };
        let response = self.client().get_incident(request.clone()).await;
        let recorded = response.expect("it is there").into_inner().recorded;
        let recorded = recorded.expect("always there");
        assert_eq!(recorded.position, known.answer.position);
        assert_eq!(recorded.withdrawn, known.is_withdrawn);
        assert_eq!(recorded.card_given, !known.incident.card_number.is_empty());
        let kept = pb::Incident {
            occurred_at: None,
            ..recorded.incident.expect("always there")
        };
        let told = pb::Incident {
            occurred_at: None,
            ..as_kept(&known.incident)
        };
        assert_eq!(kept, told);

        request.incident_secret[31] ^= 1;
        let refused = self.client().get_incident(request).await;
        assert_eq!(refused.expect_err("not its secret").code(), Code::NotFound);
    }

    async fn ask(&self) {
        let counted = self.known.iter().filter(|known| !known.is_withdrawn);
        let counted = counted.map(|known| &known.incident);
        assert_eq!(ask(&self.channel, START).await, reports::count(counted));
    }

    async fn restart(self) -> Self {
        drop(self.channel);
        let folder = self.service.stop().await;
        Self::begin(folder, self.reporter, self.known).await
    }

    async fn crash(self) -> Self {
        let folder = TempDir::new().expect("a folder");
        copy_all(self.service.folder(), folder.path());
        drop(self.channel);
        self.service.stop().await;
        Self::begin(folder, self.reporter, self.known).await
    }

    async fn begin(folder: TempDir, reporter: Reporter, known: Vec<Known>) -> Self {
        let service = Service::start_in(folder).await;
        Self {
            channel: service.connect().await,
            service,
            reporter,
            known,
        }
    }
}

fn config() -> ProptestConfig {
    let usual = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return usual;
    }
    ProptestConfig {
        cases: CASES,
        ..usual
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_run_agrees_with_a_plain_map(
        steps in steps(),
        last in any::<Index>(),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::new(seed).await;
            for step in steps.into_iter().chain(last_steps(last)) {
                run = run.step(step).await;
            }
            run.ask().await;
            drop(run.channel);
            run.service.stop().await;
        });
    }
}
