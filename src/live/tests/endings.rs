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

/// A source whose view cannot be taken.
#[derive(Clone, Default)]
struct Blind(Memory);

impl Source for Blind {
    type View = Record;

    fn epoch(&self) -> Epoch {
        self.0.epoch()
    }

    fn horizon(&self) -> Position {
        self.0.horizon()
    }

    fn applied(&self) -> Position {
        self.0.applied()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn view(&self) -> Record {
        panic!("as a test wants it")
    }
}

#[tokio::test]
async fn round_that_fails_ends_the_streams_but_not_the_publisher() {
    let (hub, stop) = (Hub::new(), CancellationToken::new());
    let publisher = Publisher::start(Blind::default(), hub, || START, Seal::testing(7), stop);
    for _ in 0..2 {
        let refused = publisher.watch(watch(0), PACE, None, None).await;
        assert_eq!(refused.err(), Some(WatchError::Stopping));
        assert!(!publisher.has_ended());
    }
}

#[tokio::test(start_paused = true)]
async fn failure_of_counting_one_question_ends_its_streams_and_no_others() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    let mut other = service.watch(1).await;
    next(&mut watcher).await;
    next(&mut other).await;
    service.report(UNSOUND);
    service.report(1);
    assert_eq!(watcher.next().await, Err(WatchError::Uncountable));
    assert_eq!(rows(&next(&mut other).await), [("001", 1)]);
    let refused = service.publisher.watch(watch(0), PACE, None, None).await;
    assert_eq!(refused.err(), Some(WatchError::Uncountable));
    service.report(1);
    assert_eq!(rows(&next(&mut other).await), [("001", 2)]);
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
