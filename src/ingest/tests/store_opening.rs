//! What a start does while the store cannot be opened yet.

use super::*;
use crate::domain::TapBatch;
use crate::domain::limits::TAP_CHANGES_PENDING_MAX;
use crate::domain::taps::{TapCount, TapSlot, Taps};
use crate::journal::{self, Settings};
use crate::ledger::testing::{tap_feed, tap_scope};

/// An entry that tells taps of one hour.
fn taps_of(day: i32, taps: u64) -> Entry {
    let feed = tap_feed(2);
    let count = TapCount {
        scope: tap_scope(feed.grain, 7),
        slot: TapSlot {
            day: LocalDay(day),
            slot: 3,
        },
        taps: Taps::new(taps).expect("few"),
    };
    Entry::TapCounts(Box::new(TapBatch::pack(&feed, [count]).remove(0)))
}

/// All taps that were told.
fn taps_kept(running: &Running) -> Vec<u32> {
    let (view, ()) = running.ledger.tap_view(|_| ()).expect("the store is open");
    let reader = view.reader();
    let mut kept = Vec::new();
    for (day, told) in view.book.feeds()[0].days() {
        let interval = view.book.feeds()[0].feed().interval;
        let each = |_, _, taps| kept.push(taps);
        reader
            .each_count(0, interval, *day, &told.chunks, each)
            .expect("whole");
    }
    kept
}

#[tokio::test]
async fn reports_are_taken_while_many_tap_counts_wait_for_a_store_that_is_opening() {
    /// Two weeks before.
    const DAY: i32 = 20_766;
    let place = Place::new();
    fs::create_dir_all(place.path()).expect("made");
    let path = folder::journal(place.path());
    let settings = Settings {
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: false,
    };
    let (mut writer, reader, _) = journal::open(&path, settings).expect("new");
    // As a kill leaves it, with no checkpoint and nothing in the store.
    let told = TAP_CHANGES_PENDING_MAX as u64 + 100;
    for taps in 1..=told {
        let day = DAY + i32::try_from(taps % 2).expect("small");
        let entry = journal::encode(&taps_of(day, taps));
        writer.append(&[entry], UtcMillis(NOON)).expect("room");
    }
    drop(writer);
    // Opened by another, who has it for as long as this test wants.
    let held = Store::create(&folder::store(place.path()), reader.epoch()).expect("made");
    let running = place.start();
    submit_all(&running, 0..10).await;
    assert!(running.ledger.store_is_opening());
    drop(held);
    running.wait_for_store();
    assert!(!running.ledger.store_is_opening());
    let last = u32::try_from(told).expect("small");
    assert_eq!(taps_kept(&running), [last, last - 1]);
    stop(running);
    let asides = fs::read_dir(place.path()).expect("a folder");
    let mut asides = asides.map(|entry| entry.expect("an entry").file_name());
    assert!(!asides.any(|name| name.to_string_lossy().contains("aside")));
    let report = repair::verify(place.path(), &mut |_, _| {}).expect("verified");
    assert!(report.is_clean(), "{report:?}");
}
