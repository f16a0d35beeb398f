//! Every method, page, role and field: who may call, ask and see is what `auth::table` says.

mod filters;
mod floods;
mod open_streams;
mod operators;
mod pages;
mod places;
mod replay;
mod tokens;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mistap::api::pb::{self as wire, v1 as pb};
use mistap::app::Settings;
use mistap::auth::{NewToken, Role, Token, TokenFile, TokenId, table};
use mistap::client::{Bearer, Connection};
use mistap::domain::limits::{
    INCIDENT_STREAMS_PER_TOKEN_MAX, PREFIX_BURST_MAX, REPORTER_BURST_MAX, TAP_STREAMS_PER_TOKEN_MAX,
};
use mistap::domain::taxonomy::CalledBack;
use mistap::domain::time::DAY_SECONDS;
use mistap::domain::{IncidentSecret, LocalDay};
use mistap::ingest::Later;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::child::{PATIENCE, exchange, until_so};
use crate::raw::{Call, call};
use crate::support::{SECRET, Service, founding_story, new_id, once_open, that_day};

type Live = pb::live_service_client::LiveServiceClient<Connection>;
type Operations = pb::operations_service_client::OperationsServiceClient<Connection>;
type Reporting = pb::reporting_service_client::ReportingServiceClient<Connection>;
type Statistics = pb::statistics_service_client::StatisticsServiceClient<Connection>;

/// Roles that a caller can have; a traveller is any of them with a secret.
const CALLERS: [Role; 4] = [Role::Public, Role::Device, Role::Operator, Role::Steward];

/// A service that asks for tokens, and one of each role. Devices and operators are GVB's.
struct Guarded {
    service: Service,
    tokens: BTreeMap<Role, Token>,
    other_operator: Token,
}

fn today() -> LocalDay {
    LocalDay::parse("2026-11-23").expect("a date")
}

fn add(folder: &TempDir, role: Role, operator: Option<&str>) -> Token {
    let operators = operator.iter().map(|code| code.parse().expect("a code"));
    let new = NewToken {
        label: format!("{role} of {operator:?}"),
        role,
        operators: operators.collect(),
    };
    TokenFile::add(folder.path(), new, today()).expect("made")
}

impl Guarded {
    async fn start() -> Self {
        Self::over(TempDir::new().expect("a folder"), |_| ()).await
    }

    /// Over a folder, with other settings than the usual.
    async fn over(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let tokens = [
            (Role::Device, Some("GVB")),
            (Role::Operator, Some("GVB")),
            (Role::Steward, None),
        ];
        let tokens = tokens.map(|(role, operator)| (role, add(&folder, role, operator)));
        let other_operator = add(&folder, Role::Operator, Some("RET"));
        Self {
            service: Service::start_with(folder, change).await,
            tokens: BTreeMap::from(tokens),
            other_operator,
        }
    }

    async fn with(&self, token: Option<&Token>) -> Connection {
        let bearer = token.map(|token| Bearer::new(token.expose()).expect("it can be sent"));
        bearer
            .unwrap_or_default()
            .over(self.service.connect().await)
    }

    async fn of(&self, role: Role) -> Connection {
        self.with(self.tokens.get(&role)).await
    }
}

/// The reason of a refusal; `OK` if there is none.
fn reason<T>(result: &Result<T, Status>) -> String {
    let Err(status) = result else {
        return "OK".to_owned();
    };
    let info = status.get_details_error_info();
    info.map_or_else(|| format!("{:?}", status.code()), |info| info.reason)
}

/// The fields that a refusal names.
fn fields<T>(result: &Result<T, Status>) -> Vec<String> {
    let request = result
        .as_ref()
        .err()
        .and_then(StatusExt::get_details_bad_request);
    let violations = request.map(|request| request.field_violations);
    let violations = violations.into_iter().flatten();
    violations.map(|violation| violation.field).collect()
}

fn pool() -> DescriptorPool {
    DescriptorPool::from_file_descriptor_set(wire::descriptors())
        .expect("the descriptors are whole")
}

fn message(pool: &DescriptorPool, name: &str) -> MessageDescriptor {
    pool.get_message_by_name(&format!("mistap.v1.{name}"))
        .expect("the table names messages of the API")
}

