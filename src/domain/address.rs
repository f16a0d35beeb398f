//! Where a report came from, as coarsely as it is looked at. Never written to a disk, to a log
//! or to a message.

use std::fmt;
use std::net::IpAddr;

use super::time::LocalDay;

/// The part of an address that its holder cannot change at will: the first 24 bits of IPv4,
/// the first 48 of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressPrefix {
    /// Of IPv4.
    V4([u8; 3]),
    /// Of IPv6.
    V6([u8; 6]),
}

impl fmt::Debug for AddressPrefix {
    /// Without the address: what is debugged may be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressPrefix(..)")
    }
}

/// A width of prefix whose calls are counted together, and how many times the bounds of one
/// address it has.
#[derive(Clone, Copy, Debug)]
pub struct CountedPrefix {
    v4_bits: u32,
    v6_bits: u32,
    /// How many times the bounds of one address, from 1 up.
    pub times: u32,
}

impl CountedPrefix {
    /// Of so many leading bits of IPv4, and of IPv6. Panics where there are not so many, or
    /// without a bound.
    pub const fn new(v4_bits: u32, v6_bits: u32, times: u32) -> Self {
        assert!(1 <= v4_bits && v4_bits <= 32 && 1 <= v6_bits && v6_bits <= 128 && 1 <= times);
        Self {
            v4_bits,
            v6_bits,
            times,
        }
    }

    /// The prefix of an address: bytes that no address of another has. One of IPv4 within IPv6
    /// is one of IPv4.
    pub fn of(self, address: IpAddr) -> [u8; 17] {
        let (kind, bits) = match address.to_canonical() {
            IpAddr::V4(address) => {
                let kept = u32::MAX << (32 - self.v4_bits);
                (4, u128::from(address.to_bits() & kept))
            }
            IpAddr::V6(address) => {
                let kept = u128::MAX << (128 - self.v6_bits);
                (6, address.to_bits() & kept)
            }
        };
        let mut prefix = [kind; 17];
        prefix[1..].copy_from_slice(&bits.to_be_bytes());
        prefix
    }
}

/// Where and when a report came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// From where.
    pub prefix: AddressPrefix,
    /// The local day on which it came.
    pub day: LocalDay,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_share_a_prefix_up_to_its_last_bit() {
        let check = |one: &str, other: &str, are_one: bool| {
            let prefix = CountedPrefix::new(23, 47, 2);
            let of = |text: &str| prefix.of(text.parse().expect("an address"));
            assert_eq!(of(one) == of(other), are_one, "{one} {other}");
        };
        check("192.0.2.0", "192.0.3.255", true);
        check("192.0.2.0", "::ffff:192.0.3.9", true);
        check("192.0.1.255", "192.0.2.0", false);
        check("2001:db8:2::", "2001:db8:3:ffff::9", true);
        check("2001:db8:1:ffff::", "2001:db8:2::", false);
        check("::c000:200", "192.0.2.0", false);
        let whole = CountedPrefix::new(32, 128, 1);
        assert_ne!(
            whole.of("::1".parse().expect("an address")),
            whole.of("::2".parse().expect("an address"))
        );
    }

    #[test]
    fn prefix_is_not_printed() {
        let prefix = AddressPrefix::V4([192, 0, 2]);
        assert!(!format!("{prefix:?}").contains("192"));
    }
}
