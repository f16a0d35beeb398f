//! Editions.

use super::figures::{check_token, parse_page_size};
use super::to_timestamp;
use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::limits::{EDITION_ROWS_PER_PAGE_DEFAULT, EDITION_ROWS_PER_PAGE_MAX};
use crate::domain::{LocalMonth, UtcMillis};
use crate::edition::format::{Edition, Row, citation, path};
use crate::edition::library::{Closed, Held};
use crate::edition::month;

/// What `GetEdition` asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditionQuery {
    /// Of which month.
    pub month: LocalMonth,
    /// Only of this operator, unless empty.
    operator_code: String,
    /// Only of this dimension, unless empty.
    dimension: String,
    /// Rows of the page.
    rows: usize,
    /// Rows before the page.
    skip: usize,
}

/// Checks what is asked.
pub fn parse_get_edition(request: pb::GetEditionRequest) -> Result<EditionQuery, Violations> {
    let mut found = Violations::default();
    let month = month::parse(&request.month);
    let month = found.some(Path::root("month"), month, "must be a month, as in 2026-10");
    let rows = parse_page_size(
        request.page_size,
        EDITION_ROWS_PER_PAGE_DEFAULT,
        EDITION_ROWS_PER_PAGE_MAX,
        &mut found,
    );
    let token = Path::root("page_token");
    check_token(token, request.page_token.len(), &mut found);
    // An edition never changes, so a place in it is enough of a token.
    let skip = match request.page_token.as_str() {
        "" => Some(0),
        token => token.parse().ok(),
    };
    let skip = found.some(token, skip, "must come from an earlier answer");
    let query = month.zip(skip).map(|(month, skip)| EditionQuery {
        month,
        operator_code: request.operator_code,
        dimension: request.dimension,
        rows,
        skip,
    });
    found.finish(query)
}

/// All editions.
pub fn to_editions(closed: &[Closed]) -> pb::ListEditionsResponse {
    pb::ListEditionsResponse {
        editions: closed.iter().map(to_edition).collect(),
    }
}

/// A page of an edition.
pub fn to_edition_page(held: &Held, query: &EditionQuery) -> pb::GetEditionResponse {
    let is_asked = |row: &&Row| {
        let is_operator = row.operator_code == query.operator_code;
        let is_dimension = row.dimension == query.dimension;
        (is_operator || query.operator_code.is_empty())
            && (is_dimension || query.dimension.is_empty())
    };
    let edition = &held.edition;
    let mut asked = edition.rows.iter().filter(is_asked).skip(query.skip);
    let rows: Vec<_> = asked
        .by_ref()
        .take(query.rows)
        .map(|row| to_row(row, &edition.month, edition.method))
        .collect();
    let next = asked.next().map(|_| query.skip + rows.len());
    pb::GetEditionResponse {
        edition: Some(to_edition(&held.closed)),
        rows,
        next_page_token: next.map_or_else(String::new, |next| next.to_string()),
        left_out: edition.left_out,
        too_late: edition.too_late,
        network_versions: edition.networks.clone(),
        outage_days: to_outages(edition),
        counted_since: edition.counted_since.as_deref().and_then(parse_time),
    }
}

fn to_outages(edition: &Edition) -> Vec<pb::OutageDay> {
    let days = edition.outages.iter();
    days.map(|one| pb::OutageDay {
        day: one.day.clone(),
        operator_code: one.operator_code.clone(),
    })
    .collect()
}

fn parse_time(text: &str) -> Option<prost_types::Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(to_timestamp(UtcMillis(at.as_millisecond())))
}

fn to_edition(closed: &Closed) -> pb::Edition {
    let month = closed.month.to_string();
    let path = path(&month);
    pb::Edition {
        closed_at: Some(to_timestamp(month::closes_at(closed.month))),
        sha256: closed.hash.to_string(),
        position: closed.position.0,
        method_version: closed.method,
        citation: citation(&month, closed.method, closed.hash, &path),
        path,
        month,
    }
}

fn to_row(row: &Row, month: &str, method: u32) -> pb::EditionRow {
    let row = row.clone();
    pb::EditionRow {
        basis: row.basis,
        period_start: row.period_start,
        period_end: row.period_end,
        operator_code: row.operator_code,
        dimension: row.dimension,
        source: row.source,
        key: row.key,
        answer: row.answer,
        flag: row.flag,
        count: row.count,
        taps: row.taps,
        denominator_source: row.denominator_source,
        coverage: row.coverage,
        rate: row.rate,
        unit: row.unit,
        low: row.low,
        high: row.high,
        interval_method: row.interval_method,
        no_rate: row.no_rate,
        edition: month.to_owned(),
        method_version: method,
    }
}

/// A row as its edition has it, for clients.
pub fn from_row(row: &pb::EditionRow) -> Row {
    let row = row.clone();
    Row {
        basis: row.basis,
        period_start: row.period_start,
        period_end: row.period_end,
        operator_code: row.operator_code,
        dimension: row.dimension,
        source: row.source,
        key: row.key,
        answer: row.answer,
        flag: row.flag,
        count: row.count,
        taps: row.taps,
        denominator_source: row.denominator_source,
        coverage: row.coverage,
        rate: row.rate,
        unit: row.unit,
        low: row.low,
        high: row.high,
        interval_method: row.interval_method,
        no_rate: row.no_rate,
    }
}
