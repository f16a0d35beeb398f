//! Fingerprints of keys as bytes.

use super::values::fixed;
use super::{CodecError, wire};
use crate::domain::{Fingerprint, KeysTold};

pub(super) fn to_wire(told: &KeysTold) -> wire::KeysChanged {
    let periods = told.periods.iter();
    wire::KeysChanged {
        digest_fingerprint: told.digest.0.to_vec(),
        keys: periods
            .map(|(period, fingerprint)| wire::PeriodKey {
                key_period: *period,
                fingerprint: fingerprint.0.to_vec(),
            })
            .collect(),
    }
}

pub(super) fn parse(wire: &wire::KeysChanged) -> Result<KeysTold, CodecError> {
    let fingerprint = |bytes, field| fixed(bytes, field).map(Fingerprint);
    let keys = wire.keys.iter();
    let periods = keys.map(|key| {
        Ok((
            key.key_period,
            fingerprint(&key.fingerprint, "fingerprint")?,
        ))
    });
    Ok(KeysTold {
        digest: fingerprint(&wire.digest_fingerprint, "digest_fingerprint")?,
        periods: periods.collect::<Result<_, CodecError>>()?,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::{decode, encode};
    use super::*;
    use crate::domain::Entry;

    #[test]
    fn keys_are_read_back_and_fingerprints_of_another_length_refused() {
        let told = KeysTold {
            digest: Fingerprint([1; 8]),
            periods: [(8_107, Fingerprint([2; 8])), (8_108, Fingerprint([3; 8]))].into(),
        };
        let entry = Entry::KeysChanged(told.clone());
        let encoded = encode(&entry);
        assert_eq!(decode(encoded.facts(), None), Ok(entry));
        for cut in [0, 1] {
            let mut wrong = to_wire(&told);
            match cut {
                0 => drop(wrong.digest_fingerprint.pop()),
                _ => drop(wrong.keys[1].fingerprint.pop()),
            }
            let kind = Some(wire::entry::Kind::KeysChanged(wrong));
            let bytes = wire::Entry { kind }.encode_to_vec();
            assert!(matches!(decode(&bytes, None), Err(CodecError::Field(_))));
        }
    }
}
