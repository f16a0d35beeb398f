//! What lies before the trial: a record so old that its first incidents have ended, and tokens
//! that lead nowhere, because they are of before that or of another record.

use std::sync::Arc;
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::app::system_clock;
use mistap::domain::time::DAY_MS;
use mistap::domain::{Position, UtcMillis};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::reports::Reporter;
use crate::support::{Service, until_removed};

/// Single incidents have ended by then, whatever the day of the month.
const AGO_MS: i64 = 400 * DAY_MS;
/// Reports before and after the tokens.
const REPORTS: usize = 20;

/// Tokens that lead nowhere.
pub struct Lost {
    /// Why.
    pub reason: &'static str,
    pub incidents: Vec<u8>,
    pub rates: Vec<u8>,
}

/// A record with an end of incidents behind it, and tokens that are lost to it.
pub async fn record(seed: u64) -> (TempDir, [Lost; 2]) {
    let now = system_clock()();
    let then = UtcMillis(now.0 - AGO_MS);
    let (_, other) = reported(seed, then, "TOKEN_OF_OTHER_JOURNAL").await;
    let (folder, old) = reported(seed, then, "TOKEN_TOO_OLD").await;
    let service = Service::start_with(folder, |settings| {
        settings.clock = Arc::new(move || now);
        settings.retention_look = Duration::from_millis(1);
        settings.edition_look = Duration::from_millis(1);
    })
    .await;
    until_removed(&service, |done| done.incidents != Position(0)).await;
    (service.stop().await, [old, other])
}

async fn reported(seed: u64, now: UtcMillis, reason: &'static str) -> (TempDir, Lost) {
    let folder = TempDir::new().expect("a folder");
    let service = Service::start_with(folder, |settings| {
        settings.clock = Arc::new(move || now);
    })
    .await;
    let channel = service.connect().await;
    let mut reporter = Reporter::new(seed, now);
    report(&channel, &mut reporter).await;
    let lost = tokens(&channel, reason).await;
    report(&channel, &mut reporter).await;
    (service.stop().await, lost)
}

async fn report(channel: &Channel, reporter: &mut Reporter) {
    let incidents = (0..REPORTS).map(|_| reporter.next()).collect();
    let request = pb::ReportIncidentsRequest { incidents };
    let mut client = ReportingServiceClient::new(channel.clone());
    client.report_incidents(request).await.expect("recorded");
}

async fn tokens(channel: &Channel, reason: &'static str) -> Lost {
    let mut client = LiveServiceClient::new(channel.clone());
    let incidents = client.watch_incidents(pb::WatchIncidentsRequest::default());
    let mut incidents = incidents.await.expect("open").into_inner();
    let rates = client.watch_rates(pb::WatchRatesRequest::default());
    let mut rates = rates.await.expect("open").into_inner();
    Lost {
        reason,
        incidents: incidents
            .message()
            .await
            .expect("open")
            .expect("a message")
            .resume_token,
        rates: rates
            .message()
            .await
            .expect("open")
            .expect("a message")
            .resume_token,
    }
}
