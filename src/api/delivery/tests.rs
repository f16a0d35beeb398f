//! Bodies polled by hand, and over a connection of HTTP/2 whose client takes little.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{FutureExt, StreamExt, stream};
use http_body::Body as _;
use tokio::io::DuplexStream;
use tonic::body::Body;
use tonic::transport::Server;

use super::*;
use crate::api::connection::{Abortable, ConnectionInfo};
use crate::api::frames::framed;
use crate::domain::limits::{WATCH_UNTAKEN_BYTES_MIN, WATCH_UNTAKEN_BYTES_PER_TOKEN_MAX};
use crate::live::{Holder, PermitBounds, Permits};

const PATIENCE: Duration = Duration::from_millis(WATCH_UNTAKEN_MS_MAX);
const TOKEN: Holder = Holder {
    token: Some(7),
    address: None,
};
/// As much as a client can let a server send.
const WINDOW_MAX: u32 = u32::MAX >> 1;

/// A message that ends at a place, of which the token is made.
fn handed(message: &Bytes, place: u8) -> FramedMessage {
    FramedMessage {
        frame: message.clone(),
        resume_token: vec![place].into(),
    }
}

/// A message whose bytes tell where they stand.
fn numbered(bytes: usize) -> Bytes {
    // By a prime, or parts could be told for each other.
    let byte = |at| u8::try_from(at % 251).expect("a byte");
    (0..bytes).map(byte).collect()
}

/// A message of so many bytes.
fn message(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}

fn permits() -> Permits {
    Permits::new(PermitBounds::default())
}

/// With a place of its own.
fn opened(frames: Frames) -> Opened {
    opened_of(&permits(), frames)
}

fn opened_of(permits: &Permits, frames: Frames) -> Opened {
    Opened {
        frames,
        permit: permits.take(TOKEN).expect("there is room"),
        connection: None,
    }
}

fn trailer(frame: Frame<Bytes>) -> HeaderMap {
    frame.into_trailers().expect("trailers")
}

async fn next(body: &mut FrameBody) -> Option<Frame<Bytes>> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
    frame.await.map(|frame| frame.expect("a frame"))
}

/// The reason and the token of an end.
fn told(trailers: &HeaderMap) -> (String, Option<String>) {
    let status = Status::from_header_map(trailers).expect("a status");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    let info = tonic_types::StatusExt::get_details_error_info(&status);
    let info = info.expect("always there");
    (info.reason, info.metadata.get("resume_token").cloned())
}

/// These at once and silence after them, and what the stream holds.
fn stream_of(messages: Vec<Bytes>) -> (Frames, Arc<()>) {
    let held = Arc::new(());
    let holding = Arc::clone(&held);
    let all = stream::iter((1..).zip(messages));
    let all = all.map(|(place, message)| Ok(handed(&message, place)));
    let silence = stream::poll_fn(move |_| {
        let _held = &holding;
        Poll::Pending
    });
    (Box::pin(all.chain(silence)), held)
}

// === Polled by hand ===

#[tokio::test]
async fn stream_ends_with_its_status_after_its_messages() {
    let check = async |end: Option<Status>, expected: &str| {
        let message = framed(&"a message".to_owned());
        let messages = stream::iter([Ok(handed(&message, 1))]);
        let messages = messages.chain(stream::iter(end.map(Err)));
        let mut body = Sweeper::default().watch_over(opened(Box::pin(messages)));
        let frame = next(&mut body).await.expect("a message");
        assert_eq!(frame.into_data().expect("data"), message);
        let frame = next(&mut body).await.expect("trailers");
        assert_eq!(trailer(frame)["grpc-status"], expected);
        assert!(next(&mut body).await.is_none());
    };
    check(None, "0").await;
    check(Some(Status::unavailable("stopping")), "14").await;
}

