//! What a receipt shows, for people: every claim of the signed text as a row of the page, so that
//! the page tells no less and no more than what was signed. Times are local.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::receipts::Language;
use crate::domain::taxonomy::{
    CardKind, ExtraCost, Mode, OthersGotThrough, Outcome, ReaderKind, Signal, TapKind, Taxonomy,
    TimePrecision, WorkedLater,
};
use crate::network::Network;

static AMSTERDAM: TimeZone = jiff::tz::get!("Europe/Amsterdam");

/// A name and a value, neither of them markup yet.
pub(super) type Row = (&'static str, String);

/// What a receipt says, as JSON. Nothing of it is checked: it is the service's own.
pub(super) fn claims(jws: &str) -> Value {
    let payload = jws.split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// The rows of a report or of an erasure, in the order of what happened.
pub(super) fn rows(lang: Language, claims: &Value, network: &Network) -> Vec<Row> {
    let text = |name: &str| claims[name].as_str().unwrap_or_default();
    let mut rows = vec![
        (lang.of("Nummer", "Id"), text("incident_id").to_owned()),
        (
            lang.of("Plaats in het register", "Place in the record"),
            claims["position"].to_string(),
        ),
        (
            lang.of("Ontvangen (Nederlandse tijd)", "Received (Dutch time)"),
            local(text("received_at")),
        ),
        (
            lang.of("Gewist (Nederlandse tijd)", "Erased (Dutch time)"),
            local(text("erased_at")),
        ),
        (
            lang.of("Gebeurd (Nederlandse tijd)", "Happened (Dutch time)"),
            happened(text("occurred_at"), text("precision")),
        ),
        (
            lang.of("Zo precies", "Known to"),
            label::<TimePrecision>(lang, &claims["precision"]),
        ),
    ];
    if let Some(told) = claims["told"].as_object() {
        let known = told.iter().map(|(name, value)| {
            let (place, title) = title(lang, name);
            (place, (title, shown(lang, name, value, network)))
        });
        let mut known: Vec<_> = known.collect();
        known.sort_by_key(|(place, _)| *place);
        rows.extend(known.into_iter().map(|(_, row)| row));
    }
    rows.retain(|(_, value)| !value.is_empty());
    rows
}

/// What the receipt tells no more, and that it counts with an earlier report.
pub(super) fn notices(lang: Language, claims: &Value) -> Vec<&'static str> {
    let mut notices = Vec::new();
    if claims["words"].is_string() {
        notices.push(lang.of(
            "Wat in eigen woorden is gemeld (ook de tekst op het scherm en het voertuignummer) \
             wordt niet langer bewaard. Een bewijs van eerder toont het nog.",
            "What was told in words (the text on the display and the vehicle's number among them) \
             is kept no longer. A receipt of before still shows it.",
        ));
    }
    if claims["personal_part"].is_string() {
        notices.push(lang.of(
            "Het precieze tijdstip en wat in eigen woorden is gemeld (ook de tekst op het scherm \
             en het voertuignummer) worden niet langer bewaard. Een bewijs van eerder toont ze \
             nog.",
            "The exact time and what was told in words (the text on the display and the vehicle's \
             number among them) are kept no longer. A receipt of before still shows them.",
        ));
    }
    if claims["same_as_earlier"] == true {
        notices.push(lang.of(
            "Deze melding is samengenomen met een eerdere over dezelfde poging.",
            "This report is taken together with an earlier one of the same tap.",
        ));
    }
    notices
}

/// Where a row stands, and what it is called. What has no name here stands last, under a
/// name that fits all.
fn title(lang: Language, name: &str) -> (u8, &'static str) {
    match name {
        "mode" => (0, lang.of("Vervoer", "Mode")),
        "tap_kind" => (1, lang.of("Handeling", "Tap")),
        "operator" => (2, lang.of("Vervoerder", "Operator")),
        "operator_words" => (3, lang.of("Vervoerder, zoals gemeld", "Operator as told")),
        "line" => (4, lang.of("Lijn", "Line")),
        "line_words" => (5, lang.of("Lijn, zoals gemeld", "Line as told")),
        "direction" => (6, lang.of("Richting, zoals gemeld", "Direction as told")),
        "stop" => (7, lang.of("Halte", "Stop")),
        "stop_words" => (8, lang.of("Halte, zoals gemeld", "Stop as told")),
        "vehicle" => (9, lang.of("Voertuignummer", "Vehicle")),
        "reader_kind" => (10, lang.of("Lezer", "Reader")),
        "signal" => (11, lang.of("Signaal", "Signal")),
        "found_later" => (12, lang.of("Pas later gebleken", "Found out later")),
        "display_text" => (13, lang.of("Tekst op het scherm", "Text on the display")),
        "attempts" => (14, lang.of("Pogingen", "Attempts")),
        "others_got_through" => (15, lang.of("Lukte het anderen", "Others got through")),
        "worked_later" => (
            16,
            lang.of("Lukte het elders of later", "Worked elsewhere or later"),
        ),
        "card_kind" => (17, lang.of("Kaart", "Card")),
        "outcomes" => (18, lang.of("Afloop", "Outcome")),
        "extra_cost" => (19, lang.of("Kosten", "Cost")),
        _ => (u8::MAX, lang.of("Ook gemeld", "Told as well")),
    }
}

fn shown(lang: Language, name: &str, value: &Value, network: &Network) -> String {
    let named = |name: Option<&str>| match (value.as_str(), name) {
        (Some(id), Some(name)) if !name.is_empty() => format!("{id} ({name})"),
        (id, _) => id.unwrap_or_default().to_owned(),
    };
    let id = value.as_str().unwrap_or_default();
    match name {
        "mode" => label::<Mode>(lang, value),
        "tap_kind" => label::<TapKind>(lang, value),
        "operator" => named(network.operator(id).map(|found| &*found.name)),
        "line" => named(network.line(id).map(|found| &*found.name)),
        "stop" => named(network.stop(id).map(|found| &*found.name)),
        "reader_kind" => label::<ReaderKind>(lang, value),
        "signal" => label::<Signal>(lang, value),
        "others_got_through" => label::<OthersGotThrough>(lang, value),
        "worked_later" => label::<WorkedLater>(lang, value),
        "card_kind" => label::<CardKind>(lang, value),
        "outcomes" => {
            let outcomes = value.as_array().into_iter().flatten();
            let outcomes: Vec<_> = outcomes.map(|one| label::<Outcome>(lang, one)).collect();
            outcomes.join(", ")
        }
        "extra_cost" => label::<ExtraCost>(lang, value),
        _ => match value {
            Value::String(text) => text.clone(),
            Value::Bool(true) => lang.of("ja", "yes").to_owned(),
            other => other.to_string(),
        },
    }
}

fn label<T: Taxonomy>(lang: Language, key: &Value) -> String {
    let value = key.as_str().and_then(T::from_key);
    let label = value.map(|value| lang.of(value.label_nl(), value.label_en()));
    label.unwrap_or_default().to_owned()
}

/// When it happened, as finely as the receipt says: to the second, within an hour, or on a day.
fn happened(at: &str, precision: &str) -> String {
    match (TimePrecision::from_key(precision), at.parse::<Timestamp>()) {
        (Some(TimePrecision::Hour), Ok(from)) => {
            let [from, to] = [from, from + HOUR].map(|at| at.to_zoned(AMSTERDAM.clone()));
            let to = to.strftime("%H:%M (UTC%:z)");
            format!("{} – {to}", from.strftime("%Y-%m-%d %H:%M"))
        }
        (_, Ok(_)) => local(at),
        // A day.
        (_, Err(_)) => at.to_owned(),
    }
}

const HOUR: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// An instant in local time, with how far that is from UTC.
fn local(instant: &str) -> String {
    let instant: Option<Timestamp> = instant.parse().ok();
    let local = instant.map(|instant| instant.to_zoned(AMSTERDAM.clone()));
    let local = local.map(|local| local.strftime("%Y-%m-%d %H:%M:%S (UTC%:z)").to_string());
    local.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_local_and_no_finer_than_they_are_known() {
        let check = |at, precision, expected| assert_eq!(happened(at, precision), expected);
        check(
            "2026-07-01T12:00:05Z",
            "exact",
            "2026-07-01 14:00:05 (UTC+02:00)",
        );
        check(
            "2026-11-23T22:00:00Z",
            "hour",
            "2026-11-23 23:00 – 00:00 (UTC+01:00)",
        );
        check("2026-11-23", "day", "2026-11-23");
    }

    #[test]
    fn line_and_stop_are_shown_by_identifier_and_name_when_the_words_are_gone() {
        let network = Network::built_in();
        let line = network.line("GVB:10").expect("a line");
        let claims = json!({
            "precision": "hour",
            "occurred_at": "2026-11-23T13:00:00Z",
            "told": { "line": "GVB:10" },
            "personal_part": "kept no longer",
        });
        let rows = rows(Language::En, &claims, &network);
        let line = format!("GVB:10 ({})", line.name);
        assert!(rows.contains(&("Line", line)), "{rows:?}");
        let notices = notices(Language::En, &claims);
        assert!(notices[0].contains("kept no longer"), "{notices:?}");
    }
}
