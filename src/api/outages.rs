//! Outages that stewards declare and withdraw.

use super::access::check_asked;
use super::cases::Desk;
use super::convert::figures::parse_ids;
use super::convert::outage::{parse_outage, to_change, to_days};
use super::convert::violation::{Path, Violations};
use super::pb::v1 as pb;
use super::status::Problem;
use crate::auth::Principal;
use crate::domain::time::{END_DAY, FIRST_DAY};
use crate::domain::{LocalDay, OperatorCode, Outage, OutageChange, OutageDay, Outages, Position};

impl Desk {
    /// Declares an outage, or withdraws it, and says where; 0 if that changes nothing.
    pub async fn change_outage(
        &self,
        outage: Option<&pb::Outage>,
        is_withdrawal: bool,
    ) -> Result<u64, Problem> {
        let outage = parse_outage(outage)?;
        self.check_operator(outage.operator())?;
        if !changes(self.ledger.read().outages(), &outage, is_withdrawal) {
            return Ok(0);
        }
        let change = OutageChange {
            outage,
            is_withdrawal,
        };
        let position = self.ingest.note_outage(change).await?;
        position.map_or_else(|| Err(Problem::too_many_outages()), |at| Ok(at.0))
    }

    /// An operator that neither the network nor the record has is one mistyped.
    fn check_operator(&self, operator: Option<&OperatorCode>) -> Result<(), Problem> {
        let is_known = operator.is_none_or(|code| {
            let state = self.ledger.read();
            let is_recorded = state.dictionary().operator_number(code.as_str()).is_some();
            is_recorded || self.ingest.network().operator(code.as_str()).is_some()
        });
        if is_known {
            return Ok(());
        }
        let at = Path::root("outage");
        let rule = "must be an operator of the network";
        Err(Violations::one(at.field("operator_code"), rule).into())
    }

    /// The days that are declared, and all that was told.
    pub fn outages(
        &self,
        caller: &Principal,
        request: &pb::ListOutagesRequest,
    ) -> Result<pb::ListOutagesResponse, Problem> {
        let mut found = Violations::default();
        let at = Path::root("operators");
        let operators: Vec<OperatorCode> = parse_ids(at, &request.operators, &mut found);
        found.finish(Some(()))?;
        check_asked(caller, at, &operators)?;
        let is_wanted =
            |operator: &OperatorCode| operators.is_empty() || operators.contains(operator);
        let outages = self.ledger.read().outages().clone();
        let told = outages.told().iter();
        let told = told.filter(|told| told.change.outage.operator().is_none_or(is_wanted));
        Ok(pb::ListOutagesResponse {
            days: to_days(&days(&outages, FIRST_DAY..=END_DAY, is_wanted)),
            changes: told
                .map(|told| to_change(told, caller.sees_places()))
                .collect(),
        })
    }
}

fn days(
    outages: &Outages,
    range: std::ops::RangeInclusive<LocalDay>,
    wants: impl Fn(&OperatorCode) -> bool,
) -> Vec<OutageDay> {
    outages.days(Position(u64::MAX), range, wants)
}

/// Whether any day becomes another thing than it was.
fn changes(outages: &Outages, outage: &Outage, is_withdrawal: bool) -> bool {
    let range = outage.first()..=outage.last();
    let declared = days(outages, range, |code| Some(code) == outage.operator());
    let own = declared
        .iter()
        .filter(|one| one.operator.as_ref() == outage.operator());
    let all = outage.last().0 - outage.first().0 + 1;
    if is_withdrawal {
        own.count() != 0
    } else {
        i32::try_from(own.count()) != Ok(all)
    }
}
