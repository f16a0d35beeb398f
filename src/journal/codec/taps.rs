//! Entries of tap counts as bytes: the scopes once, then runs of counts of one service day.

use super::values::{ids, set};
use super::{CodecError, wire};
use crate::domain::taps::{
    DayBegin, Refusals, TapBatch, TapCell, TapFeed, TapGrain, TapInterval, TapKinds, TapScope,
    TapSlot, Taps,
};
use crate::domain::{LineId, LocalDay, StopId};

pub(super) fn to_wire(batch: &TapBatch) -> wire::TapCounts {
    let scopes = batch.scopes();
    let lines = scopes.iter().filter_map(TapScope::line);
    let stops = scopes.iter().filter_map(TapScope::stop);
    let runs = batch
        .cells()
        .chunk_by(|one, next| one.slot.day == next.slot.day);
    wire::TapCounts {
        feed: Some(to_feed(batch.feed())),
        lines: lines.map(LineId::to_string).collect(),
        stops: stops.map(StopId::to_string).collect(),
        scopes: u32::try_from(scopes.len()).expect("cells count them in 16 bits"),
        days: runs.map(to_day).collect(),
    }
}

fn to_feed(feed: &TapFeed) -> wire::TapFeed {
    wire::TapFeed {
        feed_id: feed.id.to_string(),
        operator: feed.operator.to_string(),
        grain: feed.grain.number().into(),
        interval: feed.interval.number().into(),
        tap_kinds: feed.kinds.set().bits().into(),
        refusals: feed.refusals.number().into(),
        day_begin: feed.day_begin.hour().into(),
    }
}

fn to_day(run: &[TapCell]) -> wire::TapDay {
    wire::TapDay {
        day: run.first().map_or(0, |cell| cell.slot.day.0),
        scopes: run.iter().map(|cell| cell.scope.into()).collect(),
        slots: run.iter().map(|cell| cell.slot.slot.into()).collect(),
        taps: run.iter().map(|cell| cell.taps.get()).collect(),
    }
}

pub(super) fn parse(wire: wire::TapCounts) -> Result<TapBatch, CodecError> {
    let feed = parse_feed(&wire.feed.ok_or(CodecError::Field("feed"))?)?;
    let lines: Vec<LineId> = ids(&wire.lines, "lines")?;
    let stops: Vec<StopId> = ids(&wire.stops, "stops")?;
    let count = wire.scopes as usize;
    let scopes = match feed.grain {
        TapGrain::Operator if count <= 1 => vec![TapScope::Operator; count],
        TapGrain::Line => lines.into_iter().map(TapScope::Line).collect(),
        TapGrain::Stop => stops.into_iter().map(TapScope::Stop).collect(),
        TapGrain::LineStop if lines.len() == stops.len() => {
            let pairs = lines.into_iter().zip(stops);
            pairs
                .map(|(line, stop)| TapScope::LineStop(line, stop))
                .collect()
        }
        TapGrain::Operator | TapGrain::LineStop => return Err(CodecError::Field("scopes")),
    };
    if scopes.len() != count {
        return Err(CodecError::Field("scopes"));
    }
    let mut cells = Vec::new();
    for day in &wire.days {
        parse_day(day, &mut cells)?;
    }
    TapBatch::new(feed, scopes, cells).ok_or(CodecError::Field("days"))
}

fn parse_feed(wire: &wire::TapFeed) -> Result<TapFeed, CodecError> {
    let small = |number: u32, field| u8::try_from(number).map_err(|_| CodecError::Field(field));
    let known = |field| CodecError::Field(field);
    let id = wire.feed_id.parse();
    let operator = wire.operator.parse();
    let grain = TapGrain::from_number(small(wire.grain, "grain")?);
    let interval = TapInterval::from_number(small(wire.interval, "interval")?);
    let refusals = Refusals::from_number(small(wire.refusals, "refusals")?);
    let kinds = TapKinds::new(set(wire.tap_kinds, "tap_kinds")?);
    Ok(TapFeed {
        id: id.map_err(|_| known("feed_id"))?,
        operator: operator.map_err(|_| known("operator"))?,
        grain: grain.ok_or(known("grain"))?,
        interval: interval.ok_or(known("interval"))?,
        kinds: kinds.map_err(|_| known("tap_kinds"))?,
        refusals: refusals.ok_or(known("refusals"))?,
        day_begin: DayBegin::new(wire.day_begin).map_err(|_| known("day_begin"))?,
    })
}

