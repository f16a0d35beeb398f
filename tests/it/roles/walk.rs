//! Every method, role and field, each in an answer that has it: told is what `auth::table` says,
//! and a field that has no row there fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::app::Settings;
use mistap::auth::{Role, table};
use mistap::domain::limits::REPORTER_BURST_MAX;
use mistap::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use mistap::domain::{Position, UtcMillis};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tempfile::TempDir;
use tonic::Code;

use super::{CALLERS, Guarded, Told, pool};
use crate::child::until_so;
use crate::editions::history_until;
use crate::raw::Call;
use crate::reports::Reporter;
use crate::support::{SECRET, START, Service, at, feed_of_gvb, founding_story, new_id};

/// The first hours of the day before `START`, in Amsterdam.
const MIDNIGHT: i64 = START.0 - 15 * HOUR_MS - DAY_MS;
/// When October began, in Amsterdam: 53 days and an hour before midnight of `START`.
const OCTOBER: i64 = MIDNIGHT + DAY_MS - 53 * DAY_MS - HOUR_MS;
/// With a wrong check digit, which is remarked on.
const CARD: &str = "3528 0160 4471 9358";
const LINES: [&str; 24] = [
    "1", "2", "3", "4", "5", "7", "12", "13", "14", "15", "17", "18", "21", "22", "24", "27", "34",
    "35", "37", "40", "41", "48", "62", "65",
];

/// Fields that are told alike, and that no short way leads to.
const UNFILLED: &[(&str, &str)] = &[
    // Where millions of reports came in within a day.
    ("WatchRatesResponse", "complete_from"),
    // After a quarter of a minute of silence.
    ("WatchRatesResponse", "heartbeat"),
    // Where the record is read for taps that were told again since.
    ("QueryFiguresWithProgressResponse", "progress"),
    ("QueryProgress", "entries_read"),
    ("QueryProgress", "entries_to_read"),
    // Where words of reports have been taken away, or all that a report told.
    ("Reply", "message_kept_no_longer"),
    // Of a network that was imported.
    ("ListOperatorsResponse", "network_version"),
];

/// Of a method, what a role was told.
type Walked = BTreeMap<(String, Role), Told>;

/// Calls of every role, and what they were told.
pub(super) struct Walk<'a> {
    guarded: &'a Guarded,
    pub told: Walked,
    /// Of a device: an operator is told of no other who reported.
    of_device: Option<Own>,
    /// Of reports, all of which have one secret.
    pub ids: BTreeSet<String>,
    /// Of one of them.
    pub case_number: String,
}

/// A report, and the key to it.
#[derive(Clone)]
struct Own {
    incident_id: String,
    case_number: String,
}

pub(super) async fn guarded() -> Guarded {
    let looks_often = |settings: &mut Settings| settings.edition_look = Duration::from_millis(50);
    Guarded::over(published().await, looks_often).await
}

/// A folder with two months of reports, of which an edition is about to close: with taps, an
/// outage, and reports that are left out.
async fn published() -> TempDir {
    let before = UtcMillis(START.0 - 2 * DAY_MS);
    let folder = history_until(before).await;
    let service = Service::start_with(folder, |settings| {
        settings.clock = Arc::new(move || before);
    });
    let service = service.await;
    let channel = service.connect().await;
    let of_october = |day: i64| UtcMillis(OCTOBER + day * DAY_MS);
    let mut reporter = Reporter::new(1, before);
    let incidents = (0..20).map(|number| pb::Incident {
        incident_id: reporter.next().incident_id,
        occurred_at: at(UtcMillis(of_october(19).0 + number % 2 * HOUR_MS)),
        installation_id: format!("one-that-tells-twice-{}", number / 2),
        ..founding_story()
    });
    let request = pb::ReportIncidentsRequest {
        incidents: incidents.collect(),
    };
    let mut reporting = pb::reporting_service_client::ReportingServiceClient::new(channel.clone());
    let taken = reporting.report_incidents(request).await.expect("taken");
    check_taken(taken.into_inner());
    let mut operations = pb::operations_service_client::OperationsServiceClient::new(channel);
    let counts = (0..31).map(|day| pb::TapCount {
        // Until the clock is changed, days begin an hour earlier.
        start: at(UtcMillis(
            of_october(day).0 + i64::from(25 <= day) * HOUR_MS,
        )),
        taps: 100_000,
        ..pb::TapCount::default()
    });
    let record = pb::RecordTapCountsRequest {
        feed: Some(feed_of_gvb(
            "gvb.october",
            pb::TapGrain::Operator,
            pb::TapInterval::Day,
        )),
        counts: counts.collect(),
    };
    let told = operations.record_tap_counts(record).await.expect("told");
    for result in told.into_inner().results {
        let is_recorded = matches!(
            result.outcome,
            Some(pb::tap_count_result::Outcome::Recorded(_))
        );
        assert!(is_recorded, "{result:?}");
    }
    let declare = pb::DeclareOutageRequest {
        outage: Some(pb::Outage {
            operator_code: "GVB".into(),
            first_day: "2026-10-03".into(),
            last_day: String::new(),
        }),
    };
    operations.declare_outage(declare).await.expect("declared");
    service.stop().await
}

