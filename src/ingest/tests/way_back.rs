//! How long more can be told about a report.

use super::*;
use crate::domain::limits::{WAY_BACK_DAYS_MAX, WORDS_DAYS_DEFAULT};
use crate::domain::taxonomy::CaseState;

const MINUTES_PER_DAY: i64 = 24 * 60;

/// Lets time pass, and something come, so that the journal is as late.
async fn pass_days(place: &Place, running: &Running, days: i64) {
    place.pass(days * MINUTES_PER_DAY);
    let number = 1_000_000 + running.reader.last().0;
    let other = Incident {
        card_number: None,
        installation_id: None,
        ..incident(number)
    };
    let told = submit_one(running, other).await.expect("accepted");
    assert!(!told.repeated);
}

fn reply(message: &str) -> Reply {
    Reply {
        state: CaseState::Investigating,
        reason: None,
        message: message.into(),
    }
}

/// As when its time has come.
fn take_away(running: &Running, through: Position, what: Removal) {
    let removed = Remover::new(&running.reader).remove(Position(1), through, what);
    removed.expect("taken away");
}

#[tokio::test]
async fn erasure_is_noted_late_only_if_something_is_left_to_erase() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 1..4).await;
    let ingest = &running.ingest;
    let answered = ingest.get(id(2), &secret(1)).await.expect("kept").position;
    let last = running.reader.last();
    take_away(&running, last, Removal::All);
    let is_noted = async |number| {
        let erased = ingest.erase(id(number), &secret(1)).await;
        erased.expect("erased").erased.is_some()
    };
    pass_days(&place, &running, WAY_BACK_DAYS_MAX).await;
    assert!(is_noted(1).await, "no answer comes to it any more");
    let replied = ingest.respond(answered, reply("wij zoeken het uit")).await;
    assert_eq!(replied.expect("in time").replies.len(), 1);
    pass_days(&place, &running, i64::from(WORDS_DAYS_DEFAULT)).await;
    let before = running.reader.last();
    assert!(!is_noted(3).await, "nothing of it is left");
    assert_eq!(running.reader.last(), before, "nothing is written");
    assert!(is_noted(2).await, "its answer has words");
    let kept = ingest.get(id(2), &secret(1)).await.expect("kept");
    assert!(kept.replies[0].is_message_gone);
    stop(running);
}
