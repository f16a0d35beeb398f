//! What a crash leaves of the minute of an erased tap, and for how long.

use super::*;
use crate::domain::limits::CHECKPOINT_ERASED_MINUTES_MAX;

#[tokio::test]
async fn checkpoint_of_before_an_erasure_is_replaced_in_time_also_after_a_crash() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 1..2).await;
    let first = running.ingest.get(id(1), &secret(1)).await.expect("kept");
    stop(running);
    let before = fs::read(checkpoint_file(place.path())).expect("there");
    let running = place.start();
    let erased = running.ingest.erase(id(1), &secret(1)).await;
    assert!(erased.expect("erased").personal.is_none());
    stop(running);
    // As if it had not come to the checkpoint of its end.
    fs::write(checkpoint_file(place.path()), before).expect("written");
    let running = place.start();
    let checkpoint = || {
        let epoch = running.reader.epoch();
        let state = Ledger::read_checkpoint(place.path(), epoch);
        state.expect("readable").expect("there")
    };
    assert!(
        !checkpoint().cases().is_erased(first.position),
        "the control"
    );
    // Minute by minute, as a clock goes.
    let mut minutes_left = CHECKPOINT_ERASED_MINUTES_MAX + 1;
    let until = tokio::time::Instant::now() + DEADLINE;
    while !checkpoint().cases().is_erased(first.position) {
        assert!(tokio::time::Instant::now() < until, "not in time");
        if 0 < minutes_left {
            place.pass(1);
            minutes_left -= 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop(running);
}
