//! Who may call what, and who is told what: the whole of it.
//!
//! `CALLS` is what `api::guard` goes by, and `PAGES` what `http::access` goes by. `FIELDS` and
//! `VALUES` tell of answers that are not the same for every role, and `ASKS` of what not every
//! role may ask or tell; the code of these is in `api`, and a test walks every method, role
//! and field through a running service and compares it with what stands here. A method, page
//! or field without a row fails that test, and is for stewards alone.
//!
//! What is *not* here, because it depends on the token and not on the role: devices and
//! operators see and tell only what is of the operators that their token is bound to.

use super::Role;

/// A set of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    const fn of(roles: &[Role]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < roles.len() {
            bits |= 1 << roles[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// Whether a role is one of them.
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Whether a caller of this role may try: because it is one of them, or because the secret
    /// of an incident decides, which whoever calls may hold.
    pub const fn admits(self, role: Role) -> bool {
        self.has(role) || self.has(Role::Traveller)
    }
}

/// Whoever calls.
pub const EVERYBODY: Roles = Roles::of(&Role::ALL);
/// Whoever holds the incident's secret.
pub const HOLDERS: Roles = Roles::of(&[Role::Traveller]);
/// Those who tell what devices see.
pub const DEVICES: Roles = Roles::of(&[Role::Device, Role::Steward]);
/// Those who tell what people say.
pub const PEOPLE: Roles =
    Roles::of(&[Role::Public, Role::Traveller, Role::Operator, Role::Steward]);
/// Those who tell how many taps there were.
pub const COUNTERS: Roles = Roles::of(&[Role::Device, Role::Operator, Role::Steward]);
/// Those who see what is recorded.
pub const OPERATORS: Roles = Roles::of(&[Role::Operator, Role::Steward]);
/// Those who run the instance.
pub const STEWARDS: Roles = Roles::of(&[Role::Steward]);

/// Each method of the API, and who may call it.
pub const CALLS: &[(&str, Roles)] = &[
    ("ReportingService/ReportIncident", EVERYBODY),
    ("ReportingService/ReportIncidents", EVERYBODY),
    ("ReportingService/StreamIncidents", DEVICES),
    ("ReportingService/GetIncident", HOLDERS),
    ("ReportingService/AmendIncident", HOLDERS),
    ("ReportingService/WithdrawIncident", HOLDERS),
    ("ReportingService/EraseIncident", HOLDERS),
    ("ReportingService/FollowIncident", HOLDERS),
    ("ReportingService/GetReceipt", HOLDERS),
    ("ReportingService/ListChoices", EVERYBODY),
    ("LiveService/WatchRates", OPERATORS),
    ("LiveService/WatchIncidents", OPERATORS),
    ("StatisticsService/QueryFigures", OPERATORS),
    ("StatisticsService/QueryFiguresWithProgress", OPERATORS),
    ("StatisticsService/ComparePeriods", OPERATORS),
    ("StatisticsService/GetStaffFigures", STEWARDS),
    ("StatisticsService/RankScopes", OPERATORS),
    ("StatisticsService/DescribeMethod", EVERYBODY),
    ("StatisticsService/ListEditions", EVERYBODY),
    ("StatisticsService/GetEdition", EVERYBODY),
    ("OperationsService/RecordTapCounts", COUNTERS),
    ("OperationsService/StreamTapCounts", COUNTERS),
    ("OperationsService/ListIncidents", OPERATORS),
    ("OperationsService/RespondToIncident", OPERATORS),
    ("OperationsService/GetReplyTimes", OPERATORS),
    ("OperationsService/DeclareOutage", STEWARDS),
    ("OperationsService/WithdrawOutage", STEWARDS),
    ("OperationsService/ListOutages", OPERATORS),
    ("NetworkService/SearchStops", EVERYBODY),
    ("NetworkService/NearbyStops", EVERYBODY),
    ("NetworkService/ListLines", EVERYBODY),
    ("NetworkService/ListOperators", EVERYBODY),
];