fn check_taken(answer: pb::ReportIncidentsResponse) {
    for result in answer.results {
        let outcome = result.outcome;
        let is_taken = matches!(outcome, Some(pb::result::Outcome::Accepted(_)));
        assert!(is_taken, "{outcome:?}");
    }
}

/// The message that a method answers with.
pub(super) fn output(method: &str) -> MessageDescriptor {
    let (service, name) = method.split_once('/').expect("a service and a method");
    let service = pool().get_service_by_name(&format!("mistap.v1.{service}"));
    let service = service.expect("a service of the API");
    let found = service.methods().find(|found| found.name() == name);
    found.expect("a method of it").output()
}

impl<'a> Walk<'a> {
    /// Through every method, as every role.
    pub async fn all(guarded: &'a Guarded) -> Self {
        let told = Walked::new();
        let of_device = None;
        let mut walk = Self {
            guarded,
            told,
            of_device,
            ids: BTreeSet::new(),
            case_number: String::new(),
        };
        walk.prepare().await;
        for role in CALLERS {
            let own = walk.report(role).await;
            if role == Role::Device {
                walk.of_device = Some(own.clone());
            }
            walk.tell_taps(role).await;
            walk.go_the_way_back(role, &own).await;
            walk.ask_public(role).await;
            if table::OPERATORS.has(role) {
                walk.ask_figures(role).await;
                walk.work(role, &own).await;
            }
        }
        walk
    }

    /// Answers of a method, which are noted.
    async fn ask<A: Message + Default>(
        &mut self,
        role: Role,
        method: &str,
        request: &impl Message,
    ) -> Vec<A> {
        let enough = |_: &[A]| true;
        self.ask_until(role, method, request, enough).await
    }

    /// The same of a stream, until it told enough.
    async fn ask_until<A: Message + Default>(
        &mut self,
        role: Role,
        method: &str,
        request: &impl Message,
        is_enough: impl Fn(&[A]) -> bool,
    ) -> Vec<A> {
        let kind = output(method);
        loop {
            let connection = self.guarded.of(role).await;
            let call = Call::open(connection, method, request.encode_to_vec()).await;
            let mut call = match call {
                Err(status) if status.code() == Code::Unavailable => {
                    tokio::task::yield_now().await;
                    continue;
                }
                call => call.unwrap_or_else(|status| panic!("{method} as {role}: {status:?}")),
            };
            let mut answers = Vec::new();
            while let Some(bytes) = call.next().await.expect("it goes on") {
                let told = self.told.entry((method.to_owned(), role)).or_default();
                told.add(&DynamicMessage::decode(kind.clone(), &*bytes).expect("an answer"));
                answers.push(A::decode(&*bytes).expect("an answer"));
                if is_enough(&answers) {
                    break;
                }
            }
            return answers;
        }
    }

    /// What has to be there before: others who reported, taps, outages, and editions.
    async fn prepare(&mut self) {
        let client = |channel| pb::reporting_service_client::ReportingServiceClient::new(channel);
        let mut reporting = client(self.guarded.of(Role::Steward).await);
        let mut incidents = Vec::new();
        for (line, place) in LINES.iter().zip(0..) {
            for number in 0..if place < 2 { 80 } else { 10 } {
                incidents.push(pb::Incident {
                    line: format!("GVB:{line}"),
                    occurred_at: at(UtcMillis(MIDNIGHT + 9 * HOUR_MS)),
                    installation_id: format!("one-of-many-on-{line}-{number}"),
                    mode: 0,
                    ..founding_story()
                });
            }
        }
        let observed: Vec<_> = incidents.iter().cloned().map(observed).collect();
        incidents.extend((0..12).map(|number| pb::Incident {
            installation_id: format!("one-of-the-others-{number}"),
            ..founding_story()
        }));
        incidents.push(pb::Incident {
            line: String::new(),
            ..founding_story()
        });
        incidents.push(pb::Incident {
            precision: pb::TimePrecision::Hour.into(),
            ..founding_story()
        });
        for incidents in [incidents, observed] {
            let request = pb::ReportIncidentsRequest { incidents };
            let answer = reporting.report_incidents(request).await.expect("taken");
            check_taken(answer.into_inner());
        }
        self.declare().await;
        let steward = self.guarded.of(Role::Steward).await;
        let mut statistics = super::Statistics::new(steward);
        until_so("an edition is closed", async || {
            let request = pb::ListEditionsRequest {};
            let listed = statistics.list_editions(request).await.expect("listed");
            !listed.into_inner().editions.is_empty()
        })
        .await;
    }

