//! The operator's side: which reports there are, what it answers, and how long that took.

use std::sync::Arc;

use super::access::check_asked;
use super::asked::as_of;
use super::convert::case::{PageTokens, parse_list, parse_reply, parse_times, to_case, to_times};
use super::convert::log::Sight;
use super::convert::violation::Path;
use super::pb::v1 as pb;
use super::room::Room;
use super::status::Problem;
use crate::auth::Principal;
use crate::domain::CaseNumber;
use crate::ingest::{GetError, Ingest, StoredIncident};
use crate::ledger::{FOLD_VERSION, Ledger};
use crate::query::cases::{self, CasePage};
use crate::query::citing::citation_of_replies;

/// Lists reports and answers them.
#[derive(Clone)]
pub(super) struct Desk {
    pub ingest: Ingest,
    pub ledger: Arc<Ledger>,
    /// For what looks through many reports.
    pub room: Room,
}

impl Desk {
    fn sight(&self, caller: &Principal) -> Sight {
        Sight {
            is_whole: caller.sees_staff(),
            cases: self.ingest.case_numbers(),
        }
    }

    /// A page of reports, the latest first.
    pub async fn list(
        &self,
        caller: &Principal,
        request: &pb::ListIncidentsRequest,
    ) -> Result<pb::ListIncidentsResponse, Problem> {
        let tokens = PageTokens::new(self.ledger.read().epoch_now(), self.ingest.seal());
        let asked = parse_list(request, &tokens)?;
        check_asked(caller, Path::root("operators"), &asked.filter.operators)?;
        let ledger = Arc::clone(&self.ledger);
        let list = move || cases::list(&ledger, &asked.filter, asked.place, asked.rows_max);
        let page = self.room.work(list);
        let CasePage {
            incidents,
            as_of: at,
            next,
        } = page.await??;
        let sight = self.sight(caller);
        let all = self.ingest.get_all(incidents).await?;
        // Withdrawn since: nobody's business any more.
        let all = all.iter().filter(|kept| !kept.withdrawn);
        Ok(pb::ListIncidentsResponse {
            cases: all.map(|kept| to_case(kept, &sight)).collect(),
            next_page_token: next.map_or(Vec::new(), |place| tokens.token(place)),
            as_of_position: if caller.sees_places() { at.0 } else { 0 },
        })
    }

    /// Answers a report.
    pub async fn respond(
        &self,
        caller: &Principal,
        request: &pb::RespondToIncidentRequest,
    ) -> Result<pb::RespondToIncidentResponse, Problem> {
        let (case, reply) = parse_reply(request)?;
        let kept = self.own(caller, case).await?;
        let replied = self.ingest.respond(kept.position, reply).await;
        let kept = replied.map_err(Problem::of_case)?;
        Ok(pb::RespondToIncidentResponse {
            case: Some(to_case(&kept, &self.sight(caller))),
        })
    }

    /// The report with a case number, if it is of the caller's. One of others is answered like
    /// one that is not there.
    async fn own(&self, caller: &Principal, case: CaseNumber) -> Result<StoredIncident, Problem> {
        let position = self.ingest.case_numbers().position(case);
        let found = self.ingest.get_at(position).await;
        let is_own = |kept: &StoredIncident| caller.scope().holds(kept.facts.operator.as_ref());
        let own = found.and_then(|kept| is_own(&kept).then_some(kept).ok_or(GetError::NotFound));
        own.map_err(|error| Problem::of_case(error.into()))
    }

    /// How long answers took.
    pub async fn times(
        &self,
        caller: &Principal,
        request: &pb::GetReplyTimesRequest,
    ) -> Result<pb::GetReplyTimesResponse, Problem> {
        let (operators, window) = parse_times(request)?;
        check_asked(caller, Path::root("operators"), &operators)?;
        let ledger = Arc::clone(&self.ledger);
        let citations = self.ingest.citations();
        let at = as_of(&citations, caller, request.as_of_position)?;
        let times = move || cases::reply_times(&ledger, &operators, window, at);
        let told = self.room.work(times).await?;
        let refuse = |error| Problem::of_window(error, "operators", caller.sees_places());
        let told = told.map_err(refuse)?;
        let place = citations.tell(caller, told.position);
        Ok(pb::GetReplyTimesResponse {
            operators: told.operators.iter().map(to_times).collect(),
            position: place,
            fold_version: FOLD_VERSION,
            citation: citation_of_replies(window, place),
        })
    }
}
