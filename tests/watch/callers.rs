//! Who calls: stewards, who see everything, and operators, who see what is theirs.

use std::path::Path;

use mistap::auth::{NewToken, Role, TokenFile};
use mistap::client::{Bearer, Connection};
use mistap::domain::LocalDay;
use tonic::transport::Channel;

/// A caller with a token of its own.
#[derive(Clone)]
pub struct Caller {
    /// The operators that its token is bound to; none of a steward's.
    pub operators: Vec<String>,
    bearer: Bearer,
}

impl Caller {
    /// Whom the record in a folder knows from now on: a steward, or an operator of these.
    pub fn new(folder: &Path, operators: &[&str]) -> Self {
        let role = match operators {
            [] => Role::Steward,
            _ => Role::Operator,
        };
        let codes = operators.iter().map(|code| code.parse().expect("a code"));
        let new = NewToken {
            label: format!("{role} of {operators:?}"),
            role,
            operators: codes.collect(),
        };
        let today = LocalDay::parse("2026-11-23").expect("a date");
        let token = TokenFile::add(folder, new, today).expect("made");
        Self {
            operators: operators.iter().map(|&code| code.to_owned()).collect(),
            bearer: Bearer::new(token.expose()).expect("it can be sent"),
        }
    }

    /// Whether it is told what is its operators' alone.
    pub fn is_operator(&self) -> bool {
        !self.operators.is_empty()
    }

    /// A connection whose calls are this caller's.
    pub fn over(&self, channel: Channel) -> Connection {
        self.bearer.clone().over(channel)
    }
}