#[tokio::test]
async fn every_method_lets_in_whom_the_table_says() {
    let guarded = Guarded::start().await;
    let mut known = BTreeSet::new();
    for file in wire::descriptors().file {
        for service in &file.service {
            for method in &service.method {
                let name = format!("{}/{}", service.name(), method.name());
                let row = table::CALLS.iter().find(|(known, _)| *known == name);
                let roles = row.unwrap_or_else(|| panic!("{name} has no row")).1;
                for role in CALLERS {
                    let connection = guarded.of(role).await;
                    let result = call(connection, file.package(), &name).await;
                    let expected = match role {
                        _ if roles.admits(role) => None,
                        Role::Public => Some("NO_TOKEN"),
                        _ => Some("ROLE"),
                    };
                    let found = reason(&result);
                    let is_refused = ["NO_TOKEN", "ROLE"].contains(&found.as_str());
                    let found = is_refused.then_some(found.as_str());
                    assert_eq!(found, expected, "{name} as {role}: {result:?}");
                }
                let unknown = Bearer::new(&format!("mistap_{}", "0".repeat(64)));
                let unknown = unknown.expect("it can be sent");
                let connection = unknown.over(guarded.service.connect().await);
                let result = call(connection, file.package(), &name).await;
                assert_eq!(reason(&result), "TOKEN_UNKNOWN", "{name}");
                known.insert(name);
            }
        }
    }
    for (name, _) in table::CALLS {
        assert!(known.contains(*name), "{name} is no method");
    }
}

/// Fields and enum values that were told.
#[derive(Default)]
struct Told {
    fields: BTreeSet<(String, String)>,
    values: BTreeSet<(String, String, String)>,
    /// Every text and every run of bytes.
    texts: BTreeSet<String>,
    bytes: BTreeSet<Vec<u8>>,
    /// The same, by message and field.
    by_field: BTreeMap<(String, String), BTreeSet<Vec<u8>>>,
}

impl Told {
    fn add(&mut self, message: &DynamicMessage) {
        if message.descriptor().package_name() != "mistap.v1" {
            return;
        }
        let name = message.descriptor().name().to_owned();
        for (field, value) in message.fields() {
            let at = (name.clone(), field.name().to_owned());
            let kind = field.kind();
            let values = match value {
                Value::List(values) => values.iter().collect(),
                value => vec![value],
            };
            for value in values {
                match value {
                    Value::Message(inner) => self.add(inner),
                    Value::String(text) => {
                        self.texts.insert(text.clone());
                        let of_field = self.by_field.entry(at.clone()).or_default();
                        of_field.insert(text.clone().into_bytes());
                    }
                    Value::Bytes(bytes) => {
                        self.bytes.insert(bytes.to_vec());
                        let of_field = self.by_field.entry(at.clone()).or_default();
                        of_field.insert(bytes.to_vec());
                    }
                    Value::EnumNumber(number) => {
                        let kind = kind.as_enum().expect("a number of an enum");
                        let value = kind.get_value(*number).expect("a known value");
                        let value = value.name().to_owned();
                        self.values.insert((at.0.clone(), at.1.clone(), value));
                    }
                    _ => {}
                }
            }
            self.fields.insert(at);
        }
    }
}