    /// Every call that tells of incidents. Gives one that its reporter has the secret of.
    async fn report(&mut self, role: Role) -> Own {
        let method = "ReportingService/ReportIncident";
        let request = |incident: &pb::Incident| pb::ReportIncidentRequest {
            incident: Some(incident.clone()),
            want_receipt: true,
            want_advice: true,
        };
        let story = whole(role);
        let mut reported = Vec::new();
        let ambiguous = pb::Incident {
            operator: String::new(),
            line: "10".into(),
            stop: "Centraal".into(),
            ..whole(role)
        };
        // Sent again, told again, and of which more than one line may be meant.
        let again = pb::Incident {
            incident_id: new_id(),
            ..story.clone()
        };
        let mut told = vec![story.clone(), story.clone(), again];
        if role != Role::Device {
            told.push(ambiguous);
        }
        for incident in &told {
            let answers = self.ask(role, method, &request(incident)).await;
            let answer: &pb::ReportIncidentResponse = answers.first().expect("one");
            reported.push(answer.accepted.clone().expect("always there"));
        }
        let mut incidents = vec![whole(role), pb::Incident::default()];
        if role == Role::Public {
            let many = 0..=REPORTER_BURST_MAX;
            incidents.extend(many.map(|_| pb::Incident {
                installation_id: "one-that-never-ends".into(),
                ..whole(role)
            }));
        }
        let many = pb::ReportIncidentsRequest { incidents };
        let method_of_many = "ReportingService/ReportIncidents";
        let _: Vec<pb::ReportIncidentsResponse> = self.ask(role, method_of_many, &many).await;
        if table::DEVICES.has(role) {
            let one = pb::StreamIncidentsRequest {
                incident: Some(Box::new(whole(role))),
                sequence: 7,
            };
            let method = "ReportingService/StreamIncidents";
            let _: Vec<pb::StreamIncidentsResponse> = self.ask(role, method, &one).await;
        }
        self.lose(role).await;
        let position = Position(reported[0].position);
        let numbers = self.guarded.service.ingest().case_numbers();
        let ids = told.into_iter().map(|incident| incident.incident_id);
        self.ids.extend(ids);
        self.case_number = numbers.of(position).to_string();
        Own {
            incident_id: story.incident_id,
            case_number: self.case_number.clone(),
        }
    }

    /// Reports that are withdrawn, erased, told again, and of which something was promised.
    async fn lose(&mut self, role: Role) {
        let promised = pb::Incident {
            occurred_at: at(UtcMillis(START.0 - 4 * DAY_MS)),
            staff_acts: vec![pb::StaffAct::PromisedToCallBack.into()],
            device_time: None,
            ..whole(role)
        };
        let first = whole(role);
        let again = pb::Incident {
            incident_id: new_id(),
            ..first.clone()
        };
        let method = "ReportingService/ReportIncident";
        for incident in [&promised, &first, &again] {
            let request = pb::ReportIncidentRequest {
                incident: Some(incident.clone()),
                ..pb::ReportIncidentRequest::default()
            };
            let _: Vec<pb::ReportIncidentResponse> = self.ask(role, method, &request).await;
        }
        for incident in [&promised, &again] {
            self.get(role, &incident.incident_id).await;
        }
        let withdraw = pb::WithdrawIncidentRequest {
            incident_id: first.incident_id.clone(),
            incident_secret: SECRET.to_vec(),
        };
        let method_of_it = "ReportingService/WithdrawIncident";
        let _: Vec<pb::WithdrawIncidentResponse> = self.ask(role, method_of_it, &withdraw).await;
        let erase = pb::EraseIncidentRequest {
            incident_id: promised.incident_id.clone(),
            incident_secret: SECRET.to_vec(),
        };
        let method_of_it = "ReportingService/EraseIncident";
        let _: Vec<pb::EraseIncidentResponse> = self.ask(role, method_of_it, &erase).await;
        let request = pb::ReportIncidentRequest {
            incident: Some(promised.clone()),
            ..pb::ReportIncidentRequest::default()
        };
        let _: Vec<pb::ReportIncidentResponse> = self.ask(role, method, &request).await;
        self.get(role, &promised.incident_id).await;
        self.get(role, &first.incident_id).await;
    }

    async fn get(&mut self, role: Role, id: &str) {
        let get = pb::GetIncidentRequest {
            incident_id: id.to_owned(),
            incident_secret: SECRET.to_vec(),
            everything: true,
        };
        let method = "ReportingService/GetIncident";
        let _: Vec<pb::GetIncidentResponse> = self.ask(role, method, &get).await;
    }

