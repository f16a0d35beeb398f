//! The way back to a report: for its reporter, who has its secret, and for its operator.
//!
//! Whatever is told later is made of what the journal has, and written only if that still
//! counts when it is its turn; else it is made anew, a few times at most.

use tokio::sync::watch;

use super::queue::Decided;
use super::{GetError, Ingest, SubmitError, lookup};
use crate::domain::limits::{
    AMENDMENTS_PER_CASE_MAX, CALL_BACK_ASKED_DAYS, OUTDATED_TRIES_MAX, REPLIES_PER_CASE_MAX,
    WAY_BACK_DAYS_MAX,
};
use crate::domain::taxonomy::{
    CalledBack, CaseState, ClosedReason, ExtraCost, SetOf, StaffAct, StaffPresence, WorkedLater,
};
use crate::domain::time::DAY_MS;
use crate::domain::{
    Amendment, Answer, Entry, Facts, IncidentId, IncidentSecret, OperatorCode, Personal, Position,
    RowTime, Stamp, UtcMillis,
};
use crate::journal::Record;
use crate::ledger::Case;

/// A place in the journal, and when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The place.
    pub at: Position,
    /// When.
    pub stamp: Stamp,
}

/// An incident as it is kept.
#[derive(Clone, Debug)]
pub struct StoredIncident {
    /// What is counted now.
    pub facts: Facts,
    /// What was counted of the report as it was told.
    pub told: Facts,
    /// All else; `None` if it was erased, or is kept no longer.
    pub personal: Option<Personal>,
    /// Its place in the journal.
    pub position: Position,
    /// Where the row lies that counts: its place, or that of its last amendment.
    pub row: Position,
    /// When it became durable.
    pub received: Stamp,
    /// Whether its reporter withdrew it.
    pub withdrawn: bool,
    /// When its reporter told what came later.
    pub amendments: Vec<Moment>,
    /// When it was erased.
    pub erased: Option<Moment>,
    /// What its operator answered.
    pub replies: Vec<StoredReply>,
}

/// An answer of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredReply {
    /// Where and when.
    pub moment: Moment,
    /// Who.
    pub operator: OperatorCode,
    /// What it says.
    pub state: CaseState,
    /// Why, if closed without a repair.
    pub reason: Option<ClosedReason>,
    /// What it says to the reporter; may be empty.
    pub message: Box<str>,
    /// Whether it said something that is kept no longer, or was erased.
    pub is_message_gone: bool,
}

/// What a reporter tells later. What is not said stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Later {
    /// Whether staff called back.
    pub called_back: Option<CalledBack>,
    /// What staff did, besides what was told.
    pub staff_acts: SetOf<StaffAct>,
    /// Whether the card worked elsewhere or later.
    pub worked_later: Option<WorkedLater>,
    /// What it cost.
    pub extra_cost: Option<ExtraCost>,
}

/// What an operator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The state.
    pub state: CaseState,
    /// Why, if closed without a repair.
    pub reason: Option<ClosedReason>,
    /// To the reporter; may be empty.
    pub message: Box<str>,
}

/// How far a case has come. Differs whenever something came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseMarks {
    amendments: usize,
    replies: usize,
    is_withdrawn: bool,
    is_erased: bool,
}

/// Why nothing more is told about an incident.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// It cannot be had.
    #[error(transparent)]
    Get(#[from] GetError),
    /// It cannot be recorded.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// There was no staff, by the report itself.
    #[error("the report says that no staff were there")]
    NoStaff,
    /// It was withdrawn, or erased.
    #[error("the report was withdrawn or erased")]
    Gone,
    /// As much was told as can be.
    #[error("nothing more can be told about this report")]
    Full,
    /// See `WAY_BACK_DAYS_MAX`.
    #[error("a report can be amended, withdrawn and answered for {WAY_BACK_DAYS_MAX} days")]
    Over,
    /// Nobody knows whose report it is.
    #[error("the report has no operator")]
    NoOperator,
}

impl StoredIncident {
    /// Whether staff promised to call back, long enough ago to ask whether they did.
    pub fn is_call_back_asked(&self, now: UtcMillis) -> bool {
        let occurred = match (&self.personal, self.facts.time) {
            (Some(personal), _) => personal.occurred,
            (None, RowTime::Hour(hour)) => hour.start(),
            (None, RowTime::Day(day)) => day.noon().start(),
        };
        let acts = self.facts.staff_acts;
        acts.contains(StaffAct::PromisedToCallBack)
            && !acts.contains(StaffAct::CalledBack)
            && self.facts.called_back.is_none()
            && !self.withdrawn
            && self.erased.is_none()
            && occurred.0 + CALL_BACK_ASKED_DAYS * DAY_MS <= now.0
    }

