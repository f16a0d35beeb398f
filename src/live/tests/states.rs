//! What watchers are told of a state, when, and what is kept of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn first_message_is_a_snapshot() {
    let service = Service::start();
    service.report(1);
    service.report(1);
    service.report(0);
    let message = next(&mut service.watch(0).await).await;
    assert!(matches!(message.update, Update::Snapshot(_)));
    assert_eq!(rows(&message), [("001", 2)]);
    assert_eq!((message.total, message.left_out), (3, 1));
    assert_eq!(message.position, Position(3));
    assert_eq!(message.as_of, Minute(START_MINUTE).start());
}

#[tokio::test(start_paused = true)]
async fn first_change_after_quiet_goes_out_at_once_and_then_at_the_pace() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    sleep(PACE * 5).await;
    let quiet_end = Instant::now();
    service.report(1);
    let message = next(&mut watcher).await;
    assert_eq!(quiet_end.elapsed(), Duration::ZERO);
    assert_eq!(rows(&message), [("001", 1)]);
    service.report(2);
    let message = next(&mut watcher).await;
    assert_eq!(quiet_end.elapsed().as_millis(), PACE.as_millis());
    assert_eq!(rows(&message), [("002", 1)]);
}

#[tokio::test(start_paused = true)]
async fn slow_watcher_skips_to_the_newest_figure() {
    let service = Service::start();
    let mut slow = service.watch(0).await;
    let mut quick = service.watch(0).await;
    next(&mut slow).await;
    next(&mut quick).await;
    for count in 1..=5 {
        sleep(PACE).await;
        service.report(1);
        assert_eq!(rows(&next(&mut quick).await), [("001", count)]);
    }
    assert_eq!(rows(&next(&mut slow).await), [("001", 5)]);
}

#[tokio::test(start_paused = true)]
async fn states_that_blocked_watchers_have_are_kept_up_to_a_number_and_the_others_told_anew() {
    let service = Service::start();
    service.report(2);
    let mut blocked = vec![service.watch(0).await];
    next(&mut blocked[0]).await;
    // Each stays at a state of its own; the last at the newest.
    for _ in 0..=WATCH_STATES_KEPT_MAX {
        service.report(1);
        sleep(PACE).await;
        let mut watcher = service.watch(0).await;
        next(&mut watcher).await;
        blocked.push(watcher);
    }
    let states = blocked.iter().map(|watcher| watcher.sent.as_ref());
    let is_kept = |sent: Option<&state::Sent>| sent.is_some_and(|sent| sent.state().is_some());
    let kept: Vec<_> = states.map(is_kept).collect();
    assert!(!kept[0], "the oldest state is gone");
    assert!(kept[1..].iter().all(|is_kept| *is_kept));
    service.withdraw(0);
    service.report(3);
    sleep(PACE).await;
    let asked = next(&mut service.watch(0).await).await;
    let count = WATCH_STATES_KEPT_MAX as u64 + 1;
    assert_eq!(rows(&asked), [("001", count), ("003", 1)]);
    let told = next(&mut blocked[0]).await;
    assert_eq!(
        told.update, asked.update,
        "all of it, as a question gives it"
    );
    assert_eq!((told.total, told.position), (asked.total, asked.position));
    for watcher in &mut blocked[2..] {
        assert!(is_changes(&next(watcher).await));
    }
    service.report(3);
    assert!(
        is_changes(&next(&mut blocked[0]).await),
        "from then on changes"
    );
}

