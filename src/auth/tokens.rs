//! Tokens: who has which role, kept as hashes in a file of the data folder.
//!
//! A token is `mistap_` and 64 hexadecimal digits: 32 random bytes. It is shown once, when it
//! is made; the file holds its SHA-256, which nobody can turn back. No error shows a token.
//! Tokens that belong together share a label; two of one label may live at once, so that one
//! can be handed out before the other is revoked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{Role, TokenId};
use crate::domain::limits::{
    TOKEN_FILE_BYTES_MAX, TOKEN_LABEL_CHARS_MAX, TOKEN_OPERATORS_MAX, TOKENS_MAX,
    TOKENS_PER_LABEL_MAX,
};
use crate::domain::text::parse_text;
use crate::domain::{LocalDay, OperatorCode};

const FILE_NAME: &str = "tokens";
const FILE_NAME_ASIDE: &str = "tokens.new";
/// Only the owner reads and writes.
const FILE_MODE: u32 = 0o600;
/// The bits that nobody but the owner may have.
const FILE_MODE_OTHERS: u32 = 0o077;
const VERSION: u32 = 1;
/// What every token begins with, so that one is known when it lies around.
pub const TOKEN_PREFIX: &str = "mistap_";
const SECRET_BYTES: usize = 32;
/// Length of a token.
pub const TOKEN_BYTES: usize = TOKEN_PREFIX.len() + 2 * SECRET_BYTES;

