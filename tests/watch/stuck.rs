//! Watchers of rates who take little and stay behind, each at a state of its own: more than a
//! question's earlier states that are kept.

use std::net::SocketAddr;
use std::time::Duration;

use mistap::api::pb::v1::Dimension;
use mistap::domain::limits::WATCH_STATES_KEPT_MAX;
use tonic::transport::{Channel, Endpoint};

use crate::callers::Caller;
use crate::child::PATIENCE;
use crate::rater::{Rater, position};
use crate::teller::Teller;

/// How long news may take that does not come by every report.
const NEWS: Duration = Duration::from_millis(150);
/// What a server may send to one of them before it reads: less than a message.
const WINDOW: u32 = 16;
const RATERS: usize = WATCH_STATES_KEPT_MAX + 4;

/// Lets them fall behind and come to the end again. Those who are the furthest behind are told the
/// whole state in the middle of their streams; says how many that was told.
pub async fn fall_behind(teller: &mut Teller, steward: &Caller, address: SocketAddr) -> u64 {
    let usual = connect(address, None).await;
    let mut quick = rater(steward, &usual).await;
    let mut slow = Vec::new();
    for _ in 0..RATERS {
        let narrow = connect(address, Some(WINDOW)).await;
        slow.push(rater(steward, &narrow).await);
        let before = quick.counts().clone();
        while *quick.counts() == before {
            teller.tell(&usual, 1).await.expect("the server runs");
            quick.read(NEWS).await;
        }
    }
    let last = position(steward, &usual, teller.now).await;
    for rater in &mut slow {
        rater.settle(&usual, teller.now, last).await;
    }
    slow.iter().map(|rater| rater.snapshots_midway).sum()
}

/// One who has read the first message.
async fn rater(steward: &Caller, channel: &Channel) -> Rater {
    let mut rater = Rater::new(steward, &[Dimension::Line], false);
    let connected = rater.connect(channel.clone()).await;
    connected.expect("the server runs");
    assert!(rater.read(PATIENCE).await, "a snapshot");
    rater
}

async fn connect(address: SocketAddr, window: Option<u32>) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint
        .expect("an address")
        .initial_stream_window_size(window);
    endpoint.connect().await.expect("the server runs")
}