    /// What a traveller does with its secret, and what its operator answers in between.
    async fn go_the_way_back(&mut self, role: Role, own: &Own) {
        let (incident_id, incident_secret) = (own.incident_id.clone(), SECRET.to_vec());
        let amend = pb::AmendIncidentRequest {
            incident_id: incident_id.clone(),
            incident_secret: incident_secret.clone(),
            called_back: pb::CalledBack::Yes.into(),
            extra_cost: pb::ExtraCost::From5To20.into(),
            ..pb::AmendIncidentRequest::default()
        };
        let method = "ReportingService/AmendIncident";
        let _: Vec<pb::AmendIncidentResponse> = self.ask(role, method, &amend).await;
        self.answer(Role::Steward, own).await;
        self.get(role, &own.incident_id).await;
        let receipt = pb::GetReceiptRequest {
            incident_id: incident_id.clone(),
            incident_secret: incident_secret.clone(),
            qr_code: true,
        };
        let method = "ReportingService/GetReceipt";
        let _: Vec<pb::GetReceiptResponse> = self.ask(role, method, &receipt).await;
        let follow = pb::FollowIncidentRequest {
            incident_id,
            incident_secret,
        };
        let method = "ReportingService/FollowIncident";
        let _: Vec<pb::FollowIncidentResponse> = self.ask(role, method, &follow).await;
    }

    /// The operator's answers to a report.
    async fn answer(&mut self, role: Role, own: &Own) {
        for (state, reason, message) in [
            (pb::CaseState::Disputed, 0, "de lezer werkte die dag"),
            (pb::CaseState::Repaired, 0, "vervangen"),
            (
                pb::CaseState::ClosedUnfixed,
                pb::ClosedReason::NotOurs.into(),
                "",
            ),
        ] {
            let answer = pb::RespondToIncidentRequest {
                case_number: own.case_number.clone(),
                state: state.into(),
                reason,
                message: message.into(),
            };
            let method = "OperationsService/RespondToIncident";
            let _: Vec<pb::RespondToIncidentResponse> = self.ask(role, method, &answer).await;
        }
    }

    /// Taps, some of which contradict the reports, and one count that is no good.
    async fn tell_taps(&mut self, role: Role) {
        if !table::COUNTERS.has(role) {
            return;
        }
        let count = |line: &str, taps| pb::TapCount {
            line_id: format!("GVB:{line}"),
            start: at(UtcMillis(MIDNIGHT)),
            taps,
            ..pb::TapCount::default()
        };
        let mut counts: Vec<_> = LINES.iter().map(|line| count(line, 10_000)).collect();
        counts.push(pb::TapCount::default());
        // Of two days, so that they can scatter.
        counts.push(pb::TapCount {
            start: at(UtcMillis(MIDNIGHT - DAY_MS)),
            ..count(LINES[1], 10_000)
        });
        // Fewer than its reports, and too few to say anything.
        counts[0].taps = 3;
        counts[2].taps = 100;
        let hour = pb::TapCount {
            start: at(UtcMillis(START.0 - HOUR_MS)),
            ..count("10", 1_000)
        };
        let by = |feed_id: &str, interval: pb::TapInterval, day_begins| pb::TapFeed {
            refusals: pb::Refusals::Included.into(),
            day_begins,
            ..feed_of_gvb(feed_id, pb::TapGrain::Line, interval)
        };
        let record = pb::RecordTapCountsRequest {
            feed: Some(by("gvb.days", pb::TapInterval::Day, 0)),
            counts,
        };
        let method = "OperationsService/RecordTapCounts";
        let _: Vec<pb::RecordTapCountsResponse> = self.ask(role, method, &record).await;
        let stream = pb::StreamTapCountsRequest {
            feed: Some(by("gvb.hours", pb::TapInterval::Hour, 4)),
            counts: vec![hour],
            sequence: 7,
        };
        let method = "OperationsService/StreamTapCounts";
        let _: Vec<pb::StreamTapCountsResponse> = self.ask(role, method, &stream).await;
    }