/// Why tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Others than the owner could change who may do what.
    #[error("{path} is open to other users (mode {mode:o}): run chmod 600 on it")]
    Exposed {
        /// The file of tokens.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not one that this version wrote.
    #[error("{path} is damaged or of another version: {what}")]
    Malformed {
        /// The file of tokens.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be read or written")]
    Io {
        /// The file of tokens.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else changes tokens, or was stopped doing so.
    #[error("{path} is in the way: another command changes tokens; if none does, remove it")]
    Locked {
        /// What is in the way.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// Not a new token.
    #[error(transparent)]
    Refused(#[from] TokenRefused),
}

/// Why a token is not made or revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Not a label.
    #[error("a label must be 1 to 64 characters, without control characters")]
    Label,
    /// Nobody has to prove that.
    #[error("tokens are for devices, operators and stewards")]
    Role,
    /// Bound to none.
    #[error("a token of a device or an operator must name operators")]
    NoOperators,
    /// Bound to too many.
    #[error("a token is bound to 64 operators at most")]
    TooManyOperators,
    /// Bound to some.
    #[error("a token of a steward is bound to no operator")]
    Operators,
    /// Not a rotation.
    #[error("the label is taken by a token of another role or of other operators")]
    LabelTaken,
    /// As many of one label live as may.
    #[error("two tokens of this label live already: revoke one first")]
    TwoLive,
    /// As many as may be.
    #[error("there are 1,024 live tokens already: revoke some first")]
    TooMany,
    /// No such token.
    #[error("no live token has this number")]
    NotFound,
}

/// A token as its holder keeps it. Shown once.
#[derive(ZeroizeOnDrop)]
pub struct Token(String);

impl Token {
    /// The text, to show it or to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenHash(pub(super) [u8; 32]);

impl TokenHash {
    /// Of whatever somebody presents; `None` if it has not a token's form.
    pub fn of(presented: &[u8]) -> Option<Self> {
        let has_form =
            presented.len() == TOKEN_BYTES && presented.starts_with(TOKEN_PREFIX.as_bytes());
        has_form.then(|| Self(Sha256::digest(presented).into()))
    }
}

/// What a new token is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Whose it is, in words: 1 to 64 characters.
    pub label: String,
    /// A device's, an operator's or a steward's.
    pub role: Role,
    /// The operators that it is bound to; none for a steward's.
    pub operators: Vec<OperatorCode>,
}

/// A token as the file knows it.
#[derive(Clone)]
pub struct KnownToken {
    /// Its number.
    pub id: TokenId,
    /// Whose it is.
    pub label: String,
    /// Its role.
    pub role: Role,
    /// The operators that it is bound to.
    pub operators: Vec<OperatorCode>,
    /// When it was made.
    pub made: LocalDay,
    /// When it was revoked; `None` while it lives.
    pub revoked: Option<LocalDay>,
    pub(super) hash: TokenHash,
}

/// The file of tokens, as it was read.
#[derive(Clone, Default)]
pub struct TokenFile {
    tokens: Vec<KnownToken>,
}

/// Tells two states of a file apart, and two files that have one name after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    inode: u64,
    /// When its content was last changed, or who may read it.
    changed_ns: i128,
    bytes: u64,
}

// === impl TokenFile ===

impl TokenFile {
    /// Where a data folder has it.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE_NAME)
    }

    /// Reads the file of a folder; `None` if there is none.
    pub fn read(folder: &Path) -> Result<Option<Self>, TokenError> {
        let path = Self::path(folder);
        let text = match read_checked(&path)? {
            Some(text) => text,
            None => return Ok(None),
        };
        let file: StoredFile = serde_json::from_str(&text).map_err(|_| TokenError::Malformed {
            path: path.clone(),
            what: "it is not the JSON that mistap writes",
        })?;
        let tokens = parse(file).map_err(|what| TokenError::Malformed { path, what })?;
        Ok(Some(Self { tokens }))
    }

    /// All tokens, in order of their numbers, revoked ones included.
    pub fn tokens(&self) -> &[KnownToken] {
        &self.tokens
    }

    /// Makes a token and writes the file. `today` is noted in it.
    pub fn add(folder: &Path, new: NewToken, today: LocalDay) -> Result<Token, TokenError> {
        let change = Change::begin(folder)?;
        let mut file = Self::read(folder)?.unwrap_or_default();
        file.check(&new)?;
        let token = random_token()?;
        let hash = TokenHash::of(token.0.as_bytes()).expect("it was made in this form");
        let last = file.tokens.last().map_or(0, |token| token.id.0);
        file.tokens.push(KnownToken {
            id: TokenId(last + 1),
            label: new.label,
            role: new.role,
            operators: new.operators,
            made: today,
            revoked: None,
            hash,
        });
        file.forget_oldest_revoked();
        change.commit(&file)?;
        Ok(token)
    }

    /// Revokes a token and writes the file.
    pub fn revoke(folder: &Path, id: TokenId, today: LocalDay) -> Result<(), TokenError> {
        let change = Change::begin(folder)?;
        let mut file = Self::read(folder)?.unwrap_or_default();
        let is_it = |token: &&mut KnownToken| token.id == id && token.revoked.is_none();
        let found = file.tokens.iter_mut().find(is_it);
        found.ok_or(TokenRefused::NotFound)?.revoked = Some(today);
        change.commit(&file)
    }

    fn live(&self) -> impl Iterator<Item = &KnownToken> {
        self.tokens.iter().filter(|token| token.revoked.is_none())
    }

    fn check(&self, new: &NewToken) -> Result<(), TokenRefused> {
        let is_label =
            !new.label.trim().is_empty() && parse_text(&new.label, TOKEN_LABEL_CHARS_MAX).is_ok();
        if !is_label {
            return Err(TokenRefused::Label);
        }
        match new.role {
            Role::Public | Role::Traveller => return Err(TokenRefused::Role),
            Role::Device | Role::Operator if new.operators.is_empty() => {
                return Err(TokenRefused::NoOperators);
            }
            Role::Steward if !new.operators.is_empty() => return Err(TokenRefused::Operators),
            Role::Device | Role::Operator | Role::Steward => {}
        }
        if TOKEN_OPERATORS_MAX < new.operators.len() {
            return Err(TokenRefused::TooManyOperators);
        }
        let same: Vec<_> = self
            .live()
            .filter(|token| token.label == new.label)
            .collect();
        let is_other =
            |token: &&KnownToken| token.role != new.role || token.operators != new.operators;
        if same.iter().any(is_other) {
            return Err(TokenRefused::LabelTaken);
        }
        if TOKENS_PER_LABEL_MAX <= same.len() {
            return Err(TokenRefused::TwoLive);
        }
        if TOKENS_MAX <= self.live().count() {
            return Err(TokenRefused::TooMany);
        }
        Ok(())
    }

    /// Keeps the file within its bound. The newest token always stays, so that no number is
    /// given twice.
    fn forget_oldest_revoked(&mut self) {
        while TOKENS_MAX < self.tokens.len() {
            let oldest = self.tokens.iter().position(|token| token.revoked.is_some());
            match oldest {
                Some(oldest) => self.tokens.remove(oldest),
                None => return,
            };
        }
    }
}

// === impl FileState ===

impl FileState {
    /// As a file is now; `None` if there is none, or none that can be looked at.
    pub fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let seconds = i128::from(found.ctime()) * 1_000_000_000;
        Some(Self {
            inode: found.ino(),
            changed_ns: seconds + i128::from(found.ctime_nsec()),
            bytes: found.size(),
        })
    }
}

