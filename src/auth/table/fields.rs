//! Each field of each answer and each request, and who is told it or may fill it in.
//!
//! Every field has one row, and a test fails on one that has none: whoever adds a field decides
//! here who is told it. The rows of answers are held against a running service, whose answers
//! have every field.

use super::{CONCERNED, COUNTERS, DEVICES, EVERYBODY, HOLDERS, NOBODY, OPERATORS, Roles, STEWARDS};

/// Fields of messages that answers are made of, and who is told them by whatever method it may
/// call; names are set apart by spaces. An operator is told nothing of one single incident that
/// shows what staff did: neither acts nor outcomes, since a free ride or a refusal is what staff
/// let happen. Instead of a place in the journal, which stands in a traveller's receipt, it is
/// told the case number; in the place of that which figures include it is told a citation, see
/// `POSITION_FIELDS`.
pub const FIELDS: &[(&str, &str, Roles)] = &[
    (
        "ReportIncidentResponse",
        "accepted receipt others advice",
        EVERYBODY,
    ),
    ("OthersReported", "place hours", EVERYBODY),
    (
        "Advice",
        "topic text_nl text_en deadline source as_of",
        EVERYBODY,
    ),
    (
        "Accepted",
        "incident_id position received_at repeated line_match stop_match warnings erased \
         same_as_earlier operator_code",
        EVERYBODY,
    ),
    ("Warning", "field reason description", EVERYBODY),
    ("Refusal", "code message violations retry_after", EVERYBODY),
    ("Violation", "field description", EVERYBODY),
    ("ReportIncidentsResponse", "results", EVERYBODY),
    ("Result", "accepted refusal", EVERYBODY),
    ("StreamIncidentsResponse", "sequence result", DEVICES),
    ("GetIncidentResponse", "recorded everything_json", HOLDERS),
    ("AmendIncidentResponse", "recorded", HOLDERS),
    ("WithdrawIncidentResponse", "recorded", HOLDERS),
    ("EraseIncidentResponse", "recorded receipt", HOLDERS),
    (
        "GetReceiptResponse",
        "receipt salt digested_json qr_svg",
        HOLDERS,
    ),
    ("FollowIncidentResponse", "recorded", HOLDERS),
    ("ListChoicesResponse", "taxonomies", EVERYBODY),
    ("Taxonomy", "name choices", EVERYBODY),
    ("Choice", "number key label_nl label_en", EVERYBODY),
    (
        "Incident",
        "incident_id occurred_at precision reporter mode tap_kind operator line direction \
         stop vehicle reader_kind signal found_later display_text attempts \
         others_got_through worked_later cause_claims card_kind staff_present staff_acts \
         staff_minutes outcomes extra_cost note note_to_operator",
        HOLDERS,
    ),
    (
        "Incident",
        "incident_secret device_time card_number installation_id",
        NOBODY,
    ),
    ("CauseClaim", "cause source", CONCERNED),
    (
        "Match",
        "resolution id name candidates outside_validity",
        EVERYBODY,
    ),
    (
        "RecordedIncident",
        "incident received_at position line_match stop_match operator_code \
         clock_correction_seconds withdrawn card_given installation_given called_back \
         amended_at erased_at replies call_back_asked disputed same_as_earlier",
        HOLDERS,
    ),
    (
        "Reply",
        "replied_at operator state reason message message_kept_no_longer",
        CONCERNED,
    ),
    (
        "WatchRatesResponse",
        "resume_token as_of total left_out untimed complete_from total_rate \
         feeds rated_from rated_until citation cited_position snapshot resumed changes heartbeat",
        OPERATORS,
    ),
    ("WatchRatesResponse", "position", STEWARDS),
    ("Snapshot", "figures", OPERATORS),
    ("Changes", "figures", OPERATORS),
    (
        "WatchIncidentsResponse",
        "resume_token events heartbeat",
        OPERATORS,
    ),
    ("WatchIncidentsResponse", "position", STEWARDS),
    ("IncidentEvents", "events", OPERATORS),
    ("IncidentEvent", "position amended", STEWARDS),
    (
        "IncidentEvent",
        "received_at incident case_number recorded withdrawn answered",
        OPERATORS,
    ),
    ("IncidentWithdrawn", "recorded_position", STEWARDS),
    ("IncidentAnswered", "recorded_position", STEWARDS),
    ("IncidentAnswered", "state reason", OPERATORS),
    ("IncidentAmended", "recorded_position", STEWARDS),
    (
        "IncidentFacts",
        "occurred_at precision reporter mode tap_kind operator line line_resolution stop \
         stop_resolution reader_kind signal found_later attempts others_got_through \
         worked_later cause_claims card_kind",
        OPERATORS,
    ),
    (
        "IncidentFacts",
        "staff_present staff_acts staff_minutes outcomes extra_cost",
        STEWARDS,
    ),
    (
        "QueryFiguresResponse",
        "figures total left_out next_page_token position effort total_rate feeds \
         fold_version citation outage_days without_outages",
        OPERATORS,
    ),
    ("WithoutOutages", "total left_out total_rate", OPERATORS),
    ("FigureWithoutOutages", "count rate", OPERATORS),
    ("FeedUsed", "feed days", OPERATORS),
    (
        "Rate",
        "reports matched taps days days_with_taps contradictions dispersion unit value \
         low high method level attempts no_rate reporting feeds dispersion_days",
        OPERATORS,
    ),
    (
        "ReportingRatio",
        "self_reports observed_refusals value low high",
        OPERATORS,
    ),
    ("Effort", "from_tallies elapsed_micros", OPERATORS),
    ("Effort", "blocks_scanned", STEWARDS),
    (
        "QueryFiguresWithProgressResponse",
        "progress answer ranking comparison",
        OPERATORS,
    ),
    ("QueryProgress", "entries_read entries_to_read", OPERATORS),
    (
        "ComparePeriodsResponse",
        "period with_period verdict over ratio level position fold_version citation",
        OPERATORS,
    ),
    (
        "ComparedPeriod",
        "window count rate feeds outage_days compared exposure",
        OPERATORS,
    ),
    ("Window", "start end", OPERATORS),
    (
        "PeriodRatio",
        "value low high p_value dispersion",
        OPERATORS,
    ),
    (
        "GetStaffFiguresResponse",
        "figures outage_days without_outages level position fold_version citation effort",
        STEWARDS,
    ),
    (
        "StaffFigures",
        "reports acts_told both_told help harm promised promises_kept acts",
        STEWARDS,
    ),
    ("StaffActShare", "act share", STEWARDS),
    (
        "StaffShare",
        "count base value low high method dispersion dispersion_days",
        STEWARDS,
    ),
    (
        "Figure",
        "keys count rate without_outages rests_on_few_days",
        OPERATORS,
    ),
    ("Key", "dimension value", OPERATORS),
    (
        "RankScopesResponse",
        "verdict scopes scopes_ranked too_little scopes_too_little without_rate \
         scopes_without_rate network_rate spread dispersion level feeds position \
         fold_version citation outage_days scopes_enough",
        OPERATORS,
    ),
    ("ScopeRate", "key rate rests_on_few_days", OPERATORS),
    (
        "RankedScope",
        "scope probability_above shrunken_rate low high expected_rank reversing_ratio",
        OPERATORS,
    ),
    (
        "DescribeMethodResponse",
        "method_version fold_version sections parameters breaks counted_since",
        EVERYBODY,
    ),
    ("MethodSection", "key title text", EVERYBODY),
    ("MethodParameter", "key value meaning", EVERYBODY),
    ("MethodBreak", "since what", EVERYBODY),
    (
        "Edition",
        "month closed_at sha256 position method_version path citation",
        EVERYBODY,
    ),
    ("ListEditionsResponse", "editions", EVERYBODY),
    (
        "GetEditionResponse",
        "edition rows next_page_token left_out too_late network_versions counted_since \
         outage_days",
        EVERYBODY,
    ),
    (
        "EditionRow",
        "basis period_start period_end operator_code dimension source key answer flag \
         count taps denominator_source coverage rate unit low high interval_method \
         no_rate edition method_version",
        EVERYBODY,
    ),
    ("Outage", "operator_code first_day last_day", OPERATORS),
    ("OutageDay", "day operator_code", EVERYBODY),
    ("OutageChange", "told_at outage withdrawn", OPERATORS),
    ("OutageChange", "position", STEWARDS),
    (
        "TapFeed",
        "feed_id operator_code grain interval tap_kinds refusals day_begins",
        OPERATORS,
    ),
    ("DeclareOutageResponse", "position", STEWARDS),
    ("WithdrawOutageResponse", "position", STEWARDS),
    ("ListOutagesResponse", "days changes", OPERATORS),
    ("RecordTapCountsResponse", "results", COUNTERS),
    ("TapCountResult", "recorded refusal", COUNTERS),
    ("TapCountRecorded", "position", STEWARDS),
    ("StreamTapCountsResponse", "sequence results", COUNTERS),
    ("ListIncidentsResponse", "cases next_page_token", OPERATORS),
    ("ListIncidentsResponse", "as_of_position", STEWARDS),
    (
        "Case",
        "case_number received_at incident exact_time vehicle display_text direction \
         line_words stop_words note state replies disputed erased",
        OPERATORS,
    ),
    ("RespondToIncidentResponse", "case", OPERATORS),
    (
        "GetReplyTimesResponse",
        "operators position fold_version citation",
        OPERATORS,
    ),
    (
        "ReplyTimes",
        "operator reports answered first_reply repaired repair closed_unfixed disputed",
        OPERATORS,
    ),
    ("TimeQuantiles", "median_seconds p90_seconds", OPERATORS),
    (
        "Stop",
        "stop_id name town latitude longitude line_ids",
        EVERYBODY,
    ),
    (
        "Line",
        "line_id operator_code public_number name mode valid_from valid_until directions",
        EVERYBODY,
    ),
    ("Direction", "headsign stops", EVERYBODY),
    ("Operator", "operator_code name lines", EVERYBODY),
    ("SearchStopsResponse", "stops", EVERYBODY),
    ("NearbyStop", "stop distance_metres", EVERYBODY),
    ("NearbyStopsResponse", "stops", EVERYBODY),
    ("ListLinesResponse", "lines next_page_token", EVERYBODY),
    (
        "ListOperatorsResponse",
        "operators network_version",
        EVERYBODY,
    ),
];