#[tokio::test(start_paused = true)]
async fn earlier_states_are_kept_up_to_a_number_of_rows_and_the_others_told_anew() {
    const KEPT: usize = WATCH_EARLIER_ROWS_MAX / WATCHED_ROWS_MAX;
    let service = Service::start();
    let mut blocked = Vec::new();
    // Each stays at a state of its own; the last at the newest.
    for _ in 0..KEPT + 2 {
        service.report(1);
        sleep(2 * PACE).await;
        let watching = service.watch_over(WIDE_MINUTES, None).await;
        let mut watcher = watching.expect("there is room");
        next(&mut watcher).await;
        blocked.push(watcher);
    }
    let states = blocked.iter().map(|watcher| watcher.sent.as_ref());
    let is_kept = |sent: Option<&state::Sent>| sent.is_some_and(|sent| sent.state().is_some());
    let kept: Vec<_> = states.map(is_kept).collect();
    assert!(!kept[0], "the oldest state is gone");
    assert!(kept[1..].iter().all(|is_kept| *is_kept));
    let told = next(&mut blocked[0]).await;
    assert!(matches!(told.update, Update::Snapshot(_)));
    assert_eq!(rows(&next(&mut blocked[1]).await).len(), 1, "what changed");
}

#[tokio::test(start_paused = true)]
async fn heartbeat_of_a_state_that_is_gone_is_still_of_that_state() {
    let service = Service::start();
    let pace = Duration::from_secs(40);
    let slow = service.publisher.watch(watch(0), pace, None, None);
    let mut slow = slow.await.expect("there is room");
    let first = next(&mut slow).await;
    let mut blocked = Vec::new();
    for _ in 0..=WATCH_STATES_KEPT_MAX {
        service.report(1);
        sleep(Duration::from_millis(WATCH_PACE_MS_MIN)).await;
        let mut watcher = service.watch(0).await;
        next(&mut watcher).await;
        blocked.push(watcher);
    }
    let heartbeat = next(&mut slow).await;
    assert!(
        slow.sent
            .as_ref()
            .is_some_and(|sent| sent.state().is_none())
    );
    assert_eq!(heartbeat.update, Update::Heartbeat);
    assert_eq!((heartbeat.position, heartbeat.total), (Position(0), 0));
    assert_eq!(heartbeat.resume_token, first.resume_token);
    let mut message = next(&mut slow).await;
    while message.update == Update::Heartbeat {
        message = next(&mut slow).await;
    }
    assert!(matches!(message.update, Update::Snapshot(_)), "{message:?}");
}

#[tokio::test(start_paused = true)]
async fn state_that_no_watcher_has_any_more_is_not_kept_nor_a_message_of_an_older_one() {
    let service = Service::start();
    service.report(1);
    let mut blocked = service.watch(0).await;
    let mut quick = service.watch(0).await;
    let told = blocked.next().await.expect("the stream goes on");
    let snapshot = Arc::downgrade(&told);
    drop(told);
    let mut states = Vec::new();
    for _ in 0..3 {
        let message = next(&mut quick).await;
        let state = quick.sent.as_ref().and_then(state::Sent::state);
        states.push(Arc::downgrade(state.expect("the newest").figures()));
        drop(message);
        service.report(1);
        sleep(PACE).await;
    }
    next(&mut quick).await;
    service.report(1);
    next(&mut quick).await;
    let is_kept = |state: &std::sync::Weak<Rows>| state.upgrade().is_some();
    let kept: Vec<_> = states.iter().map(is_kept).collect();
    assert_eq!(
        kept,
        [true, false, false],
        "the blocked watcher has the first"
    );
    assert!(snapshot.upgrade().is_none());
    drop(blocked);
}

#[tokio::test(start_paused = true)]
async fn what_several_watchers_are_told_is_one_message() {
    let service = Service::start();
    let mut watchers = [service.watch(0).await, service.watch(0).await];
    let mut other = service.watch(1).await;
    for _ in 0..3 {
        let mut told = Vec::new();
        for watcher in watchers.iter_mut().chain([&mut other]) {
            told.push(watcher.next().await.expect("the stream goes on"));
        }
        assert!(Arc::ptr_eq(&told[0], &told[1]));
        assert!(!Arc::ptr_eq(&told[0], &told[2]));
        sleep(PACE).await;
        service.report(1);
    }
}