// === reading and writing ===

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFile {
    version: u32,
    tokens: Vec<StoredToken>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredToken {
    id: u32,
    label: String,
    role: String,
    operators: Vec<String>,
    made: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    sha256: String,
}

fn parse(file: StoredFile) -> Result<Vec<KnownToken>, &'static str> {
    if file.version != VERSION {
        return Err("its version is not 1");
    }
    let tokens = file.tokens.into_iter().map(parse_token);
    let tokens: Vec<_> = tokens.collect::<Result<_, _>>()?;
    let is_rising = tokens.windows(2).all(|two| two[0].id < two[1].id);
    if !is_rising {
        return Err("the numbers of tokens do not rise");
    }
    Ok(tokens)
}

fn parse_token(stored: StoredToken) -> Result<KnownToken, &'static str> {
    let tokens_of = [Role::Device, Role::Operator, Role::Steward];
    let role = tokens_of.into_iter().find(|role| role.key() == stored.role);
    let role = role.ok_or("a role is none of device, operator and steward")?;
    let operators: Result<Vec<OperatorCode>, _> =
        stored.operators.iter().map(|code| code.parse()).collect();
    let operators = operators.map_err(|_| "an operator is no operator code")?;
    if operators.is_empty() != (role == Role::Steward) {
        return Err("devices and operators are bound to operators, and stewards are not");
    }
    let day = |text: &str| LocalDay::parse(text).ok_or("a day is no date");
    let hash = base16ct::mixed::decode_vec(&stored.sha256).ok();
    let hash = hash.and_then(|hash| hash.try_into().ok());
    let hash = hash.ok_or("a hash is not 64 hexadecimal digits")?;
    Ok(KnownToken {
        id: TokenId(stored.id),
        label: stored.label,
        role,
        operators,
        made: day(&stored.made)?,
        revoked: stored.revoked.as_deref().map(day).transpose()?,
        hash: TokenHash(hash),
    })
}

fn to_stored(token: &KnownToken) -> StoredToken {
    StoredToken {
        id: token.id.0,
        label: token.label.clone(),
        role: token.role.key().to_owned(),
        operators: token.operators.iter().map(ToString::to_string).collect(),
        made: token.made.to_string(),
        revoked: token.revoked.map(|day| day.to_string()),
        sha256: base16ct::lower::encode_string(&token.hash.0),
    }
}

fn read_checked(path: &Path) -> Result<Option<String>, TokenError> {
    let failed = |source| TokenError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & FILE_MODE_OTHERS != 0 {
        let path = path.to_owned();
        return Err(TokenError::Exposed { path, mode });
    }
    let mut text = String::new();
    let read = file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(failed)?;
    Ok(Some(text))
}

/// A change of the file under way. Holds others off by the file beside it.
struct Change {
    folder: PathBuf,
    aside: PathBuf,
    file: File,
    is_done: bool,
}

impl Change {
    fn begin(folder: &Path) -> Result<Self, TokenError> {
        let aside = folder.join(FILE_NAME_ASIDE);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        let file = options.open(&aside).map_err(|source| {
            let path = aside.clone();
            match source.kind() {
                io::ErrorKind::AlreadyExists => TokenError::Locked { path },
                _ => TokenError::Io { path, source },
            }
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            aside,
            file,
            is_done: false,
        })
    }

    fn commit(mut self, file: &TokenFile) -> Result<(), TokenError> {
        let stored = StoredFile {
            version: VERSION,
            tokens: file.tokens.iter().map(to_stored).collect(),
        };
        let written = self.write(&stored);
        self.is_done = written.is_ok();
        written.map_err(|source| TokenError::Io {
            path: self.aside.clone(),
            source,
        })
    }

    fn write(&mut self, stored: &StoredFile) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(stored)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.aside, TokenFile::path(&self.folder))?;
        File::open(&self.folder)?.sync_all()
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if !self.is_done {
            // What cannot be removed is told by the next command.
            let _ = fs::remove_file(&self.aside);
        }
    }
}