/// Each page, as its route is written, and who may see it. What is counted now is no public
/// figure, so that metrics are for stewards.
pub const PAGES: &[(&str, Roles)] = &[
    ("/", EVERYBODY),
    ("/healthz", EVERYBODY),
    ("/.well-known/jwks.json", EVERYBODY),
    ("/receipt", EVERYBODY),
    ("/metrics", STEWARDS),
    ("/editions.json", EVERYBODY),
    ("/editions/{file}", EVERYBODY),
    ("/editions/{months}/{operator}/{file}", EVERYBODY),
];

/// Each field of each message that is not told alike to everybody who may call its method. An
/// operator is told nothing of one single incident that shows what staff did: neither acts nor
/// outcomes, since a free ride or a refusal is what staff let happen. Instead of a place in the
/// journal, which stands in a traveller's receipt, it is told the case number.
pub const FIELDS: &[(&str, &str, Roles)] = &[
    ("WatchIncidentsResponse", "resume_token", OPERATORS),
    ("WatchIncidentsResponse", "position", STEWARDS),
    ("WatchIncidentsResponse", "events", OPERATORS),
    ("WatchIncidentsResponse", "heartbeat", OPERATORS),
    ("IncidentEvent", "position", STEWARDS),
    ("IncidentEvent", "case_number", OPERATORS),
    ("IncidentEvent", "received_at", OPERATORS),
    ("IncidentEvent", "incident", OPERATORS),
    ("IncidentEvent", "recorded", OPERATORS),
    ("IncidentEvent", "withdrawn", OPERATORS),
    ("IncidentEvent", "amended", STEWARDS),
    ("IncidentWithdrawn", "recorded_position", STEWARDS),
    ("IncidentAmended", "recorded_position", STEWARDS),
    ("IncidentFacts", "occurred_at", OPERATORS),
    ("IncidentFacts", "precision", OPERATORS),
    ("IncidentFacts", "reporter", OPERATORS),
    ("IncidentFacts", "mode", OPERATORS),
    ("IncidentFacts", "tap_kind", OPERATORS),
    ("IncidentFacts", "operator", OPERATORS),
    ("IncidentFacts", "line", OPERATORS),
    ("IncidentFacts", "line_resolution", OPERATORS),
    ("IncidentFacts", "stop", OPERATORS),
    ("IncidentFacts", "stop_resolution", OPERATORS),
    ("IncidentFacts", "reader_kind", OPERATORS),
    ("IncidentFacts", "signal", OPERATORS),
    ("IncidentFacts", "found_later", OPERATORS),
    ("IncidentFacts", "attempts", OPERATORS),
    ("IncidentFacts", "others_got_through", OPERATORS),
    ("IncidentFacts", "worked_later", OPERATORS),
    ("IncidentFacts", "cause_claims", OPERATORS),
    ("IncidentFacts", "card_kind", OPERATORS),
    ("IncidentFacts", "staff_present", STEWARDS),
    ("IncidentFacts", "staff_acts", STEWARDS),
    ("IncidentFacts", "staff_minutes", STEWARDS),
    ("IncidentFacts", "outcomes", STEWARDS),
    ("IncidentFacts", "extra_cost", STEWARDS),
];

/// Every other answer, and what answers that do differ are made of: told alike to everybody
/// who may call the method. The place in the journal that an answer as a whole includes is
/// among it, because figures are cited by it.
pub const ALIKE: &[&str] = &[
    "ReportIncidentResponse",
    "ReportIncidentsResponse",
    "StreamIncidentsResponse",
    "GetIncidentResponse",
    "AmendIncidentResponse",
    "WithdrawIncidentResponse",
    "EraseIncidentResponse",
    "FollowIncidentResponse",
    "GetReceiptResponse",
    "ListChoicesResponse",
    "WatchRatesResponse",
    "QueryFiguresResponse",
    "QueryFiguresWithProgressResponse",
    "ComparePeriodsResponse",
    "GetStaffFiguresResponse",
    "RankScopesResponse",
    "DescribeMethodResponse",
    "ListEditionsResponse",
    "GetEditionResponse",
    "RecordTapCountsResponse",
    "StreamTapCountsResponse",
    // What is counted of a report is in it as `IncidentFacts` has it for the caller.
    "ListIncidentsResponse",
    "RespondToIncidentResponse",
    "GetReplyTimesResponse",
    "DeclareOutageResponse",
    "WithdrawOutageResponse",
    "ListOutagesResponse",
    "SearchStopsResponse",
    "NearbyStopsResponse",
    "ListLinesResponse",
    "ListOperatorsResponse",
    "IncidentEvents",
    "IncidentRecorded",
    "Heartbeat",
    "CauseClaim",
];

