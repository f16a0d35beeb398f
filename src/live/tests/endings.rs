//! How streams end, and how small they are meanwhile.

use super::*;

#[tokio::test(start_paused = true)]
async fn stopping_ends_every_stream_and_refuses_new_ones() {
    let service = Service::start();
    let mut idle = service.watch(0).await;
    let mut held_back = service.watch(0).await;
    let mut unread = service.watch(0).await;
    next(&mut idle).await;
    next(&mut held_back).await;
    service.report(1);
    let begun = Instant::now();
    let stop = service.stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(10)).await;
        stop.cancel();
    });
    assert_eq!(held_back.next().await, Err(WatchError::Stopping));
    assert_eq!(idle.next().await, Err(WatchError::Stopping));
    assert_eq!(unread.next().await, Err(WatchError::Stopping));
    assert_eq!(begun.elapsed(), Duration::from_millis(10));
    let refused = service.publisher.watch(watch(0), PACE, None, None).await;
    assert_eq!(refused.err(), Some(WatchError::Stopping));
}

#[tokio::test(start_paused = true)]
async fn failure_of_counting_ends_the_streams_but_not_the_publisher() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    service.report(UNSOUND);
    assert_eq!(watcher.next().await, Err(WatchError::Stopping));
    let sound = Record::default();
    *service.memory.record.lock().expect("nobody panics") = sound;
    assert_eq!(next(&mut service.watch(0).await).await.total, 0);
}

#[tokio::test]
async fn publisher_that_panics_has_ended_and_refuses_with_another_word_than_stopping() {
    let is_broken = Arc::new(AtomicUsize::new(0));
    let clock = Arc::clone(&is_broken);
    let now = move || {
        assert_eq!(clock.load(Ordering::Relaxed), 0, "the clock is broken");
        START
    };
    let (memory, hub, stop) = (Memory::default(), Hub::new(), CancellationToken::new());
    let publisher = Publisher::start(memory, hub.clone(), now, Seal::testing(7), stop);
    assert!(publisher.watch(watch(0), PACE, None, None).await.is_ok());
    assert!(!publisher.has_ended());
    is_broken.store(1, Ordering::Relaxed);
    hub.mark_changed(&[row(1, START_MINUTE, 1)], Position(1));
    publisher.ended().await;
    assert!(publisher.has_ended());
    let refused = publisher.watch(watch(0), PACE, None, None).await;
    assert_eq!(refused.err(), Some(WatchError::Failed));
}

#[tokio::test(start_paused = true)]
async fn idle_watcher_is_small() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    let waiting = size_of_val(&watcher.next());
    assert!(size_of::<Watcher>() + waiting <= WATCHER_BYTES_MAX);
}
