//! Receipts: what was told, when it was received, and where it is kept, signed so that anybody
//! can check it without asking.
//!
//! A receipt is a JWS in compact form (RFC 7515) with an Ed25519 signature (RFC 8037). It is
//! made anew whenever it is asked for, from the journal's entry and nothing else, and so has
//! the same bytes each time: Ed25519 draws no random number, and the key is the one that was
//! in use when the report was received. Words are not kept as long as facts are. Once they are
//! gone, a receipt says so (`words`, `personal_part`: `kept no longer`), and what it tells is
//! less; nobody can take it for one that contradicts the first. It holds no card number, no pseudonym, no note and
//! nothing that staff did; those are covered by a salted digest, so that its holder can prove
//! them, and nobody else can guess them.
//!
//! Keys lie in a file of their own and are kept for ever: without the old ones, old receipts
//! could be neither checked nor made again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::KeyError;
use super::keys::{read_checked, write_aside};
use crate::domain::limits::{RECEIPT_BYTES_MAX, RECEIPT_KEYS_BYTES_MAX};
use crate::domain::taxonomy::{Outcome, SetOf, Taxonomy, TimePrecision};
use crate::domain::{Facts, IncidentId, Personal, Position, RowTime, Stamp, UtcMillis};

const FILE_NAME: &str = "receipt-keys";
const FIRST_LINE: &str = "mistap receipt keys 1";
/// Version of what a receipt holds.
const CLAIMS_VERSION: u32 = 1;
const ISSUER: &str = "mistap";
const KEPT_NO_LONGER: &str = "kept no longer";
const TYPE: &str = "mistap-receipt+jws";
const SALT_DOMAIN: &[u8] = b"mistap receipt salt 1";

/// The signing keys of a data folder.
pub struct ReceiptKeys {
    /// By the time from which on they sign, rising; never empty.
    keys: BTreeMap<i64, Key>,
}

struct Key {
    id: String,
    signing: SigningKey,
}

/// A report as it was told, for its receipt.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// What is counted, as it was told.
    pub facts: &'a Facts,
    /// All else; `None` if it is kept no longer.
    pub personal: Option<&'a Personal>,
    /// Its place in the journal.
    pub position: Position,
    /// When it became durable.
    pub received: Stamp,
}

/// That a report was erased.
#[derive(Clone, Copy, Debug)]
pub struct Erasure {
    /// Which incident.
    pub id: IncidentId,
    /// Where it was recorded.
    pub position: Position,
    /// When it was received.
    pub received: Stamp,
    /// Place of the erasure in the journal.
    pub erased_at: Position,
    /// When it was erased.
    pub erased: Stamp,
}

/// A receipt, and what its holder needs to prove more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The JWS.
    pub jws: String,
    /// What the digest in it begins with, in base64url.
    pub salt: String,
    /// What the digest covers after the salt: JSON, all that was told but the card.
    pub digested: String,
}

/// A key that checks receipts.
pub struct PublicKey {
    id: String,
    key: VerifyingKey,
}

/// Why a text is no receipt that can be trusted. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReceipt {
    /// Not three parts in base64url, or not JSON in them.
    #[error("it is no receipt in the compact form of JWS")]
    Malformed,
    /// Signed in another way.
    #[error("it is not signed with EdDSA")]
    Algorithm,
    /// Of another instance, or the file of keys is too old.
    #[error("none of the keys has signed it")]
    UnknownKey,
    /// Changed after it was signed.
    #[error("its signature is wrong: it was changed, or made up")]
    Signature,
}

/// Why a file of public keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no JWK Set with Ed25519 keys")]
pub struct InvalidKeySet;

// === impl ReceiptKeys ===

