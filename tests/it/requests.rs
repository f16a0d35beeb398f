//! One request of every method that is answered, and the same with something else in one of its
//! fields. What walks every call begins here: a method without a request is told by its name.

use mistap::api::pb::{self as wire, v1 as pb};
use mistap::domain::UtcMillis;
use mistap::domain::time::HOUR_MS;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    Value,
};

use crate::support::at;

/// What requests name.
#[derive(Clone, Debug)]
pub struct Named {
    /// A report.
    pub incident: pb::Incident,
    /// As operators call it.
    pub case_number: String,
    /// The time.
    pub now: UtcMillis,
}

/// The descriptors of the API.
pub fn pool() -> DescriptorPool {
    DescriptorPool::from_file_descriptor_set(wire::descriptors())
        .expect("the descriptors are whole")
}

/// Every method of the API, by a name as in `LiveService/WatchRates`.
pub fn methods() -> Vec<(String, MethodDescriptor)> {
    let pool = pool();
    let services: Vec<_> = pool.services().collect();
    let services = services
        .iter()
        .filter(|it| it.parent_file().package_name() == "mistap.v1");
    let methods = services.flat_map(|service| {
        let methods: Vec<_> = service.methods().collect();
        let name = service.name().to_owned();
        methods
            .into_iter()
            .map(move |method| (format!("{name}/{}", method.name()), method))
    });
    methods.collect()
}

/// A request that is answered.
pub fn request(method: &str, named: &Named) -> Vec<u8> {
    let service = method.split('/').next().unwrap_or_default();
    let found = match service {
        "ReportingService" => reporting(method, named),
        "LiveService" => live(method, named),
        "StatisticsService" => statistics(method, named),
        "OperationsService" => operations(method, named),
        "NetworkService" => network(method),
        _ => None,
    };
    found.unwrap_or_else(|| panic!("{method} needs a request here"))
}

fn reporting(method: &str, named: &Named) -> Option<Vec<u8>> {
    let incident = Some(named.incident.clone());
    let incident_id = named.incident.incident_id.clone();
    let incident_secret = named.incident.incident_secret.clone();
    Some(match method {
        "ReportingService/ReportIncident" => pb::ReportIncidentRequest {
            incident,
            want_receipt: true,
            want_advice: true,
        }
        .encode_to_vec(),
        "ReportingService/ReportIncidents" => pb::ReportIncidentsRequest {
            incidents: incident.into_iter().collect(),
        }
        .encode_to_vec(),
        "ReportingService/StreamIncidents" => pb::StreamIncidentsRequest {
            incident: incident.map(Box::new),
            sequence: 1,
        }
        .encode_to_vec(),
        "ReportingService/GetIncident" => pb::GetIncidentRequest {
            incident_id,
            incident_secret,
            everything: true,
        }
        .encode_to_vec(),
        "ReportingService/AmendIncident" => pb::AmendIncidentRequest {
            incident_id,
            incident_secret,
            extra_cost: pb::ExtraCost::Under5.into(),
            ..pb::AmendIncidentRequest::default()
        }
        .encode_to_vec(),
        "ReportingService/WithdrawIncident" => pb::WithdrawIncidentRequest {
            incident_id,
            incident_secret,
        }
        .encode_to_vec(),
        "ReportingService/EraseIncident" => pb::EraseIncidentRequest {
            incident_id,
            incident_secret,
        }
        .encode_to_vec(),
        "ReportingService/FollowIncident" => pb::FollowIncidentRequest {
            incident_id,
            incident_secret,
        }
        .encode_to_vec(),
        "ReportingService/GetReceipt" => pb::GetReceiptRequest {
            incident_id,
            incident_secret,
            qr_code: true,
        }
        .encode_to_vec(),
        "ReportingService/ListChoices" => pb::ListChoicesRequest {}.encode_to_vec(),
        _ => return None,
    })
}

fn gvb() -> Vec<String> {
    vec!["GVB".into()]
}

fn filter() -> Option<pb::Filter> {
    Some(pb::Filter {
        operators: gvb(),
        ..pb::Filter::default()
    })
}

fn window(named: &Named) -> Option<pb::Window> {
    hours(named, -24, 1)
}

