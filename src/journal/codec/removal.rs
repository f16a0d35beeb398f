//! What is left of an entry when something of it is taken away, in as many bytes as before.

use prost::Message;
use prost::encoding::WireType;

use super::kind::{TAP_COUNTS, kind_of};
use super::{CodecError, taps, wire};
use crate::domain::entry::Removal;
use crate::domain::{Entry, LocalDay};

use wire::entry::Kind;

/// The fields of a personal part for what was removed from it.
const PSEUDONYMS_REMOVED: u32 = 17;
const WORDS_REMOVED: u32 = 18;
const DIGEST_REMOVED: u32 = 20;
/// The field of the personal part of an answer for the message that was removed.
const MESSAGE_REMOVED: u32 = 2;

/// What is left of an entry of tap counts all of which are of days before one; `None` if any is
/// not, if there are no counts in it, or if it is another entry. What declared its feed is left
/// as the declaration.
pub(in crate::journal) fn without_taps(
    facts: &[u8],
    before: LocalDay,
    declares_feed: bool,
) -> Result<Option<Entry>, CodecError> {
    if kind_of(facts) != Some(TAP_COUNTS) {
        return Ok(None);
    }
    let Some(Kind::TapCounts(mut counts)) = wire::Entry::decode(facts)?.kind else {
        return Ok(None);
    };
    let ends = counts.days.iter().all(|day| day.day < before.0);
    Ok(match ends && !counts.days.is_empty() {
        true if declares_feed => {
            counts.days.clear();
            Some(Entry::TapCounts(Box::new(taps::parse(counts)?)))
        }
        true => Some(Entry::Gone),
        false => None,
    })
}

/// What is left of the personal part of an entry without some of it, in as many bytes; `None`
/// if there is nothing of it to take away. Incidents have words and pseudonyms, answers have words.
pub(in crate::journal) fn without(
    facts: &[u8],
    personal: &[u8],
    removal: Removal,
) -> Result<Option<Vec<u8>>, CodecError> {
    match wire::Entry::decode(facts)?.kind {
        Some(Kind::Incident(_)) => without_of_incident(personal, removal),
        Some(Kind::Answered(_)) if removal == Removal::Words => without_message(personal),
        _ => Ok(None),
    }
}

/// The same of an answer: nothing is left but that there was a message.
fn without_message(personal: &[u8]) -> Result<Option<Vec<u8>>, CodecError> {
    if wire::AnsweredPersonal::decode(personal)?.message.is_empty() {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(personal.len());
    push_removed(&mut bytes, MESSAGE_REMOVED, personal.len());
    Ok(Some(bytes))
}

fn without_of_incident(personal: &[u8], removal: Removal) -> Result<Option<Vec<u8>>, CodecError> {
    let before = wire::IncidentPersonal::decode(personal)?;
    let mut left = before.clone();
    let field = match removal {
        Removal::All => return Ok(None),
        Removal::Words => {
            // Else the words could be found out by trying.
            left.content_digest.clear();
            let mut had_words = false;
            for words in [
                &mut left.display_text,
                &mut left.operator_words,
                &mut left.line_words,
                &mut left.direction_words,
                &mut left.stop_words,
                &mut left.note,
            ] {
                had_words |= !words.is_empty();
                words.clear();
            }
            match had_words {
                true => WORDS_REMOVED,
                false => DIGEST_REMOVED,
            }
        }
        Removal::Pseudonyms { key_period } => {
            if left.key_period <= key_period {
                left.card_pseudonym.clear();
                left.installation_pseudonym.clear();
            }
            PSEUDONYMS_REMOVED
        }
    };
    // What is taken away once is not there a second time: each field is written once.
    if left == before {
        return Ok(None);
    }
    let mut bytes = left.encode_to_vec();
    push_removed(&mut bytes, field, personal.len());
    Ok(Some(bytes))
}

/// Fills a personal part up to so many bytes, at least three more than it has, with zeros in
/// a field for what was removed.
fn push_removed(bytes: &mut Vec<u8>, field: u32, length: usize) {
    const SHORT_MAX: usize = 127;
    prost::encoding::encode_key(field, WireType::LengthDelimited, bytes);
    let gap = length - bytes.len();
    if gap - 1 <= SHORT_MAX {
        bytes.push(u8::try_from(gap - 1).expect("at most 127"));
    } else {
        // In two bytes, also where one would do: it must come out even.
        let zeros = gap - 2;
        bytes.push(u8::try_from(zeros & SHORT_MAX).expect("seven bits") | 0x80);
        bytes.push(u8::try_from(zeros >> 7).expect("a record is smaller than 16 KiB"));
    }
    bytes.resize(length, 0);
}