impl ReceiptKeys {
    /// Opens `folder/receipt-keys`; makes it, with one key, at the first start.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(FILE_NAME);
        match File::open(&path) {
            Ok(file) => {
                let text = read_checked(&path, file, RECEIPT_KEYS_BYTES_MAX)?;
                let keys = parse(&text).map_err(|line| KeyError::Malformed { path, line })?;
                Ok(Self { keys })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut keys = Self {
                    keys: BTreeMap::new(),
                };
                keys.add(folder, UtcMillis(0))?;
                Ok(keys)
            }
            Err(source) => Err(KeyError::Io { path, source }),
        }
    }

    /// Whether the folder has a file of them.
    pub fn exist(folder: &Path) -> bool {
        folder.join(FILE_NAME).exists()
    }

    /// Makes another key, which signs what is received from a time on, or from right after the
    /// last key came into use if that is later: every key that was made stays the one of its time.
    /// Returns from when on it signs. Not while another process signs with this folder's keys.
    pub fn add(&mut self, folder: &Path, from: UtcMillis) -> Result<UtcMillis, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(KeyError::Random)?;
        let last = self.keys.last_key_value();
        let from = last.map_or(from.0, |(last, _)| from.0.max(last.saturating_add(1)));
        self.keys.insert(from, Key::new(&seed));
        let path = folder.join(FILE_NAME);
        let written = write_aside(&path, &format_keys(&self.keys));
        written.map_err(|source| KeyError::Io { path, source })?;
        Ok(UtcMillis(from))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// All public keys as a JWK Set (RFC 7517), for `/.well-known/jwks.json`.
    pub fn jwks(&self) -> String {
        let keys = self.keys.values().map(|key| {
            json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "x": URL_SAFE_NO_PAD.encode(key.signing.verifying_key().as_bytes()),
                "kid": key.id,
                "use": "sig",
                "alg": "EdDSA",
            })
        });
        json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }

    /// The receipt of a report.
    pub fn report(&self, report: &Reported) -> Receipt {
        let key = self.key_at(report.received);
        let salt = key.salt(&report.facts.id);
        let digested = Value::Object(all_told(report)).to_string();
        let digest = Sha256::new()
            .chain_update(salt)
            .chain_update(&digested)
            .finalize();
        let mut claims = claims("report", report.facts.id, report.position, report.received);
        put(&mut claims, "occurred_at", occurred(report));
        put(&mut claims, "precision", json!(precision(report).key()));
        put(&mut claims, "told", Value::Object(shown(report)));
        put(&mut claims, "digest", json!(URL_SAFE_NO_PAD.encode(digest)));
        if report.facts.own_earlier().is_some() {
            put(&mut claims, "same_as_earlier", json!(true));
        }
        match report.personal {
            None => put(&mut claims, "personal_part", json!(KEPT_NO_LONGER)),
            Some(personal) if personal.words_removed => {
                put(&mut claims, "words", json!(KEPT_NO_LONGER));
            }
            Some(_) => {}
        }
        Receipt {
            jws: key.sign(&Value::Object(claims)),
            salt: URL_SAFE_NO_PAD.encode(salt),
            digested,
        }
    }

    /// The receipt of an erasure: it says that there was a report, and that it is gone.
    pub fn erasure(&self, erasure: &Erasure) -> Receipt {
        let mut claims = claims("erasure", erasure.id, erasure.position, erasure.received);
        put(&mut claims, "erased_at", json!(erasure.erased.to_string()));
        put(&mut claims, "erased_position", json!(erasure.erased_at.0));
        Receipt {
            jws: self.key_at(erasure.erased).sign(&Value::Object(claims)),
            salt: String::new(),
            digested: String::new(),
        }
    }

    /// The key in use at a time; the first for all times before it.
    fn key_at(&self, at: UtcMillis) -> &Key {
        let before = self.keys.range(..=at.0).next_back();
        let (_, key) = before
            .or_else(|| self.keys.first_key_value())
            .expect("there is one from the beginning on");
        key
    }
}

impl Key {
    fn new(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let x = URL_SAFE_NO_PAD.encode(signing.verifying_key().as_bytes());
        // The thumbprint of RFC 7638: members in this order, without spaces.
        let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(thumbprint));
        Self { id, signing }
    }

    /// The same for the same incident, and unknown to whoever lacks the key.
    fn salt(&self, id: &IncidentId) -> [u8; 16] {
        let digest = Sha256::new()
            .chain_update(SALT_DOMAIN)
            .chain_update(self.signing.as_bytes())
            .chain_update(id.as_bytes())
            .finalize();
        let mut salt = [0; 16];
        salt.copy_from_slice(&digest[..16]);
        salt
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.id, "typ": TYPE });
        let mut jws = URL_SAFE_NO_PAD.encode(header.to_string());
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut jws);
        let signature = self.signing.sign(jws.as_bytes());
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.to_bytes(), &mut jws);
        jws
    }
}

