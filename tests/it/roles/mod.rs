//! Every method, page, role and field: who may call, ask and see is what `auth::table` says.

mod operators;
mod places;
mod replay;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mistap::api::pb::{self as wire, v1 as pb};
use mistap::auth::{NewToken, Role, Token, TokenFile, TokenId, table};
use mistap::client::{Bearer, Connection};
use mistap::domain::limits::{
    INCIDENT_STREAMS_PER_TOKEN_MAX, PREFIX_BURST_MAX, REPORTER_BURST_MAX, TAP_STREAMS_PER_TOKEN_MAX,
};
use mistap::domain::taxonomy::CalledBack;
use mistap::domain::{IncidentSecret, LocalDay};
use mistap::ingest::Later;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::child::PATIENCE;
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
        let folder = TempDir::new().expect("a folder");
        let tokens = [
            (Role::Device, Some("GVB")),
            (Role::Operator, Some("GVB")),
            (Role::Steward, None),
        ];
        let tokens = tokens.map(|(role, operator)| (role, add(&folder, role, operator)));
        let other_operator = add(&folder, Role::Operator, Some("RET"));
        Self {
            service: Service::start_in(folder).await,
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

/// A filter with one field set, beside its operator.
fn filter_with(pool: &DescriptorPool, field: &str) -> pb::Filter {
    let kind = message(pool, "Filter");
    let mut filter = DynamicMessage::new(kind.clone());
    let field = kind
        .get_field_by_name(field)
        .expect("a field of the filter");
    let value = match field.kind() {
        prost_reflect::Kind::Enum(_) => Value::EnumNumber(1),
        prost_reflect::Kind::Uint32 => Value::U32(1),
        _ => Value::String(
            if field.name() == "stops" {
                "x"
            } else {
                "GVB:10"
            }
            .into(),
        ),
    };
    let value = if field.is_list() {
        Value::List(vec![value])
    } else {
        value
    };
    filter.set_field(&field, value);
    let mut filter = pb::Filter::decode(&*filter.encode_to_vec()).expect("the same");
    filter.operators = vec!["GVB".into()];
    filter
}

/// Whether the table keeps something for stewards.
fn is_stewards(message: &str, field: &str, value: Option<&str>) -> bool {
    let row = table::ASKS
        .iter()
        .find(|(known, known_field, known_value, _)| {
            (*known, *known_field, *known_value) == (message, field, value)
        });
    row.is_some_and(|(.., roles)| !roles.has(Role::Operator))
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
    const DAY_SECONDS: i64 = 86_400;
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
async fn every_field_of_a_filter_and_every_dimension_is_asked_by_whom_the_table_says() {
    let guarded = Guarded::start().await;
    let pool = pool();
    let fields_of_filter = message(&pool, "Filter");
    let dimensions = pool.get_enum_by_name("mistap.v1.Dimension").expect("known");
    for role in [Role::Operator, Role::Steward] {
        let mut statistics = Statistics::new(guarded.of(role).await);
        let mut live = Live::new(guarded.of(role).await);
        let check = |refused: bool, result: String, told: Vec<String>, path: &str| {
            let expected = if refused { "NOT_ALLOWED" } else { "OK" };
            assert_eq!(result, expected, "{path} as {role}");
            assert_eq!(
                told,
                if refused {
                    vec![path.to_owned()]
                } else {
                    Vec::new()
                }
            );
        };
        for field in fields_of_filter.fields() {
            let name = field.name();
            let filter = filter_with(&pool, name);
            let refused = is_stewards("Filter", name, None) && role != Role::Steward;
            let asked = query(filter.clone(), &[]);
            let result = statistics.query_figures(asked.clone()).await;
            let path = format!("question.filter.{name}");
            check(refused, reason(&result), fields(&result), &path);
            let asked = pb::QueryFiguresWithProgressRequest {
                query: Some(asked),
                ..pb::QueryFiguresWithProgressRequest::default()
            };
            let result = statistics.query_figures_with_progress(asked).await;
            check(refused, reason(&result), fields(&result), &path);
            let result = statistics.compare_periods(comparison(filter.clone())).await;
            check(
                refused,
                reason(&result),
                fields(&result),
                &format!("filter.{name}"),
            );
            let request = pb::WatchRatesRequest {
                filter: Some(filter.clone()),
                ..pb::WatchRatesRequest::default()
            };
            let result = live.watch_rates(request).await;
            check(
                refused,
                reason(&result),
                fields(&result),
                &format!("filter.{name}"),
            );
            let request = pb::RankScopesRequest {
                filter: Some(filter),
                by: pb::Dimension::Line as i32,
                window: that_day(&[]).question.and_then(|question| question.window),
                ..pb::RankScopesRequest::default()
            };
            let result = statistics.rank_scopes(request).await;
            check(
                refused,
                reason(&result),
                fields(&result),
                &format!("filter.{name}"),
            );
        }
        for value in dimensions.values().filter(|value| value.number() != 0) {
            let by = pb::Dimension::try_from(value.number()).expect("known");
            let refused =
                |message| is_stewards(message, "by", Some(value.name())) && role != Role::Steward;
            let filter = pb::Filter {
                operators: vec!["GVB".into()],
                ..pb::Filter::default()
            };
            let asked = query(filter.clone(), &[by]);
            let with_progress = pb::QueryFiguresWithProgressRequest {
                query: Some(asked.clone()),
                ..pb::QueryFiguresWithProgressRequest::default()
            };
            let result = statistics.query_figures_with_progress(with_progress).await;
            let path = "question.by[0]";
            check(refused("Question"), reason(&result), fields(&result), path);
            let result = statistics.query_figures(asked).await;
            check(
                refused("Question"),
                reason(&result),
                fields(&result),
                "question.by[0]",
            );
            let request = pb::WatchRatesRequest {
                filter: Some(filter),
                by: vec![by as i32],
                ..pb::WatchRatesRequest::default()
            };
            let result = live.watch_rates(request).await;
            check(
                refused("WatchRatesRequest"),
                reason(&result),
                fields(&result),
                "by[0]",
            );
        }
    }
}

#[tokio::test]
async fn operator_asks_only_about_its_own_operators() {
    let guarded = Guarded::start().await;
    let filter = |operators: &[&str]| pb::Filter {
        operators: operators.iter().map(|code| (*code).to_owned()).collect(),
        ..pb::Filter::default()
    };
    let token = &guarded.tokens[&Role::Operator];
    let check = async |token: &Token, operators: &[&str], is_allowed: bool| {
        let mut statistics = Statistics::new(guarded.with(Some(token)).await);
        let mut live = Live::new(guarded.with(Some(token)).await);
        let told = |result: String, fields: Vec<String>, path: &str| {
            let expected = if is_allowed { "OK" } else { "NOT_ALLOWED" };
            assert_eq!(result, expected, "{path} {operators:?}");
            assert!(is_allowed || fields == [path], "{fields:?}");
        };
        let asked = query(filter(operators), &[]);
        let result = statistics.query_figures(asked.clone()).await;
        let path = "question.filter.operators";
        told(reason(&result), fields(&result), path);
        let asked = pb::QueryFiguresWithProgressRequest {
            query: Some(asked),
            ..pb::QueryFiguresWithProgressRequest::default()
        };
        let result = statistics.query_figures_with_progress(asked).await;
        told(reason(&result), fields(&result), path);
        let asked = comparison(filter(operators));
        let result = statistics.compare_periods(asked).await;
        told(reason(&result), fields(&result), "filter.operators");
        let request = pb::RankScopesRequest {
            filter: Some(filter(operators)),
            by: pb::Dimension::Line as i32,
            window: that_day(&[]).question.and_then(|question| question.window),
            ..pb::RankScopesRequest::default()
        };
        let result = statistics.rank_scopes(request).await;
        told(reason(&result), fields(&result), "filter.operators");
        let request = pb::WatchRatesRequest {
            filter: Some(filter(operators)),
            ..pb::WatchRatesRequest::default()
        };
        let result = live.watch_rates(request).await;
        told(reason(&result), fields(&result), "filter.operators");
        let request = pb::WatchIncidentsRequest {
            operators: filter(operators).operators,
            ..pb::WatchIncidentsRequest::default()
        };
        let result = live.watch_incidents(request).await;
        told(reason(&result), fields(&result), "operators");
        let mut operations = Operations::new(guarded.with(Some(token)).await);
        let request = pb::ListIncidentsRequest {
            operators: filter(operators).operators,
            ..pb::ListIncidentsRequest::default()
        };
        let result = operations.list_incidents(request).await;
        told(reason(&result), fields(&result), "operators");
        let request = pb::GetReplyTimesRequest {
            operators: filter(operators).operators,
            window: that_day(&[]).question.and_then(|question| question.window),
            ..pb::GetReplyTimesRequest::default()
        };
        let result = operations.get_reply_times(request).await;
        told(reason(&result), fields(&result), "operators");
    };
    check(token, &["GVB"], true).await;
    check(token, &[], false).await;
    check(token, &["RET"], false).await;
    check(token, &["GVB", "RET"], false).await;
    check(&guarded.other_operator, &["RET"], true).await;
    check(&guarded.other_operator, &["GVB"], false).await;
    check(&guarded.tokens[&Role::Steward], &[], true).await;
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

/// The status of a page.
async fn page(guarded: &Guarded, path: &str, token: Option<&str>) -> u16 {
    let header = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let start = format!("GET {path} HTTP/1.1\r\n{}", header.unwrap_or_default());
    answered(guarded, &start).await.0
}

/// The status of an answer by HTTP, and all of it. `start` is the first line of the request and
/// some of its headers.
async fn answered(guarded: &Guarded, start: &str) -> (u16, String) {
    let address = guarded.service.address();
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    let request = format!("{start}host: mistap.example\r\nconnection: close\r\n\r\n");
    connection
        .write_all(request.as_bytes())
        .await
        .expect("sent");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.expect("answered");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).expect("a status");
    (status.parse().expect("a number"), answer)
}

#[tokio::test]
async fn every_page_lets_in_whom_the_table_says() {
    let guarded = Guarded::start().await;
    for (route, roles) in table::PAGES {
        let path = route.replace("{file}", "2026-10.json");
        let path = path
            .replace("{months}", "2026-10")
            .replace("{operator}", "GVB");
        for role in CALLERS {
            let token = guarded.tokens.get(&role).map(Token::expose);
            let status = page(&guarded, &path, token).await;
            let expected = match role {
                _ if roles.admits(role) => None,
                Role::Public => Some(401),
                _ => Some(403),
            };
            let found = [401, 403].contains(&status).then_some(status);
            assert_eq!(found, expected, "{route} as {role}: {status}");
        }
        assert_eq!(
            page(&guarded, &path, Some("nonsense")).await,
            401,
            "{route}"
        );
    }
}

#[test]
fn every_route_has_its_row() {
    let mut routes = BTreeSet::new();
    for file in [
        "src/http/mod.rs",
        "src/http/editions.rs",
        "src/http/receipts.rs",
    ] {
        let text = std::fs::read_to_string(file).expect("a source file");
        for part in text.split(".route(").skip(1) {
            let route = part
                .split('"')
                .nth(1)
                .expect("a route begins with its path");
            routes.insert(route.to_owned());
        }
    }
    let known: BTreeSet<_> = table::PAGES
        .iter()
        .map(|(route, _)| (*route).to_owned())
        .collect();
    assert_eq!(routes, known);
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
    for case_number in numbers {
        let answer = pb::RespondToIncidentRequest {
            case_number,
            state: pb::CaseState::Received.into(),
            reason: 0,
            message: String::new(),
        };
        let code = other
            .respond_to_incident(answer)
            .await
            .expect_err("another's")
            .code();
        assert_eq!(code, Code::NotFound);
    }
}

#[tokio::test]
async fn tokens_are_taken_up_and_revoked_while_the_service_runs() {
    let folder = TempDir::new().expect("a folder");
    let service = Service::start_with(folder, |settings| {
        settings.token_look = std::time::Duration::from_millis(1);
    })
    .await;
    let service = Arc::new(service);
    let count = async |bearer: Bearer| {
        let mut client = Statistics::new(bearer.over(service.connect().await));
        reason(&client.query_figures(that_day(&[])).await)
    };
    // How often a look comes is no concern here, only that one does.
    let becomes = async |bearer: &Bearer, expected: &str| {
        let waiting = async {
            while count(bearer.clone()).await != expected {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        in_time.unwrap_or_else(|_| panic!("{expected} does not come"));
    };
    assert_eq!(count(Bearer::default()).await, "OK");
    let new = NewToken {
        label: "us".into(),
        role: Role::Steward,
        operators: Vec::new(),
    };
    let token = TokenFile::add(service.folder(), new, today()).expect("made");
    let bearer = Bearer::new(token.expose()).expect("it can be sent");
    becomes(&Bearer::default(), "NO_TOKEN").await;
    becomes(&bearer, "OK").await;
    TokenFile::revoke(service.folder(), TokenId(1), today()).expect("it lives");
    becomes(&bearer, "TOKEN_UNKNOWN").await;
    assert_eq!(count(Bearer::default()).await, "NO_TOKEN");
}

#[tokio::test]
async fn stream_that_is_open_tells_and_takes_nothing_more_once_its_token_is_revoked() {
    let folder = TempDir::new().expect("a folder");
    let tokens = [Role::Operator, Role::Device].map(|role| add(&folder, role, Some("GVB")));
    let service = Service::start_with(folder, |settings| {
        settings.token_look = std::time::Duration::from_millis(1);
    })
    .await;
    let [operator, device] = &tokens;
    let with = async |token: &Token| {
        let bearer = Bearer::new(token.expose()).expect("it can be sent");
        bearer.over(service.connect().await)
    };
    let mut live = Live::new(with(operator).await);
    let events = live.watch_incidents(watch_gvb()).await.expect("open");
    let mut events = events.into_inner();
    let request = pb::WatchRatesRequest {
        filter: watch_gvb_filter(),
        ..pb::WatchRatesRequest::default()
    };
    let mut rates = live.watch_rates(request).await.expect("open").into_inner();
    events.message().await.expect("open").expect("a heartbeat");
    rates.message().await.expect("open").expect("a snapshot");
    let (sender, incidents) = tokio::sync::mpsc::channel(4);
    let incidents = tokio_stream::wrappers::ReceiverStream::new(incidents);
    let observe = async || {
        let incident = pb::Incident {
            reporter: pb::ReporterKind::Device as i32,
            line: "GVB:10".into(),
            ..founding_story()
        };
        let request = pb::StreamIncidentsRequest {
            incident: Some(Box::new(incident)),
            sequence: 1,
        };
        sender.send(request).await.expect("open");
    };
    let mut reporting = Reporting::new(with(device).await);
    observe().await;
    let results = reporting.stream_incidents(incidents).await.expect("open");
    let mut results = results.into_inner();
    let code = |answer: pb::StreamIncidentsResponse| {
        use pb::result::Outcome;
        match answer.result.and_then(|result| result.outcome) {
            Some(Outcome::Accepted(_)) => Code::Ok,
            Some(Outcome::Refusal(refusal)) => Code::from_i32(refusal.code),
            None => Code::Unknown,
        }
    };
    let first = results.message().await.expect("open").expect("a result");
    assert_eq!(code(first), Code::Ok);
    // It is told of the observation, and of nothing that comes after its token is gone.
    events.message().await.expect("open").expect("an event");
    // The operator's last, by which it is seen that both were taken up.
    for id in [2, 1] {
        TokenFile::revoke(service.folder(), TokenId(id), today()).expect("it lives");
    }
    let revoked = async {
        while live.watch_incidents(watch_gvb()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, revoked)
        .await
        .expect("in time");
    observe().await;
    let second = results.message().await.expect("open").expect("a result");
    assert_eq!(code(second), Code::Unauthenticated);
    let token = {
        let new = NewToken {
            label: "us".into(),
            role: Role::Steward,
            operators: Vec::new(),
        };
        TokenFile::add(service.folder(), new, today()).expect("made")
    };
    let reported = async {
        loop {
            let mut client = Reporting::new(with(&token).await);
            let incident = Some(founding_story());
            let request = pb::ReportIncidentRequest {
                incident,
                ..pb::ReportIncidentRequest::default()
            };
            if client.report_incident(request).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reported)
        .await
        .expect("in time");
    let ended = events.message().await;
    assert_eq!(reason(&ended), "TOKEN_UNKNOWN", "{ended:?}");
    // The first change may have been on its way.
    let ended = async {
        loop {
            if let Err(status) = rates.message().await {
                return status;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("in time");
    assert_eq!(reason::<()>(&Err(ended)), "TOKEN_UNKNOWN");
}

#[tokio::test]
async fn stream_opened_before_there_were_tokens_ends_when_the_first_is_made() {
    let service = Service::start_with(TempDir::new().expect("a folder"), |settings| {
        settings.token_look = std::time::Duration::from_millis(1);
    })
    .await;
    let mut live = Live::new(Bearer::default().over(service.connect().await));
    let request = pb::WatchIncidentsRequest::default();
    let events = live.watch_incidents(request.clone()).await.expect("open");
    let mut events = events.into_inner();
    let rates = live.watch_rates(pb::WatchRatesRequest::default()).await;
    let mut rates = rates.expect("open").into_inner();
    events.message().await.expect("open").expect("a heartbeat");
    rates.message().await.expect("open").expect("a snapshot");
    let new = NewToken {
        label: "us".into(),
        role: Role::Steward,
        operators: Vec::new(),
    };
    TokenFile::add(service.folder(), new, today()).expect("made");
    let asked = async {
        while live.watch_incidents(request.clone()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    asked.expect("a token is asked for in time");
    // The public may report, and whoever watches without a token hears nothing of it.
    let mut reporting = Reporting::new(Bearer::default().over(service.connect().await));
    let report = pb::ReportIncidentRequest {
        incident: Some(founding_story()),
        ..pb::ReportIncidentRequest::default()
    };
    reporting.report_incident(report).await.expect("recorded");
    let ended = tokio::time::timeout(PATIENCE, events.message()).await;
    assert_eq!(reason(&ended.expect("in time")), "NO_TOKEN");
    let ended = tokio::time::timeout(PATIENCE, rates.message()).await;
    assert_eq!(reason(&ended.expect("in time")), "NO_TOKEN");
    service.stop().await;
}

fn watch_gvb_filter() -> Option<pb::Filter> {
    Some(pb::Filter {
        operators: vec!["GVB".into()],
        ..pb::Filter::default()
    })
}

/// Reports in one call, as the public.
async fn report(guarded: &Guarded, incidents: Vec<pb::Incident>) -> Vec<i32> {
    let mut client = Reporting::new(guarded.of(Role::Public).await);
    let request = pb::ReportIncidentsRequest { incidents };
    let answer = client.report_incidents(request).await.expect("one call");
    let code = |result: pb::Result| match result.outcome {
        Some(pb::result::Outcome::Refusal(refusal)) => {
            assert!(refusal.retry_after.is_some(), "{refusal:?}");
            refusal.code
        }
        _ => 0,
    };
    answer.into_inner().results.into_iter().map(code).collect()
}

fn of_installation(number: usize) -> pb::Incident {
    pb::Incident {
        incident_id: new_id(),
        installation_id: format!("inst-{number:020}"),
        ..founding_story()
    }
}

#[tokio::test]
async fn one_reporter_cannot_flood_and_is_told_how_long_to_wait() {
    let guarded = Guarded::start().await;
    let burst = usize::try_from(REPORTER_BURST_MAX).expect("small");
    let many = |count| (0..count).map(|_| of_installation(1)).collect();
    assert_eq!(report(&guarded, many(burst)).await, vec![0; burst]);
    let exhausted = Code::ResourceExhausted as i32;
    assert_eq!(report(&guarded, many(2)).await, [exhausted; 2]);
    assert_eq!(report(&guarded, vec![of_installation(2)]).await, [0]);
}

#[tokio::test]
async fn one_address_cannot_flood_and_tokens_are_not_held_up_by_it() {
    let guarded = Guarded::start().await;
    let mut refused = None;
    for _ in 0..=PREFIX_BURST_MAX / 1_000 {
        let incidents = (0..1_000).map(|_| pb::Incident::default()).collect();
        let mut client = Reporting::new(guarded.of(Role::Public).await);
        let request = pb::ReportIncidentsRequest { incidents };
        if let Ok(answer) = client.report_incidents(request).await {
            let first = answer.into_inner().results.swap_remove(0).outcome;
            if let Some(pb::result::Outcome::Refusal(refusal)) = first {
                refused = (refusal.code == Code::ResourceExhausted as i32).then_some(refusal);
            }
        }
    }
    let refusal = refused.expect("the last thousand are too many");
    assert!(refusal.retry_after.is_some());
    let mut client = Statistics::new(guarded.of(Role::Steward).await);
    assert_eq!(reason(&client.query_figures(that_day(&[])).await), "OK");
}

/// Uses up what this address may ask for without a token.
async fn flood(guarded: &Guarded) {
    for _ in 0..PREFIX_BURST_MAX / 1_000 {
        let incidents = (0..1_000).map(|_| pb::Incident::default()).collect();
        let mut client = Reporting::new(guarded.of(Role::Public).await);
        let request = pb::ReportIncidentsRequest { incidents };
        let _ = client.report_incidents(request).await;
    }
}

#[tokio::test]
async fn page_is_counted_whatever_kind_of_request_it_says_it_is() {
    let guarded = Guarded::start().await;
    flood(&guarded).await;
    let grpc = "content-type: application/grpc\r\n";
    for start in [
        "GET /healthz HTTP/1.1\r\n".to_owned(),
        format!("GET /healthz HTTP/1.1\r\n{grpc}"),
        format!("POST /receipt HTTP/1.1\r\n{grpc}"),
        format!("POST /nothing/here HTTP/1.1\r\n{grpc}"),
    ] {
        let mut last = (0, String::new());
        // What was left of the last thousand, and what is let in as time passes.
        for _ in 0..2_000 {
            last = answered(&guarded, &start).await;
            if last.0 == 429 {
                break;
            }
        }
        assert_eq!(last.0, 429, "{start}");
        assert!(last.1.contains("retry-after: "), "{}", last.1);
    }
}

#[tokio::test]
async fn one_token_cannot_take_every_stream_of_tap_counts_or_of_incidents() {
    let folder = TempDir::new().expect("a folder");
    let tokens = [
        add(&folder, Role::Device, Some("GVB")),
        add(&folder, Role::Device, Some("RET")),
    ];
    let service = Service::start_in(folder).await;
    let [one, other] = [&tokens[0], &tokens[1]];
    let with = async |token: &Token| {
        let bearer = Bearer::new(token.expose()).expect("it can be sent");
        bearer.over(service.connect().await)
    };
    let refused = |status: &Status| {
        let details = status.get_error_details();
        let quota = details.quota_failure().expect("always there");
        let info = details.error_info().expect("always there");
        assert_eq!(info.reason, "TOO_MANY_STREAMS");
        assert_eq!(quota.violations[0].subject, "token");
        status.code()
    };
    let mut open = Vec::new();
    let mut operations = Operations::new(with(one).await);
    for _ in 0..TAP_STREAMS_PER_TOKEN_MAX {
        let stream = operations.stream_tap_counts(tokio_stream::pending()).await;
        open.push(stream.expect("open").into_inner());
    }
    let more = operations.stream_tap_counts(tokio_stream::pending()).await;
    let code = refused(&more.expect_err("as many as may be"));
    assert_eq!(code, Code::ResourceExhausted);
    let mut others = Operations::new(with(other).await);
    let stream = others.stream_tap_counts(tokio_stream::pending()).await;
    stream.expect("another token has room");
    drop(open);

    let mut open = Vec::new();
    let mut reporting = Reporting::new(with(one).await);
    for _ in 0..INCIDENT_STREAMS_PER_TOKEN_MAX {
        let stream = reporting.stream_incidents(tokio_stream::pending()).await;
        open.push(stream.expect("open").into_inner());
    }
    let more = reporting.stream_incidents(tokio_stream::pending()).await;
    let code = refused(&more.expect_err("as many as may be"));
    assert_eq!(code, Code::ResourceExhausted);
    let mut others = Reporting::new(with(other).await);
    let stream = others.stream_incidents(tokio_stream::pending()).await;
    stream.expect("another token has room");
    drop(open);
    service.end().await.expect("it stops");
}
