//! What is taken in while the disk is nearly full.

use super::*;
use crate::domain::entry::Removal;
use crate::domain::taxonomy::{CaseState, ExtraCost};

/// Starts with a disk that is nearly full, and waits until the committer has seen it: it looks
/// when it has nothing to do, or after some batches. Returns how many reports it took before.
async fn start_on_low_disk(place: &Place) -> (Running, u64) {
    let running = place.start_with(Options {
        disk_reserve_bytes: u64::MAX,
        ..Place::options()
    });
    let mut number = 10;
    while !is_refused(&submit_one(&running, incident(number)).await) {
        number += 1;
        assert!(number < 1_000);
    }
    (running, number - 10)
}

fn is_refused<T>(result: &Result<T, SubmitError>) -> bool {
    matches!(result, Err(SubmitError::DiskReserve))
}

fn is_later_refused<T>(result: &Result<T, CaseError>) -> bool {
    matches!(result, Err(CaseError::Submit(SubmitError::DiskReserve)))
}

#[tokio::test]
async fn full_disk_refuses_reports() {
    let place = Place::new();
    let (running, taken) = start_on_low_disk(&place).await;
    assert_eq!(counted(&running) as u64, taken);
    stop(running);
    let running = place.start();
    submit_all(&running, 10 + taken..11 + taken).await;
}

#[tokio::test]
async fn full_disk_refuses_nothing_that_takes_away() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 1..4).await;
    stop(running);
    let (running, taken) = start_on_low_disk(&place).await;
    let ingest = &running.ingest;
    let later = Later {
        extra_cost: Some(ExtraCost::Under5),
        ..Later::default()
    };
    assert!(is_later_refused(
        &ingest.amend(id(1), &secret(1), later).await
    ));
    let first = ingest.get(id(1), &secret(1)).await.expect("kept");
    let reply = Reply {
        state: CaseState::Received,
        reason: None,
        message: "het spijt ons".into(),
    };
    assert!(is_later_refused(
        &ingest.respond(first.position, reply).await
    ));

    ingest.withdraw(id(1), &secret(1)).await.expect("taken");
    assert_eq!(counted(&running) as u64, taken + 2);
    let erased = ingest.erase(id(2), &secret(1)).await.expect("taken");
    assert!(erased.personal.is_none());
    let through = running.reader.last();
    let noted = ingest.note_removal(Removal::Words, through).await;
    assert_eq!(noted, Ok(through.next()));
    let noted = ingest.note_ended(Position(1), None).await;
    assert_eq!(noted, Ok(through.next().next()));
    assert!(is_refused(&submit_one(&running, incident(5)).await));
    stop(running);
}

#[tokio::test]
async fn time_goes_on_while_the_disk_is_full() {
    let place = Place::new();
    let (running, _) = start_on_low_disk(&place).await;
    let before = running.reader.last();
    let mut reached = running.ingest.reached();
    place.pass(1);
    let ticked = reached.wait_for(|reached| before < *reached);
    let ticked = tokio::time::timeout(DEADLINE, ticked).await;
    let reached = *ticked.expect("in time").expect("it runs");
    assert_eq!(reached, before.next());
    stop(running);
}