fn parse_day(wire: &wire::TapDay, cells: &mut Vec<TapCell>) -> Result<(), CodecError> {
    const FIELD: CodecError = CodecError::Field("days");
    let counts = wire.scopes.len();
    if wire.slots.len() != counts || wire.taps.len() != counts {
        return Err(FIELD);
    }
    let places = wire.scopes.iter().zip(&wire.slots);
    for ((scope, slot), taps) in places.zip(&wire.taps) {
        cells.push(TapCell {
            scope: u16::try_from(*scope).map_err(|_| FIELD)?,
            slot: TapSlot {
                day: LocalDay(wire.day),
                slot: u8::try_from(*slot).map_err(|_| FIELD)?,
            },
            taps: Taps::new((*taps).into()).map_err(|_| FIELD)?,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::super::{decode, encode};
    use super::*;
    use crate::domain::limits::{RECORD_BYTES_MAX, TAP_BATCH_BYTES_MAX};
    use crate::domain::taxonomy::TapKind;
    use crate::domain::{Entry, TapCount};

    fn feed(grain: TapGrain) -> TapFeed {
        let kinds = [TapKind::CheckIn, TapKind::CheckOut].into_iter().collect();
        TapFeed {
            id: "a-feed-with-a-name-of-32-letters".parse().expect("a name"),
            operator: "OPERATOR10".parse().expect("a code"),
            grain,
            interval: TapInterval::Quarter,
            kinds: TapKinds::new(kinds).expect("taps"),
            refusals: Refusals::Excluded,
            day_begin: DayBegin::new(4).expect("early"),
        }
    }

    fn scope(grain: TapGrain, number: u32, width: usize) -> TapScope {
        let line = || {
            format!("OPERATOR10:{number:0>width$}")
                .parse()
                .expect("a line")
        };
        let stop = || format!("{number:0>width$}").parse().expect("a stop");
        match grain {
            TapGrain::Operator => TapScope::Operator,
            TapGrain::Line => TapScope::Line(line()),
            TapGrain::Stop => TapScope::Stop(stop()),
            TapGrain::LineStop => TapScope::LineStop(line(), stop()),
        }
    }

    proptest! {
        #[test]
        fn batches_are_read_back_and_fit_in_a_record(
            grain in proptest::sample::select(TapGrain::ALL),
            width in 1usize..53,
            cells in prop::collection::vec((0u32..400, 20_000i32..20_400, 0u8..92, 0u64..=1_000_000_000), 1..1_000)
        ) {
            let feed = feed(grain);
            let count = |&(number, day, slot, taps): &(u32, i32, u8, u64)| TapCount {
                scope: scope(grain, number, width),
                slot: TapSlot { day: LocalDay(day), slot },
                taps: Taps::new(taps).expect("in range"),
            };
            for batch in TapBatch::pack(&feed, cells.iter().map(count)) {
                let entry = Entry::TapCounts(Box::new(batch));
                let encoded = encode(&entry);
                prop_assert!(encoded.facts().len() <= TAP_BATCH_BYTES_MAX.min(RECORD_BYTES_MAX));
                prop_assert_eq!(decode(encoded.facts(), None), Ok(entry));
            }
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let count = TapCount {
            scope: scope(TapGrain::LineStop, 1, 3),
            slot: TapSlot {
                day: LocalDay(20_000),
                slot: 1,
            },
            taps: Taps::default(),
        };
        let batch = TapBatch::pack(&feed(TapGrain::LineStop), [count]).remove(0);
        let refused = |change: fn(&mut wire::TapCounts)| {
            let mut wire = to_wire(&batch);
            change(&mut wire);
            let kind = Some(wire::entry::Kind::TapCounts(wire));
            decode(&wire::Entry { kind }.encode_to_vec(), None).is_err()
        };
        assert!(!refused(|_| ()));
        assert!(refused(|wire| wire.feed = None));
        assert!(refused(|wire| wire.stops.clear()));
        assert!(refused(|wire| wire.scopes = 2));
        assert!(refused(|wire| wire.days[0].scopes[0] = 1));
        assert!(refused(|wire| wire.days[0].slots[0] = 100));
        assert!(refused(|wire| wire.days[0].taps.clear()));
        assert!(refused(|wire| wire.days[0].day = 1));
        assert!(refused(|wire| wire.days[0].day = i32::MAX));
        assert!(refused(|wire| wire.days[0].taps[0] = u32::MAX));
        assert!(refused(|wire| if let Some(feed) = &mut wire.feed {
            feed.tap_kinds = 16;
        }));
        assert!(refused(|wire| if let Some(feed) = &mut wire.feed {
            feed.day_begin = 12;
        }));
    }
}
