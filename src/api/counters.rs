//! What the API counts of itself, for the metrics.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

use super::status::Problem;

/// Smallest bucket of the time until reports are durable, in seconds; each further one is
/// twice as long.
const DURABLE_SECONDS_FIRST: f64 = 0.000_25;
/// Up to eight seconds.
const DURABLE_BUCKETS: u16 = 16;
/// Buckets of reports handed over together: 1, 2, 4 and so on to 1,024.
const TOGETHER_BUCKETS: u16 = 11;

/// Counters of reports, questions, watchers and failures. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counters {
    durable_seconds: Histogram,
    together: Histogram,
    reports: Family<ReportLabels, Counter>,
    /// Of `reports`: looking it up takes a lock that all threads share.
    recorded: Counter,
    questions: Family<QuestionLabels, Counter>,
    tap_counts: Counter,
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
    NotAllowed,
    Limited,
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

impl Default for Counters {
    fn default() -> Self {
        let durable = exponential_buckets(DURABLE_SECONDS_FIRST, 2.0, DURABLE_BUCKETS);
        let reports = Family::<ReportLabels, Counter>::default();
        let result = ReportResult::Recorded;
        Self {
            recorded: reports.get_or_create_owned(&ReportLabels { result }),
            reports,
            durable_seconds: Histogram::new(durable),
            together: Histogram::new(exponential_buckets(1.0, 2.0, TOGETHER_BUCKETS)),
            questions: Family::default(),
            tap_counts: Counter::default(),
            watchers: Gauge::default(),
            streams: Gauge::default(),
            panics: Counter::default(),
        }
    }
}

impl Counters {
    /// New ones, in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        let Self {
            durable_seconds,
            together,
            reports,
            recorded: _,
            questions,
            tap_counts,
            watchers,
            streams,
            panics,
        } = counters.clone();
        let help = "Seconds from a checked report to its answer, durable or refused";
        registry.register("report_seconds", help, durable_seconds);
        registry.register("reports_together", "Reports handed over together", together);
        registry.register("reports", "Reports by result", reports);
        registry.register("questions", "Questions by answer", questions);
        registry.register("tap_counts", "Tap counts recorded", tap_counts);
        registry.register("watchers", "Open watches", watchers);
        registry.register("streams", "Open streams of incidents", streams);
        registry.register("panics", "Calls that ended in a panic", panics);
        counters
    }

    /// Counts reports that were handed over together, and how long they took.
    pub fn submitted(&self, reports: usize, took: Duration) {
        self.durable_seconds.observe(took.as_secs_f64());
        self.together
            .observe(f64::from(u32::try_from(reports).unwrap_or(u32::MAX)));
    }

    /// Counts one accepted report.
    pub fn accepted(&self, repeated: bool) {
        if repeated {
            self.report(ReportResult::Repeated);
        } else {
            self.recorded.inc();
        }
    }

    /// Counts one refused report.
    pub fn refused(&self, problem: &Problem) {
        self.report(match problem.code() {
            Code::InvalidArgument => ReportResult::Invalid,
            Code::AlreadyExists => ReportResult::Conflict,
            Code::PermissionDenied | Code::Unauthenticated => ReportResult::NotAllowed,
            // By what it may send itself, and not by what the service can do.
            Code::ResourceExhausted if problem.is_of_caller() => ReportResult::Limited,
            Code::ResourceExhausted => ReportResult::Busy,
            Code::Unavailable => ReportResult::Unavailable,
            _ => ReportResult::Failed,
        });
    }

    /// Counts tap counts that were recorded.
    pub fn taps_recorded(&self, counts: usize) {
        self.tap_counts.inc_by(counts as u64);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Limited, Whose};

    #[test]
    fn what_a_client_may_not_do_is_told_apart_from_what_the_service_cannot() {
        let check = |problem: Problem, result: ReportResult| {
            let counters = Counters::default();
            counters.refused(&problem);
            let counted = counters.reports.get_or_create(&ReportLabels { result });
            assert_eq!(counted.get(), 1, "{problem:?}");
        };
        let limited = Limited {
            whose: Whose::Address,
            retry_after: Duration::from_secs(1),
        };
        check(Problem::unknown_token(), ReportResult::NotAllowed);
        check(Problem::not_for_role(), ReportResult::NotAllowed);
        check(limited.into(), ReportResult::Limited);
        check(Problem::busy(), ReportResult::Busy);
        check(Problem::stopping(), ReportResult::Unavailable);
        check(Problem::internal(), ReportResult::Failed);
    }
}
