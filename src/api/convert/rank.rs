//! Rankings: what is asked for, and what is said.

use super::figures::{parse_filter, parse_window, to_dimension};
use super::outage::to_days;
use super::rates::{parse_feeds, parse_level, to_rate, to_used};
use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::Dimension;
use crate::domain::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use crate::ledger::FOLD_VERSION;
use crate::query::citing::citation_without_outages;
use crate::query::rates::{Places, RankAnswer, RankBy, RankWanted, RankedScope};
use crate::stats::ranking::{Prior, Ranked, Suspected};

/// What `RankScopes` asks.
#[derive(Debug)]
pub struct RankQuery {
    /// What is to be ranked.
    pub wanted: RankWanted,
    /// Most scopes in each list of the answer.
    pub rows: usize,
}

/// Checks what is to be ranked.
pub fn parse_rank(request: &pb::RankScopesRequest) -> Result<RankQuery, Violations> {
    let mut found = Violations::default();
    let filter = parse_filter(Path::root("filter"), request.filter.as_ref(), &mut found);
    let window = parse_window(Path::root("window"), request.window.as_ref(), &mut found);
    let by = match pb::Dimension::try_from(request.by) {
        Ok(pb::Dimension::Operator) => Some(RankBy::Operator),
        Ok(pb::Dimension::Line) => Some(RankBy::Line),
        Ok(pb::Dimension::Stop) => Some(RankBy::Stop),
        _ => None,
    };
    let by = found.some(Path::root("by"), by, "must be OPERATOR, LINE or STOP");
    let feeds = parse_feeds(Path::root("feeds"), &request.feeds, &mut found);
    let level = parse_level(Path::root("level"), request.level, &mut found);
    let rows = usize::try_from(request.limit).unwrap_or(usize::MAX);
    if PAGE_ROWS_MAX < rows {
        let rule = format_args!("must be at most {PAGE_ROWS_MAX}");
        found.add(Path::root("limit"), rule);
    }
    let wanted = by
        .zip(window)
        .zip(level)
        .map(|((by, window), level)| RankWanted {
            by,
            filter,
            window,
            feeds,
            level,
            leaves_out_outages: request.without_outages,
        });
    let query = wanted.map(|wanted| RankQuery {
        wanted,
        rows: if rows == 0 { PAGE_ROWS_DEFAULT } else { rows },
    });
    found.finish(query)
}

/// A ranking. `place` is how its caller is told the answer's position.
pub fn to_ranking(answer: &RankAnswer, query: &RankQuery, place: u64) -> pb::RankScopesResponse {
    let wanted = &query.wanted;
    let (level, rows) = (wanted.level, query.rows);
    let dimension = to_dimension(match wanted.by {
        RankBy::Operator => Dimension::Operator,
        RankBy::Line => Dimension::Line,
        RankBy::Stop => Dimension::Stop,
    });
    let to_scope = |scope: &RankedScope| pb::ScopeRate {
        key: Some(pb::Key {
            dimension,
            value: scope.key.clone(),
        }),
        rate: Some(to_rate(&scope.figure, level)),
        rests_on_few_days: scope.rests_on_few_days,
    };
    let to_scopes = |scopes: &[RankedScope]| scopes.iter().take(rows).map(to_scope).collect();
    let (verdict, prior, all, scopes) = match &answer.places {
        Places::TooFewScopes => (pb::RankingVerdict::TooFewScopes, None, 0, Vec::new()),
        Places::NoDifference => (pb::RankingVerdict::NoDifference, None, 0, Vec::new()),
        Places::Observed(prior, scopes) => {
            let to_one = |(scope, one): &(_, Ranked)| observed(to_scope(scope), one);
            let listed = scopes.iter().take(rows).map(to_one).collect();
            (
                pb::RankingVerdict::Shown,
                Some(*prior),
                scopes.len(),
                listed,
            )
        }
        Places::SelfReported(prior, scopes) => {
            let to_one = |(scope, one): &(_, Suspected)| self_reported(to_scope(scope), one);
            let listed = scopes.iter().take(rows).map(to_one).collect();
            (
                pb::RankingVerdict::Shown,
                Some(*prior),
                scopes.len(),
                listed,
            )
        }
    };
    let count = |count: usize| u32::try_from(count).expect("scopes are bounded, see limits");
    pb::RankScopesResponse {
        verdict: verdict.into(),
        scopes,
        scopes_ranked: count(all),
        scopes_enough: count(answer.enough),
        too_little: to_scopes(&answer.too_little),
        scopes_too_little: count(answer.too_little.len()),
        without_rate: to_scopes(&answer.without_rate),
        scopes_without_rate: count(answer.without_rate.len()),
        network_rate: answer.network_rate,
        spread: prior.as_ref().map(Prior::coefficient_of_variation),
        dispersion: answer.dispersion.factor(),
        level: level.get(),
        feeds: to_used(&answer.feeds),
        position: place,
        fold_version: FOLD_VERSION,
        citation: citation_without_outages(
            &wanted.filter,
            wanted.window,
            wanted.leaves_out_outages,
            place,
        ),
        outage_days: to_days(&answer.outages),
    }
}

fn observed(scope: pb::ScopeRate, one: &Ranked) -> pb::RankedScope {
    pb::RankedScope {
        scope: Some(scope),
        probability_above: one.probability_above,
        shrunken_rate: Some(one.shrunken_rate),
        low: Some(one.low),
        high: Some(one.high),
        expected_rank: Some(one.expected_rank),
        reversing_ratio: None,
    }
}

fn self_reported(scope: pb::ScopeRate, one: &Suspected) -> pb::RankedScope {
    pb::RankedScope {
        scope: Some(scope),
        probability_above: one.probability_above,
        reversing_ratio: Some(one.reversing_ratio),
        ..pb::RankedScope::default()
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;
    use crate::stats::interval::Level;

    #[test]
    fn every_wrong_field_of_a_request_to_rank_is_told() {
        let check = |request: pb::RankScopesRequest, expected: &[&str]| {
            let told = parse_rank(&request).expect_err("refused").into_told();
            let fields: Vec<_> = told.into_iter().map(|one| one.field).collect();
            assert_eq!(fields, expected);
        };
        check(pb::RankScopesRequest::default(), &["window", "by"]);
        let hour = |hour: i64| {
            Some(Timestamp {
                seconds: hour * 3_600,
                nanos: 0,
            })
        };
        let request = pb::RankScopesRequest {
            by: pb::Dimension::Line.into(),
            window: Some(pb::Window {
                start: hour(480_000),
                end: hour(480_024),
            }),
            ..pb::RankScopesRequest::default()
        };
        let parsed = parse_rank(&request).expect("accepted");
        assert_eq!(parsed.wanted.level, Level::P95);
        assert_eq!(parsed.rows, PAGE_ROWS_DEFAULT);
        let wrong = pb::RankScopesRequest {
            by: pb::Dimension::Mode.into(),
            feeds: vec!["GVB".into()],
            level: 1.0,
            limit: 10_001,
            ..request
        };
        check(wrong, &["by", "feeds[0]", "level", "limit"]);
    }
}
