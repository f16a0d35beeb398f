//! A connection that says who calls.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A connection whose calls carry a token, if there is one.
pub type Connection = InterceptedService<Channel, Bearer>;

/// A token for every call, or none. Never shown.
#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

/// Not a token: it could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is mistap_ and 64 hexadecimal digits")]
pub struct InvalidToken;

impl Bearer {
    /// Of a token.
    pub fn new(token: &str) -> Result<Self, InvalidToken> {
        let text = format!("Bearer {}", token.trim());
        let mut value = MetadataValue::try_from(text).map_err(|_| InvalidToken)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// A connection whose calls carry the token.
    pub fn over(self, channel: Channel) -> Connection {
        InterceptedService::new(channel, self)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_goes_with_a_call_and_is_not_shown() {
        let mut bearer = Bearer::new("mistap_secret\n").expect("it can be sent");
        let request = bearer.call(Request::new(())).expect("never refused");
        let sent = request.metadata().get("authorization").expect("there");
        assert_eq!(sent.to_str().expect("plain text"), "Bearer mistap_secret");
        let shown = format!("{bearer:?} {:?}", request.metadata());
        assert!(
            !shown.contains("secret\"") && !shown.contains("mistap_"),
            "{shown}"
        );
        let without = Bearer::default().call(Request::new(()));
        assert!(without.expect("never refused").metadata().is_empty());
        assert!(Bearer::new("two\nlines").is_err());
    }
}