/// Incidents that have every field, of GVB and of RET: of a traveller, of staff, and of a
/// device; and what happens to one.
async fn record(guarded: &Guarded) {
    let mut client = Reporting::new(guarded.of(Role::Steward).await);
    let claim = |source: pb::ClaimSource| pb::CauseClaim {
        cause: pb::Cause::ReaderFault as i32,
        source: source as i32,
    };
    let whole = |operator: &str, reporter: pb::ReporterKind, source| pb::Incident {
        incident_id: new_id(),
        operator: operator.into(),
        line: format!("{operator}:10"),
        stop: "Dam".into(),
        // Else the second of one card would be the first told again.
        vehicle: format!("220{}", reporter as i32),
        reporter: reporter as i32,
        reader_kind: pb::ReaderKind::Gate as i32,
        signal: pb::Signal::Green as i32,
        found_later: true,
        attempts: 3,
        others_got_through: pb::OthersGotThrough::Yes as i32,
        worked_later: pb::WorkedLater::No as i32,
        cause_claims: vec![claim(source)],
        staff_minutes: pb::StaffMinutes::OneToFive as i32,
        extra_cost: pb::ExtraCost::Under5 as i32,
        card_number: "3528 0160 4471 9359".into(),
        installation_id: "inst-7Qm2zR9xWc4Lk8Vb".into(),
        ..founding_story()
    };
    use pb::{ClaimSource as Source, ReporterKind as Kind};
    let withdrawn = whole("GVB", Kind::Traveller, Source::Traveller);
    let id = withdrawn.incident_id.parse().expect("an id");
    for incident in [
        withdrawn,
        whole("GVB", Kind::Staff, Source::Staff),
        whole("GVB", Kind::Device, Source::Display),
        whole("RET", Kind::Traveller, Source::Staff),
    ] {
        let incident = Some(incident);
        let request = pb::ReportIncidentRequest {
            incident,
            ..pb::ReportIncidentRequest::default()
        };
        client.report_incident(request).await.expect("recorded");
    }
    let secret = IncidentSecret::parse(&SECRET).expect("32 bytes");
    let secret = secret.expect("not empty");
    let ingest = guarded.service.ingest();
    let later = Later {
        called_back: Some(CalledBack::Yes),
        ..Later::default()
    };
    ingest.amend(id, &secret, later).await.expect("amended");
    ingest.withdraw(id, &secret).await.expect("withdrawn");
}

fn watch_gvb() -> pb::WatchIncidentsRequest {
    pb::WatchIncidentsRequest {
        operators: vec!["GVB".into()],
        ..pb::WatchIncidentsRequest::default()
    }
}

/// What two roles are told who watch the same at the same time.
async fn watched(guarded: &Guarded, pool: &DescriptorPool) -> [Told; 2] {
    // An operator is not told of what is amended.
    const EVENTS: [usize; 2] = [4, 5];
    let mut streams = Vec::new();
    for role in [Role::Operator, Role::Steward] {
        let connection = guarded.of(role).await;
        let request = watch_gvb().encode_to_vec();
        let stream = Call::open(connection, "LiveService/WatchIncidents", request).await;
        let mut stream = stream.expect("it may be opened");
        let first = stream.next().await.expect("a message");
        streams.push((stream, vec![first.expect("a heartbeat")]));
    }
    record(guarded).await;
    let kind = message(pool, "WatchIncidentsResponse");
    let mut both = [Told::default(), Told::default()];
    for (((stream, received), told), all) in streams.iter_mut().zip(&mut both).zip(EVENTS) {
        let mut events = 0;
        while events < all {
            let message = stream.next().await.expect("open").expect("a message");
            let typed = pb::WatchIncidentsResponse::decode(&*message).expect("one");
            if let Some(pb::watch_incidents_response::Update::Events(told)) = typed.update {
                events += told.events.len();
            }
            received.push(message);
        }
        for bytes in received {
            told.add(&DynamicMessage::decode(kind.clone(), &**bytes).expect("one"));
        }
    }
    both
}

#[tokio::test]
async fn only_devices_observe_and_only_people_tell() {
    let guarded = Guarded::start().await;
    for (message, field, value, roles) in table::ASKS {
        if (*message, *field) != ("Incident", "reporter") {
            continue;
        }
        let value = value.expect("a kind of reporter");
        let reporter = pb::ReporterKind::from_str_name(value).expect("known");
        for role in CALLERS {
            let mut client = Reporting::new(guarded.of(role).await);
            let incident = Some(pb::Incident {
                incident_id: new_id(),
                reporter: reporter as i32,
                line: "GVB:10".into(),
                ..founding_story()
            });
            let request = pb::ReportIncidentRequest {
                incident,
                ..pb::ReportIncidentRequest::default()
            };
            let result = client.report_incident(request).await;
            if roles.has(role) {
                assert_eq!(reason(&result), "OK", "{value} as {role}");
            } else {
                assert_eq!(reason(&result), "NOT_ALLOWED", "{value} as {role}");
                assert_eq!(fields(&result), ["incident.reporter"]);
            }
        }
    }
}