    /// What everybody may ask.
    async fn ask_public(&mut self, role: Role) {
        macro_rules! ask {
            ($method:literal, $request:expr, $answer:ty) => {{
                let answers: Vec<$answer> = self.ask(role, $method, &$request).await;
                answers
            }};
        }
        let choices = "ReportingService/ListChoices";
        let _: Vec<pb::ListChoicesResponse> =
            self.ask(role, choices, &pb::ListChoicesRequest {}).await;
        ask!(
            "StatisticsService/DescribeMethod",
            pb::DescribeMethodRequest {},
            pb::DescribeMethodResponse
        );
        let listed = ask!(
            "StatisticsService/ListEditions",
            pb::ListEditionsRequest {},
            pb::ListEditionsResponse
        );
        let months: Vec<_> = listed[0]
            .editions
            .iter()
            .map(|it| it.month.clone())
            .collect();
        for (month, page_size) in months.into_iter().flat_map(|it| [(it.clone(), 0), (it, 1)]) {
            let get = pb::GetEditionRequest {
                month,
                page_size,
                ..pb::GetEditionRequest::default()
            };
            ask!("StatisticsService/GetEdition", get, pb::GetEditionResponse);
        }
        let search = pb::SearchStopsRequest {
            query: "Centraal".into(),
            limit: 5,
        };
        let found = ask!(
            "NetworkService/SearchStops",
            search,
            pb::SearchStopsResponse
        );
        let near = pb::NearbyStopsRequest {
            latitude: found[0].stops[0].latitude,
            longitude: found[0].stops[0].longitude,
            ..pb::NearbyStopsRequest::default()
        };
        ask!("NetworkService/NearbyStops", near, pb::NearbyStopsResponse);
        for public_number in ["10", "26", ""] {
            let lines = pb::ListLinesRequest {
                public_number: public_number.into(),
                with_stops: true,
                page_size: 1,
                ..pb::ListLinesRequest::default()
            };
            ask!("NetworkService/ListLines", lines, pb::ListLinesResponse);
        }
        let operators = pb::ListOperatorsRequest {};
        ask!(
            "NetworkService/ListOperators",
            operators,
            pb::ListOperatorsResponse
        );
    }

    /// What operators may ask of figures, and what stewards declare about them.
    async fn ask_figures(&mut self, role: Role) {
        let window = Some(pb::Window {
            start: at(UtcMillis(MIDNIGHT - 2 * DAY_MS)),
            end: at(UtcMillis(MIDNIGHT + 2 * DAY_MS)),
        });
        let filter = |basis: pb::Basis| pb::Filter {
            basis: basis.into(),
            operators: vec!["GVB".into()],
            ..pb::Filter::default()
        };
        use pb::Dimension as By;
        for (basis, by) in [
            (pb::Basis::SelfReported, vec![]),
            (pb::Basis::SelfReported, vec![By::Line]),
            (pb::Basis::SelfReported, vec![By::Day, By::Stop]),
            (pb::Basis::SelfReported, vec![By::Mode, By::Cause, By::Line]),
            (pb::Basis::Observed, vec![By::Line]),
        ] {
            let query = pb::QueryFiguresRequest {
                question: Some(pb::Question {
                    filter: Some(filter(basis)),
                    by: by.into_iter().map(Into::into).collect(),
                    window,
                }),
                page_size: 3,
                rates: Some(pb::RatesRequest::default()),
                ..pb::QueryFiguresRequest::default()
            };
            let method = "StatisticsService/QueryFigures";
            let _: Vec<pb::QueryFiguresResponse> = self.ask(role, method, &query).await;
            let counts = pb::QueryFiguresRequest {
                rates: None,
                ..query
            };
            let _: Vec<pb::QueryFiguresResponse> = self.ask(role, method, &counts).await;
            let day = Some(pb::Window {
                start: at(UtcMillis(MIDNIGHT)),
                end: at(UtcMillis(MIDNIGHT + DAY_MS)),
            });
            let rank = pb::RankScopesRequest {
                filter: Some(filter(basis)),
                by: By::Line.into(),
                feeds: vec!["gvb.days".into()],
                window: day,
                ..pb::RankScopesRequest::default()
            };
            let method = "StatisticsService/RankScopes";
            let _: Vec<pb::RankScopesResponse> = self.ask(role, method, &rank).await;
            let compare = pb::ComparePeriodsRequest {
                filter: Some(filter(basis)),
                window: day,
                with_window: Some(pb::Window {
                    start: at(UtcMillis(MIDNIGHT - 2 * DAY_MS)),
                    end: at(UtcMillis(MIDNIGHT)),
                }),
                ..pb::ComparePeriodsRequest::default()
            };
            let method = "StatisticsService/ComparePeriods";
            let _: Vec<pb::ComparePeriodsResponse> = self.ask(role, method, &compare).await;
            let none = pb::QueryFiguresWithProgressRequest::default();
            let progressing = [
                pb::QueryFiguresWithProgressRequest {
                    query: Some(counts),
                    ..none.clone()
                },
                pb::QueryFiguresWithProgressRequest {
                    ranking: Some(rank),
                    ..none.clone()
                },
                pb::QueryFiguresWithProgressRequest {
                    comparison: Some(compare),
                    ..none
                },
            ];
            for asked in progressing {
                let method = "StatisticsService/QueryFiguresWithProgress";
                let _: Vec<pb::QueryFiguresWithProgressResponse> =
                    self.ask(role, method, &asked).await;
            }
        }
        if role == Role::Steward {
            let staff = pb::GetStaffFiguresRequest {
                filter: Some(filter(pb::Basis::SelfReported)),
                window,
                ..pb::GetStaffFiguresRequest::default()
            };
            let method = "StatisticsService/GetStaffFigures";
            let _: Vec<pb::GetStaffFiguresResponse> = self.ask(role, method, &staff).await;
        }
        self.watch(role).await;
        let times = pb::GetReplyTimesRequest {
            operators: vec!["GVB".into()],
            window: super::that_day(&[]).question.and_then(|it| it.window),
            ..pb::GetReplyTimesRequest::default()
        };
        let method = "OperationsService/GetReplyTimes";
        let _: Vec<pb::GetReplyTimesResponse> = self.ask(role, method, &times).await;
        let outages = pb::ListOutagesRequest {
            operators: vec!["GVB".into()],
        };
        let method = "OperationsService/ListOutages";
        let _: Vec<pb::ListOutagesResponse> = self.ask(role, method, &outages).await;
    }