#[tokio::test(start_paused = true)]
async fn removed_row_comes_with_a_count_of_zero() {
    let service = Service::start();
    service.report(1);
    service.report(2);
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    service.withdraw(0);
    let message = next(&mut watcher).await;
    assert_eq!(rows(&message), [("001", 0)]);
    assert_eq!(message.total, 1);
}

#[tokio::test(start_paused = true)]
async fn window_slides_when_nothing_is_reported() {
    let service = Service::start();
    service.report(1);
    let mut watcher = service.watch(0).await;
    let begun = Instant::now();
    next(&mut watcher).await;
    let message = loop {
        let message = next(&mut watcher).await;
        if is_changes(&message) {
            break message;
        }
    };
    assert_eq!(rows(&message), [("001", 0)]);
    // The minute of the report leaves a window of 60 minutes when the 60th after it begins.
    assert_eq!(begun.elapsed().as_secs(), 60 * 60 - 10);
    assert_eq!(message.as_of, Minute(START_MINUTE + 60).start());
}

#[tokio::test(start_paused = true)]
async fn incident_ahead_of_the_clock_counts_when_its_minute_begins() {
    let service = Service::start();
    service.report_of(START_MINUTE + 1, 1);
    let mut watcher = service.watch(0).await;
    assert_eq!(next(&mut watcher).await.total, 0);
    let mut message = next(&mut watcher).await;
    while !is_changes(&message) {
        message = next(&mut watcher).await;
    }
    assert_eq!(rows(&message), [("001", 1)]);
    assert_eq!(message.as_of, Minute(START_MINUTE + 1).start());
}

#[tokio::test(start_paused = true)]
async fn idle_stream_has_heartbeats_that_are_up_to_date() {
    let service = Service::start();
    let mut watcher = service.watch(1).await;
    let first = next(&mut watcher).await;
    let begun = Instant::now();
    service.report(2);
    let heartbeat = next(&mut watcher).await;
    assert_eq!(heartbeat.update, Update::Heartbeat);
    assert_eq!(begun.elapsed().as_millis(), u128::from(HEARTBEAT_MS));
    assert_eq!(
        (first.position, heartbeat.position),
        (Position(0), Position(1))
    );
    for _ in 0..4 {
        let message = next(&mut watcher).await;
        assert_eq!(message.update, Update::Heartbeat);
        assert_eq!(message.as_of, Minute(service.minute()).start());
    }
}

#[tokio::test(start_paused = true)]
async fn token_of_a_heartbeat_does_not_hide_a_change_that_the_pace_holds_back() {
    let service = Service::start();
    let pace = Duration::from_secs(40);
    let slow = service.publisher.watch(watch(0), pace, None, None).await;
    let mut slow = slow.expect("there is room");
    next(&mut slow).await;
    service.report(1);
    let heartbeat = next(&mut slow).await;
    assert_eq!(heartbeat.update, Update::Heartbeat);
    assert_eq!((heartbeat.position, heartbeat.total), (Position(0), 0));
    let message = service.resume(0, &heartbeat.resume_token).await;
    assert_eq!(rows(&message.expect("a stream")), [("001", 1)]);
}

#[tokio::test(start_paused = true)]
async fn window_that_is_not_complete_is_said_to_be_so_until_it_is_again() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    assert_eq!(next(&mut watcher).await.complete_from, None);
    let from = Minute(service.minute() - 30);
    let set = |from| {
        let mut record = service.memory.record.lock().expect("nobody panics");
        record.complete_from = from;
    };
    set(Some(from));
    service.report(1);
    let message = next(&mut watcher).await;
    assert_eq!(message.complete_from, Some(from.start()));
    sleep(Duration::from_secs(31 * 60)).await;
    let mut message = next(&mut watcher).await;
    while message.complete_from.is_some() {
        message = next(&mut watcher).await;
    }
    assert!(matches!(message.update, Update::Changes(_)), "{message:?}");
}
