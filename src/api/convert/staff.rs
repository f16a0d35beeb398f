//! What staff did: what is asked for, and what is said.

use std::time::Duration;

use super::figures::{parse_filter, parse_window};
use super::outage::to_days;
use super::rates::parse_level;
use super::to_number;
use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::question::Breakdown;
use crate::domain::taxonomy::{StaffAct, Taxonomy};
use crate::domain::{Basis, Question};
use crate::ledger::FOLD_VERSION;
use crate::query::citing::citation;
use crate::query::staff::{StaffDays, StaffFigures};
use crate::stats::interval::{Level, Proportion};
use crate::stats::staff::{StaffCounts, StaffShare};

/// What `GetStaffFigures` asks.
#[derive(Debug)]
pub struct StaffQuery {
    /// Which reports, without a breakdown.
    pub question: Question,
    /// How sure the intervals are to be.
    pub level: Level,
}

/// Checks what is asked.
pub fn parse_staff(request: &pb::GetStaffFiguresRequest) -> Result<StaffQuery, Violations> {
    let mut found = Violations::default();
    let at = Path::root("filter");
    let filter = parse_filter(at, request.filter.as_ref(), &mut found);
    if filter.basis == Basis::Observed {
        let rule = "must not be OBSERVED: devices tell nothing of staff";
        found.add(at.field("basis"), rule);
    }
    let window = parse_window(Path::root("window"), request.window.as_ref(), &mut found);
    let level = parse_level(Path::root("level"), request.level, &mut found);
    let query = window.zip(level).map(|(window, level)| StaffQuery {
        question: Question {
            filter,
            by: Breakdown::default(),
            window,
        },
        level,
    });
    found.finish(query)
}

/// What staff did.
pub fn to_staff(
    found: &StaffFigures,
    query: &StaffQuery,
    elapsed: Duration,
) -> pb::GetStaffFiguresResponse {
    let Question { filter, window, .. } = &query.question;
    let without = found.without.as_ref();
    pb::GetStaffFiguresResponse {
        figures: Some(to_figures(&found.all, query.level)),
        outage_days: to_days(&found.outages),
        without_outages: without.map(|days| to_figures(days, query.level)),
        level: query.level.get(),
        position: found.position.0,
        fold_version: FOLD_VERSION,
        citation: citation(filter, *window, found.position.0),
        effort: Some(pb::Effort {
            from_tallies: false,
            blocks_scanned: found.blocks,
            elapsed_micros: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        }),
    }
}

fn to_figures(found: &StaffDays, level: Level) -> pb::StaffFigures {
    let sum = found.sum();
    let share = |of: &dyn Fn(&StaffCounts) -> Option<Proportion>| {
        let share = StaffShare::over(found.days.values(), of, level)?;
        Some(to_share(&share))
    };
    let act = |act: &StaffAct| pb::StaffActShare {
        act: to_number(Some(*act)),
        share: share(&|counts| counts.share(*act)),
    };
    pb::StaffFigures {
        reports: found.total,
        acts_told: sum.acts_answered(),
        both_told: sum.both_answered(),
        help: share(&StaffCounts::help),
        harm: share(&StaffCounts::harm),
        promised: sum.promised(),
        promises_kept: share(&StaffCounts::promises_kept),
        acts: StaffAct::ALL.iter().map(act).collect(),
    }
}

fn to_share(share: &StaffShare) -> pb::StaffShare {
    let StaffShare { share, interval } = share;
    pb::StaffShare {
        count: share.successes(),
        base: share.trials(),
        value: share.estimate(),
        low: interval.low(),
        high: interval.high(),
        method: interval.method().key().to_owned(),
        dispersion: interval.dispersion().factor(),
        dispersion_days: interval.dispersion().days(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_of_a_request_for_staff_figures_is_told() {
        let check = |request: &pb::GetStaffFiguresRequest, expected: &[&str]| {
            let told = parse_staff(request).expect_err("refused").into_told();
            let fields: Vec<_> = told.into_iter().map(|one| one.field).collect();
            assert_eq!(fields, expected);
        };
        check(&pb::GetStaffFiguresRequest::default(), &["window"]);
        let wrong = pb::GetStaffFiguresRequest {
            filter: Some(pb::Filter {
                basis: pb::Basis::Observed.into(),
                ..pb::Filter::default()
            }),
            level: 0.2,
            ..pb::GetStaffFiguresRequest::default()
        };
        check(&wrong, &["filter.basis", "window", "level"]);
    }
}
