//! Lists of reports, answers to them, and how long answers took.

use super::figures::{parse_ids, parse_window};
use super::log::{Sight, to_facts};
use super::to_timestamp;
use super::violation::{Path, Violations};
use super::way_back::to_reply;
use crate::api::pb::v1 as pb;
use crate::auth::Seal;
use crate::domain::contact::has_contact;
use crate::domain::entry::Epoch;
use crate::domain::limits::{
    CASES_PER_PAGE_DEFAULT, CASES_PER_PAGE_MAX, FILTER_VALUES_MAX, REPLY_CHARS_MAX,
};
use crate::domain::taxonomy::{CaseState, ClosedReason};
use crate::domain::{CaseNumber, OperatorCode, Position, Window};
use crate::ingest::{Reply, StoredIncident, StoredReply};
use crate::query::cases::{CaseFilter, CasePlace, Quantiles, ReplyTimes};

/// Unlike what other seals are for.
const TOKEN_KIND: u8 = 5;

/// What a list is asked for.
#[derive(Debug)]
pub struct ListAsked {
    /// Which reports.
    pub filter: CaseFilter,
    /// Where the page begins; `None` for the first.
    pub place: Option<CasePlace>,
    /// Reports of the page at most.
    pub rows_max: usize,
}

/// Checks what to list.
pub fn parse_list(
    request: &pb::ListIncidentsRequest,
    tokens: &PageTokens,
) -> Result<ListAsked, Violations> {
    let mut found = Violations::default();
    let states = Path::root("states");
    let window = request.window.as_ref();
    let filter = CaseFilter {
        operators: parse_ids(Path::root("operators"), &request.operators, &mut found),
        lines: parse_ids(Path::root("lines"), &request.lines, &mut found),
        stops: parse_ids(Path::root("stops"), &request.stops, &mut found),
        states: found.choices(states, &request.states, FILTER_VALUES_MAX, false),
        is_unanswered: request.unanswered,
        window: window.and_then(|_| parse_window(Path::root("window"), window, &mut found)),
    };
    let rows_max = match usize::try_from(request.page_size) {
        Ok(0) => CASES_PER_PAGE_DEFAULT,
        Ok(size) if size <= CASES_PER_PAGE_MAX => size,
        _ => {
            let rule = format_args!("must be at most {CASES_PER_PAGE_MAX}");
            found.add(Path::root("page_size"), rule);
            0
        }
    };
    let place = match &request.page_token[..] {
        [] => None,
        token => {
            let at = Path::root("page_token");
            let place = tokens.place(token);
            found.some(at, place, "must come from the answer before")
        }
    };
    let asked = ListAsked {
        filter,
        place,
        rows_max,
    };
    found.finish(Some(asked))
}

/// Makes and reads the tokens of pages of one journal. They hold places, sealed.
pub struct PageTokens {
    about: [u8; 17],
    seal: Seal,
}

impl PageTokens {
    /// Of a journal.
    pub fn new(epoch: Epoch, seal: Seal) -> Self {
        let mut about = [TOKEN_KIND; 17];
        about[1..].copy_from_slice(&epoch.0);
        Self { about, seal }
    }

    /// Where the next page begins.
    pub fn token(&self, place: CasePlace) -> Vec<u8> {
        let numbers = [place.as_of.0, place.before.0].map(u64::to_be_bytes);
        self.seal.seal(&self.about, numbers.as_flattened())
    }

    fn place(&self, token: &[u8]) -> Option<CasePlace> {
        let opened = self.seal.open(&self.about, token)?;
        let (numbers, rest) = opened.as_chunks::<8>();
        let [as_of, before] = numbers.try_into().ok()?;
        let number = |bytes| Position(u64::from_be_bytes(bytes));
        rest.is_empty().then_some(CasePlace {
            as_of: number(as_of),
            before: number(before),
        })
    }
}

/// Checks an answer to a report.
pub fn parse_reply(
    request: &pb::RespondToIncidentRequest,
) -> Result<(CaseNumber, Reply), Violations> {
    let mut found = Violations::default();
    let case = found.ok(Path::root("case_number"), request.case_number.parse());
    let state = found.required_choice::<CaseState>(Path::root("state"), request.state);
    let reason_at = Path::root("reason");
    let reason = found.choice::<ClosedReason>(reason_at, request.reason);
    let is_closed = state == Some(CaseState::ClosedUnfixed);
    if is_closed && reason.is_none() {
        found.add(reason_at, "must be given with CLOSED_UNFIXED");
    } else if !is_closed && reason.is_some() {
        found.add(reason_at, "needs state to be CLOSED_UNFIXED");
    }
    let at = Path::root("message");
    let message = found.text(at, &request.message, REPLY_CHARS_MAX);
    if has_contact(&message) {
        let rule = "must not contain an e-mail address, a telephone number or a link";
        found.add(at, rule);
    }
    if state == Some(CaseState::Disputed) && message.is_empty() {
        found.add(at, "must say what is disputed");
    }
    let reply = state.map(|state| Reply {
        state,
        reason,
        message: message.as_str().into(),
    });
    found.finish(case.zip(reply))
}

