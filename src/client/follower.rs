//! Follows a stream across lost connections.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::backoff::Backoff;
use super::bearer::Bearer;
use super::kinds::Kind;
use super::moment::Moment;

/// Without a message for so long, the connection is taken for dead: two heartbeats missed.
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// How often it is looked whether the machine slept for so long.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Follows a stream.
pub struct Follower<K: Kind> {
    endpoint: Endpoint,
    bearer: Bearer,
    request: K::Request,
    link: Link<K::Message>,
    backoff: Backoff,
    heard: Option<Moment>,
    token: Vec<u8>,
}

/// What a follower brings.
#[derive(Debug)]
pub enum Heard<M> {
    /// A message.
    Message(M),
    /// The connection is lost; the next call tries again.
    Lost(Lost),
}

/// A connection that is lost.
#[derive(Debug)]
pub struct Lost {
    /// What the server or the connection said; `None` after silence, or an end without a word.
    pub status: Option<Status>,
    /// When the next try is made.
    pub again_at: Instant,
}

/// Why a stream cannot be followed: another try would end the same way, or nothing was ever
/// heard of the server.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Nothing answers there, and nothing ever did.
    #[error("no server answers")]
    NoServer(#[source] Box<Status>),
    /// The server refuses.
    #[error("the server refuses")]
    Refused(#[source] Box<Status>),
}

/// Where a follower is with its connection.
enum Link<M> {
    /// The next try is due then.
    Waiting(Instant),
    /// Kept from call to call, so that nothing is begun again and again. With when it was begun.
    Connecting(Connecting<M>, Moment),
    /// With when something was heard on it, or when it was begun.
    Open(Box<Streaming<M>>, Moment),
}

type Connecting<M> = Pin<Box<dyn Future<Output = Result<Streaming<M>, Broken>> + Send>>;

/// Why there is no stream.
enum Broken {
    NoConnection(Status),
    Ended(Status),
    /// It ended without a word, or nothing was heard for too long.
    Silent,
}

// === impl Follower ===

impl<K: Kind + 'static> Follower<K> {
    /// Follows from where the request says. Connects at the first call of `next`.
    pub fn new(endpoint: Endpoint, bearer: Bearer, request: K::Request) -> Self {
        Self {
            endpoint,
            bearer,
            request,
            link: Link::Waiting(Instant::now()),
            backoff: Backoff::new(),
            heard: None,
            token: Vec::new(),
        }
    }

    /// When the last message came; `None` before the first.
    pub fn heard(&self) -> Option<Moment> {
        self.heard
    }

    /// Resumes after the newest message; empty before the first.
    pub fn resume_token(&self) -> &[u8] {
        &self.token
    }

    /// The next message, or that the connection was lost. An error is final; who calls again all
    /// the same tries again. Dropped while it waits, it loses nothing, and the next call goes on
    /// where it was.
    pub async fn next(&mut self) -> Result<Heard<K::Message>, FollowError> {
        let broken = loop {
            match &mut self.link {
                Link::Waiting(due) => {
                    sleep_until(*due).await;
                    self.link = Link::Connecting(self.connect(), Moment::now());
                }
                Link::Connecting(connecting, since) => {
                    let (since, left) = (*since, patience_left(*since));
                    match timeout(left.min(LOOK_EVERY), connecting).await {
                        Ok(Ok(messages)) => self.link = Link::Open(Box::new(messages), since),
                        Ok(Err(broken)) => break broken,
                        Err(_) if left.is_zero() => break Broken::Silent,
                        Err(_) => {}
                    }
                }
                Link::Open(messages, since) => {
                    let left = patience_left(*since);
                    match timeout(left.min(LOOK_EVERY), messages.message()).await {
                        Ok(Ok(Some(message))) => {
                            *since = Moment::now();
                            self.take(&message);
                            return Ok(Heard::Message(message));
                        }
                        Ok(Ok(None)) => break Broken::Silent,
                        Ok(Err(status)) => break Broken::Ended(status),
                        Err(_) if left.is_zero() => break Broken::Silent,
                        Err(_) => {}
                    }
                }
            }
        };
        // Nothing that has ended is waited for again, also where this is the last.
        self.link = Link::Waiting(Instant::now());
        self.lost(broken).map(Heard::Lost)
    }

    fn connect(&self) -> Connecting<K::Message> {
        let (endpoint, bearer) = (self.endpoint.clone(), self.bearer.clone());
        let request = self.request.clone();
        Box::pin(async move {
            let channel = endpoint.connect().await;
            let unheard = |error| Broken::NoConnection(Status::from_error(Box::new(error)));
            let channel = channel.map_err(unheard)?;
            K::open(bearer.over(channel), request)
                .await
                .map_err(Broken::Ended)
        })
    }

    fn take(&mut self, message: &K::Message) {
        self.token = K::token(message).to_vec();
        K::resume(&mut self.request, self.token.clone());
        self.backoff.reset();
        self.heard = Some(Moment::now());
    }

    fn lost(&mut self, broken: Broken) -> Result<Lost, FollowError> {
        let is_first = self.heard.is_none();
        let status = match broken {
            Broken::NoConnection(status) if is_first => {
                return Err(FollowError::NoServer(Box::new(status)));
            }
            Broken::Ended(status) if is_first && is_local(&status) => {
                return Err(FollowError::NoServer(Box::new(status)));
            }
            Broken::Ended(status) if self.is_final(&status) => {
                return Err(FollowError::Refused(Box::new(status)));
            }
            Broken::NoConnection(status) | Broken::Ended(status) => Some(status),
            Broken::Silent => None,
        };
        let is_gone = |status: &Status| status.code() == Code::OutOfRange;
        if status.as_ref().is_some_and(is_gone) {
            self.token.clear();
            K::resume(&mut self.request, Vec::new());
        }
        let advice = status.as_ref().and_then(advice);
        let again_at = Instant::now() + self.backoff.wait(advice, chance());
        self.link = Link::Waiting(again_at);
        Ok(Lost { status, again_at })
    }

    /// Whether another try would end the same way. A place that is gone is one for a state, if
    /// it was the server's own.
    fn is_final(&self, status: &Status) -> bool {
        if status.code() == Code::OutOfRange {
            return !K::IS_STATE || self.token.is_empty();
        }
        match self.heard {
            // Where nothing was ever heard, a person waits for an answer.
            None => advice(status).is_none(),
            Some(_) => !is_local(status) && !is_worth_another_try(status.code()),
        }
    }
}

