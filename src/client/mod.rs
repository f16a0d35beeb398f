//! A client of the live streams that does what every client should.
//!
//! It keeps the token of the newest message and resumes with it when the connection or the
//! server is gone; waits as long as the server says, or longer and longer, and never all
//! clients at the same moment; takes a connection for dead on which two heartbeats are missed;
//! and tells since when nothing was heard. What it brings of incidents, pieced together, has
//! no gap and no repeat; what it brings of rates always leads to the newest state.
//!
//! ```no_run
//! use mistap::api::pb::v1::WatchIncidentsRequest;
//! use mistap::client::{Bearer, FollowError, Follower, Heard, Incidents};
//! use tonic::transport::Endpoint;
//!
//! # async fn follow() -> Result<(), FollowError> {
//! let endpoint = Endpoint::from_static("http://127.0.0.1:7070");
//! let request = WatchIncidentsRequest::default();
//! let mut follower = Follower::<Incidents>::new(endpoint, Bearer::default(), request);
//! loop {
//!     match follower.next().await? {
//!         Heard::Message(message) => println!("{:?}", message.update),
//!         Heard::Lost(lost) => eprintln!("lost, again at {:?}", lost.again_at),
//!     }
//! }
//! # }
//! ```

mod backoff;
mod bearer;
mod follower;
mod kinds;
mod moment;

pub(crate) use backoff::Backoff;
pub use bearer::{Bearer, Connection, InvalidToken};
pub use follower::{FollowError, Follower, Heard, Lost};
pub(crate) use follower::{advice, chance, is_local};
pub use kinds::{Incidents, Kind, Rates, Report};
pub use moment::Moment;