/// The public keys of a JWK Set. Keys of other kinds are left out.
pub fn parse_jwks(text: &str) -> Result<Vec<PublicKey>, InvalidKeySet> {
    let set: Value = serde_json::from_str(text).map_err(|_| InvalidKeySet)?;
    let keys = set["keys"].as_array().ok_or(InvalidKeySet)?;
    let key = |jwk: &Value| {
        if jwk["crv"] != "Ed25519" {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(jwk["x"].as_str()?).ok()?;
        let key = VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok()?;
        let id = jwk["kid"].as_str()?.to_owned();
        Some(PublicKey { id, key })
    };
    let keys: Vec<PublicKey> = keys.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Err(InvalidKeySet);
    }
    Ok(keys)
}

/// Checks a receipt against public keys, and says what it holds.
pub fn verify(jws: &str, keys: &[PublicKey]) -> Result<Value, InvalidReceipt> {
    let jws = jws.trim();
    if RECEIPT_BYTES_MAX < jws.len() {
        return Err(InvalidReceipt::Malformed);
    }
    let (signed, signature) = jws.rsplit_once('.').ok_or(InvalidReceipt::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(InvalidReceipt::Malformed)?;
    let header = decode_json(header)?;
    let claims = decode_json(claims)?;
    if header["alg"] != "EdDSA" {
        return Err(InvalidReceipt::Algorithm);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).ok();
    let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
    let signature = signature.ok_or(InvalidReceipt::Malformed)?;
    let key = keys.iter().find(|key| header["kid"] == key.id.as_str());
    let key = key.ok_or(InvalidReceipt::UnknownKey)?;
    let checked = key.key.verify_strict(signed.as_bytes(), &signature);
    checked.map_err(|_| InvalidReceipt::Signature)?;
    Ok(claims)
}

fn decode_json(part: &str) -> Result<Value, InvalidReceipt> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok();
    let value = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.ok_or(InvalidReceipt::Malformed)
}

// === What a receipt says ===

fn claims(kind: &str, id: IncidentId, position: Position, received: Stamp) -> Map<String, Value> {
    let mut claims = Map::new();
    put(&mut claims, "iss", json!(ISSUER));
    put(&mut claims, "v", json!(CLAIMS_VERSION));
    put(&mut claims, "kind", json!(kind));
    put(&mut claims, "incident_id", json!(id.to_string()));
    put(&mut claims, "position", json!(position.0));
    put(&mut claims, "received_at", json!(received.to_string()));
    claims
}

/// As finely as it is kept.
fn precision(report: &Reported) -> TimePrecision {
    match (report.personal, report.facts.time) {
        (Some(_), _) => report.facts.precision,
        (None, RowTime::Hour(_)) => TimePrecision::Hour,
        (None, RowTime::Day(_)) => TimePrecision::Day,
    }
}

fn occurred(report: &Reported) -> Value {
    match (precision(report), report.personal, report.facts.time) {
        (TimePrecision::Exact, Some(personal), _) => json!(personal.occurred.to_string()),
        (_, _, RowTime::Hour(hour)) => json!(hour.start().to_string()),
        (_, _, RowTime::Day(day)) => json!(day.to_string()),
    }
}