#[tokio::test(start_paused = true)]
async fn stream_that_nobody_reads_is_ended_with_the_token_of_its_last_message() {
    let sweeper = Sweeper::default();
    let (frames, held) = stream_of(vec![message(9); 2]);
    let mut body = sweeper.watch_over(opened(frames));
    let mut untaken = Vec::new();
    for _ in 0..2 {
        untaken.push(next(&mut body).await.expect("a message"));
    }
    assert!(next(&mut body).now_or_never().is_none(), "it has no more");
    tokio::time::advance(PATIENCE - Duration::from_millis(1)).await;
    sweep(&sweeper.0.open(), Instant::now());
    assert_eq!(Arc::strong_count(&held), 2, "it goes on");
    tokio::time::advance(Duration::from_millis(1)).await;
    sweep(&sweeper.0.open(), Instant::now());
    assert_eq!(Arc::strong_count(&held), 1, "it is over");
    assert!(next(&mut body).now_or_never().is_none(), "it waits");
    drop(untaken);
    let trailers = trailer(soon(next(&mut body)).await.expect("an end"));
    let expected = ("WATCHER_LAGGED".to_owned(), Some("02".to_owned()));
    assert_eq!(told(&trailers), expected);
    assert!(next(&mut body).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn stream_without_news_is_not_ended_and_one_that_is_gone_is_forgotten() {
    let sweeper = Sweeper::default();
    let (frames, held) = stream_of(vec![message(9)]);
    let mut body = sweeper.watch_over(opened(frames));
    drop(next(&mut body).await.expect("a message"));
    assert!(next(&mut body).now_or_never().is_none(), "the client asks");
    tokio::time::advance(10 * PATIENCE).await;
    sweep(&sweeper.0.open(), Instant::now());
    assert_eq!(Arc::strong_count(&held), 2);
    drop(body);
    sweep(&sweeper.0.open(), Instant::now());
    assert!(sweeper.0.open().is_empty());
}

/// As gRPC-Web in text does: what is lent is copied and given back at once.
#[tokio::test(start_paused = true)]
async fn stream_whose_messages_are_copied_is_ended_where_nobody_asks_for_the_next() {
    let sweeper = Sweeper::default();
    let (frames, held) = stream_of(vec![message(9); 2]);
    let mut body = sweeper.watch_over(opened(frames));
    drop(next(&mut body).await.expect("a message"));
    tokio::time::advance(PATIENCE - Duration::from_millis(1)).await;
    sweep(&sweeper.0.open(), Instant::now());
    assert_eq!(Arc::strong_count(&held), 2, "it goes on");
    tokio::time::advance(Duration::from_millis(1)).await;
    sweep(&sweeper.0.open(), Instant::now());
    assert_eq!(Arc::strong_count(&held), 1, "it is over");
    let trailers = trailer(soon(next(&mut body)).await.expect("an end"));
    let expected = ("WATCHER_LAGGED".to_owned(), Some("01".to_owned()));
    assert_eq!(told(&trailers), expected);
}

#[tokio::test(start_paused = true)]
async fn client_that_takes_a_message_now_and_then_is_not_ended() {
    let sweeper = Sweeper::default();
    let (frames, held) = stream_of(vec![message(WATCH_AHEAD_BYTES_MAX); 9]);
    let mut body = sweeper.watch_over(opened(frames));
    for _ in 0..9 {
        let untaken = next(&mut body).await.expect("a message");
        tokio::time::advance(PATIENCE - Duration::from_millis(1)).await;
        sweep(&sweeper.0.open(), Instant::now());
        drop(untaken);
    }
    assert_eq!(Arc::strong_count(&held), 2);
}

#[tokio::test(start_paused = true)]
async fn client_that_takes_a_part_of_a_large_message_now_and_then_is_not_ended() {
    let sweeper = Sweeper::default();
    let large = numbered(4 * WATCH_PART_BYTES_MAX + 9);
    let (frames, held) = stream_of(vec![large.clone(), message(9)]);
    let mut body = sweeper.watch_over(opened(frames));
    let mut taken = Vec::new();
    while taken.len() < large.len() {
        let part = next(&mut body).await.expect("a part").into_data();
        let part = part.expect("data");
        if taken.len() + part.len() < large.len() {
            assert!(next(&mut body).now_or_never().is_none(), "one waits");
        }
        tokio::time::advance(PATIENCE - Duration::from_millis(1)).await;
        sweep(&sweeper.0.open(), Instant::now());
        taken.extend_from_slice(&part);
    }
    assert_eq!(taken, large, "in order, and the next message after it");
    let small = next(&mut body).await.expect("a message").into_data();
    assert_eq!(small.expect("data"), message(9));
    assert_eq!(Arc::strong_count(&held), 2);
}

#[tokio::test]
async fn large_message_counts_until_its_last_part_is_lent() {
    let permits = permits();
    let large = message(WATCH_UNTAKEN_BYTES_PER_TOKEN_MAX);
    let frames = stream_of(vec![large.clone()]).0;
    let mut body = Sweeper::default().watch_over(opened_of(&permits, frames));
    let other = permits.take(TOKEN).expect("there is room");
    let mut taken = 0;
    while taken < large.len() {
        let part = next(&mut body).await.expect("a part").into_data();
        taken += part.as_ref().expect("data").len();
        let has_room = other.hold(&message(WATCH_UNTAKEN_BYTES_MIN)).is_ok();
        assert_eq!(has_room, taken == large.len(), "{taken}");
    }
}

#[tokio::test]
async fn small_messages_wait_for_each_other_once_they_are_many() {
    let (frames, _held) = stream_of(vec![message(WATCH_AHEAD_BYTES_MAX / 8); 100]);
    let mut body = Sweeper::default().watch_over(opened(frames));
    for _ in 0..3 {
        let mut untaken = Vec::new();
        while let Some(frame) = next(&mut body).now_or_never() {
            untaken.push(frame.expect("a message"));
        }
        assert_eq!(untaken.len(), 8);
    }
}

// === Over a connection ===

/// Answers each call by the next of these.
#[derive(Clone)]
struct Streams {
    sweeper: Sweeper,
    left: Arc<Mutex<Vec<Opened>>>,
}

impl Streams {
    fn answer(&self, request: &http::Request<Body>) -> http::Response<Body> {
        let mut next = self.left.lock().expect("nobody panics").remove(0);
        let connection = request.extensions().get::<ConnectionInfo<()>>();
        next.connection = connection.map(|connection| connection.abort.clone());
        let body = Body::new(self.sweeper.watch_over(next));
        let response = http::Response::builder().header("content-type", "application/grpc");
        response.body(body).expect("a valid answer")
    }
}

type Client = h2::client::SendRequest<Bytes>;
type Connection = h2::client::Connection<DuplexStream, Bytes>;

/// A client of a server that tells these, whose streams have such a window.
async fn connect(sweeper: &Sweeper, opened: Vec<Opened>, window: u32) -> (Client, Connection) {
    let (near, far) = tokio::io::duplex(64);
    let streams = Streams {
        sweeper: sweeper.clone(),
        left: Arc::new(Mutex::new(opened)),
    };
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let response = streams.answer(&request);
        async { Ok::<_, Infallible>(response) }
    });
    let incoming = stream::iter([Ok::<_, io::Error>(Abortable::new(far))]).chain(stream::pending());
    tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
    h2::client::Builder::new()
        .initial_window_size(window)
        .initial_connection_window_size(WINDOW_MAX)
        .handshake(near)
        .await
        .expect("a server")
}

