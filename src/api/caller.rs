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

/// Who calls. Whoever did not come through `guard` is the public.
pub fn caller<T>(request: &Request<T>) -> Principal {
    caller_in(request.extensions())
}

/// As `caller`, by what is laid beside a request.
pub fn caller_in(extensions: &Extensions) -> Principal {
    let known = extensions.get::<Principal>();
    known.cloned().unwrap_or(Principal::Public)
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
        request.extensions_mut().insert(steward);
        assert_eq!(caller(&request).role(), Role::Steward);
    }
}