/// Values of fields that not everybody is told who is told the field. What staff said is a
/// sign that they were there, and so is a report of theirs: an operator is told neither whose
/// word a cause is, if it is a person's, nor who reported, if it is no device.
pub const VALUES: &[(&str, &str, &str, Roles)] = &[
    (
        "IncidentFacts",
        "reporter",
        "REPORTER_KIND_TRAVELLER",
        STEWARDS,
    ),
    ("IncidentFacts", "reporter", "REPORTER_KIND_STAFF", STEWARDS),
    (
        "IncidentFacts",
        "reporter",
        "REPORTER_KIND_DEVICE",
        OPERATORS,
    ),
    ("CauseClaim", "source", "CLAIM_SOURCE_TRAVELLER", STEWARDS),
    ("CauseClaim", "source", "CLAIM_SOURCE_STAFF", STEWARDS),
];

/// What not everybody may ask or tell who may call the method: a field, and its value where
/// not every one is meant.
pub const ASKS: &[(&str, &str, Option<&str>, Roles)] = &[
    (
        "Incident",
        "reporter",
        Some("REPORTER_KIND_DEVICE"),
        DEVICES,
    ),
    (
        "Incident",
        "reporter",
        Some("REPORTER_KIND_TRAVELLER"),
        PEOPLE,
    ),
    ("Incident", "reporter", Some("REPORTER_KIND_STAFF"), PEOPLE),
    ("Filter", "staff_acts", None, STEWARDS),
    ("Filter", "outcomes", None, STEWARDS),
    ("Question", "by", Some("DIMENSION_STAFF_ACT"), STEWARDS),
    ("Question", "by", Some("DIMENSION_OUTCOME"), STEWARDS),
    (
        "WatchRatesRequest",
        "by",
        Some("DIMENSION_STAFF_ACT"),
        STEWARDS,
    ),
    (
        "WatchRatesRequest",
        "by",
        Some("DIMENSION_OUTCOME"),
        STEWARDS,
    ),
];

/// Who may call a method, named as in `LiveService/WatchRates`.
pub fn call(method: &str) -> Roles {
    let row = CALLS.iter().find(|(known, _)| *known == method);
    row.map_or(STEWARDS, |(_, roles)| *roles)
}

/// Who may see the page of a route.
pub fn page(route: &str) -> Roles {
    let row = PAGES.iter().find(|(known, _)| *known == route);
    row.map_or(STEWARDS, |(_, roles)| *roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_row_is_for_stewards() {
        for role in Role::ALL {
            let is_steward = role == Role::Steward;
            assert_eq!(call("ReportingService/Unheard").admits(role), is_steward);
            assert_eq!(page("/unheard").admits(role), is_steward);
        }
    }

    #[test]
    fn secret_decides_whoever_calls() {
        let get = call("ReportingService/GetIncident");
        assert!(Role::ALL.iter().all(|role| get.admits(*role)));
        assert!(!get.has(Role::Steward));
    }

    #[test]
    fn exact_figures_of_staff_are_for_stewards_alone() {
        for role in Role::ALL {
            let roles = call("StatisticsService/GetStaffFigures");
            assert_eq!(roles.admits(role), role == Role::Steward, "{role}");
        }
    }

    #[test]
    fn no_row_comes_twice() {
        let calls: std::collections::HashSet<_> = CALLS.iter().map(|(name, _)| name).collect();
        assert_eq!(calls.len(), CALLS.len());
        let fields: std::collections::HashSet<_> = FIELDS
            .iter()
            .map(|(message, field, _)| (message, field))
            .collect();
        assert_eq!(fields.len(), FIELDS.len());
    }
}
