//! What many watchers and many questions cost, and what bounds them.

use super::*;
use crate::domain::limits::WATCHED_RATES_MAX;
use crate::query::rates::RatesWanted;
use crate::stats::interval::Level;
use crate::stats::rate::Estimator;

#[tokio::test(start_paused = true)]
async fn thousand_watchers_of_one_question_cost_one_count() {
    let service = Service::start();
    let mut watchers = Vec::new();
    for _ in 0..1_000 {
        watchers.push(service.watch(0).await);
    }
    assert_eq!(service.views(), 1);
    for watcher in &mut watchers {
        next(watcher).await;
    }
    service.report(1);
    let mut shared = Vec::new();
    for watcher in &mut watchers {
        match next(watcher).await.update {
            Update::Changes(figures) => shared.push(figures),
            other => panic!("changes were due, not {other:?}"),
        }
    }
    assert_eq!(service.views(), 2);
    assert!(
        shared
            .iter()
            .all(|figures| Arc::ptr_eq(figures, &shared[0]))
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_what_another_just_asked_for_waits_for_nobody() {
    let service = Service::start();
    let ask = || Box::pin(service.publisher.watch(watch(0), PACE, None, None));
    let mut first = ask();
    let waiting = (&mut first).now_or_never();
    assert!(waiting.is_none(), "its first state is not counted");
    let mut joined = Vec::new();
    for _ in 0..3 * WATCH_REQUESTS_MAX {
        let watcher = ask().now_or_never().expect("at once");
        joined.push(watcher.expect("there is room"));
    }
    // Nor does it depend on who was first.
    drop(first);
    for watcher in &mut joined {
        assert!(matches!(next(watcher).await.update, Update::Snapshot(_)));
    }
    assert_eq!(service.views(), 1);
}

#[tokio::test(start_paused = true)]
async fn steady_changes_are_counted_at_the_shortest_pace() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    let before = service.views();
    for _ in 0..1_000 {
        service.report(1);
        sleep(Duration::from_millis(1)).await;
    }
    let rounds = service.views() - before;
    let expected = 1_000 / usize::try_from(WATCH_PACE_MS_MIN).expect("a small number");
    assert!((expected..=expected + 1).contains(&rounds), "{rounds}");
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_there_is_room_for_miss_nothing() {
    let service = Service::start();
    let mut watcher = service.watch(3).await;
    next(&mut watcher).await;
    service.report(3);
    for _ in 0..CHANGED_ROWS_MAX {
        service.report(2);
    }
    assert_eq!(rows(&next(&mut watcher).await), [("003", 1)]);
}

#[tokio::test(start_paused = true)]
async fn question_beyond_the_limit_is_refused_and_unwatched_ones_are_dropped() {
    let service = Service::start();
    let question = |number: usize| Watch {
        window_minutes: 5 + u32::try_from(number).expect("a small number"),
        ..watch(0)
    };
    let mut watchers = Vec::new();
    for number in 0..WATCHED_QUESTIONS_MAX {
        let watcher = service
            .publisher
            .watch(question(number), PACE, None, None)
            .await;
        watchers.push(watcher.expect("there is room"));
    }
    let another = question(WATCHED_QUESTIONS_MAX);
    let refused = service
        .publisher
        .watch(another.clone(), PACE, None, None)
        .await;
    assert_eq!(refused.err(), Some(WatchError::Full));
    watchers.pop();
    let admitted = service.publisher.watch(another, PACE, None, None).await;
    assert!(admitted.is_ok());
}

#[tokio::test(start_paused = true)]
async fn question_with_rates_beyond_the_limit_is_refused_and_one_without_is_not() {
    let service = Service::start();
    let ask = async |number: usize, rates: Option<RatesWanted>| {
        let question = Watch {
            window_minutes: 5 + u32::try_from(number).expect("a small number"),
            rates,
            ..watch(0)
        };
        service.publisher.watch(question, PACE, None, None).await
    };
    let rates = || {
        Some(RatesWanted {
            feeds: Vec::new(),
            estimator: Estimator::Standard,
            level: Level::P95,
        })
    };
    let mut watchers = Vec::new();
    for number in 0..WATCHED_RATES_MAX {
        watchers.push(ask(number, rates()).await.expect("there is room"));
    }
    let refused = ask(WATCHED_RATES_MAX, rates()).await;
    assert_eq!(refused.err(), Some(WatchError::Full));
    assert!(ask(WATCHED_RATES_MAX, None).await.is_ok());
    watchers.pop();
    assert!(ask(WATCHED_RATES_MAX, rates()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn cheap_question_waits_for_no_more_than_one_or_two_dear_ones() {
    let service = Service::start();
    let mut dear = Vec::new();
    for minutes in DEAR_MINUTES..DEAR_MINUTES + 20 {
        dear.push(
            service
                .watch_over(minutes, None)
                .await
                .expect("there is room"),
        );
    }
    let mut cheap = service.watch(0).await;
    next(&mut cheap).await;
    for new in 100..105 {
        let before = service.counted().len();
        service.report(1);
        let opened = service.watch_over(new, None).await;
        let message = next(&mut cheap).await;
        assert!(is_changes(&message), "{message:?}");
        let counted = service.counted().split_off(before);
        for minutes in [60, new] {
            let turn = counted.iter().position(|one| *one == minutes);
            let waited = &counted[..turn.expect("it was counted")];
            let dear = waited.iter().filter(|one| DEAR_MINUTES <= **one).count();
            assert!(dear <= 2, "{minutes} after {waited:?}");
        }
        drop(opened);
    }
}

#[tokio::test(start_paused = true)]
async fn dear_questions_all_have_their_turn_however_often_rows_change() {
    const QUESTIONS: u32 = 20;
    let service = Service::start();
    let mut dear = Vec::new();
    for minutes in DEAR_MINUTES..DEAR_MINUTES + QUESTIONS {
        dear.push(
            service
                .watch_over(minutes, None)
                .await
                .expect("there is room"),
        );
    }
    let before = service.counted().len();
    for _ in 0..10 * QUESTIONS {
        service.report(1);
        sleep(Duration::from_millis(WATCH_PACE_MS_MIN)).await;
    }
    let counted = service.counted().split_off(before);
    let turns = |minutes| counted.iter().filter(|one| **one == minutes).count();
    let turns: Vec<_> = (DEAR_MINUTES..DEAR_MINUTES + QUESTIONS)
        .map(turns)
        .collect();
    let (least, most) = (turns.iter().min(), turns.iter().max());
    assert!(
        Some(&5) <= least && most <= least.map(|least| least + 3).as_ref(),
        "{turns:?}"
    );
    // When rows change no more, all arrive at the newest state.
    sleep(PACE * 10).await;
    for watcher in &mut dear {
        let message = next(watcher).await;
        assert_eq!(message.total, u64::from(10 * QUESTIONS));
    }
}

#[tokio::test(start_paused = true)]
async fn token_with_many_dear_questions_does_not_delay_those_of_another() {
    let service = Service::start();
    let mut open = Vec::new();
    let (many, few) = (
        DEAR_MINUTES..DEAR_MINUTES + 40,
        DEAR_MINUTES + 40..DEAR_MINUTES + 43,
    );
    for (token, minutes) in [(1, many), (2, few.clone())] {
        for minutes in minutes {
            let watcher = service.watch_over(minutes, Some(token)).await;
            open.push(watcher.expect("there is room"));
        }
    }
    sleep(PACE * 20).await;
    let before = service.counted().len();
    service.report(1);
    sleep(PACE * 20).await;
    let counted = service.counted().split_off(before);
    let last = counted.iter().rposition(|minutes| few.contains(minutes));
    assert!(
        last.is_some_and(|last| last < 2 * few.len() + 1),
        "{counted:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_token_has_so_many_questions_and_rows_and_takes_none_of_another() {
    let service = Service::start();
    let mut open = Vec::new();
    for minutes in (5..).take(WATCHED_QUESTIONS_PER_TOKEN_MAX) {
        let watcher = service.watch_over(minutes, Some(1)).await;
        open.push(watcher.expect("there is room"));
    }
    let refused = service.watch_over(100, Some(1)).await;
    assert_eq!(refused.err(), Some(WatchError::TooManyQuestions));
    assert!(
        service.watch_over(5, Some(1)).await.is_ok(),
        "it is watched"
    );
    assert!(service.watch_over(100, Some(2)).await.is_ok());
    drop(open);
    let mut open = Vec::new();
    for minutes in (WIDE_MINUTES..).take(WATCHED_ROWS_PER_TOKEN_MAX / WATCHED_ROWS_MAX) {
        let watcher = service.watch_over(minutes, Some(1)).await;
        open.push(watcher.expect("there is room"));
    }
    let refused = service.watch_over(WIDE_MINUTES + 100, Some(1)).await;
    assert_eq!(refused.err(), Some(WatchError::TooManyRowsOfToken));
    let other = service.watch_over(WIDE_MINUTES + 100, Some(2)).await;
    assert!(other.is_ok());
    open.pop();
    let again = service.watch_over(WIDE_MINUTES + 101, Some(1)).await;
    assert!(again.is_ok(), "what is watched no more counts no more");
}

#[tokio::test(start_paused = true)]
async fn question_counts_no_more_for_a_token_that_left_it_to_others() {
    let service = Service::start();
    let questions = (WIDE_MINUTES..).take(WATCHED_ROWS_PER_TOKEN_MAX / WATCHED_ROWS_MAX);
    let mut open = [Vec::new(), Vec::new()];
    for minutes in questions {
        for (token, open) in (1..).zip(&mut open) {
            let watcher = service.watch_over(minutes, Some(token)).await;
            let mut watcher = watcher.expect("there is room");
            next(&mut watcher).await;
            open.push(watcher);
        }
    }
    let refused = service.watch_over(WIDE_MINUTES + 100, Some(1)).await;
    assert_eq!(refused.err(), Some(WatchError::TooManyRowsOfToken));
    open[0].clear();
    let alone = service.watch_over(WIDE_MINUTES + 100, Some(1)).await;
    assert!(alone.is_ok(), "it watches nothing else");
    let refused = service.watch_over(WIDE_MINUTES + 101, Some(2)).await;
    assert_eq!(refused.err(), Some(WatchError::TooManyRowsOfToken));
}

#[tokio::test(start_paused = true)]
async fn rows_of_one_token_do_not_end_what_another_or_who_has_none_watches_as_well() {
    let check = async |other: Option<u32>| {
        let service = Service::start();
        let shared = [
            service.watch_over(5, Some(1)).await,
            service.watch_over(5, other).await,
        ];
        let mut shared = shared.map(|watcher| watcher.expect("there is room"));
        let mut open = Vec::new();
        for minutes in (WIDE_MINUTES..).take(WATCHED_ROWS_PER_TOKEN_MAX / WATCHED_ROWS_MAX) {
            let watcher = service.watch_over(minutes, Some(1)).await;
            open.push(watcher.expect("there is room"));
        }
        for watcher in &mut shared {
            next(watcher).await;
        }
        service.report(1);
        for watcher in &mut shared {
            assert_eq!(rows(&next(watcher).await), [("001", 1)], "{other:?}");
        }
        let refused = service.watch_over(6, Some(1)).await;
        let expected = Some(WatchError::TooManyRowsOfToken);
        assert_eq!(refused.err(), expected, "nobody else watches it");
    };
    check(Some(2)).await;
    check(None).await;
}

#[tokio::test(start_paused = true)]
async fn question_with_too_many_rows_is_refused_or_ended() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    for _ in 0..=WATCHED_ROWS_MAX {
        service.report(1);
    }
    assert_eq!(watcher.next().await, Err(WatchError::TooManyRows));
    assert_eq!(watcher.next().await, Err(WatchError::TooManyRows));
    let refused = service.publisher.watch(watch(0), PACE, None, None).await;
    assert_eq!(refused.err(), Some(WatchError::TooManyRows));
}