/// What stands in the receipt in clear: nothing that staff did, because whoever it is shown
/// to may be their employer.
fn shown(report: &Reported) -> Map<String, Value> {
    let facts = report.facts;
    let mut told = Map::new();
    choice(&mut told, "mode", facts.mode);
    choice(&mut told, "tap_kind", facts.tap_kind);
    let operator = facts.operator.as_ref().map(|code| code.as_str());
    put(&mut told, "operator", json!(operator));
    put(
        &mut told,
        "line",
        json!(facts.line.as_ref().map(|line| line.as_str())),
    );
    put(
        &mut told,
        "stop",
        json!(facts.stop.as_ref().map(|stop| stop.as_str())),
    );
    choice(&mut told, "reader_kind", facts.reader_kind);
    choice(&mut told, "signal", facts.signal);
    if facts.found_later {
        put(&mut told, "found_later", json!(true));
    }
    if 0 < facts.attempts {
        put(&mut told, "attempts", json!(facts.attempts));
    }
    choice(&mut told, "others_got_through", facts.others_got_through);
    choice(&mut told, "worked_later", facts.worked_later);
    choice(&mut told, "card_kind", facts.card_kind);
    // A free ride is somebody's kindness.
    let outcomes = facts.outcomes.iter();
    let outcomes = outcomes.filter(|outcome| *outcome != Outcome::FreeRide);
    choices(&mut told, "outcomes", outcomes.collect());
    choice(&mut told, "extra_cost", facts.extra_cost);
    if let Some(personal) = report.personal {
        for (name, words) in [
            ("operator_words", &personal.operator_words),
            ("line_words", &personal.line_words),
            ("direction", &personal.direction_words),
            ("stop_words", &personal.stop_words),
            ("vehicle", &personal.vehicle),
            ("display_text", &personal.display_text),
        ] {
            put(&mut told, name, json!(words.as_str()));
        }
    }
    told
}

/// All that was told, but the card and the installation.
fn all_told(report: &Reported) -> Map<String, Value> {
    let facts = report.facts;
    let mut told = shown(report);
    let claims = facts.cause_claims.iter();
    let claims = claims.map(|claim| format!("{}:{}", claim.cause.key(), claim.source.key()));
    put(&mut told, "cause_claims", claims.collect());
    choice(&mut told, "staff_present", facts.staff_present);
    choices(&mut told, "staff_acts", facts.staff_acts);
    choice(&mut told, "staff_minutes", facts.staff_minutes);
    choices(&mut told, "outcomes", facts.outcomes);
    if let Some(personal) = report.personal {
        put(&mut told, "note", json!(personal.note.as_str()));
    }
    told
}

/// Adds a value, unless nothing was said.
pub fn put(all: &mut Map<String, Value>, name: &str, value: Value) {
    let is_empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if !is_empty {
        all.insert(name.to_owned(), value);
    }
}

fn choice<T: Taxonomy>(all: &mut Map<String, Value>, name: &str, value: Option<T>) {
    put(all, name, json!(value.map(T::key)));
}

fn choices<T: Taxonomy>(all: &mut Map<String, Value>, name: &str, set: SetOf<T>) {
    put(all, name, set.iter().map(T::key).collect());
}

// === The file of keys ===

/// The keys, or the line that is wrong.
fn parse(text: &str) -> Result<BTreeMap<i64, Key>, usize> {
    let mut lines = text.lines().zip(1..);
    match lines.next() {
        Some((FIRST_LINE, _)) => {}
        _ => return Err(1),
    }
    let mut keys = BTreeMap::new();
    for (line, number) in lines {
        let (from, key) = parse_key(line).ok_or(number)?;
        if keys.insert(from, key).is_some() {
            return Err(number);
        }
    }
    if keys.is_empty() { Err(2) } else { Ok(keys) }
}

fn parse_key(line: &str) -> Option<(i64, Key)> {
    let (from, seed) = line.strip_prefix("from ")?.split_once(' ')?;
    let mut bytes = Zeroizing::new([0; 32]);
    let length = URL_SAFE_NO_PAD.decode_slice(seed, bytes.as_mut()).ok()?;
    (length == bytes.len()).then_some(())?;
    Some((from.parse().ok()?, Key::new(&bytes)))
}

