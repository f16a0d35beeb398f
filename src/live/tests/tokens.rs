//! Streams that go on where an earlier one was, or begin anew.

use super::*;

#[tokio::test(start_paused = true)]
async fn stream_is_resumed_if_nothing_changed_and_starts_anew_if_something_did() {
    let service = Service::start();
    service.report(1);
    let token = next(&mut service.watch(1).await).await.resume_token;
    service.report(2);
    sleep(PACE).await;
    let resumed = service.resume(1, &token).await.expect("a stream");
    assert_eq!(resumed.update, Update::Resumed);
    assert_eq!((resumed.position, resumed.total), (Position(2), 1));
    service.report(1);
    sleep(PACE).await;
    let message = service.resume(1, &token).await.expect("a stream");
    assert_eq!(message.update, Update::Snapshot(packed(&[("001", 2)])));
}

#[tokio::test(start_paused = true)]
async fn stream_is_resumed_after_a_restart() {
    let service = Service::start();
    service.report(1);
    let token = next(&mut service.watch(0).await).await.resume_token;
    service.stop.cancel();
    let again = Service::start_with(service.memory.clone());
    let resumed = again.resume(0, &token).await.expect("a stream");
    assert_eq!(resumed.update, Update::Resumed);
}

#[tokio::test(start_paused = true)]
async fn token_of_another_question_starts_anew_and_garbage_is_refused() {
    let service = Service::start();
    let token = next(&mut service.watch(0).await).await.resume_token;
    let message = service.resume(1, &token).await.expect("a stream");
    assert_eq!(message.update, Update::Snapshot(packed(&[])));
    let refused = service.resume(0, b"garbage").await;
    assert_eq!(refused, Err(WatchError::Token));
}

#[tokio::test(start_paused = true)]
async fn token_of_another_journal_too_old_or_ahead_is_refused_with_one_that_begins_anew() {
    let service = Service::start();
    for _ in 0..5 {
        service.report(1);
    }
    let token = next(&mut service.watch(0).await).await.resume_token;
    service.report(1);
    service.report(1);
    let check = async |expected: Gone| {
        let again = Service::start_with(service.memory.clone());
        let refused = again.resume(0, &token).await;
        let Err(WatchError::Gone { why, oldest_token }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(why, expected);
        let message = again.resume(0, &oldest_token).await.expect("a stream");
        assert!(matches!(message.update, Update::Snapshot(_)), "{message:?}");
    };
    service.memory.removed.store(6, Ordering::Relaxed);
    check(Gone::TooOld).await;
    service.memory.removed.store(5, Ordering::Relaxed);
    assert!(
        service.resume(0, &token).await.is_ok(),
        "the last below the horizon"
    );
    service.memory.epoch.store(9, Ordering::Relaxed);
    check(Gone::OtherJournal).await;
    service.memory.epoch.store(0, Ordering::Relaxed);
    service.memory.removed.store(0, Ordering::Relaxed);
    let shorter = Record {
        position: Position(4),
        ..Record::default()
    };
    *service.memory.record.lock().expect("nobody panics") = shorter;
    check(Gone::Ahead).await;
}
