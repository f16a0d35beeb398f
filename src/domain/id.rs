//! Identifiers: of incidents, operators, lines and stops, and the secrets and pseudonyms
//! that stand for people.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;
use zeroize::ZeroizeOnDrop;

use super::limits::{
    LINE_ID_BYTES_MAX, OPERATOR_CODE_BYTES_MAX, OPERATOR_CODE_BYTES_MIN, STOP_ID_BYTES_MAX,
};
use super::time::{DAY_MS, UtcMillis};

/// Why a text is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not a UUID of version 7.
    #[error("must be a UUID of version 7")]
    IncidentId,
    /// Not 32 bytes.
    #[error("must be 32 bytes, or empty")]
    Secret,
    /// Not an operator code.
    #[error("must be 2 to 10 capital letters or digits")]
    Operator,
    /// Not a line identifier.
    #[error("must be an operator code, a colon and a planning number, 64 characters at most")]
    Line,
    /// Not a stop code.
    #[error("must be 1 to 64 visible ASCII characters")]
    Stop,
}

/// An incident's identifier: a UUID of version 7, made by the reporter's client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(uuid::Uuid);

impl IncidentId {
    /// From 16 bytes; `None` unless they are a UUID of version 7.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let id = uuid::Uuid::from_bytes(bytes);
        (id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122)
            .then_some(Self(id))
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Puts its text in place of another.
    pub fn write(self, text: &mut String) {
        text.clear();
        text.push_str(
            self.0
                .hyphenated()
                .encode_lower(&mut uuid::Uuid::encode_buffer()),
        );
    }

    /// When its client made it, by the client's clock.
    pub fn made_at(self) -> UtcMillis {
        let mut bytes = [0; 8];
        bytes[2..].copy_from_slice(&self.0.as_bytes()[..6]);
        UtcMillis(i64::from_be_bytes(bytes))
    }

    /// The UTC day in which its client made it, in days since 1970-01-01. Ids are filtered
    /// by day.
    pub fn day(self) -> u32 {
        u32::try_from(self.made_at().0 / DAY_MS).expect("48 bits of milliseconds fit")
    }
}

impl FromStr for IncidentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let id = uuid::Uuid::try_parse(text).map_err(|_| InvalidId::IncidentId)?;
        Self::from_bytes(id.into_bytes()).ok_or(InvalidId::IncidentId)
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The 32 random bytes that are the only way back to an incident. Never shown, never kept.
#[derive(Clone, ZeroizeOnDrop)]
pub struct IncidentSecret([u8; 32]);

impl IncidentSecret {
    /// From what a client sent; `None` for an empty field.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, InvalidId> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let secret = bytes.try_into().map_err(|_| InvalidId::Secret)?;
        Ok(Some(Self(secret)))
    }

    /// The bytes, for hashing.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for IncidentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IncidentSecret(..)")
    }
}

/// SHA-256 of an incident's secret, cut to 16 bytes: nobody finds another secret for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 16]);

/// Keyed digest of what a client sent, to tell a repeat from another report under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentDigest(pub [u8; 16]);

/// Keyed pseudonym of a card or an installation. Never shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pseudonym(pub [u8; 16]);

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym(..)")
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $error:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let is_valid: fn(&str) -> bool = $check;
                if is_valid(text) { Ok(Self(text.into())) } else { Err($error) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// An operator's code (BISON DataOwnerCode): 2 to 10 capital letters or digits. Codes
    /// that no table lists are accepted.
    OperatorCode, InvalidId::Operator, is_operator_code
}

text_id! {
    /// A line's identifier: operator code, colon, planning number, as in `GVB:10`; at most
    /// 64 visible ASCII characters.
    LineId, InvalidId::Line, |text| {
        text.len() <= LINE_ID_BYTES_MAX
            && text.split_once(':').is_some_and(|(operator, planning_number)| {
                is_operator_code(operator) && is_visible_ascii(planning_number)
            })
    }
}

text_id! {
    /// A stop's code in its network: 1 to 64 visible ASCII characters.
    StopId, InvalidId::Stop, |text| text.len() <= STOP_ID_BYTES_MAX && is_visible_ascii(text)
}

impl LineId {
    /// The operator whose line it is.
    pub fn operator(&self) -> OperatorCode {
        OperatorCode(self.operator_str().into())
    }

    /// The operator's code, which the identifier begins with.
    pub fn operator_str(&self) -> &str {
        let end = self.0.bytes().position(|byte| byte == b':');
        &self.0[..end.expect("checked when it was made")]
    }
}

fn is_operator_code(text: &str) -> bool {
    (OPERATOR_CODE_BYTES_MIN..=OPERATOR_CODE_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn is_visible_ascii(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_another_version_is_refused() {
        assert!(
            "01939d3e-7b3c-7a1e-8b2d-0123456789ab"
                .parse::<IncidentId>()
                .is_ok()
        );
        assert!(
            "01939d3e-7b3c-4a1e-8b2d-0123456789ab"
                .parse::<IncidentId>()
                .is_err()
        );
        assert!("".parse::<IncidentId>().is_err());
    }

    #[test]
    fn id_tells_when_it_was_made() {
        let id: IncidentId = "01939d3e-7b3c-7a1e-8b2d-0123456789ab"
            .parse()
            .expect("a v7");
        assert_eq!(id.made_at(), UtcMillis(0x0193_9d3e_7b3c));
    }

    #[test]
    fn line_names_its_operator() {
        let line: LineId = "GVB:10".parse().expect("a line");
        assert_eq!(line.operator().as_str(), "GVB");
        for wrong in ["10", "gvb:10", "GVB:", ":10", "GVB:1 0", "GVB:1é"] {
            assert_eq!(wrong.parse::<LineId>(), Err(InvalidId::Line), "{wrong}");
        }
    }

    #[test]
    fn secrets_and_pseudonyms_are_not_shown() {
        let secret = IncidentSecret::parse(&[7; 32])
            .expect("32 bytes")
            .expect("not empty");
        assert_eq!(
            format!("{secret:?} {:?}", Pseudonym([9; 16])),
            "IncidentSecret(..) Pseudonym(..)"
        );
        assert!(IncidentSecret::parse(&[7; 31]).is_err());
    }
}
