//! The way from a command to a server.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::Endpoint;
use zeroize::Zeroizing;

use super::failure::{Failure, Kind};
use crate::client::{Bearer, Connection};
use crate::config::EVERYWHERE;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const NO_TOKEN: &str = "the token cannot be had from its file";
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Where the server is.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Address of the server
    #[arg(
        long,
        global = true,
        env = "MISTAP_SERVER",
        default_value = "http://127.0.0.1:7070",
        help_heading = EVERYWHERE,
        value_parser = parse_server
    )]
    pub server: String,
    /// Token to call with; other users of this machine can see it among your processes, so
    /// that --token-file or the variable is better
    #[arg(
        long,
        global = true,
        env = "MISTAP_TOKEN",
        hide_env_values = true,
        help_heading = EVERYWHERE,
        value_parser = Bearer::new
    )]
    pub token: Option<Bearer>,
    /// File that holds the token to call with
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MISTAP_TOKEN_FILE",
        help_heading = EVERYWHERE,
        conflicts_with = "token"
    )]
    pub token_file: Option<PathBuf>,
}

impl ServerArgs {
    /// Of a server at this address, without a token.
    pub fn at(server: String) -> Self {
        Self {
            server,
            token: None,
            token_file: None,
        }
    }

    /// Connects.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let bearer = self.bearer()?;
        let connecting = self.endpoint()?;
        let connected = connecting.connect().await;
        let channel = connected.map_err(|_| Failure::no_server(&self.server))?;
        Ok(bearer.over(channel))
    }

    /// The token to call with.
    pub fn bearer(&self) -> Result<Bearer, Failure> {
        let Some(file) = &self.token_file else {
            return Ok(self.token.clone().unwrap_or_default());
        };
        let refused = |error: &dyn Error| Failure::caused(Kind::Refused, NO_TOKEN, error);
        let text = Zeroizing::new(std::fs::read_to_string(file).map_err(|error| refused(&error))?);
        Bearer::new(&text).map_err(|error| refused(&error))
    }

    /// How to connect.
    pub fn endpoint(&self) -> Result<Endpoint, Failure> {
        let endpoint = Endpoint::from_shared(self.server.clone()).map_err(|_| {
            Failure::new(Kind::Refused, "--server is no address")
                .with_hint("an address looks like http://127.0.0.1:7070")
        })?;
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL))
    }
}

/// An address, `http://` put in front where nothing is.
fn parse_server(text: &str) -> Result<String, String> {
    let address = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let is_server = address.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("http")
            && uri.port().is_some()
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_server {
        Ok(address)
    } else {
        Err("an address looks like http://127.0.0.1:7070".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_may_lack_its_scheme_but_not_its_port() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(parse_server(text).ok().as_deref(), expected, "{text}");
        };
        check("localhost:7070", Some("http://localhost:7070"));
        check("http://[::1]:7070", Some("http://[::1]:7070"));
        for wrong in [
            "nonsense",
            "",
            "https://127.0.0.1:7070",
            "http://:7070",
            "a b:1",
        ] {
            check(wrong, None);
        }
    }
}