fn random_token() -> Result<Token, TokenError> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(TokenError::Random)?;
    let digits = Zeroizing::new(base16ct::lower::encode_string(&bytes[..]));
    let mut text = String::with_capacity(TOKEN_BYTES);
    text.push_str(TOKEN_PREFIX);
    text.push_str(&digits);
    Ok(Token(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn today() -> LocalDay {
        LocalDay::parse("2026-11-23").expect("a date")
    }

    fn operator(label: &str, codes: &[&str]) -> NewToken {
        let code = |text: &&str| text.parse().expect("a code");
        NewToken {
            label: label.into(),
            role: Role::Operator,
            operators: codes.iter().map(code).collect(),
        }
    }

    fn folder() -> TempDir {
        TempDir::new().expect("a folder")
    }

    fn add(folder: &TempDir, new: NewToken) -> Result<Token, TokenError> {
        TokenFile::add(folder.path(), new, today())
    }

    fn read(folder: &TempDir) -> TokenFile {
        let read = TokenFile::read(folder.path()).expect("it can be read");
        read.expect("there is one")
    }

    #[test]
    fn token_is_kept_only_as_its_hash_in_a_file_of_the_owner() {
        let folder = folder();
        let token = add(&folder, operator("control room", &["GVB"])).expect("made");
        assert_eq!(token.expose().len(), TOKEN_BYTES);
        let path = TokenFile::path(folder.path());
        let text = fs::read_to_string(&path).expect("there");
        let digits = &token.expose()[TOKEN_PREFIX.len()..];
        assert!(!text.contains(digits) && !text.contains(TOKEN_PREFIX));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let known = &read(&folder).tokens[0];
        assert!(TokenHash::of(token.expose().as_bytes()) == Some(known.hash));
        assert_eq!((known.id, known.role), (TokenId(1), Role::Operator));
        for mode in [0o640, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let refused = TokenFile::read(folder.path()).err().expect("refused");
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn two_of_a_label_live_at_once_and_a_number_is_never_given_twice() {
        let folder = folder();
        let new = || operator("control room", &["GVB"]);
        let refused = |new: NewToken| match add(&folder, new) {
            Err(TokenError::Refused(refused)) => refused,
            _ => panic!("it is not refused"),
        };
        add(&folder, new()).expect("the first");
        let other = operator("control room", &["RET"]);
        assert_eq!(refused(other), TokenRefused::LabelTaken);
        add(&folder, new()).expect("the second");
        assert_eq!(refused(new()), TokenRefused::TwoLive);
        TokenFile::revoke(folder.path(), TokenId(1), today()).expect("it lives");
        let again = TokenFile::revoke(folder.path(), TokenId(1), today());
        assert!(matches!(
            again,
            Err(TokenError::Refused(TokenRefused::NotFound))
        ));
        add(&folder, new()).expect("one place is free");
        let ids: Vec<_> = read(&folder)
            .tokens
            .iter()
            .map(|token| token.id.0)
            .collect();
        assert_eq!(ids, [1, 2, 3]);
    }

    #[test]
    fn wrong_tokens_are_not_made() {
        let folder = folder();
        let check = |new: NewToken, expected| {
            let refused = add(&folder, new).err().expect("refused");
            assert!(
                matches!(refused, TokenError::Refused(found) if found == expected),
                "{refused}"
            );
        };
        let steward = |operators: &[&str]| NewToken {
            role: Role::Steward,
            ..operator("us", operators)
        };
        let public = NewToken {
            role: Role::Public,
            ..operator("all", &[])
        };
        check(operator("", &["GVB"]), TokenRefused::Label);
        check(operator(&"x".repeat(65), &["GVB"]), TokenRefused::Label);
        check(operator("a\nb", &["GVB"]), TokenRefused::Label);
        check(operator("x", &[]), TokenRefused::NoOperators);
        check(steward(&["GVB"]), TokenRefused::Operators);
        check(public, TokenRefused::Role);
        assert!(!TokenFile::path(folder.path()).exists());
        assert!(!folder.path().join(FILE_NAME_ASIDE).exists());
    }

    /// A file of so many tokens that live.
    fn full_of(tokens: usize) -> TokenFile {
        let numbers = 1..=u32::try_from(tokens).expect("few");
        let token = |number| KnownToken {
            id: TokenId(number),
            label: format!("control room {number}"),
            role: Role::Operator,
            operators: operator("", &["GVB"]).operators,
            made: today(),
            revoked: None,
            hash: TokenHash([0; 32]),
        };
        TokenFile {
            tokens: numbers.map(token).collect(),
        }
    }

    #[test]
    fn token_of_more_operators_than_may_be_is_not_made() {
        let check = |count: usize| {
            let codes: Vec<String> = (0..count).map(|number| format!("OP{number}")).collect();
            let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
            TokenFile::default().check(&operator("all of them", &codes))
        };
        assert_eq!(check(TOKEN_OPERATORS_MAX), Ok(()));
        let refused = check(TOKEN_OPERATORS_MAX + 1);
        assert_eq!(refused, Err(TokenRefused::TooManyOperators));
    }

    #[test]
    fn token_beyond_those_that_may_live_is_not_made_until_one_is_revoked() {
        let new = operator("another", &["GVB"]);
        assert_eq!(full_of(TOKENS_MAX - 1).check(&new), Ok(()));
        let mut full = full_of(TOKENS_MAX);
        assert_eq!(full.check(&new), Err(TokenRefused::TooMany));
        full.tokens[7].revoked = Some(today());
        assert_eq!(full.check(&new), Ok(()));
    }

    #[test]
    fn revoked_token_that_is_oldest_is_forgotten_where_a_file_has_no_room() {
        let folder = folder();
        let mut full = full_of(TOKENS_MAX);
        for revoked in [3, 900] {
            full.tokens[revoked].revoked = Some(today());
        }
        let change = Change::begin(folder.path()).expect("nobody else does");
        change.commit(&full).expect("written");
        let ids = || -> Vec<u32> {
            let tokens = read(&folder).tokens.into_iter();
            tokens.map(|token| token.id.0).collect()
        };
        let last = u32::try_from(TOKENS_MAX).expect("few");
        let without = |gone: &[u32], last: u32| -> Vec<u32> {
            (1..=last).filter(|id| !gone.contains(id)).collect()
        };
        add(&folder, operator("another", &["GVB"])).expect("two have gone");
        assert_eq!(ids(), without(&[4], last + 1));
        add(&folder, operator("one more", &["GVB"])).expect("one has gone");
        assert_eq!(ids(), without(&[4, 901], last + 2));
        let refused = add(&folder, operator("too many", &["GVB"])).err();
        assert!(matches!(
            refused,
            Some(TokenError::Refused(TokenRefused::TooMany))
        ));
    }

    #[test]
    fn damaged_file_is_refused_without_showing_it() {
        let folder = folder();
        add(&folder, operator("control room", &["GVB"])).expect("made");
        let path = TokenFile::path(folder.path());
        let good = fs::read_to_string(&path).expect("there");
        let check = |text: String| {
            fs::write(&path, text).expect("written");
            let error = TokenFile::read(folder.path()).err().expect("refused");
            assert!(matches!(error, TokenError::Malformed { .. }), "{error}");
            assert!(!error.to_string().contains("control"), "{error}");
        };
        check(String::new());
        check(good.replace("\"version\": 1", "\"version\": 2"));
        check(good.replace("operator\",", "king\","));
        check(good.replace("GVB", "gvb"));
        check(good.replace("2026-11-23", "today"));
        check(good.replace("sha256\": \"", "sha256\": \"z"));
        check(good[..good.len() - 10].to_owned());
    }

    #[test]
    fn command_that_was_stopped_holds_up_the_next_until_its_file_is_removed() {
        let folder = folder();
        let aside = folder.path().join(FILE_NAME_ASIDE);
        fs::write(&aside, "").expect("written");
        let locked = add(&folder, operator("x", &["GVB"])).err().expect("locked");
        assert!(matches!(locked, TokenError::Locked { .. }), "{locked}");
        assert!(aside.exists());
        fs::remove_file(&aside).expect("removed");
        assert!(add(&folder, operator("x", &["GVB"])).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_the_file_holds_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let folder = folder();
            let path = TokenFile::path(folder.path());
            fs::write(&path, bytes).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
            prop_assert!(TokenFile::read(folder.path()).is_err());
        }
    }
}
