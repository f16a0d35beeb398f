//! Who may call what, and who is told what: the whole of it.
//!
//! `CALLS` is what `api::guard` goes by, and `PAGES` what `http::access` goes by. `FIELDS` and
//! `VALUES` tell who is told what, `POSITION_FIELDS` who learns places in the journal, `ASKED` and `ASKS`
//! who may ask or tell what; the code of these is in `api`, and a test walks every method, role
//! and field through a running service and compares it with what stands here. A method, page or
//! field without a row fails that test; a method or page without one is for stewards alone.
//!
//! What is *not* here, because it depends on the token and not on the role: devices and
//! operators see and tell only what is of the operators that their token is bound to.

mod fields;

use super::Role;
pub use fields::{ASKED, FIELDS};

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
/// Those whom a single incident concerns.
pub const CONCERNED: Roles = Roles::of(&[Role::Traveller, Role::Operator, Role::Steward]);
/// Those who see of a single incident what its reporter told of people.
pub const TRUSTED: Roles = Roles::of(&[Role::Traveller, Role::Steward]);
/// Nobody: what is told, and never told back.
pub const NOBODY: Roles = Roles::of(&[]);

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
    ("/editions", EVERYBODY),
    ("/editions.json", EVERYBODY),
    ("/editions/{file}", EVERYBODY),
    ("/editions/{months}/{operator}/{file}", EVERYBODY),
];

/// How a place in the journal is told to who is not a steward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// As it is: it is of the caller's own report, or was published.
    Itself,
    /// As a number that leads back to it, so that figures can be cited and asked for again, and
    /// that shows nothing else: see `seal::Citations`.
    Cited,
    /// Not at all.
    Nothing,
}

/// Each field of an answer that is a place in the journal. Between two places lies all that
/// others told, so that who is not a steward learns none, but of its own reports: a receipt
/// shows where a report lies, to whoever holds it. Tokens hold places, under a seal.
pub const POSITION_FIELDS: &[(&str, &str, Disclosure)] = &[
    ("Accepted", "position", Disclosure::Itself),
    ("RecordedIncident", "position", Disclosure::Itself),
    ("Edition", "position", Disclosure::Itself),
    ("QueryFiguresResponse", "position", Disclosure::Cited),
    ("RankScopesResponse", "position", Disclosure::Cited),
    ("ComparePeriodsResponse", "position", Disclosure::Cited),
    ("GetReplyTimesResponse", "position", Disclosure::Cited),
    ("GetStaffFiguresResponse", "position", Disclosure::Nothing),
    ("WatchRatesResponse", "position", Disclosure::Nothing),
    ("WatchRatesResponse", "cited_position", Disclosure::Cited),
    ("WatchIncidentsResponse", "position", Disclosure::Nothing),
    ("IncidentEvent", "position", Disclosure::Nothing),
    (
        "IncidentWithdrawn",
        "recorded_position",
        Disclosure::Nothing,
    ),
    ("IncidentAmended", "recorded_position", Disclosure::Nothing),
    ("IncidentAnswered", "recorded_position", Disclosure::Nothing),
    (
        "ListIncidentsResponse",
        "as_of_position",
        Disclosure::Nothing,
    ),
    ("TapCountRecorded", "position", Disclosure::Nothing),
    ("DeclareOutageResponse", "position", Disclosure::Nothing),
    ("WithdrawOutageResponse", "position", Disclosure::Nothing),
    ("OutageChange", "position", Disclosure::Nothing),
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
    ("CauseClaim", "source", "CLAIM_SOURCE_TRAVELLER", TRUSTED),
    ("CauseClaim", "source", "CLAIM_SOURCE_STAFF", TRUSTED),
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

/// Who is told a field of a message; `None` where nobody decided.
pub fn field(message: &str, field: &str) -> Option<Roles> {
    let mut rows = FIELDS.iter();
    let row = rows
        .find(|(known, fields, _)| *known == message && names(fields).any(|name| name == field));
    row.map(|(.., roles)| *roles)
}

/// The names in a row of `FIELDS` or `ASKED`.
pub fn names(row: &str) -> impl Iterator<Item = &str> {
    row.split_ascii_whitespace()
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

    fn told() -> Vec<(&'static str, &'static str)> {
        let rows = FIELDS.iter();
        rows.flat_map(|(message, fields, _)| names(fields).map(|field| (*message, field)))
            .collect()
    }

    fn asked() -> Vec<(&'static str, &'static str)> {
        let rows = ASKED.iter();
        rows.flat_map(|(message, fields)| names(fields).map(|field| (*message, field)))
            .collect()
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
        for all in [told(), asked()] {
            let fields: std::collections::HashSet<_> = all.iter().collect();
            assert_eq!(fields.len(), all.len());
        }
    }
}
