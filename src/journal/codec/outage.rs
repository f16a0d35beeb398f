//! Declared outages as bytes.

use super::{CodecError, wire};
use crate::domain::{LocalDay, OperatorCode, Outage, OutageChange};

pub(super) fn to_wire(change: &OutageChange) -> wire::OutageChanged {
    let outage = &change.outage;
    wire::OutageChanged {
        operator: outage
            .operator()
            .map_or_else(String::new, OperatorCode::to_string),
        first_day: outage.first().0,
        last_day: outage.last().0,
        withdrawn: change.is_withdrawal,
    }
}

pub(super) fn parse(wire: &wire::OutageChanged) -> Result<OutageChange, CodecError> {
    let operator = Some(&wire.operator).filter(|code| !code.is_empty());
    let operator = operator.map(|code| code.parse()).transpose();
    let operator = operator.map_err(|_| CodecError::Field("operator"))?;
    let outage = Outage::new(operator, LocalDay(wire.first_day), LocalDay(wire.last_day));
    Ok(OutageChange {
        outage: outage.map_err(|_| CodecError::Field("last_day"))?,
        is_withdrawal: wire.withdrawn,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::{decode, encode};
    use super::*;
    use crate::domain::Entry;

    #[test]
    fn outages_are_read_back_and_days_that_are_none_are_refused() {
        let day = |number| LocalDay(20_000 + number);
        for (operator, is_withdrawal) in [(Some("GVB"), false), (None, true)] {
            let operator = operator.map(|code| code.parse().expect("a code"));
            let outage = Outage::new(operator, day(1), day(3)).expect("sound");
            let change = OutageChange {
                outage,
                is_withdrawal,
            };
            let entry = Entry::OutageChanged(change.clone());
            let encoded = encode(&entry);
            assert_eq!(encoded.personal(), None);
            assert_eq!(decode(encoded.facts(), None), Ok(entry));
            let wrong = wire::OutageChanged {
                last_day: 0,
                ..to_wire(&change)
            };
            let kind = Some(wire::entry::Kind::OutageChanged(wrong));
            let refused = decode(&wire::Entry { kind }.encode_to_vec(), None);
            assert_eq!(refused, Err(CodecError::Field("last_day")));
        }
    }
}
