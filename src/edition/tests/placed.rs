//! Where reports are placed, and which places have rates.

use super::*;
use crate::domain::taxonomy::Mode;
use crate::edition::columns;
use crate::query::method;

/// Sixty reports of a metro line of GVB, of which some say the mode and name the stop, and twelve
/// that name the stop alone; with taps of line and stop.
fn metro(with_mode: u32) -> Edition {
    let mut record = Record::new();
    let at = amsterdam("2026-10-20T12:00");
    for installation in 0..72 {
        let names_line = installation < 60;
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            line: names_line.then(|| "GVB:52".parse().expect("a line")),
            stop: Some("GVB:rai".parse().expect("a stop")),
            mode: (installation < with_mode || !names_line).then_some(Mode::Metro),
            tap_kind: Some(TapKind::CheckIn),
            ..record.facts(at)
        };
        record.tell(at, facts, installation);
    }
    let taps = taps_of_line("GVB:52", "2026-10", 1_000, 0..31);
    record.append(at, &taps);
    let by_stop = TapFeed {
        id: "gvb.stops".parse().expect("a name"),
        grain: TapGrain::Stop,
        ..feed_of_gvb("gvb.stops")
    };
    let first = month::first_day(of("2026-10")).0;
    let counts = (0..31).map(|day| TapCount {
        scope: TapScope::Stop("GVB:rai".parse().expect("a stop")),
        slot: TapSlot {
            day: LocalDay(first + day),
            slot: 0,
        },
        taps: Taps::new(500).expect("few"),
    });
    let batch = TapBatch::pack(&by_stop, counts).remove(0);
    record.append(at, &Entry::TapCounts(Box::new(batch)));
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    record.make("2026-10").expect("over")
}

fn row_of<'a>(edition: &'a Edition, dimension: &str) -> &'a Row {
    let mut rows = edition.rows.iter();
    let is_part = |row: &&Row| row.dimension == dimension && row.flag == "exact";
    rows.find(is_part).expect("published")
}

#[test]
fn line_has_all_reports_that_name_it_whatever_mode_they_say() {
    let none = metro(0);
    let line = row_of(&none, "line");
    assert_eq!((line.key.as_str(), line.count), ("GVB:52", 60));
    assert_eq!(line.rate, Some(193.548));
    for with_mode in [15, 45] {
        assert_eq!(row_of(&metro(with_mode), "line"), line, "{with_mode}");
    }
}

#[test]
fn columns_of_downloads_say_where_reports_are_placed_as_the_method_does() {
    let mut columns = columns::all().iter();
    let dimension = columns.find(|column| column.name == "dimension");
    let about = dimension.expect("a column").about;
    assert!(about.contains(method::PLACED), "{about}");
}

#[test]
fn station_has_a_count_and_no_rate_whatever_taps_are_told_of_it() {
    let edition = metro(0);
    let station = row_of(&edition, "station");
    assert_eq!((station.key.as_str(), station.count), ("GVB:rai", 12));
    assert_eq!((station.rate, station.taps), (None, None));
    assert_eq!(station.no_rate.as_deref(), Some("no denominator"));
}
