//! Why somebody may not call, or may not call so.

use tonic::Code;

use super::{Problem, quotas};
use crate::api::convert::violation::Violations;
use crate::auth::{Limited, Principal, Whose};

impl Problem {
    /// Who calls presents a token that is none.
    pub fn unknown_token() -> Self {
        let message = "the token is not known, or was revoked";
        Self::new(Code::Unauthenticated, "TOKEN_UNKNOWN", message)
    }

    /// Who was let in is let in no more: its token was revoked, or it came without one before
    /// tokens were asked for.
    pub fn let_in_no_more(caller: &Principal) -> Self {
        match caller.token() {
            Some(_) => Self::unknown_token(),
            None => Self::no_token(),
        }
    }

    /// Who calls presents no token, and not everybody may call the method.
    pub fn no_token() -> Self {
        let message = "not everybody may call this: send `authorization: Bearer` and a token";
        Self::new(Code::Unauthenticated, "NO_TOKEN", message)
    }

    /// Who calls has a token of a role that may not call the method.
    pub fn not_for_role() -> Self {
        let message = "tokens of this role may not call this";
        Self::new(Code::PermissionDenied, "ROLE", message)
    }

    /// Who calls may call the method, but not with these fields.
    pub fn not_allowed(violations: Violations) -> Self {
        let message = "the token does not allow this; the fields tell what it allows";
        Self {
            violations: violations.into_told(),
            ..Self::new(Code::PermissionDenied, "NOT_ALLOWED", message)
        }
    }
}

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let quota = match limited.whose {
            Whose::Address => &quotas::CALLS_OF_ADDRESS,
            Whose::Network => &quotas::CALLS_OF_NETWORK,
            Whose::Token => &quotas::CALLS_OF_TOKEN,
            Whose::Reporter => &quotas::REPORTS_OF_REPORTER,
        };
        let message = "too many calls or reports; try again later";
        let problem = Self::new(Code::ResourceExhausted, "RATE_LIMITED", message);
        Self {
            retry_after: Some(limited.retry_after),
            ..problem.of_quota(quota)
        }
    }
}
