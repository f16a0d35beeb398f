//! The way from a command to a server.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use tonic::transport::{ClientTlsConfig, Endpoint};
use zeroize::Zeroizing;

use super::failure::{Failure, Kind};
use super::output::file_name;
use crate::client::{Bearer, Connection};
use crate::config::EVERYWHERE;

const SERVER_DEFAULT: &str = "http://127.0.0.1:7070";
const ADDRESSES: &str = "an address looks like http://127.0.0.1:7070, or https://mistap.example behind a proxy with TLS";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Where the server is.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Address of the server
    #[arg(
        long,
        global = true,
        env = "MISTAP_SERVER",
        default_value = SERVER_DEFAULT,
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
    /// File that holds the token to call with. What is typed goes before variables, and of those
    /// the file goes first
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MISTAP_TOKEN_FILE",
        help_heading = EVERYWHERE
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

    /// Leaves out a variable's token where one is typed: a variable is there for all commands, and
    /// no mistake in one. Two that are typed are too many.
    pub fn choose_token(&mut self, typed: &ArgMatches) -> Result<(), clap::Error> {
        let is_typed = |id| typed.value_source(id) == Some(ValueSource::CommandLine);
        match (is_typed("token"), is_typed("token_file")) {
            (true, true) => {
                let message = "--token cannot be used with --token-file\n";
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
            }
            (true, false) => self.token_file = None,
            // A file goes before a token where both are there.
            (false, _) => {}
        }
        Ok(())
    }

    /// The flag that names it, with a space before it, for commands that are printed to be typed;
    /// nothing for the usual one.
    pub fn flag(&self) -> String {
        match self.server.as_str() {
            SERVER_DEFAULT => String::new(),
            server => format!(" --server {server}"),
        }
    }

    /// Connects.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let bearer = self.bearer()?;
        let connecting = self.endpoint()?;
        let connected = connecting.connect().await;
        let channel = connected.map_err(|error| self.unreached(&error))?;
        Ok(bearer.over(channel))
    }

    /// Why there is no connection. Behind TLS it is seldom that nobody listens.
    pub fn unreached(&self, error: &(dyn Error + 'static)) -> Failure {
        let first = error.source().filter(|_| self.is_secure());
        let causes = std::iter::successors(first, |cause| (*cause).source());
        match causes.last() {
            Some(cause) => Failure::caused(
                Kind::TryAgain,
                format!("no TLS with {}", self.server),
                cause,
            )
            .with_hint("where its certificate is your own, SSL_CERT_FILE names whom to trust"),
            None => Failure::no_server(&self.server),
        }
    }

    fn is_secure(&self) -> bool {
        let scheme = self.server.get(.."https:".len());
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// The token to call with.
    pub fn bearer(&self) -> Result<Bearer, Failure> {
        let Some(file) = &self.token_file else {
            return Ok(self.token.clone().unwrap_or_default());
        };
        let name = file_name(file);
        let refused = |error: &dyn Error| {
            let message = format!("the token cannot be had from the file {name}");
            Failure::caused(Kind::Refused, message, error)
        };
        let text = Zeroizing::new(std::fs::read_to_string(file).map_err(|error| refused(&error))?);
        if text.trim().is_empty() {
            let message = format!("the file {name} is empty: it must hold the token");
            return Err(Failure::new(Kind::Refused, message));
        }
        Bearer::new(&text).map_err(|error| refused(&error))
    }

    /// How to connect.
    pub fn endpoint(&self) -> Result<Endpoint, Failure> {
        let endpoint = Endpoint::from_shared(self.server.clone()).map_err(|_| {
            Failure::new(Kind::Refused, "--server is no address").with_hint(ADDRESSES)
        })?;
        // Whom the system trusts, or `SSL_CERT_FILE` names.
        let tls = ClientTlsConfig::new().with_native_roots();
        let endpoint = if self.is_secure() {
            endpoint
                .tls_config(tls)
                .map_err(|error| Failure::caused(Kind::Refused, "TLS cannot be spoken", &error))?
        } else {
            endpoint
        };
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL))
    }
}

/// An address, `http://` put in front where nothing is. Behind a proxy with TLS, which listens at
/// the port that is known for it, none need be told.
fn parse_server(text: &str) -> Result<String, String> {
    let address = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let is_server = address.parse::<http::Uri>().is_ok_and(|uri| {
        let is_whole = match uri.scheme_str() {
            Some("http") => uri.port().is_some(),
            scheme => scheme == Some("https"),
        };
        is_whole && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_server {
        Ok(address)
    } else {
        Err(ADDRESSES.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_without_a_token_is_named_and_told_as_empty_where_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("desk.token");
        let name = file.display().to_string();
        let refused = || {
            let server = ServerArgs {
                token_file: Some(file.clone()),
                ..ServerArgs::at(SERVER_DEFAULT.to_owned())
            };
            server.bearer().expect_err("no token").to_string()
        };
        let missing = refused();
        assert!(missing.contains(&name), "{missing}");
        assert!(!missing.contains("empty"), "{missing}");
        std::fs::write(&file, " \n").expect("written");
        let empty = refused();
        assert!(empty.contains(&format!("{name} is empty")), "{empty}");
        std::fs::write(&file, "mist\u{7}ap").expect("written");
        let wrong = refused();
        assert!(wrong.contains(&name), "{wrong}");
        assert!(!wrong.contains("mist\u{7}ap"), "{wrong}");
    }

    #[test]
    fn address_may_lack_its_scheme_and_its_port_only_with_tls() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(parse_server(text).ok().as_deref(), expected, "{text}");
        };
        check("localhost:7070", Some("http://localhost:7070"));
        check("http://[::1]:7070", Some("http://[::1]:7070"));
        check("https://127.0.0.1:7070", Some("https://127.0.0.1:7070"));
        check("https://mistap.example", Some("https://mistap.example"));
        for wrong in [
            "nonsense",
            "",
            "https://",
            "ftp://127.0.0.1:7070",
            "http://mistap.example",
            "http://:7070",
            "a b:1",
        ] {
            check(wrong, None);
        }
    }
}
