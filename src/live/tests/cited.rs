//! How figures are cited.

use super::*;

#[tokio::test(start_paused = true)]
async fn figures_are_cited_first_and_once_for_each_window_however_often_they_change() {
    let service = Service::start();
    service.report(1);
    let mut watcher = service.watch(0).await;
    let first = next(&mut watcher).await;
    let cited = first.cited;
    assert!(first.is_window_new, "the first is cited in full");
    assert_eq!(cited.window, watch(0).span(Minute(START_MINUTE)));
    assert_eq!(cited.first_at, Position(1));
    for position in 2..5 {
        sleep(PACE).await;
        service.report(1);
        let message = next(&mut watcher).await;
        assert!(!message.is_window_new);
        let cited = message.cited;
        assert_eq!(cited.first_at, Position(position), "as the figures are");
    }
    sleep(Duration::from_secs(60)).await;
    let mut cited = Vec::new();
    for _ in 0..5 {
        let message = next(&mut watcher).await;
        cited.extend(message.is_window_new.then_some(message.cited.window.end.0));
    }
    assert_eq!(cited, [START_MINUTE + 2, START_MINUTE + 3]);
}

#[tokio::test(start_paused = true)]
async fn citation_does_not_show_that_something_else_was_recorded() {
    let service = Service::start();
    service.report(1);
    let mut others = service.watch(1).await;
    let before = next(&mut others).await.cited;
    service.report(2);
    sleep(PACE).await;
    let after = next(&mut service.watch(1).await).await;
    assert_eq!((after.cited, after.position), (before, Position(2)));
    service.report(1);
    sleep(PACE).await;
    let after = next(&mut service.watch(1).await).await.cited;
    assert_ne!(after, before);
}

#[tokio::test(start_paused = true)]
async fn figures_of_another_window_are_cited_as_of_a_place_that_has_them() {
    let service = Service::start();
    let watch = Watch {
        window_minutes: 5,
        ..watch(1)
    };
    // One stands in the oldest minute of the window.
    service.report_of(START_MINUTE - 4, 1);
    let watching = service.publisher.watch(watch.clone(), PACE, None, None);
    let mut watcher = watching.await.expect("there is room");
    assert_eq!(next(&mut watcher).await.total, 1);
    // Another comes as that minute ends: the same count, in the next window.
    advance(Duration::from_millis(49_990)).await;
    service.report(1);
    advance(Duration::from_millis(20)).await;
    let message = loop {
        let message = next(&mut watcher).await;
        if message.is_window_new {
            break message;
        }
    };
    assert_eq!(message.total, 1);
    let record = service.memory.record.lock().expect("nobody panics").clone();
    let cited = message.cited;
    let asked = record.count_at(&watch, cited.window, cited.first_at);
    assert_eq!(asked.total, 1, "as of {:?}", cited.first_at);
}
