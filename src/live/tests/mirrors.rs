//! Whatever happens, what clients make of their messages is what the record was.

use super::*;

/// What a client makes of a stream.
#[derive(Clone, Default)]
struct Mirror {
    counts: BTreeMap<Vec<String>, u64>,
    token: Option<Vec<u8>>,
}

impl Mirror {
    /// Takes a message in, and demands that the mirror then is what the record was at the
    /// position and minute that the message names.
    fn take(&mut self, message: &Message, record: &Record, watch: &Watch) {
        let changes = match &message.update {
            Update::Snapshot(figures) => {
                self.counts.clear();
                Some(figures)
            }
            Update::Changes(figures) => Some(figures),
            Update::Resumed | Update::Heartbeat => None,
        };
        for figure in changes.into_iter().flat_map(|figures| figures.iter()) {
            let keys = figure.keys().map(str::to_owned).collect();
            self.counts.insert(keys, figure.count());
        }
        self.counts.retain(|_, count| *count != 0);
        self.token = Some(message.resume_token.to_vec());
        let minute = message.as_of.minute().expect("after 1970");
        let expected = record.count_at(watch, watch.span(minute), message.position);
        let figures = self.counts.iter().map(|(keys, count)| Figure {
            keys: keys.clone(),
            count: *count,
            rests_on_few_days: None,
        });
        let mirrored = Counted {
            figures: figures.collect(),
            total: message.total,
            left_out: message.left_out,
        };
        assert_eq!(mirrored, expected, "{message:?}");
    }
}

#[derive(Clone, Debug)]
enum Action {
    Report { key: u8, minutes_ago: u32 },
    Withdraw(usize),
    Sleep { ms: u64 },
    Yield,
    Read(usize),
    Reconnect(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0u8..4, 0u32..8).prop_map(|(key, minutes_ago)| Action::Report { key, minutes_ago }),
        2 => (0usize..20).prop_map(Action::Withdraw),
        3 => prop_oneof![0u64..400, 0u64..90_000].prop_map(|ms| Action::Sleep { ms }),
        1 => Just(Action::Yield),
        6 => (0usize..4).prop_map(Action::Read),
        2 => (0usize..4).prop_map(Action::Reconnect),
    ]
}

/// A client that reads, breaks off and resumes.
struct Client {
    watch: Watch,
    pace: Duration,
    watcher: Watcher,
    mirror: Mirror,
}

impl Client {
    async fn connect(service: &Service, number: u64) -> Self {
        let watch = Watch {
            window_minutes: 5,
            ..watch(u8::try_from(number / 2).expect("a small number"))
        };
        let pace = Duration::from_millis(100 + 400 * number);
        let watcher = service
            .publisher
            .watch(watch.clone(), pace, None, None)
            .await;
        Self {
            watch,
            pace,
            watcher: watcher.expect("there is room"),
            mirror: Mirror::default(),
        }
    }

    async fn reconnect(&mut self, service: &Service) {
        let token = self.mirror.token.clone();
        let watch = self.watch.clone();
        let watcher = service.publisher.watch(watch, self.pace, token, None).await;
        self.watcher = watcher.expect("there is room");
    }

    /// Reads one message if there is one within some milliseconds.
    async fn read(&mut self, service: &Service, patience_ms: u64) -> Option<Message> {
        let patience = Duration::from_millis(patience_ms);
        let message = timeout(patience, self.watcher.next()).await.ok()?;
        let message = message.expect("the stream goes on");
        let record = service.memory.record.lock().expect("nobody panics").clone();
        self.mirror.take(&message, &record, &self.watch);
        Some(Message::clone(&message))
    }
}

async fn act(service: &Service, clients: &mut [Client], action: Action) {
    match action {
        Action::Report { key, minutes_ago } => {
            // Some lie ahead of the clock by a minute or two.
            service.report_of(service.minute() + 2 - minutes_ago, key);
        }
        Action::Withdraw(index) => service.withdraw(index),
        Action::Sleep { ms } => advance(Duration::from_millis(ms)).await,
        Action::Yield => tokio::task::yield_now().await,
        Action::Read(index) => {
            clients[index].read(service, 50).await;
        }
        Action::Reconnect(index) => clients[index].reconnect(service).await,
    }
}

/// Every message must fit what its client has, and every stream must end at the newest state.
async fn check_that_mirrors_follow(actions: Vec<Action>) {
    let service = Service::start();
    let mut clients = Vec::new();
    for number in 0..4 {
        clients.push(Client::connect(&service, number).await);
    }
    for action in actions {
        act(&service, &mut clients, action).await;
    }
    // The round under way comes to its end, rests, and the last one follows.
    sleep(2 * PACE).await;
    let last = service
        .memory
        .record
        .lock()
        .expect("nobody panics")
        .position;
    for client in &mut clients {
        let mut message = client.read(&service, 2 * HEARTBEAT_MS).await;
        while message
            .as_ref()
            .is_some_and(|message| message.update != Update::Heartbeat)
        {
            message = client.read(&service, 2 * HEARTBEAT_MS).await;
        }
        assert_eq!(message.map(|message| message.position), Some(last));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn snapshots_and_changes_always_lead_to_the_state_counted_directly(
        actions in prop::collection::vec(action(), 0..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        let runtime = runtime.expect("a runtime without I/O needs nothing");
        runtime.block_on(check_that_mirrors_follow(actions));
    }
}