fn format_keys(keys: &BTreeMap<i64, Key>) -> Zeroizing<String> {
    const LINE_BYTES_MAX: usize = 80;
    // Room from the beginning: a text that grows would leave copies behind.
    let room = (1 + keys.len()) * LINE_BYTES_MAX;
    let mut text = Zeroizing::new(String::with_capacity(room));
    writeln!(text, "{FIRST_LINE}").expect("a string takes any text");
    for (from, key) in keys {
        write!(text, "from {from} ").expect("a string takes any text");
        URL_SAFE_NO_PAD.encode_string(key.signing.as_bytes(), &mut text);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::LocalDay;
    use crate::domain::taxonomy::{Signal, StaffAct};
    use crate::domain::testing::{blank_facts, id_of, personal};

    const RECEIVED: UtcMillis = UtcMillis(1_795_442_400_000);

    fn facts() -> Facts {
        let hour = RECEIVED.hour().expect("supported");
        Facts {
            signal: Some(Signal::RedBeep),
            staff_acts: [StaffAct::LetRideFree].into_iter().collect(),
            outcomes: [Outcome::FreeRide].into_iter().collect(),
            ..blank_facts(id_of([7; 16]), RowTime::Hour(hour), TimePrecision::Exact)
        }
    }

    fn words() -> Personal {
        Personal {
            line_words: "10".into(),
            note: "ach, meisje".into(),
            ..personal(UtcMillis(RECEIVED.0 - 60_000))
        }
    }

    fn reported<'a>(facts: &'a Facts, personal: Option<&'a Personal>) -> Reported<'a> {
        Reported {
            facts,
            personal,
            position: Position(42),
            received: RECEIVED,
        }
    }

    fn keys() -> (tempfile::TempDir, ReceiptKeys) {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = ReceiptKeys::open(folder.path()).expect("made");
        (folder, keys)
    }

    #[test]
    fn receipt_is_the_same_each_time_and_after_a_restart_and_another_key() {
        let (folder, mut keys) = keys();
        let (facts, personal) = (facts(), words());
        let report = reported(&facts, Some(&personal));
        let first = keys.report(&report);
        assert_eq!(keys.report(&report), first);
        keys.add(folder.path(), UtcMillis(RECEIVED.0 + 1))
            .expect("added");
        let again = ReceiptKeys::open(folder.path()).expect("read");
        assert_eq!(again.count(), 2);
        assert_eq!(again.report(&report), first);
        let later = Reported {
            received: UtcMillis(RECEIVED.0 + 1),
            ..report
        };
        let checks = parse_jwks(&again.jwks()).expect("keys");
        for receipt in [&first, &again.report(&later)] {
            verify(&receipt.jws, &checks).expect("signed by one of them");
        }
        let old = parse_jwks(
            &keys
                .jwks()
                .replace(&again.key_at(later.received).id, "gone"),
        );
        let refused = verify(&again.report(&later).jws, &old.expect("keys"));
        assert_eq!(refused, Err(InvalidReceipt::UnknownKey));
    }

    #[test]
    fn key_that_is_made_by_a_clock_that_is_behind_replaces_none_and_comes_into_use() {
        let (folder, mut keys) = keys();
        let add = |keys: &mut ReceiptKeys, at| keys.add(folder.path(), UtcMillis(at));
        let at = RECEIVED.0;
        assert_eq!(add(&mut keys, at).expect("added"), RECEIVED);
        let first = keys.jwks();
        for (at, from) in [(at, at + 1), (0, at + 2), (at, at + 3)] {
            assert_eq!(add(&mut keys, at).expect("added"), UtcMillis(from));
        }
        assert_eq!(keys.count(), 5, "none took another's place");
        let again = ReceiptKeys::open(folder.path()).expect("read");
        let own = |keys: &ReceiptKeys, at| keys.key_at(UtcMillis(at)).id.clone();
        let ids: std::collections::BTreeSet<_> = (-1..5).map(|ms| own(&again, at + ms)).collect();
        assert_eq!(ids.len(), 5, "each is in use at some time");
        assert!(first.contains(&own(&again, at)));
    }

    #[test]
    fn receipt_tells_what_was_told_and_neither_note_nor_kindness() {
        let (_folder, keys) = keys();
        let (facts, personal) = (facts(), words());
        let receipt = keys.report(&reported(&facts, Some(&personal)));
        let checks = parse_jwks(&keys.jwks()).expect("keys");
        let claims = verify(&receipt.jws, &checks).expect("signed");
        assert_eq!(claims["position"], 42);
        assert_eq!(claims["received_at"], "2026-11-23T14:00:00Z");
        assert_eq!(claims["occurred_at"], "2026-11-23T13:59:00Z");
        assert_eq!(claims["told"]["signal"], "red-beep");
        assert_eq!(claims["told"]["line_words"], "10");
        let text = claims.to_string();
        for hidden in ["meisje", "free", "staff"] {
            assert!(!text.contains(hidden), "{hidden}");
        }
        assert!(receipt.digested.contains("meisje"));
        let salt = URL_SAFE_NO_PAD.decode(receipt.salt).expect("base64url");
        let digest = Sha256::new()
            .chain_update(salt)
            .chain_update(receipt.digested)
            .finalize();
        assert_eq!(claims["digest"], URL_SAFE_NO_PAD.encode(digest));
    }

    #[test]
    fn report_without_its_personal_part_has_a_receipt_all_the_same() {
        let (_folder, keys) = keys();
        let checks = parse_jwks(&keys.jwks()).expect("keys");
        let mut facts = facts();
        let receipt = keys.report(&reported(&facts, None));
        let claims = verify(&receipt.jws, &checks).expect("signed");
        assert_eq!(claims["occurred_at"], "2026-11-23T14:00:00Z");
        assert_eq!(claims["precision"], "hour");
        facts.time = RowTime::Day(LocalDay::parse("2026-11-20").expect("a date"));
        let receipt = keys.report(&reported(&facts, None));
        let claims = verify(&receipt.jws, &checks).expect("signed");
        assert_eq!(claims["occurred_at"], "2026-11-20");
    }

    #[test]
    fn receipt_whose_words_are_gone_says_so() {
        let (_folder, keys) = keys();
        let checks = parse_jwks(&keys.jwks()).expect("keys");
        let facts = facts();
        let left = Personal {
            words_removed: true,
            ..personal(words().occurred)
        };
        let told = |personal| {
            let receipt = keys.report(&reported(&facts, personal));
            verify(&receipt.jws, &checks).expect("signed")
        };
        let all = words();
        let (first, later, last) = (told(Some(&all)), told(Some(&left)), told(None));
        assert!(first["words"].is_null() && first["personal_part"].is_null());
        assert_eq!(later["words"], "kept no longer");
        assert_eq!(last["personal_part"], "kept no longer");
        for claim in ["incident_id", "position", "received_at"] {
            assert!(first[claim] == later[claim] && later[claim] == last[claim]);
        }
    }

    #[test]
    fn no_changed_character_of_a_receipt_passes() {
        let (_folder, keys) = keys();
        let facts = facts();
        let jws = keys.report(&reported(&facts, None)).jws;
        let checks = parse_jwks(&keys.jwks()).expect("keys");
        for place in 0..jws.len() {
            for other in ['A', 'B', '.'] {
                let mut changed = jws.clone().into_bytes();
                if changed[place] == other as u8 {
                    continue;
                }
                changed[place] = other as u8;
                let changed = String::from_utf8(changed).expect("ASCII");
                assert!(verify(&changed, &checks).is_err(), "{place} {other}");
            }
        }
        let (_other, others) = self::keys();
        let others = parse_jwks(&others.jwks()).expect("keys");
        assert_eq!(verify(&jws, &others), Err(InvalidReceipt::UnknownKey));
    }

    #[test]
    fn file_of_keys_is_the_owners_alone_and_damage_is_told_by_its_line() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, _keys) = keys();
        let path = folder.path().join(FILE_NAME);
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let good = std::fs::read_to_string(&path).expect("text");
        for (text, expected) in [
            (String::new(), 1),
            (good.replace("keys 1", "keys 2"), 1),
            (good.replace("from 0 ", "from x "), 2),
            (format!("{good}from 1 AAAA\n"), 3),
            (format!("{FIRST_LINE}\n"), 2),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = ReceiptKeys::open(folder.path()).err().expect("refused");
            assert!(matches!(error, KeyError::Malformed { line, .. } if line == expected));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(jws in ".{0,200}", parts: [Vec<u8>; 3], set in ".{0,100}") {
            let (_folder, keys) = keys();
            let checks = parse_jwks(&keys.jwks()).expect("keys");
            prop_assert!(verify(&jws, &checks).is_err());
            let parts = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
            prop_assert!(verify(&parts, &checks).is_err());
            prop_assert!(parse_jwks(&set).is_err());
        }
    }
}