/// From so many hours after now to so many.
fn hours(named: &Named, from: i64, to: i64) -> Option<pb::Window> {
    let hour = named.now.0.div_euclid(HOUR_MS) * HOUR_MS;
    Some(pb::Window {
        start: at(UtcMillis(hour + from * HOUR_MS)),
        end: at(UtcMillis(hour + to * HOUR_MS)),
    })
}

fn live(method: &str, _: &Named) -> Option<Vec<u8>> {
    Some(match method {
        "LiveService/WatchRates" => pb::WatchRatesRequest {
            filter: filter(),
            rates: Some(pb::RatesRequest::default()),
            ..pb::WatchRatesRequest::default()
        }
        .encode_to_vec(),
        "LiveService/WatchIncidents" => pb::WatchIncidentsRequest {
            operators: gvb(),
            ..pb::WatchIncidentsRequest::default()
        }
        .encode_to_vec(),
        _ => return None,
    })
}

fn statistics(method: &str, named: &Named) -> Option<Vec<u8>> {
    Some(match method {
        "StatisticsService/QueryFigures" => pb::QueryFiguresRequest {
            question: Some(pb::Question {
                filter: filter(),
                by: vec![pb::Dimension::Line.into()],
                window: window(named),
            }),
            rates: Some(pb::RatesRequest::default()),
            ..pb::QueryFiguresRequest::default()
        }
        .encode_to_vec(),
        "StatisticsService/QueryFiguresWithProgress" => {
            let query = pb::QueryFiguresRequest {
                question: Some(pb::Question {
                    filter: filter(),
                    by: vec![pb::Dimension::Stop.into()],
                    window: window(named),
                }),
                ..pb::QueryFiguresRequest::default()
            };
            pb::QueryFiguresWithProgressRequest {
                query: Some(query),
                ..pb::QueryFiguresWithProgressRequest::default()
            }
            .encode_to_vec()
        }
        "StatisticsService/ComparePeriods" => pb::ComparePeriodsRequest {
            filter: filter(),
            window: window(named),
            with_window: hours(named, -48, -24),
            ..pb::ComparePeriodsRequest::default()
        }
        .encode_to_vec(),
        "StatisticsService/GetStaffFigures" => pb::GetStaffFiguresRequest {
            filter: filter(),
            window: window(named),
            ..pb::GetStaffFiguresRequest::default()
        }
        .encode_to_vec(),
        "StatisticsService/RankScopes" => pb::RankScopesRequest {
            filter: filter(),
            by: pb::Dimension::Line.into(),
            window: window(named),
            ..pb::RankScopesRequest::default()
        }
        .encode_to_vec(),
        "StatisticsService/DescribeMethod" => pb::DescribeMethodRequest {}.encode_to_vec(),
        "StatisticsService/ListEditions" => pb::ListEditionsRequest {}.encode_to_vec(),
        "StatisticsService/GetEdition" => pb::GetEditionRequest {
            month: "2026-10".into(),
            ..pb::GetEditionRequest::default()
        }
        .encode_to_vec(),
        _ => return None,
    })
}