    /// Whether there is anything to erase: its personal part, or words of an answer.
    fn has_words(&self) -> bool {
        let mut replies = self.replies.iter();
        self.personal.is_some() || replies.any(|reply| !reply.message.is_empty())
    }

    /// How far its case had come.
    pub fn marks(&self) -> CaseMarks {
        CaseMarks {
            amendments: self.amendments.len(),
            replies: self.replies.len(),
            is_withdrawn: self.withdrawn,
            is_erased: self.erased.is_some(),
        }
    }
}

impl Later {
    /// What counts with this; `None` if there was no staff to do what it says.
    fn amended(self, facts: &Facts) -> Option<Facts> {
        let tells_staff = self.called_back.is_some() || !self.staff_acts.is_empty();
        if tells_staff && facts.staff_present == Some(StaffPresence::No) {
            return None;
        }
        // Whether they called back can be told in two ways. The later word wins, and of one
        // request the answer to the question; then both ways say the same.
        let by_act = self.staff_acts.contains(StaffAct::CalledBack);
        let said = self.called_back.or(by_act.then_some(CalledBack::Yes));
        let acts = facts.staff_acts.iter().chain(self.staff_acts.iter());
        let is_kept = |act: &StaffAct| *act != StaffAct::CalledBack || said != Some(CalledBack::No);
        let mut staff_acts: SetOf<StaffAct> = acts.filter(is_kept).collect();
        if said == Some(CalledBack::Yes) {
            staff_acts.insert(StaffAct::CalledBack);
        }
        let called_back = said.or(facts.called_back);
        Some(Facts {
            called_back,
            staff_acts,
            worked_later: self.worked_later.or(facts.worked_later),
            extra_cost: self.extra_cost.or(facts.extra_cost),
            ..facts.clone()
        })
    }
}

impl Ingest {
    /// An incident as it is kept, for whoever has its secret.
    pub async fn get(
        &self,
        id: IncidentId,
        secret: &IncidentSecret,
    ) -> Result<StoredIncident, GetError> {
        let (ledger, reader) = (self.ledger(), self.reader().clone());
        let secret = secret.clone();
        let look_up = move || lookup::get(&ledger, &reader, id, &secret);
        self.read(look_up).await.unwrap_or(Err(GetError::Busy))
    }

    /// The incident recorded at a place, for whoever may see it there.
    pub async fn get_at(&self, incident: Position) -> Result<StoredIncident, GetError> {
        let (ledger, reader) = (self.ledger(), self.reader().clone());
        let look_up = move || lookup::get_at(&ledger, &reader, incident);
        self.read(look_up).await.unwrap_or(Err(GetError::Busy))
    }

    /// Incidents recorded at some places, in one reading. Those that have ended meanwhile are left out.
    pub async fn get_all(&self, incidents: Vec<Position>) -> Result<Vec<StoredIncident>, GetError> {
        let (ledger, reader) = (self.ledger(), self.reader().clone());
        let look_up = move || {
            let places = incidents.into_iter();
            places
                .map(|place| lookup::get_at(&ledger, &reader, place))
                .filter(|found| !matches!(found, Err(GetError::NotFound)))
                .collect()
        };
        self.read(look_up).await.unwrap_or(Err(GetError::Busy))
    }

    /// Everything that the journal has of an incident, for whoever has its secret.
    pub async fn everything(
        &self,
        id: IncidentId,
        secret: &IncidentSecret,
    ) -> Result<Vec<Record>, GetError> {
        let kept = self.get(id, secret).await?;
        let (ledger, reader) = (self.ledger(), self.reader().clone());
        let look_up = move || lookup::records(&ledger, &reader, &kept);
        self.read(look_up).await.unwrap_or(Err(GetError::Busy))
    }

    /// Adds what came later. Says how the incident is kept then.
    pub async fn amend(
        &self,
        id: IncidentId,
        secret: &IncidentSecret,
        later: Later,
    ) -> Result<StoredIncident, CaseError> {
        for _ in 0..OUTDATED_TRIES_MAX {
            let kept = self.get(id, secret).await?;
            if kept.withdrawn || kept.erased.is_some() {
                return Err(CaseError::Gone);
            }
            let after = later.amended(&kept.facts).ok_or(CaseError::NoStaff)?;
            if after == kept.facts {
                return Ok(kept);
            }
            if AMENDMENTS_PER_CASE_MAX <= kept.amendments.len() {
                return Err(CaseError::Full);
            }
            self.check_way_back(kept.received)?;
            let amendment = Box::new(Amendment {
                id,
                row: kept.row,
                before: kept.facts,
                after,
            });
            if self.tell(Entry::Amended(amendment)).await?.is_some() {
                return Ok(self.get(id, secret).await?);
            }
        }
        Err(SubmitError::Busy.into())
    }