/// How much longer a connection may be silent. With none left, what has arrived is still taken.
fn patience_left(since: Moment) -> Duration {
    SILENCE_MAX.saturating_sub(since.elapsed())
}

/// Whether the connection says it, and not the server.
pub(crate) fn is_local(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// From 0 to 1. Without a source of chance, always the middle.
pub(crate) fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

/// How long the server says to wait.
pub(crate) fn advice(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Whether the same may succeed later: what the server did wrong may, what the caller did may
/// not.
fn is_worth_another_try(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::ResourceExhausted
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Cancelled
        | Code::Internal
        | Code::Unknown => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::Frame;
    use tokio::net::TcpListener;
    use tokio::sync::Notify;
    use tonic::codec::Codec;
    use tonic_prost::ProstCodec;
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::api::pb::v1 as pb;
    use crate::client::{Connection, Incidents, Rates};

    fn follower<K: Kind + 'static>(request: K::Request, has_heard: bool) -> Follower<K> {
        let endpoint = Endpoint::from_static("http://127.0.0.1:1");
        let mut follower = Follower::new(endpoint, Bearer::default(), request);
        if has_heard {
            follower.heard = Some(Moment::now());
            follower.token = vec![1];
        }
        follower
    }

    /// A stream whose answer is what the test asks for, of a server that takes connections and
    /// says nothing.
    enum Mute {}

    /// How the answer goes, and word that it was asked for.
    #[derive(Clone)]
    struct Asked {
        answer: Answer,
        is_asked: Arc<Notify>,
    }

    #[derive(Clone, Copy)]
    enum Answer {
        /// There is none.
        Never,
        /// It is refused.
        Refused,
        /// One message, and silence.
        OneMessage,
    }

    /// The body of an answer.
    struct Silence(Option<Bytes>);

    impl http_body::Body for Silence {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let first = self.0.take();
            first.map_or(Poll::Pending, |bytes| {
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            })
        }
    }

    impl Kind for Mute {
        type Request = Asked;
        type Message = pb::WatchIncidentsResponse;
        const IS_STATE: bool = false;

        async fn open(_: Connection, asked: Asked) -> Result<Streaming<Self::Message>, Status> {
            asked.is_asked.notify_one();
            match asked.answer {
                Answer::Never => std::future::pending().await,
                Answer::Refused => Err(Status::invalid_argument("no")),
                Answer::OneMessage => {
                    // An empty message.
                    let body = Silence(Some(Bytes::from_static(&[0; 5])));
                    let decoder = ProstCodec::<Self::Message, Self::Message>::default().decoder();
                    let ok = http::StatusCode::OK;
                    Ok(Streaming::new_response(decoder, body, ok, None, None))
                }
            }
        }

        fn token(message: &Self::Message) -> &[u8] {
            &message.resume_token
        }

        fn resume(_: &mut Asked, _: Vec<u8>) {}
    }

    /// A follower of a server that gives such answers, which lives as long as the listener.
    async fn mute(answer: Answer) -> (Follower<Mute>, Arc<Notify>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let is_asked = Arc::new(Notify::new());
        let asked = Asked {
            answer,
            is_asked: Arc::clone(&is_asked),
        };
        let follower = Follower::new(endpoint, Bearer::default(), asked);
        (follower, is_asked, listener)
    }

    /// Whether the connection is taken for dead after as much silence as there may be, and not
    /// before. From here on time goes by at once.
    async fn is_lost_in_silence(follower: &mut Follower<Mute>) -> bool {
        tokio::time::pause();
        let begun = Instant::now();
        let lost = follower.next().await.expect("another try");
        let is_silent = matches!(&lost, Heard::Lost(lost) if lost.status.is_none());
        // What passed before counts as well, little as it is, and timers ring on the millisecond.
        let waited = begun.elapsed();
        is_silent && waited.abs_diff(SILENCE_MAX) < SILENCE_MAX / 2
    }

    #[tokio::test]
    async fn answer_that_never_comes_is_waited_for_so_long_and_no_longer() {
        let (mut follower, is_asked, _listener) = mute(Answer::Never).await;
        tokio::select! {
            () = is_asked.notified() => {}
            heard = follower.next() => panic!("{heard:?}"),
        }
        assert!(is_lost_in_silence(&mut follower).await);
    }

    #[tokio::test]
    async fn open_stream_on_which_nothing_is_heard_is_taken_for_dead() {
        let (mut follower, _, _listener) = mute(Answer::OneMessage).await;
        let heard = follower.next().await.expect("a message");
        assert!(matches!(heard, Heard::Message(_)), "{heard:?}");
        assert!(is_lost_in_silence(&mut follower).await);
    }

    #[tokio::test]
    async fn open_stream_is_taken_for_dead_soon_where_the_machine_slept() {
        let (mut follower, _, _listener) = mute(Answer::OneMessage).await;
        follower.next().await.expect("a message");
        // No timer knows of it.
        let Link::Open(_, since) = &mut follower.link else {
            panic!("it is open");
        };
        *since = since.earlier(2 * SILENCE_MAX);
        tokio::time::pause();
        let begun = Instant::now();
        let lost = follower.next().await.expect("another try");
        assert!(matches!(&lost, Heard::Lost(lost) if lost.status.is_none()));
        assert!(begun.elapsed() <= LOOK_EVERY);
    }

    #[tokio::test]
    async fn silence_is_noticed_by_who_looks_at_something_else_each_second() {
        let (mut follower, _, _listener) = mute(Answer::OneMessage).await;
        follower.next().await.expect("a message");
        tokio::time::pause();
        let begun = Instant::now();
        let lost = loop {
            tokio::select! {
                lost = follower.next() => break lost,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        };
        assert!(matches!(lost, Ok(Heard::Lost(lost)) if lost.status.is_none()));
        assert!(begun.elapsed().abs_diff(SILENCE_MAX) < 2 * LOOK_EVERY);
    }

    #[tokio::test]
    async fn connection_after_a_long_silence_has_as_much_time_as_any() {
        let (mut follower, _, _listener) = mute(Answer::OneMessage).await;
        follower.next().await.expect("a message");
        follower.heard = follower.heard.map(|heard| heard.earlier(2 * SILENCE_MAX));
        tokio::time::pause();
        let begun = Instant::now();
        follower.next().await.expect("another try");
        assert!(SILENCE_MAX / 2 < begun.elapsed());
    }

    #[tokio::test]
    async fn refusal_is_told_as_often_as_it_is_asked_for() {
        let (mut follower, _, _listener) = mute(Answer::Refused).await;
        for _ in 0..2 {
            let refused = follower.next().await;
            assert!(
                matches!(refused, Err(FollowError::Refused(_))),
                "{refused:?}"
            );
        }
    }

    fn busy() -> Status {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(2)));
        Status::with_error_details(Code::Unavailable, "stopping", details)
    }

    #[tokio::test(start_paused = true)]
    async fn server_decides_how_long_to_wait_and_who_was_never_heard_is_final() {
        let mut incidents = follower::<Incidents>(Default::default(), true);
        let lost = incidents.lost(Broken::Ended(busy())).expect("another try");
        assert!(Duration::from_secs(2) <= lost.again_at - Instant::now());
        let mut fresh = follower::<Incidents>(Default::default(), false);
        assert!(fresh.lost(Broken::Ended(busy())).is_ok());
        let gone = || Broken::NoConnection(Status::unavailable("nobody"));
        assert!(matches!(fresh.lost(gone()), Err(FollowError::NoServer(_))));
        assert!(incidents.lost(gone()).is_ok());
        assert!(incidents.lost(Broken::Silent).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_caller_did_wrong_is_final() {
        let check = |code, is_final: bool| {
            let mut incidents = follower::<Incidents>(Default::default(), true);
            let result = incidents.lost(Broken::Ended(Status::new(code, "")));
            assert_eq!(result.is_err(), is_final, "{code:?}");
        };
        check(Code::InvalidArgument, true);
        check(Code::PermissionDenied, true);
        check(Code::Unauthenticated, true);
        check(Code::OutOfRange, true);
        check(Code::ResourceExhausted, false);
        check(Code::Internal, false);
    }

    #[tokio::test(start_paused = true)]
    async fn state_begins_anew_where_its_place_is_gone() {
        let mut rates = follower::<Rates>(Default::default(), true);
        rates.request.resume_token = vec![1];
        let gone = || Broken::Ended(Status::out_of_range("gone"));
        assert!(rates.lost(gone()).is_ok());
        assert!(rates.request.resume_token.is_empty());
        assert!(rates.lost(gone()).is_err(), "not for ever");
    }
}