fn query(filter: pb::Filter, by: &[pb::Dimension]) -> pb::QueryFiguresRequest {
    let mut request = that_day(by);
    if let Some(question) = &mut request.question {
        question.filter = Some(filter);
    }
    request
}

/// The day of `START` against the one before.
fn comparison(filter: pb::Filter) -> pb::ComparePeriodsRequest {
    let window = that_day(&[]).question.and_then(|question| question.window);
    let before = |at: Option<prost_types::Timestamp>| {
        at.map(|at| prost_types::Timestamp {
            seconds: at.seconds - DAY_SECONDS,
            ..at
        })
    };
    pb::ComparePeriodsRequest {
        filter: Some(filter),
        with_window: window.map(|window| pb::Window {
            start: before(window.start),
            end: before(window.end),
        }),
        window,
        ..pb::ComparePeriodsRequest::default()
    }
}

#[tokio::test]
async fn taps_are_told_by_their_own_operator_and_names_of_feeds_tell_nothing() {
    let guarded = Guarded::start().await;
    let feed = |operator: &str| pb::TapFeed {
        feed_id: "taps".into(),
        operator_code: operator.into(),
        grain: pb::TapGrain::Operator as i32,
        interval: pb::TapInterval::Hour as i32,
        tap_kinds: vec![pb::TapKind::CheckIn as i32],
        refusals: pb::Refusals::Included as i32,
        day_begins: 4,
    };
    let tell = async |token: &Token, operator: &str| {
        let mut client = Operations::new(guarded.with(Some(token)).await);
        let start = that_day(&[]).question.and_then(|question| question.window);
        let request = pb::RecordTapCountsRequest {
            feed: Some(feed(operator)),
            counts: vec![pb::TapCount {
                start: start.and_then(|window| window.start),
                taps: 1_000,
                ..pb::TapCount::default()
            }],
        };
        client.record_tap_counts(request).await
    };
    let device = &guarded.tokens[&Role::Device];
    let refused = tell(device, "RET").await;
    assert_eq!(reason(&refused), "NOT_ALLOWED");
    assert_eq!(fields(&refused), ["feed.operator_code"]);
    assert_eq!(reason(&tell(device, "GVB").await), "OK");
    let taken = tell(&guarded.other_operator, "RET").await;
    assert_eq!(reason(&taken), "FEED_DIFFERS");
    assert_eq!(fields(&taken), ["feed.feed_id"]);
    let told = format!("{taken:?}");
    assert!(!told.contains("GVB"), "{told}");
}

#[tokio::test]
async fn device_tells_only_of_its_own_operators_and_by_identifiers() {
    let guarded = Guarded::start().await;
    let mut client = Reporting::new(guarded.of(Role::Device).await);
    let mut check = async |operator: &str, line: &str, expected: &[&str]| {
        let incident = Some(pb::Incident {
            incident_id: new_id(),
            reporter: pb::ReporterKind::Device as i32,
            operator: operator.into(),
            line: line.into(),
            ..founding_story()
        });
        let result = client
            .report_incident(pb::ReportIncidentRequest {
                incident,
                ..pb::ReportIncidentRequest::default()
            })
            .await;
        assert_eq!(fields(&result), expected, "{operator} {line}");
    };
    check("GVB", "GVB:10", &[]).await;
    check("GVB", "", &[]).await;
    check("", "GVB:10", &["incident.operator"]).await;
    check("RET", "", &["incident.operator"]).await;
    check("GVB", "RET:2", &["incident.line"]).await;
    check("GVB", "NS 10", &["incident.line"]).await;
}

/// What an operator sees of a report, field by field: each is told of one report or another.
const CASE: [&str; 14] = [
    "case_number",
    "received_at",
    "incident",
    "exact_time",
    "vehicle",
    "display_text",
    "direction",
    "line_words",
    "stop_words",
    "note",
    "state",
    "replies",
    "disputed",
    "erased",
];
const OPEN_NOTE: &str = "dit mag de vervoerder lezen";

