//! The way from a command to a server.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::failure::{Failure, Kind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Where the server is.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Address of the server
    #[arg(
        long,
        env = "MISTAP_SERVER",
        default_value = "http://127.0.0.1:7070",
        global = true
    )]
    pub server: String,
}

impl ServerArgs {
    /// Connects.
    pub async fn connect(&self) -> Result<Channel, Failure> {
        let endpoint = Endpoint::from_shared(self.server.clone()).map_err(|_| {
            Failure::new(Kind::Refused, "--server is no address")
                .with_hint("an address looks like http://127.0.0.1:7070")
        })?;
        endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .connect()
            .await
            .map_err(|_| Failure::no_server(&self.server))
    }
}
