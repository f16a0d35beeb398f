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