/// Reports of GVB beside those of `record`: one whose note the operator may read, and one that
/// is erased. Their ids.
async fn cases(guarded: &Guarded) -> Vec<String> {
    record(guarded).await;
    let mut client = Reporting::new(guarded.of(Role::Steward).await);
    let open = pb::Incident {
        vehicle: "2203".into(),
        display_text: "STORING".into(),
        direction: "Azartplein".into(),
        stop: "Dam".into(),
        note: OPEN_NOTE.into(),
        note_to_operator: true,
        ..founding_story()
    };
    let erased = founding_story();
    let ids = vec![open.incident_id.clone(), erased.incident_id.clone()];
    for incident in [open, erased] {
        let request = pb::ReportIncidentRequest {
            incident: Some(incident),
            ..pb::ReportIncidentRequest::default()
        };
        client.report_incident(request).await.expect("recorded");
    }
    let erase = pb::EraseIncidentRequest {
        incident_id: ids[1].clone(),
        incident_secret: SECRET.to_vec(),
    };
    client.erase_incident(erase).await.expect("erased");
    ids
}

/// All that a role is told by listing reports and by answering those that it may.
async fn listed(guarded: &Guarded, role: Role) -> (Told, Vec<String>) {
    let pool = pool();
    let mut client = Operations::new(guarded.of(role).await);
    let request = pb::ListIncidentsRequest {
        operators: vec!["GVB".into()],
        page_size: 2,
        ..pb::ListIncidentsRequest::default()
    };
    let mut told = Told::default();
    let mut numbers = Vec::new();
    let mut page_token = Vec::new();
    loop {
        let request = pb::ListIncidentsRequest {
            page_token: page_token.clone(),
            ..request.clone()
        };
        let page = once_open(async || client.list_incidents(request.clone()).await).await;
        let page = page.expect("a page");
        for case in page.cases.iter().filter(|case| !case.erased) {
            numbers.push(case.case_number.clone());
            let answer = pb::RespondToIncidentRequest {
                case_number: case.case_number.clone(),
                state: pb::CaseState::Disputed.into(),
                reason: 0,
                message: "de lezer werkte".into(),
            };
            let answer = client.respond_to_incident(answer).await.expect("taken");
            let kind = message(&pool, "RespondToIncidentResponse");
            let bytes = answer.into_inner().encode_to_vec();
            told.add(&DynamicMessage::decode(kind, &*bytes).expect("one"));
        }
        page_token = page.next_page_token.clone();
        let kind = message(&pool, "ListIncidentsResponse");
        told.add(&DynamicMessage::decode(kind, &*page.encode_to_vec()).expect("one"));
        if page_token.is_empty() {
            return (told, numbers);
        }
    }
}

#[tokio::test]
async fn operator_sees_of_a_report_these_fields_and_nothing_that_leads_to_anybody() {
    let guarded = Guarded::start().await;
    let ids = cases(&guarded).await;
    let case = message(&pool(), "Case");
    let fields: Vec<_> = case.fields().map(|field| field.name().to_owned()).collect();
    assert_eq!(fields, CASE, "a new field needs a row here");
    for role in [Role::Operator, Role::Steward] {
        let (told, numbers) = listed(&guarded, role).await;
        // Of staff, of the device, and the open one; that of RET and the withdrawn are not.
        assert_eq!(numbers.len(), 3, "{role}");
        for field in CASE {
            let at = ("Case".to_owned(), field.to_owned());
            assert!(told.fields.contains(&at), "{field} as {role}");
        }
        for (kind, fields, roles) in table::FIELDS {
            if *kind == "IncidentFacts" {
                for field in table::names(fields) {
                    let at = ((*kind).to_owned(), field.to_owned());
                    assert_eq!(
                        told.fields.contains(&at),
                        roles.has(role),
                        "{field} as {role}"
                    );
                }
            }
        }
        for (kind, field, value, roles) in table::VALUES {
            let at = ((*kind).to_owned(), (*field).to_owned(), (*value).to_owned());
            let is_told = told.values.contains(&at);
            assert!(!is_told || roles.has(role), "{field} {value} as {role}");
        }
        assert!(told.texts.contains(OPEN_NOTE), "{role}");
        // Neither ids nor the note of whoever did not open it, nor who reported.
        let hidden = ["ach, meisje", "inst-7Qm2zR9xWc4Lk8Vb"];
        let hidden = hidden.into_iter().chain(ids.iter().map(String::as_str));
        for hidden in hidden {
            let found = told.texts.iter().find(|text| text.contains(hidden));
            assert_eq!(found, None, "{role}");
        }
        let card = told.texts.iter().find(|text| walk::shows_card(text));
        assert_eq!(card, None, "{role}");
        assert!(!told.bytes.contains(&SECRET[..]), "{role}");
    }
}

