//! What health checks and the health page tell: whether each service does what it is for, and
//! why not.

use tokio::sync::{Mutex, watch};
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::{Live, Networks, Operations, Reports, Statistics};
use crate::api::pb::v1::network_service_server::NetworkServiceServer;
use crate::api::pb::v1::operations_service_server::OperationsServiceServer;
use crate::api::pb::v1::statistics_service_server::StatisticsServiceServer;
use crate::ingest::Paused;

/// The service as a whole, as health checking names it.
const WHOLE_SERVICE: &str = "";

/// What takes in reports and tap counts.
const TAKING_IN: [&str; 2] = [Reports::NAME, OperationsServiceServer::<Operations>::NAME];
const WATCHING: [&str; 1] = [Live::NAME];
const ASKING: [&str; 2] = [
    StatisticsServiceServer::<Statistics>::NAME,
    NetworkServiceServer::<Networks>::NAME,
];

/// Tells health. Nothing serves before it is told so.
pub(super) struct Health {
    reporter: HealthReporter,
    /// Why not all is well, for the health page; `None` if it is.
    trouble: watch::Sender<Option<&'static str>>,
    state: Mutex<State>,
}

/// What is known of the service.
#[derive(Clone, Copy, Default)]
pub(super) struct State {
    /// Whether it has begun, and is not told to stop.
    pub is_up: bool,
    /// The journal can be written no more.
    pub has_record_failed: bool,
    /// Something can be watched no more.
    pub has_live_failed: bool,
    /// Why no reports are taken in for now.
    pub paused: Option<Paused>,
}

impl Health {
    pub fn new(reporter: HealthReporter) -> Self {
        Self {
            reporter,
            trouble: watch::Sender::new(State::default().trouble()),
            state: Mutex::default(),
        }
    }

    /// For the health page.
    pub fn trouble(&self) -> watch::Receiver<Option<&'static str>> {
        self.trouble.subscribe()
    }

    /// Notes a change, and tells it. Changes are told one after the other.
    pub async fn note(&self, change: impl FnOnce(&mut State)) {
        // Held until all is told: else what is told last could be what was known before.
        let mut known = self.state.lock().await;
        change(&mut known);
        let state = *known;
        self.trouble.send_replace(state.trouble());
        let takes_in = state.is_up && !state.has_record_failed && state.paused.is_none();
        self.tell(&TAKING_IN, takes_in).await;
        self.tell(&WATCHING, state.is_up && !state.has_live_failed)
            .await;
        self.tell(&ASKING, state.is_up).await;
        self.tell(&[WHOLE_SERVICE], state.trouble().is_none()).await;
    }

    async fn tell(&self, names: &[&str], is_serving: bool) {
        let status = if is_serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in names {
            self.reporter.set_service_status(*name, status).await;
        }
    }
}

impl State {
    /// Why not all is well, the worst first.
    fn trouble(self) -> Option<&'static str> {
        if !self.is_up {
            return Some("it is starting or stopping");
        }
        if self.has_record_failed {
            return Some("the journal cannot be written");
        }
        match self.paused {
            Some(Paused::DiskLow) => Some("the disk is nearly full"),
            Some(Paused::ClockUnsure) => Some("the clock may be wrong"),
            None => self
                .has_live_failed
                .then_some("something cannot be watched any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn page_says_why_not_all_is_well_and_a_pause_that_ends_hides_no_failure() {
        let health = Health::new(HealthReporter::new());
        let trouble = health.trouble();
        assert!(trouble.borrow().is_some());
        health.note(|state| state.is_up = true).await;
        assert_eq!(*trouble.borrow(), None);
        let pause = |paused| move |state: &mut State| state.paused = paused;
        health.note(pause(Some(Paused::DiskLow))).await;
        assert_eq!(*trouble.borrow(), Some("the disk is nearly full"));
        health.note(|state| state.has_record_failed = true).await;
        health.note(pause(None)).await;
        assert_eq!(*trouble.borrow(), Some("the journal cannot be written"));
        health.note(|state| state.is_up = false).await;
        assert_eq!(*trouble.borrow(), Some("it is starting or stopping"));
    }
}
