//! From which address a call comes, and how much of it is looked at.
//!
//! A call from this machine itself has no address that says anything: it comes from a tool on
//! it, or through a proxy on it. Only where the instance says that there is a proxy, what that
//! adds last to `x-forwarded-for` is taken for the address; everything before it, and the
//! header of any other caller, is a client's invention.

use std::net::IpAddr;

use http::{Extensions, HeaderMap};
use tonic::transport::server::TcpConnectInfo;

use super::connection::{ConnectionAbort, ConnectionInfo};
use crate::domain::{AddressPrefix, Origin, UtcMillis};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Tells addresses of callers. Cheap to copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Callers {
    /// Whether calls from this machine come through a proxy that tells for whom.
    pub are_behind_proxy: bool,
}

impl Callers {
    /// The address of a request, by its headers alone; `None` if it is not known. What comes after
    /// its message is a client's invention, too.
    pub fn address<B>(self, request: &http::Request<B>) -> Option<IpAddr> {
        let peer = peer(request.extensions())?;
        if self.are_behind_proxy && peer.to_canonical().is_loopback() {
            return forwarded(request.headers()).or(Some(peer));
        }
        Some(peer)
    }
}

/// What ends the connection that a call came through; `None` if it came through none.
pub fn abort_of(extensions: &Extensions) -> Option<ConnectionAbort> {
    let connection = extensions.get::<ConnectionInfo<TcpConnectInfo>>();
    connection.map(|connection| connection.abort.clone())
}

/// The address at the other end of the connection.
fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let connection = extensions.get::<ConnectionInfo<TcpConnectInfo>>()?;
    connection.peer.remote_addr().map(|address| address.ip())
}

/// What the nearest proxy says.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let told = headers.get_all(FORWARDED_FOR).iter().next_back()?;
    let nearest = told.to_str().ok()?.rsplit(',').next()?.trim();
    nearest.parse().ok()
}

/// Where a report comes from that comes at some time; `None` from this machine.
pub fn origin(from: Option<IpAddr>, now: UtcMillis) -> Option<Origin> {
    Some(Origin {
        prefix: prefix(from?)?,
        day: now.hour()?.local_day(),
    })
}

/// The prefix of an address; `None` for this machine's own.
fn prefix(address: IpAddr) -> Option<AddressPrefix> {
    let address = address.to_canonical();
    if address.is_loopback() {
        return None;
    }
    Some(match address {
        IpAddr::V4(address) => {
            let [first, second, third, _] = address.octets();
            AddressPrefix::V4([first, second, third])
        }
        IpAddr::V6(address) => {
            let [first, second, third, fourth, fifth, sixth, ..] = address.octets();
            AddressPrefix::V6([first, second, third, fourth, fifth, sixth])
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What is laid beside requests of a connection with a peer, as in `127.0.0.1:9`.
    pub fn connection_with(peer: &str) -> ConnectionInfo<TcpConnectInfo> {
        ConnectionInfo {
            peer: TcpConnectInfo {
                local_addr: None,
                remote_addr: Some(peer.parse().expect("an address")),
            },
            abort: ConnectionAbort::default(),
        }
    }

    fn check(peer: &str, headers: &[&str], are_behind_proxy: bool, expected: &str) {
        let mut request = http::Request::new(());
        request.extensions_mut().insert(connection_with(peer));
        for header in headers {
            let value = header.parse().expect("a value");
            request.headers_mut().append(FORWARDED_FOR, value);
        }
        let callers = Callers { are_behind_proxy };
        let found = callers.address(&request);
        assert_eq!(found, expected.parse().ok(), "{peer} {headers:?}");
    }

    #[test]
    fn only_the_proxy_of_this_machine_is_believed_and_only_its_own_word() {
        let (here, there) = ("127.0.0.1:9", "198.51.100.7:9");
        check(here, &["192.0.2.1"], true, "192.0.2.1");
        check(here, &["203.0.113.9, 192.0.2.1"], true, "192.0.2.1");
        check(here, &["203.0.113.9", "2001:db8::1"], true, "2001:db8::1");
        check(here, &["192.0.2.1"], false, "127.0.0.1");
        check(here, &["nonsense"], true, "127.0.0.1");
        check(here, &[], true, "127.0.0.1");
        check(there, &["192.0.2.1"], true, "198.51.100.7");
    }

    #[test]
    fn neighbours_share_a_prefix_and_this_machine_has_none() {
        let prefix = |text: &str| prefix(text.parse().expect("an address"));
        assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.254"));
        assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.9"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.3.1"));
        assert_eq!(prefix("2001:db8:1::1"), prefix("2001:db8:1:ffff::9"));
        assert_ne!(prefix("2001:db8:1::1"), prefix("2001:db8:2::1"));
        assert_eq!(prefix("127.0.0.1"), None);
        assert_eq!(prefix("::1"), None);
    }
}
