//! Who calls, as proven by a token.
//!
//! A token is one of a role, and those of devices and operators are bound to operator codes.
//! Who brings no token is the public. A traveller is not known by a token: what makes one is
//! the secret of an incident, which travels in the message and opens that incident alone.
//! What each may do is told in `table`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::OperatorCode;

/// What a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Anybody.
    Public,
    /// Whoever holds the secret of the incident that a message names.
    Traveller,
    /// What tells observed incidents and tap counts of its operators.
    Device,
    /// Who sees and answers for its operators.
    Operator,
    /// Who runs the instance.
    Steward,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::Public,
        Self::Traveller,
        Self::Device,
        Self::Operator,
        Self::Steward,
    ];

    /// Short name on the command line and in the file of tokens, as in `operator`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Traveller => "traveller",
            Self::Device => "device",
            Self::Operator => "operator",
            Self::Steward => "steward",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// Names a token without being one: its first place in the file of tokens, from 1 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u32);

/// What a token grants, for as long as it is not revoked; or what everybody is granted for as long
/// as there is no file of tokens.
#[derive(Debug)]
pub struct Grant {
    /// Which token; `None` without a file of tokens.
    pub token: Option<TokenId>,
    /// The operators that it is bound to; none for a steward's.
    pub operators: Box<[OperatorCode]>,
    is_over: AtomicBool,
}

/// Who calls. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Nobody who proved anything. With the secret of an incident in a message: its traveller.
    Public,
    /// A device, or a feed of tap counts.
    Device(Arc<Grant>),
    /// An operator.
    Operator(Arc<Grant>),
    /// A steward; everybody, without a token, where the instance has no file of tokens, because
    /// then only this machine reaches it.
    Steward(Arc<Grant>),
}

/// Of which operators somebody may see or tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Of all, also where the operator is not known.
    Everything,
    /// Of these alone.
    Only(&'a [OperatorCode]),
}

impl Grant {
    /// Of a token that lives.
    pub fn new(token: TokenId, operators: impl Into<Box<[OperatorCode]>>) -> Self {
        Self {
            token: Some(token),
            operators: operators.into(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Of everybody, as long as there is no file of tokens.
    pub fn without_token() -> Self {
        Self {
            token: None,
            operators: Box::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Ends it: whoever was let in with it is let in no more, streams that are open included.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl PartialEq for Grant {
    fn eq(&self, other: &Self) -> bool {
        (self.token, &self.operators) == (other.token, &other.operators)
    }
}

impl Eq for Grant {}

impl Principal {
    /// What the caller is, whatever secret it may bring.
    pub fn role(&self) -> Role {
        match self {
            Self::Public => Role::Public,
            Self::Device(_) => Role::Device,
            Self::Operator(_) => Role::Operator,
            Self::Steward(_) => Role::Steward,
        }
    }

    /// Of which operators it may see or tell what is not public.
    pub fn scope(&self) -> Scope<'_> {
        match self {
            Self::Public => Scope::Only(&[]),
            Self::Device(grant) | Self::Operator(grant) => Scope::Only(&grant.operators),
            Self::Steward(_) => Scope::Everything,
        }
    }

    /// The token, if there is one.
    pub fn token(&self) -> Option<TokenId> {
        self.grant().and_then(|grant| grant.token)
    }

    /// Whether the token that it came with lives still; if it came without one where none was
    /// asked for, whether that is still so. Costs next to nothing, so that streams ask before each
    /// message.
    pub fn is_live(&self) -> bool {
        self.grant()
            .is_none_or(|grant| !grant.is_over.load(Ordering::Relaxed))
    }

    fn grant(&self) -> Option<&Arc<Grant>> {
        match self {
            Self::Public => None,
            Self::Device(grant) | Self::Operator(grant) | Self::Steward(grant) => Some(grant),
        }
    }

    /// Ends what it was granted.
    pub(super) fn end(&self) {
        if let Some(grant) = self.grant() {
            grant.end();
        }
    }

    /// Whether it may see, of an incident that is not its own, what staff did and what tells
    /// of it: see `table::FIELDS`.
    pub fn sees_staff(&self) -> bool {
        matches!(self, Self::Steward(_))
    }

    /// Whether it is told places in the journal as they are: see `table::POSITION_FIELDS`.
    pub fn sees_places(&self) -> bool {
        matches!(self, Self::Steward(_))
    }
}

impl Scope<'_> {
    /// Whether it takes in what is of this operator.
    pub fn holds(self, operator: Option<&OperatorCode>) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(own) => operator.is_some_and(|operator| own.contains(operator)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_of_an_operator_holds_its_own_and_nothing_unknown() {
        let code = |text: &str| text.parse::<OperatorCode>().expect("a code");
        let grant = Arc::new(Grant::new(TokenId(1), [code("GVB"), code("RET")]));
        let check = |principal: &Principal, operator: Option<&str>, expected: bool| {
            let operator = operator.map(code);
            let holds = principal.scope().holds(operator.as_ref());
            assert_eq!(holds, expected, "{principal:?} {operator:?}");
        };
        for principal in [
            Principal::Operator(Arc::clone(&grant)),
            Principal::Device(grant),
        ] {
            check(&principal, Some("GVB"), true);
            check(&principal, Some("NS"), false);
            check(&principal, None, false);
        }
        check(
            &Principal::Steward(Grant::without_token().into()),
            None,
            true,
        );
        check(&Principal::Public, Some("GVB"), false);
        check(&Principal::Public, None, false);
    }
}