fn operations(method: &str, named: &Named) -> Option<Vec<u8>> {
    let feed = Some(pb::TapFeed {
        feed_id: "gvb.taps".into(),
        operator_code: "GVB".into(),
        grain: pb::TapGrain::LineStop.into(),
        interval: pb::TapInterval::Hour.into(),
        tap_kinds: vec![pb::TapKind::CheckIn.into()],
        refusals: pb::Refusals::Unknown.into(),
        day_begins: 0,
    });
    let counts = vec![pb::TapCount {
        line_id: "GVB:10".into(),
        stop_id: "GVB:02320".into(),
        start: window(named).and_then(|window| window.start),
        taps: 1_000,
    }];
    let outage = Some(pb::Outage {
        operator_code: "GVB".into(),
        first_day: "2026-10-03".into(),
        last_day: "2026-10-04".into(),
    });
    Some(match method {
        "OperationsService/RecordTapCounts" => {
            pb::RecordTapCountsRequest { feed, counts }.encode_to_vec()
        }
        "OperationsService/StreamTapCounts" => pb::StreamTapCountsRequest {
            feed,
            counts,
            sequence: 1,
        }
        .encode_to_vec(),
        "OperationsService/ListIncidents" => pb::ListIncidentsRequest {
            operators: gvb(),
            page_size: 2,
            ..pb::ListIncidentsRequest::default()
        }
        .encode_to_vec(),
        "OperationsService/RespondToIncident" => pb::RespondToIncidentRequest {
            case_number: named.case_number.clone(),
            state: pb::CaseState::Received.into(),
            reason: 0,
            message: "gezien".into(),
        }
        .encode_to_vec(),
        "OperationsService/GetReplyTimes" => pb::GetReplyTimesRequest {
            operators: gvb(),
            window: window(named),
            ..pb::GetReplyTimesRequest::default()
        }
        .encode_to_vec(),
        "OperationsService/DeclareOutage" => pb::DeclareOutageRequest { outage }.encode_to_vec(),
        "OperationsService/WithdrawOutage" => pb::WithdrawOutageRequest { outage }.encode_to_vec(),
        "OperationsService/ListOutages" => {
            pb::ListOutagesRequest { operators: gvb() }.encode_to_vec()
        }
        _ => return None,
    })
}

fn network(method: &str) -> Option<Vec<u8>> {
    Some(match method {
        "NetworkService/SearchStops" => pb::SearchStopsRequest {
            query: "Centraal".into(),
            limit: 2,
        }
        .encode_to_vec(),
        "NetworkService/NearbyStops" => pb::NearbyStopsRequest {
            latitude: 52.378,
            longitude: 4.9,
            ..pb::NearbyStopsRequest::default()
        }
        .encode_to_vec(),
        "NetworkService/ListLines" => pb::ListLinesRequest {
            operator_code: "GVB".into(),
            page_size: 2,
            ..pb::ListLinesRequest::default()
        }
        .encode_to_vec(),
        "NetworkService/ListOperators" => pb::ListOperatorsRequest {}.encode_to_vec(),
        _ => return None,
    })
}

/// The path to a field through messages.
pub type FieldPath = Vec<FieldDescriptor>;

/// Every field of a message that takes a text or bytes, those of messages in it included.
pub fn texts(message: &MessageDescriptor) -> Vec<FieldPath> {
    let mut found = Vec::new();
    for field in message.fields() {
        match field.kind() {
            Kind::String | Kind::Bytes => found.push(vec![field]),
            Kind::Message(inner) if inner.package_name() == "mistap.v1" => {
                let below = texts(&inner).into_iter();
                found.extend(below.map(|path| [vec![field.clone()], path].concat()));
            }
            _ => {}
        }
    }
    found
}

/// A request with other bytes in one field; `None` if they are no text and the field takes
/// nothing else.
pub fn with(
    request: &[u8],
    kind: MessageDescriptor,
    path: &[FieldDescriptor],
    bytes: &[u8],
) -> Option<Vec<u8>> {
    let mut message = DynamicMessage::decode(kind, request).expect("a request of the method");
    put(&mut message, path, bytes)?;
    Some(message.encode_to_vec())
}

fn put(message: &mut DynamicMessage, path: &[FieldDescriptor], bytes: &[u8]) -> Option<()> {
    let (field, below) = path.split_first().expect("a path leads somewhere");
    let value = match field.kind() {
        Kind::String => Value::String(String::from_utf8(bytes.to_vec()).ok()?),
        Kind::Bytes => Value::Bytes(bytes.to_vec().into()),
        Kind::Message(inner) => {
            let known = match message.get_field(field).into_owned() {
                Value::List(known) => known.into_iter().next(),
                known => Some(known),
            };
            let known = known.and_then(|known| known.as_message().cloned());
            let mut known = known.unwrap_or_else(|| DynamicMessage::new(inner));
            put(&mut known, below, bytes)?;
            Value::Message(known)
        }
        kind => unreachable!("{kind:?} is no text"),
    };
    let is_list = field.is_list();
    let value = if is_list {
        Value::List(vec![value])
    } else {
        value
    };
    message.set_field(field, value);
    Some(())
}