/// Fields of requests that whoever may call the method may fill in, with any value that is
/// allowed at all. All others stand in `ASKS`.
pub const ASKED: &[(&str, &str)] = &[
    ("ReportIncidentRequest", "incident want_receipt want_advice"),
    ("ReportIncidentsRequest", "incidents"),
    ("StreamIncidentsRequest", "incident sequence"),
    (
        "GetIncidentRequest",
        "incident_id incident_secret everything",
    ),
    (
        "AmendIncidentRequest",
        "incident_id incident_secret called_back staff_acts worked_later extra_cost",
    ),
    ("WithdrawIncidentRequest", "incident_id incident_secret"),
    ("EraseIncidentRequest", "incident_id incident_secret"),
    ("GetReceiptRequest", "incident_id incident_secret qr_code"),
    ("FollowIncidentRequest", "incident_id incident_secret"),
    (
        "Incident",
        "incident_id incident_secret occurred_at precision device_time mode tap_kind \
         operator line direction stop vehicle reader_kind signal found_later display_text \
         attempts others_got_through worked_later cause_claims card_kind card_number \
         installation_id staff_present staff_acts staff_minutes outcomes extra_cost note \
         note_to_operator",
    ),
    ("CauseClaim", "cause source"),
    ("WatchRatesRequest", "filter window pace resume_token rates"),
    (
        "WatchIncidentsRequest",
        "operators lines resume_token from_time",
    ),
    (
        "Filter",
        "basis operators lines stops modes causes card_kinds signals tap_kinds \
         hours_of_day weekdays",
    ),
    ("Window", "start end"),
    ("Question", "filter window"),
    (
        "QueryFiguresRequest",
        "question order page_size page_token rates as_of_position",
    ),
    (
        "QueryFiguresWithProgressRequest",
        "query ranking comparison",
    ),
    (
        "ComparePeriodsRequest",
        "filter window with_window rates without_outages as_of_position",
    ),
    (
        "GetStaffFiguresRequest",
        "filter window level as_of_position",
    ),
    ("RatesRequest", "feeds estimator level"),
    (
        "RankScopesRequest",
        "filter by window feeds level limit without_outages as_of_position",
    ),
    (
        "GetEditionRequest",
        "month operator_code dimension page_size page_token",
    ),
    ("Outage", "operator_code first_day last_day"),
    (
        "TapFeed",
        "feed_id operator_code grain interval tap_kinds refusals day_begins",
    ),
    ("TapCount", "line_id stop_id start taps"),
    ("DeclareOutageRequest", "outage"),
    ("WithdrawOutageRequest", "outage"),
    ("ListOutagesRequest", "operators"),
    ("RecordTapCountsRequest", "feed counts"),
    ("StreamTapCountsRequest", "feed counts sequence"),
    (
        "ListIncidentsRequest",
        "operators lines stops states unanswered window page_size page_token",
    ),
    (
        "RespondToIncidentRequest",
        "case_number state reason message",
    ),
    ("GetReplyTimesRequest", "operators window as_of_position"),
    ("SearchStopsRequest", "query limit"),
    (
        "NearbyStopsRequest",
        "latitude longitude radius_metres limit",
    ),
    (
        "ListLinesRequest",
        "operator_code stop_id public_number with_stops page_size page_token",
    ),
];