/// A report as its operator sees it.
pub fn to_case(kept: &StoredIncident, sight: &Sight) -> pb::Case {
    let personal = kept.personal.as_ref();
    let exact = kept.facts.precision == crate::domain::taxonomy::TimePrecision::Exact;
    let text = |text: fn(&crate::domain::Personal) -> &str| {
        personal.map(text).unwrap_or_default().to_owned()
    };
    let note = personal.filter(|personal| personal.note_to_operator);
    let state = kept.replies.last().map(|reply| reply.state);
    let disputed = |reply: &StoredReply| reply.state == CaseState::Disputed;
    pb::Case {
        case_number: sight.cases.of(kept.position).to_string(),
        received_at: Some(to_timestamp(kept.received)),
        incident: Some(to_facts(&kept.facts, sight)),
        exact_time: personal
            .filter(|_| exact)
            .map(|personal| to_timestamp(personal.occurred)),
        vehicle: text(|personal| &personal.vehicle),
        display_text: text(|personal| &personal.display_text),
        direction: text(|personal| &personal.direction_words),
        line_words: text(|personal| &personal.line_words),
        stop_words: text(|personal| &personal.stop_words),
        note: note
            .map(|personal| personal.note.to_string())
            .unwrap_or_default(),
        state: super::to_number(state),
        replies: kept.replies.iter().map(to_reply).collect(),
        disputed: kept.replies.iter().any(disputed),
        erased: kept.erased.is_some(),
    }
}

/// Checks of whom and when.
pub fn parse_times(
    request: &pb::GetReplyTimesRequest,
) -> Result<(Vec<OperatorCode>, Window), Violations> {
    let mut found = Violations::default();
    let operators = parse_ids(Path::root("operators"), &request.operators, &mut found);
    let window = parse_window(Path::root("window"), request.window.as_ref(), &mut found);
    found.finish(window.map(|window| (operators, window)))
}

/// How long an operator took.
pub fn to_times(times: &ReplyTimes) -> pb::ReplyTimes {
    pb::ReplyTimes {
        operator: times.operator.to_string(),
        reports: times.reports,
        answered: times.answered,
        first_reply: Some(to_quantiles(times.first_reply)),
        repaired: times.repaired,
        repair: Some(to_quantiles(times.repair)),
        closed_unfixed: times.closed_unfixed,
        disputed: times.disputed,
    }
}

fn to_quantiles(quantiles: Quantiles) -> pb::TimeQuantiles {
    pb::TimeQuantiles {
        median_seconds: quantiles.median,
        p90_seconds: quantiles.p90,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(state: pb::CaseState, reason: i32, message: &str) -> Result<Reply, usize> {
        let request = pb::RespondToIncidentRequest {
            case_number: CaseNumber::new(5).to_string(),
            state: state.into(),
            reason,
            message: message.into(),
        };
        let parsed = parse_reply(&request);
        parsed
            .map(|(_, reply)| reply)
            .map_err(|found| found.count())
    }

    #[test]
    fn closing_needs_a_reason_and_a_dispute_words() {
        use pb::CaseState as State;
        assert!(reply(State::Received, 0, "").is_ok());
        assert!(reply(State::ClosedUnfixed, 1, "").is_ok());
        assert_eq!(reply(State::ClosedUnfixed, 0, ""), Err(1));
        assert_eq!(reply(State::Repaired, 1, ""), Err(1));
        assert_eq!(reply(State::Disputed, 0, " "), Err(1));
        assert!(reply(State::Disputed, 0, "de lezer werkte").is_ok());
        assert_eq!(reply(State::Unspecified, 0, ""), Err(1));
    }

    #[test]
    fn message_has_neither_contact_data_nor_card_numbers() {
        use pb::CaseState::Received;
        for wrong in [
            "mail ons: klacht@gvb.example",
            "bel 020 460 60 60",
            "+31 6 12345678",
            "zie www.gvb.example",
            "https://gvb.example",
            "zie gvb.example.nl/x",
            "kaart 3528 0000 0000 0007",
        ] {
            assert!(reply(Received, 0, wrong).is_err(), "{wrong}");
        }
        for right in [
            "hersteld op 23-11-2026 om 14:30, voertuig 2134",
            "lezer 12 van tram 2076 is vervangen",
        ] {
            assert!(reply(Received, 0, right).is_ok(), "{right}");
        }
    }

    proptest! {
        #[test]
        fn token_leads_back_under_its_own_key_alone(
            as_of: u64, before: u64, bytes: Vec<u8>,
        ) {
            let place = CasePlace { as_of: Position(as_of), before: Position(before) };
            let tokens = |epoch, key| PageTokens::new(Epoch([epoch; 16]), Seal::testing(key));
            let token = tokens(7, 7).token(place);
            prop_assert_eq!(tokens(7, 7).place(&token), Some(place));
            prop_assert_eq!(tokens(8, 7).place(&token), None);
            prop_assert_eq!(tokens(7, 8).place(&token), None);
            prop_assert_ne!(tokens(7, 7).token(place), token);
            prop_assert_eq!(tokens(7, 7).place(&bytes), None);
        }
    }
}