/// Every call that needs an incident's secret, with this id and secret: what was refused.
async fn replayed(client: &mut Reporting, id: &str, secret: &[u8]) -> Vec<Code> {
    let (incident_id, incident_secret) = (id.to_owned(), secret.to_vec());
    macro_rules! refused {
        ($call:ident, $request:ident { $($rest:tt)* }) => {
            client
                .$call(pb::$request {
                    incident_id: incident_id.clone(),
                    incident_secret: incident_secret.clone(),
                    $($rest)*
                })
                .await
                .expect_err("no secret")
                .code()
        };
    }
    vec![
        refused!(get_incident, GetIncidentRequest { everything: true }),
        refused!(get_receipt, GetReceiptRequest { qr_code: false }),
        refused!(follow_incident, FollowIncidentRequest {}),
        refused!(withdraw_incident, WithdrawIncidentRequest {}),
        refused!(erase_incident, EraseIncidentRequest {}),
        refused!(
            amend_incident,
            AmendIncidentRequest {
                extra_cost: 1,
                ..Default::default()
            }
        ),
    ]
}

#[tokio::test]
async fn operator_that_replays_all_it_sees_gets_at_nothing() {
    let guarded = Guarded::start().await;
    let [mut operator, _] = watched(&guarded, &pool()).await;
    let ids = cases(&guarded).await;
    let (told, numbers) = listed(&guarded, Role::Operator).await;
    operator.texts.extend(told.texts);
    operator.bytes.extend(told.bytes);
    assert!(!operator.texts.is_empty() && !operator.bytes.is_empty());
    // As an id: whatever is a text, and even the ids, which it never sees.
    let texts: Vec<_> = operator.texts.iter().chain(&ids).cloned().collect();
    let mut secrets: BTreeSet<Vec<u8>> = operator.bytes.clone();
    secrets.extend(operator.texts.iter().map(|text| text.clone().into_bytes()));
    secrets.insert(Vec::new());
    for role in [Role::Operator, Role::Public] {
        let mut client = Reporting::new(guarded.of(role).await);
        for id in &texts {
            // A text that is no id is refused whatever comes with it.
            let is_id = id.parse::<mistap::domain::IncidentId>().is_ok();
            for secret in secrets.iter().take(if is_id { usize::MAX } else { 2 }) {
                for code in replayed(&mut client, id, secret).await {
                    let expected = [Code::InvalidArgument, Code::NotFound];
                    assert!(expected.contains(&code), "{code:?}");
                }
            }
        }
    }
    // Nor does another operator get at a case by its number.
    let mut other = Operations::new(guarded.with(Some(&guarded.other_operator)).await);
    let mut refused = async |case_number: String| {
        let answer = pb::RespondToIncidentRequest {
            case_number,
            state: pb::CaseState::Received.into(),
            reason: 0,
            message: String::new(),
        };
        let answered = other.respond_to_incident(answer).await;
        let reason = reason(&answered);
        let status = answered.expect_err("another's, or none");
        (status.code(), reason, status.message().to_owned())
    };
    for case_number in numbers {
        let of_another = refused(case_number.clone()).await;
        let (code, reason, _) = &of_another;
        assert_eq!((*code, reason.as_str()), (Code::NotFound, "NO_CASE"));
        let last = if case_number.ends_with('7') { "8" } else { "7" };
        let mistyped = format!("{}{last}", &case_number[..case_number.len() - 1]);
        assert_eq!(refused(mistyped).await, of_another, "there is none");
    }
}
