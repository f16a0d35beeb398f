//! Values of single fields: what is not known, or out of its range, is an error.

use std::str::FromStr;

use super::CodecError;
use crate::domain::taxonomy::{SetOf, Taxonomy};
use crate::domain::{ContentDigest, Hour, IncidentId, LocalDay, Pseudonym, RowTime};

pub(super) fn id_bytes(id: Option<&str>) -> &[u8] {
    id.unwrap_or_default().as_bytes()
}

pub(super) fn pseudonym_bytes(pseudonym: Option<&Pseudonym>) -> &[u8] {
    pseudonym.map_or(&[], |pseudonym| &pseudonym.0)
}

pub(super) fn digest_bytes(digest: Option<&ContentDigest>) -> &[u8] {
    digest.map_or(&[], |digest| &digest.0)
}

pub(super) fn parse_id(bytes: &[u8]) -> Result<IncidentId, CodecError> {
    const FIELD: &str = "incident_id";
    IncidentId::from_bytes(fixed(bytes, FIELD)?).ok_or(CodecError::Field(FIELD))
}

pub(super) fn parse_time(hour: Option<u32>, day: Option<i32>) -> Result<RowTime, CodecError> {
    match (hour, day) {
        (Some(hour), None) => Ok(RowTime::Hour(Hour(hour))),
        (None, Some(day)) => Ok(RowTime::Day(LocalDay(day))),
        _ => Err(CodecError::Field("hour")),
    }
}

pub(super) fn value<T: Taxonomy>(
    number: u32,
    field: &'static str,
) -> Result<Option<T>, CodecError> {
    if number == 0 {
        return Ok(None);
    }
    let known = u8::try_from(number).ok().and_then(T::from_number);
    known.map(Some).ok_or(CodecError::Field(field))
}

pub(super) fn set<T: Taxonomy>(bits: u32, field: &'static str) -> Result<SetOf<T>, CodecError> {
    let bits = u16::try_from(bits).map_err(|_| CodecError::Field(field))?;
    let set = SetOf::from_bits(bits);
    if set.bits() == bits {
        Ok(set)
    } else {
        Err(CodecError::Field(field))
    }
}

pub(super) fn fixed<const N: usize>(
    bytes: &[u8],
    field: &'static str,
) -> Result<[u8; N], CodecError> {
    bytes.try_into().map_err(|_| CodecError::Field(field))
}

pub(super) fn optional_bytes<const N: usize>(
    bytes: &[u8],
    field: &'static str,
) -> Result<Option<[u8; N]>, CodecError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    fixed(bytes, field).map(Some)
}

pub(super) fn optional_id<T: FromStr>(
    text: &str,
    field: &'static str,
) -> Result<Option<T>, CodecError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| CodecError::Field(field))
}

pub(super) fn ids<T: FromStr>(texts: &[String], field: &'static str) -> Result<Vec<T>, CodecError> {
    texts
        .iter()
        .map(|text| text.parse().map_err(|_| CodecError::Field(field)))
        .collect()
}
