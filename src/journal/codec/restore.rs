//! Restores as bytes.

use super::values::fixed;
use super::{CodecError, wire};
use crate::domain::entry::Epoch;

pub(super) fn to_wire(epoch: &Epoch) -> wire::Restored {
    wire::Restored {
        epoch: epoch.0.to_vec(),
    }
}

pub(super) fn parse(wire: &wire::Restored) -> Result<Epoch, CodecError> {
    fixed(&wire.epoch, "epoch").map(Epoch)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::{decode, encode};
    use super::*;
    use crate::domain::Entry;

    #[test]
    fn restore_is_read_back_and_an_epoch_of_another_length_refused() {
        let entry = Entry::Restored(Epoch([7; 16]));
        let encoded = encode(&entry);
        assert_eq!(encoded.personal(), None);
        assert_eq!(decode(encoded.facts(), None), Ok(entry));
        for bytes in [0, 15, 17] {
            let epoch = vec![7; bytes];
            let kind = Some(wire::entry::Kind::Restored(wire::Restored { epoch }));
            let refused = decode(&wire::Entry { kind }.encode_to_vec(), None);
            assert_eq!(refused, Err(CodecError::Field("epoch")));
        }
    }
}
