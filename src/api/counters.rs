//! What the API counts of itself, for the metrics.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::status::Problem;

/// Counters of reports, questions, watchers and failures. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    reports: Family<ReportLabels, Counter>,
    questions: Family<QuestionLabels, Counter>,
    /// Open watches.
    pub watchers: Gauge,
    /// Open streams of incidents.
    pub streams: Gauge,
    /// Calls that ended in a panic.
    pub panics: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReportLabels {
    result: ReportResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum ReportResult {
    Recorded,
    Repeated,
    Invalid,
    Conflict,
    Busy,
    Unavailable,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuestionLabels {
    answered: Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Answered {
    FromTallies,
    ByScan,
    Refused,
}

impl Counters {
    /// New ones, in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        let mut add = |name: &str, help: &str, metric: Counter| {
            registry.register(name, help, metric);
        };
        add(
            "panics",
            "Calls that ended in a panic",
            counters.panics.clone(),
        );
        registry.register("reports", "Reports by result", counters.reports.clone());
        registry.register(
            "questions",
            "Questions by answer",
            counters.questions.clone(),
        );
        registry.register("watchers", "Open watches", counters.watchers.clone());
        registry.register(
            "streams",
            "Open streams of incidents",
            counters.streams.clone(),
        );
        counters
    }

    /// Counts one accepted report.
    pub fn accepted(&self, repeated: bool) {
        self.report(if repeated {
            ReportResult::Repeated
        } else {
            ReportResult::Recorded
        });
    }

    /// Counts one refused report.
    pub fn refused(&self, problem: &Problem) {
        self.report(match problem.code() {
            Code::InvalidArgument => ReportResult::Invalid,
            Code::AlreadyExists => ReportResult::Conflict,
            Code::ResourceExhausted => ReportResult::Busy,
            Code::Unavailable => ReportResult::Unavailable,
            _ => ReportResult::Failed,
        });
    }

    /// Counts one answered question.
    pub fn answered(&self, from_tallies: bool) {
        self.question(if from_tallies {
            Answered::FromTallies
        } else {
            Answered::ByScan
        });
    }

    /// Counts one refused question.
    pub fn question_refused(&self) {
        self.question(Answered::Refused);
    }

    fn report(&self, result: ReportResult) {
        self.reports.get_or_create(&ReportLabels { result }).inc();
    }

    fn question(&self, answered: Answered) {
        let labels = QuestionLabels { answered };
        self.questions.get_or_create(&labels).inc();
    }
}

/// Counts as one as long as it lives.
#[derive(Debug)]
pub struct Open(Gauge);

impl Open {
    /// Counts one more.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