/// An answer of which nothing more is taken than its window lets through.
async fn call(client: &mut Client) -> h2::RecvStream {
    let request = http::Request::post("http://here/a.Service/Watch").body(());
    let ready = client.clone().ready().await;
    let mut ready = ready.expect("an open connection");
    let sent = ready.send_request(request.expect("valid"), true);
    let (response, _) = sent.expect("an open connection");
    response.await.expect("an answer").into_body()
}

/// Until nothing happens any more: time that is paused goes on only then.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What is to come before anything has to be waited for.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let soon = tokio::time::timeout(Duration::from_secs(1), future).await;
    soon.expect("it comes")
}

/// The same message for ever, and how often it is known how many were made.
fn counted(message: &Bytes) -> (Frames, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let message = message.clone();
    let counter = Arc::clone(&made);
    let all = stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(handed(&message, 1))
    });
    (Box::pin(all), made)
}

#[tokio::test(start_paused = true)]
async fn next_message_is_made_when_the_client_has_taken_a_large_one() {
    let (frames, made) = counted(&message(WATCH_AHEAD_BYTES_MAX));
    let opened = vec![opened(frames)];
    let (mut client, connection) = connect(&Sweeper::default(), opened, 1).await;
    tokio::spawn(connection);
    let mut body = call(&mut client).await;
    settle().await;
    assert_eq!(made.load(Ordering::Relaxed), 1);
    let most = body.flow_control().release_capacity(1);
    most.expect("it was let through");
    soon(body.data()).await.expect("a byte").expect("a byte");
    settle().await;
    assert_eq!(made.load(Ordering::Relaxed), 1, "of a thousand bytes");
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_its_socket_has_little_waiting() {
    let check = async |bytes: usize| {
        let (frames, made) = counted(&message(bytes));
        let opened = vec![opened(frames)];
        let (mut client, mut connection) = connect(&Sweeper::default(), opened, WINDOW_MAX).await;
        // Reads until there is an answer, and never again.
        let body = tokio::select! {
            body = call(&mut client) => body,
            _ = &mut connection => panic!("the server is gone"),
        };
        settle().await;
        let made = made.load(Ordering::Relaxed) * bytes;
        drop((body, connection));
        assert!(made < 10 * WATCH_AHEAD_BYTES_MAX, "{made} bytes");
    };
    check(WATCH_AHEAD_BYTES_MAX).await;
    check(100).await;
}

#[tokio::test(start_paused = true)]
async fn large_message_counts_until_it_is_taken_or_the_stream_is_gone() {
    let permits = permits();
    let opened = |_| {
        let large = message(WATCH_UNTAKEN_BYTES_PER_TOKEN_MAX / 2 + 1);
        opened_of(&permits, stream_of(vec![large, message(9)]).0)
    };
    let opened: Vec<_> = (0..3).map(opened).collect();
    let (mut client, connection) = connect(&Sweeper::default(), opened, 1).await;
    tokio::spawn(connection);
    let first = call(&mut client).await;
    settle().await;
    let mut second = call(&mut client).await;
    let trailers = soon(second.trailers())
        .await
        .expect("an end")
        .expect("an end");
    assert_eq!(told(&trailers), ("TOO_MUCH_UNTAKEN".to_owned(), None));
    drop(first);
    settle().await;
    let mut third = call(&mut client).await;
    let byte = soon(third.data()).await.expect("a byte").expect("a byte");
    assert_eq!(byte, [7][..]);
    drop(second);
    settle().await;
    assert_eq!(permits.open(), 1, "only the third is left");
}

#[tokio::test(start_paused = true)]
async fn stream_that_nobody_reads_is_reset_in_the_end_and_its_place_is_free_then() {
    let permits = permits();
    let large = message(WATCH_AHEAD_BYTES_MAX);
    let opened = opened_of(&permits, stream_of(vec![large.clone(), message(9)]).0);
    let sweeper = Sweeper::default();
    let (mut client, connection) = connect(&sweeper, vec![opened], 1).await;
    tokio::spawn(connection);
    let mut body = call(&mut client).await;
    settle().await;
    for _ in 0..2 {
        assert_eq!(permits.open(), 1, "something waits");
        assert!(!large.is_unique());
        tokio::time::advance(PATIENCE).await;
        sweep(&sweeper.0.open(), Instant::now());
        settle().await;
    }
    assert_eq!(permits.open(), 0);
    assert!(large.is_unique(), "nothing of it is left");
    soon(body.data()).await.expect("a byte").expect("a byte");
    let error = soon(body.data())
        .await
        .expect("an end")
        .expect_err("a reset");
    assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test(start_paused = true)]
async fn large_message_comes_whole_however_slowly_it_is_taken() {
    const WINDOW: u32 = 1_024;
    let check = async |bytes_per_second: u32| {
        let large = numbered(69_000);
        let opened = vec![opened(stream_of(vec![large.clone()]).0)];
        let (mut client, connection) = connect(&Sweeper::start(), opened, WINDOW).await;
        tokio::spawn(connection);
        let mut body = call(&mut client).await;
        let mut taken = Vec::new();
        while taken.len() < large.len() {
            let some = body.data().await.expect("more").expect("no reset");
            taken.extend_from_slice(&some);
            let seconds = Duration::from_secs(some.len() as u64);
            tokio::time::sleep(seconds / bytes_per_second).await;
            let room = body.flow_control().release_capacity(some.len());
            room.expect("it was let through");
        }
        assert_eq!(taken, large);
        let silence = tokio::time::timeout(10 * PATIENCE, body.data());
        assert!(silence.await.is_err(), "it goes on");
    };
    check(900).await;
    check(400).await;
}

#[tokio::test(start_paused = true)]
async fn large_message_is_let_go_of_when_nobody_takes_the_rest_of_it() {
    let large = message(4 * WATCH_PART_BYTES_MAX);
    let (frames, held) = stream_of(vec![large.clone()]);
    let sweeper = Sweeper::default();
    let (mut client, connection) = connect(&sweeper, vec![opened(frames)], 1).await;
    tokio::spawn(connection);
    let mut body = call(&mut client).await;
    settle().await;
    tokio::time::advance(PATIENCE / 2).await;
    sweep(&sweeper.0.open(), Instant::now());
    assert!(!large.is_unique(), "it waits");
    tokio::time::advance(PATIENCE / 2).await;
    sweep(&sweeper.0.open(), Instant::now());
    assert!(large.is_unique());
    assert_eq!(Arc::strong_count(&held), 1);
    soon(body.data()).await.expect("a byte").expect("a byte");
    let error = soon(body.data()).await.expect("an end");
    let reason = error.expect_err("a reset").reason();
    assert_eq!(reason, Some(h2::Reason::ENHANCE_YOUR_CALM));
}

/// Two messages at once, and one after a quarter of a minute.
fn with_heartbeat(message_bytes: usize) -> Frames {
    let told = move |place| Ok(handed(&message(message_bytes), place));
    let heartbeat = stream::once(async move {
        tokio::time::sleep(Duration::from_secs(15)).await;
        told(9)
    });
    let at_once = stream::iter([1, 2].map(told));
    Box::pin(at_once.chain(heartbeat).chain(stream::pending()))
}

#[tokio::test(start_paused = true)]
async fn connection_ends_where_http2_asks_for_nothing_more_and_the_place_is_free_then() {
    // The second message fits in part, or not at all; what comes then waits for room unasked.
    for window in [16, 9] {
        let permits = permits();
        let opened = opened_of(&permits, with_heartbeat(9));
        let sweeper = Sweeper::default();
        let (mut client, connection) = connect(&sweeper, vec![opened], window).await;
        let connection = tokio::spawn(connection);
        let _body = call(&mut client).await;
        tokio::time::sleep(Duration::from_secs(16)).await;
        for _ in 0..3 {
            assert_eq!(permits.open(), 1, "something waits");
            assert!(!connection.is_finished());
            tokio::time::advance(PATIENCE).await;
            sweep(&sweeper.0.open(), Instant::now());
            settle().await;
        }
        assert_eq!(permits.open(), 0, "{window}");
        assert!(connection.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn connection_ends_also_of_a_stream_that_ended_by_itself() {
    let permits = permits();
    let messages = stream::iter([
        Ok(handed(&message(9), 1)),
        Err(Status::unavailable("stopping")),
    ]);
    let opened = opened_of(&permits, Box::pin(messages));
    let sweeper = Sweeper::default();
    let (mut client, connection) = connect(&sweeper, vec![opened], 1).await;
    let connection = tokio::spawn(connection);
    let _body = call(&mut client).await;
    settle().await;
    assert_eq!(permits.open(), 1, "its message waits");
    tokio::time::advance(PATIENCE).await;
    sweep(&sweeper.0.open(), Instant::now());
    settle().await;
    assert_eq!(permits.open(), 0);
    assert!(connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn streams_that_nobody_reads_hold_their_places_as_long_as_they_are_open() {
    const STREAMS: usize = 100;
    let permits = Permits::by_token(usize::MAX, STREAMS);
    let sweeper = Sweeper::start();
    let all = (0..STREAMS).map(|_| opened_of(&permits, with_heartbeat(30)));
    let (mut client, connection) = connect(&sweeper, all.collect(), 53).await;
    let connection = tokio::spawn(connection);
    let mut bodies = Vec::new();
    for _ in 0..STREAMS {
        bodies.push(call(&mut client).await);
    }
    let begun = Instant::now();
    while !connection.is_finished() {
        assert!(begun.elapsed() < 5 * PATIENCE, "it ends");
        assert!(permits.take(TOKEN).is_err(), "all are open");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    settle().await;
    assert_eq!(permits.open(), 0);
}