    async fn declare(&mut self) {
        let role = Role::Steward;
        let outage = |operator: &str| pb::Outage {
            operator_code: operator.into(),
            first_day: "2026-11-21".into(),
            last_day: "2026-11-22".into(),
        };
        for operator in ["GVB", "RET"] {
            let outage = Some(outage(operator));
            let declare = pb::DeclareOutageRequest {
                outage: outage.clone(),
            };
            let method = "OperationsService/DeclareOutage";
            let _: Vec<pb::DeclareOutageResponse> = self.ask(role, method, &declare).await;
            let outage = outage.map(|outage| pb::Outage {
                last_day: String::new(),
                ..outage
            });
            let withdraw = pb::WithdrawOutageRequest { outage };
            let method = "OperationsService/WithdrawOutage";
            let _: Vec<pb::WithdrawOutageResponse> = self.ask(role, method, &withdraw).await;
        }
    }

    /// Rates as they are, as they were, and as they change.
    async fn watch(&mut self, role: Role) {
        let method = "LiveService/WatchRates";
        let mut watch = pb::WatchRatesRequest {
            filter: Some(pb::Filter {
                operators: vec!["GVB".into()],
                ..pb::Filter::default()
            }),
            by: vec![pb::Dimension::Line.into()],
            window: Some(prost_types::Duration {
                seconds: 2 * HOUR_MS / 1_000,
                nanos: 0,
            }),
            rates: Some(pb::RatesRequest::default()),
            ..pb::WatchRatesRequest::default()
        };
        let first: Vec<pb::WatchRatesResponse> = self.ask(role, method, &watch).await;
        watch.resume_token = first[0].resume_token.clone();
        let _: Vec<pb::WatchRatesResponse> = self.ask(role, method, &watch).await;
        let ingest = self.guarded.service.ingest().clone();
        let connection = self.guarded.of(Role::Steward).await;
        let reporting = tokio::spawn(async move {
            let client = pb::reporting_service_client::ReportingServiceClient::new;
            let mut client = client(connection);
            while ingest.network().version() < u32::MAX {
                let request = pb::ReportIncidentRequest {
                    incident: Some(founding_story()),
                    ..pb::ReportIncidentRequest::default()
                };
                client.report_incident(request).await.expect("recorded");
                tokio::task::yield_now().await;
            }
        });
        use pb::watch_rates_response::Update;
        let is_changed = |told: &[pb::WatchRatesResponse]| {
            let updates = told.iter().filter_map(|told| told.update.as_ref());
            updates
                .into_iter()
                .any(|it| matches!(it, Update::Changes(_)))
        };
        let _ = self.ask_until(role, method, &watch, is_changed).await;
        reporting.abort();
    }

    /// What operators do with reports.
    async fn work(&mut self, role: Role, own: &Own) {
        self.answer(role, own).await;
        let of_device = self.of_device.clone();
        self.answer(role, &of_device.expect("a device reports before"))
            .await;
        for (page_size, states) in [
            (200, vec![]),
            (1, vec![pb::CaseState::ClosedUnfixed.into()]),
        ] {
            let mut list = pb::ListIncidentsRequest {
                operators: vec!["GVB".into()],
                page_size,
                states,
                ..pb::ListIncidentsRequest::default()
            };
            let method = "OperationsService/ListIncidents";
            // To the last page: what a device reported may lie behind any number of reports that
            // were made for somebody to watch.
            loop {
                let page: Vec<pb::ListIncidentsResponse> = self.ask(role, method, &list).await;
                let next = page[0].next_page_token.clone();
                if next.is_empty() {
                    break;
                }
                assert_ne!(next, list.page_token, "it goes on");
                list.page_token = next;
            }
        }
        let method = "LiveService/WatchIncidents";
        let mut watch = pb::WatchIncidentsRequest {
            operators: vec!["GVB".into()],
            ..pb::WatchIncidentsRequest::default()
        };
        let _: Vec<pb::WatchIncidentsResponse> = self.ask(role, method, &watch).await;
        watch.start = Some(pb::watch_incidents_request::Start::FromTime(
            at(START).expect("a time"),
        ));
        // The last of what happens to a report.
        use pb::incident_event::Change;
        use pb::watch_incidents_response::Update;
        let is_answered = |told: &[pb::WatchIncidentsResponse]| {
            let Some(Update::Events(last)) = told.last().and_then(|it| it.update.as_ref()) else {
                return false;
            };
            let mut events = last.events.iter();
            events.any(|event| {
                event.case_number == own.case_number
                    && matches!(&event.change, Some(Change::Answered(it)) if it.reason != 0)
            })
        };
        let _ = self.ask_until(role, method, &watch, is_answered).await;
    }
}

