//! Where a report came from, as coarsely as it is looked at. Never written to a disk, to a log
//! or to a message.

use std::fmt;

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

/// A width of prefix whose calls, or open streams, are counted together, and how many times the
/// bounds of one address it has.
#[derive(Clone, Copy, Debug)]
pub struct CountedPrefix {
    /// Leading bits of IPv4, 1 to 32.
    pub v4_bits: u32,
    /// Leading bits of IPv6, 1 to 128.
    pub v6_bits: u32,
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
    fn prefix_is_not_printed() {
        let prefix = AddressPrefix::V4([192, 0, 2]);
        assert!(!format!("{prefix:?}").contains("192"));
    }
}
