//! Who calls, as `guard` found out.

use std::net::IpAddr;

use http::Extensions;
use tonic::Request;

use crate::auth::{Principal, TokenId};
use crate::live::Holder;

/// Who calls, and from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// The address, as far as it is known.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// By what `guard` laid beside a request. Whoever did not come through it is the public.
    pub fn of(extensions: &Extensions) -> Self {
        let known = extensions.get::<Self>().cloned();
        known.unwrap_or(Self {
            principal: Principal::Public,
            address: None,
        })
    }

    /// Whose stream it is, where streams are bounded by address as well.
    pub fn holder(&self) -> Holder {
        Holder {
            address: self.address,
            ..holder_of(&self.principal)
        }
    }
}

/// Who calls, wherever that is from.
pub fn caller<T>(request: &Request<T>) -> Principal {
    Caller::of(request.extensions()).principal
}

/// Whose stream it is, where streams are bounded by token alone.
pub fn holder_of(principal: &Principal) -> Holder {
    Holder {
        token: principal.token().map(|TokenId(number)| number),
        address: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Grant, Role};

    #[test]
    fn nobody_knows_means_the_public() {
        let mut request = Request::new(());
        assert_eq!(caller(&request).role(), Role::Public);
        let steward = Principal::Steward(Grant::without_token().into());
        request.extensions_mut().insert(Caller {
            principal: steward,
            address: None,
        });
        assert_eq!(caller(&request).role(), Role::Steward);
    }
}