/// A report with every field, by who may tell it.
fn whole(role: Role) -> pb::Incident {
    let incident = pb::Incident {
        occurred_at: at(UtcMillis(START.0 - HOUR_MS)),
        precision: pb::TimePrecision::Exact.into(),
        device_time: at(UtcMillis(START.0 - MINUTE_MS)),
        reporter: pb::ReporterKind::Traveller.into(),
        tap_kind: pb::TapKind::CheckIn.into(),
        operator: "GVB".into(),
        line: "GVB:10".into(),
        direction: "Azartplein".into(),
        stop: "Centraal".into(),
        vehicle: new_id()[28..].to_owned(),
        reader_kind: pb::ReaderKind::Gate.into(),
        signal: pb::Signal::Green.into(),
        found_later: true,
        display_text: "STORING".into(),
        attempts: 3,
        others_got_through: pb::OthersGotThrough::Yes.into(),
        worked_later: pb::WorkedLater::No.into(),
        cause_claims: [
            pb::ClaimSource::Traveller,
            pb::ClaimSource::Staff,
            pb::ClaimSource::Display,
        ]
        .map(|source| pb::CauseClaim {
            cause: pb::Cause::ReaderFault.into(),
            source: source.into(),
        })
        .to_vec(),
        card_number: CARD.into(),
        installation_id: format!("an-installation-{}", new_id()),
        staff_acts: vec![pb::StaffAct::PromisedToCallBack.into()],
        staff_minutes: pb::StaffMinutes::OneToFive.into(),
        outcomes: vec![pb::Outcome::Surcharged.into()],
        extra_cost: pb::ExtraCost::Under5.into(),
        note: "dit mag de vervoerder lezen".into(),
        note_to_operator: true,
        ..founding_story()
    };
    match role {
        Role::Device => observed(incident),
        _ => incident,
    }
}

/// The same as a device tells it.
fn observed(incident: pb::Incident) -> pb::Incident {
    pb::Incident {
        incident_id: new_id(),
        reporter: pb::ReporterKind::Device.into(),
        ..incident
    }
}

/// As whom a role is told something: where the secret decides, as the traveller.
fn told_as(method: &str, role: Role) -> Role {
    if table::call(method).has(role) {
        role
    } else {
        Role::Traveller
    }
}

/// What is told against the table. Gives every field that anybody is told.
pub(super) fn check(walked: &Walked) -> BTreeSet<(String, String)> {
    let mut everything = BTreeSet::new();
    for ((method, role), told) in walked {
        let told_as = told_as(method, *role);
        for (message, field) in &told.fields {
            let roles = table::field(message, field);
            let roles = roles.unwrap_or_else(|| panic!("{message}.{field} has no row"));
            let place = format!("{message}.{field} in {method} as {role}");
            assert!(roles.has(told_as), "{place} is told");
        }
        everything.extend(told.fields.iter().cloned());
        for (message, field, value) in &told.values {
            let row = |it: &&(&str, &str, &str, table::Roles)| {
                (it.0, it.1, it.2) == (message.as_str(), field.as_str(), value.as_str())
            };
            let row = table::VALUES.iter().find(row);
            let place = format!("{message}.{field} {value} in {method} as {role}");
            assert!(row.is_none_or(|row| row.3.has(told_as)), "{place} is told");
        }
        // What a role may see, and another who calls the same was told, it is told.
        for ((same, other), others) in walked {
            let others = others.fields.iter().filter(|_| same == method);
            for (message, field) in others {
                let may = table::field(message, field).is_some_and(|roles| roles.has(told_as));
                let at = (message.clone(), field.clone());
                let is_told = told.fields.contains(&at) || !differs(message, field);
                let place = format!("{message}.{field} in {method} as {role}");
                assert!(is_told || !may, "{place} is not told, as it is to {other}");
            }
        }
    }
    everything
}

/// Whether a field is told to some of those who are told others of its message.
fn differs(message: &str, field: &str) -> bool {
    let own = table::field(message, field);
    let mut rows = table::FIELDS.iter();
    rows.any(|(known, _, roles)| *known == message && Some(*roles) != own)
}

