//! How long, and how often, more can be told about a report.

use super::*;
use crate::domain::limits::{
    AMENDMENTS_PER_CASE_MAX, REPLIES_PER_CASE_MAX, WAY_BACK_DAYS_MAX, WORDS_DAYS_DEFAULT,
};
use crate::domain::taxonomy::{CaseState, WorkedLater};

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

/// What the reporter tells of how it worked later, another thing each time.
fn later(number: usize) -> Later {
    let worked_later = [WorkedLater::SameReader, WorkedLater::OtherReader][number % 2];
    Later {
        worked_later: Some(worked_later),
        ..Later::default()
    }
}

#[tokio::test]
async fn reporter_and_operator_can_tell_more_so_often_and_no_more() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 1..2).await;
    let ingest = &running.ingest;
    let at = ingest.get(id(1), &secret(1)).await.expect("kept").position;
    let amend = async |number| ingest.amend(id(1), &secret(1), later(number)).await;
    let respond = async |number: usize| ingest.respond(at, reply(&number.to_string())).await;
    for number in 0..AMENDMENTS_PER_CASE_MAX {
        let kept = amend(number).await.expect("room");
        assert_eq!(kept.amendments.len(), number + 1);
    }
    for number in 0..REPLIES_PER_CASE_MAX {
        let kept = respond(number).await.expect("room");
        assert_eq!(kept.replies.len(), number + 1);
    }
    let before = running.reader.last();
    let (amended, replied) = (
        amend(AMENDMENTS_PER_CASE_MAX).await,
        respond(REPLIES_PER_CASE_MAX).await,
    );
    assert!(matches!(amended, Err(CaseError::Full)), "{amended:?}");
    assert!(matches!(replied, Err(CaseError::Full)), "{replied:?}");
    amend(AMENDMENTS_PER_CASE_MAX - 1)
        .await
        .expect("said already");
    respond(REPLIES_PER_CASE_MAX - 1)
        .await
        .expect("said already");
    assert_eq!(running.reader.last(), before, "nothing is written");
    ingest
        .withdraw(id(1), &secret(1))
        .await
        .expect("is no more of it");
    stop(running);
}

#[tokio::test]
async fn way_back_is_open_through_its_last_day_and_not_on_the_next() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 1..3).await;
    let ingest = &running.ingest;
    let mut places = Vec::new();
    for number in 1..3 {
        let kept = ingest.get(id(number), &secret(1)).await.expect("kept");
        places.push(kept.position);
    }
    let tell = async |number: usize| {
        let id = id(number as u64);
        let amended = ingest.amend(id, &secret(1), later(number)).await;
        let replied = ingest
            .respond(places[number - 1], reply("wij kijken ernaar"))
            .await;
        let withdrawn = ingest.withdraw(id, &secret(1)).await;
        [amended.err(), replied.err(), withdrawn.err()]
    };
    pass_days(&place, &running, WAY_BACK_DAYS_MAX).await;
    let on_the_last = tell(1).await;
    assert!(on_the_last.iter().all(Option::is_none), "{on_the_last:?}");
    pass_days(&place, &running, 1).await;
    let before = running.reader.last();
    let on_the_next = tell(2).await;
    let is_over = |refused: &Option<CaseError>| matches!(refused, Some(CaseError::Over));
    assert!(on_the_next.iter().all(is_over), "{on_the_next:?}");
    ingest
        .withdraw(id(1), &secret(1))
        .await
        .expect("is withdrawn");
    assert_eq!(running.reader.last(), before, "nothing is written");
    stop(running);
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