    /// Withdraws an incident; it counts no more. Again: changes nothing.
    pub async fn withdraw(&self, id: IncidentId, secret: &IncidentSecret) -> Result<(), CaseError> {
        for _ in 0..OUTDATED_TRIES_MAX {
            let StoredIncident {
                facts,
                row,
                withdrawn,
                received,
                ..
            } = self.get(id, secret).await?;
            if withdrawn {
                return Ok(());
            }
            self.check_way_back(received)?;
            let facts = Box::new(facts);
            let withdrawal = Entry::Withdrawn { id, facts, row };
            if self.tell(withdrawal).await?.is_some() {
                return Ok(());
            }
        }
        Err(SubmitError::Busy.into())
    }

    /// Erases the personal part of an incident, and the words of its answers. When this
    /// returns, no file of the journal has them. (Blocks that a file system freed when a segment was
    /// written anew are not looked for.) Again: changes nothing. Nor does it where `WAY_BACK_DAYS_MAX`
    /// are over and nothing is left to erase: what says so would outlive what it is about. Says how
    /// the incident is kept then.
    pub async fn erase(
        &self,
        id: IncidentId,
        secret: &IncidentSecret,
    ) -> Result<StoredIncident, CaseError> {
        for _ in 0..OUTDATED_TRIES_MAX {
            let kept = self.get(id, secret).await?;
            let is_over = self.check_way_back(kept.received).is_err();
            if kept.erased.is_some() || is_over && !kept.has_words() {
                return Ok(kept);
            }
            let incident = kept.position;
            drop(kept);
            self.tell(Entry::Erased { id, incident }).await?;
        }
        Err(SubmitError::Busy.into())
    }

    /// Answers the report recorded at a place, for its operator. Saying again what was said
    /// last changes nothing. Says how the incident is kept then.
    pub async fn respond(
        &self,
        incident: Position,
        reply: Reply,
    ) -> Result<StoredIncident, CaseError> {
        for _ in 0..OUTDATED_TRIES_MAX {
            let kept = self.get_at(incident).await?;
            if kept.withdrawn || kept.erased.is_some() {
                return Err(CaseError::Gone);
            }
            let is_said = |last: &StoredReply| {
                (last.state, last.reason, &last.message)
                    == (reply.state, reply.reason, &reply.message)
            };
            if kept.replies.last().is_some_and(is_said) {
                return Ok(kept);
            }
            if REPLIES_PER_CASE_MAX <= kept.replies.len() {
                return Err(CaseError::Full);
            }
            self.check_way_back(kept.received)?;
            let operator = kept.facts.operator.clone().ok_or(CaseError::NoOperator)?;
            let answer = Box::new(Answer {
                id: kept.facts.id,
                incident,
                operator,
                received: kept.received,
                time: kept.facts.time,
                state: reply.state,
                reason: reply.reason,
                message: reply.message.clone(),
                is_message_gone: false,
            });
            if self.tell(Entry::Answered(answer)).await?.is_some() {
                return Ok(self.get_at(incident).await?);
            }
        }
        Err(SubmitError::Busy.into())
    }

    /// What has come after the report recorded at a place, and after the one that it tells again,
    /// if its reporter may know that. Waits for a lock, briefly.
    pub fn marks(&self, incident: Position, earlier: Option<Position>) -> CaseMarks {
        let ledger = self.ledger();
        let state = ledger.read();
        let case = state.cases().get(incident);
        let is_erased = state.cases().is_erased(incident);
        let earlier = earlier.filter(|_| !is_erased);
        let earlier = earlier.and_then(|earlier| state.cases().get(earlier));
        let replies = |case: Option<&Case>| case.map_or(0, |case| case.replies.len());
        CaseMarks {
            amendments: case.map_or(0, |case| case.amendments.len()),
            replies: replies(case) + replies(earlier),
            is_withdrawn: state.is_withdrawn(incident),
            is_erased,
        }
    }

    /// Through where everything is durable and applied, as it rises.
    pub fn reached(&self) -> watch::Receiver<Position> {
        self.hub().reached()
    }

    /// What is told later is kept as long as a report, which must be gone in time all the same.
    fn check_way_back(&self, received: Stamp) -> Result<(), CaseError> {
        let now = self.ledger().read().stamp();
        let is_open = now.0 - received.0 <= WAY_BACK_DAYS_MAX * DAY_MS;
        is_open.then_some(()).ok_or(CaseError::Over)
    }

    /// Commits an entry about an incident; `None` if that changed meanwhile.
    async fn tell(&self, entry: Entry) -> Result<Option<Position>, SubmitError> {
        match self.decide(entry).await? {
            Decided::Committed { position, .. } | Decided::Repeated(position) => Ok(Some(position)),
            Decided::Outdated | Decided::Refused => Ok(None),
        }
    }
}