#[tokio::test]
async fn every_method_tells_every_role_every_field_that_the_table_says_and_no_other() {
    let guarded = guarded().await;
    let walk = Walk::all(&guarded).await;
    let told = check(&walk.told);
    let mut unasked = BTreeSet::new();
    for (method, roles) in table::CALLS {
        for role in CALLERS.into_iter().filter(|role| roles.admits(*role)) {
            if !walk.told.contains_key(&((*method).to_owned(), role)) {
                unasked.insert(format!("{method} as {role}"));
            }
        }
    }
    assert_eq!(unasked, BTreeSet::new(), "never asked");
    let mut untold = BTreeSet::new();
    for (message, fields, roles) in table::FIELDS {
        for field in table::names(fields) {
            let is_told = told.contains(&((*message).to_owned(), field.to_owned()));
            if !is_told && *roles != table::NOBODY && !UNFILLED.contains(&(message, field)) {
                untold.insert(format!("{message}.{field}"));
            }
        }
    }
    assert_eq!(untold, BTreeSet::new(), "in no answer");
    for ((method, _), told) in walk
        .told
        .iter()
        .filter(|((_, role), _)| *role == Role::Operator)
    {
        if table::call(method) == table::OPERATORS {
            let strange = told.texts.iter().find(|text| names(text, "RET"));
            assert_eq!(strange, None, "{method}");
        }
    }
    for ((method, role), told) in &walk.told {
        assert!(!told.bytes.contains(&SECRET[..]), "{method} as {role}");
        let hidden = |text: &&String| shows_card(text) || text.contains("an-installation-");
        assert_eq!(told.texts.iter().find(hidden), None, "{method} as {role}");
    }
}

/// Whether this operator's code is one of a text's words. Four letters in a row of a case number
/// spell any three sooner or later.
pub(super) fn names(text: &str, operator: &str) -> bool {
    let mut words = text.split(|letter: char| !letter.is_alphanumeric());
    words.any(|word| word == operator)
}

/// Whether a text has the first eight digits of a card's number, spaces and hyphens aside, and not
/// in the middle of another number: four alone are in some hash sooner or later.
pub(super) fn shows_card(text: &str) -> bool {
    let text: String = text
        .chars()
        .filter(|&letter| letter != ' ' && letter != '-')
        .collect();
    text.match_indices("3528").any(|(place, found)| {
        let is_middle = text[..place].ends_with(|last: char| last.is_ascii_digit());
        let after = text[place + found.len()..].bytes();
        !is_middle && 4 <= after.take_while(u8::is_ascii_digit).count()
    })
}

/// Messages of the API that these are made of, themselves included.
fn made_of(mut open: Vec<MessageDescriptor>) -> BTreeMap<String, MessageDescriptor> {
    let mut found = BTreeMap::new();
    while let Some(message) = open.pop() {
        let name = message.name().to_owned();
        if message.package_name() != "mistap.v1" || found.contains_key(&name) {
            continue;
        }
        let inner = message
            .fields()
            .filter_map(|field| field.kind().as_message().cloned());
        open.extend(inner);
        found.insert(name, message);
    }
    found
}

fn of_every_method(
    pick: fn(prost_reflect::MethodDescriptor) -> MessageDescriptor,
) -> Vec<MessageDescriptor> {
    let pool = pool();
    let services: Vec<_> = pool.services().collect();
    let methods = services
        .iter()
        .flat_map(|service| service.methods().map(pick).collect::<Vec<_>>());
    methods.collect()
}

#[test]
fn somebody_decided_about_every_field_of_every_answer() {
    let messages = made_of(of_every_method(|method| method.output()));
    for (name, message) in &messages {
        for field in message.fields() {
            assert!(
                table::field(name, field.name()).is_some(),
                "{name}.{} has no row",
                field.name()
            );
        }
    }
    for (message, fields, _) in table::FIELDS {
        for field in table::names(fields) {
            let known = messages
                .get(*message)
                .and_then(|it| it.get_field_by_name(field));
            assert!(known.is_some(), "{message}.{field} is in no answer");
        }
    }
}

#[test]
fn somebody_decided_about_every_field_of_every_request() {
    let messages = made_of(of_every_method(|method| method.input()));
    let is_asked_alike = |message: &str, field: &str| {
        let mut rows = table::ASKED.iter();
        rows.any(|(known, fields)| *known == message && table::names(fields).any(|it| it == field))
    };
    let is_asked_by_some = |message: &str, field: &str| {
        let mut rows = table::ASKS.iter();
        rows.any(|(known, known_field, ..)| (*known, *known_field) == (message, field))
    };
    for (name, message) in &messages {
        for field in message.fields() {
            let field = field.name();
            let rows = [is_asked_alike(name, field), is_asked_by_some(name, field)];
            assert!(rows[0] != rows[1], "{name}.{field} needs one row: {rows:?}");
        }
    }
    for (message, fields) in table::ASKED {
        for field in table::names(fields) {
            let known = messages
                .get(*message)
                .and_then(|it| it.get_field_by_name(field));
            assert!(known.is_some(), "{message}.{field} is in no request");
        }
    }
}
