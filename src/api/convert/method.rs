//! The method, as the API tells it.

use super::to_timestamp;
use crate::api::pb::v1 as pb;
use crate::domain::UtcMillis;
use crate::domain::method::{Break, METHOD};
use crate::ledger::FOLD_VERSION;
use crate::query::method::{Method, Parameter, Section};

/// The method, and since when the record counts.
pub fn to_method(method: &Method, since: Option<UtcMillis>) -> pb::DescribeMethodResponse {
    let to_section = |section: &Section| pb::MethodSection {
        key: section.key.to_owned(),
        title: section.title.to_owned(),
        text: section.text.clone(),
    };
    let to_parameter = |parameter: &Parameter| pb::MethodParameter {
        key: parameter.key.to_owned(),
        value: parameter.value,
        meaning: parameter.meaning.to_owned(),
    };
    let to_break = |one: &Break| pb::MethodBreak {
        since: one.since.to_owned(),
        what: one.what.to_owned(),
    };
    pb::DescribeMethodResponse {
        method_version: METHOD,
        fold_version: FOLD_VERSION,
        sections: method.sections.iter().map(to_section).collect(),
        parameters: method.parameters.iter().map(to_parameter).collect(),
        breaks: method.breaks.iter().map(to_break).collect(),
        counted_since: since.map(to_timestamp),
    }
}
