//! Finds out who calls, from what stands in the header `authorization`.
//!
//! The file of tokens is read at the start and when it changes; a call reads no file. Once
//! there was one, tokens are asked for until the service ends, whatever becomes of the file.
//! How long a look takes depends on no token's beginning: what is presented is hashed before
//! it is looked up, the place of a hash is found by a keyed hash of it, and hashes are
//! compared in constant time.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::secret::are_equal;
use super::tokens::{FileState, TokenHash};
use super::{Grant, KnownToken, Principal, Role, TokenError, TokenFile};
use crate::domain::OperatorCode;

const BEARER: &[u8] = b"bearer ";

/// What is presented is no token that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not known, or was revoked")]
pub struct UnknownToken;

/// Finds out who calls. Clones know the same.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    known: RwLock<Known>,
    seen: Mutex<Seen>,
}

/// The file, as it was.
#[derive(Default)]
struct Seen {
    /// When it was last read.
    read: Option<FileState>,
    /// When it was last told that it cannot be read.
    refused: Option<FileState>,
}

enum Known {
    /// There is no file: whoever reaches the service may do everything, until there is one.
    Nothing(Principal),
    /// There is one, or was.
    Tokens(Tokens),
}

/// Those that live.
#[derive(Default)]
struct Tokens {
    by_hash: HashMap<Compared, Principal>,
    /// The operators that they are bound to.
    operators: HashSet<OperatorCode>,
}

/// A hash that is compared in constant time.
#[derive(Clone, Copy, Eq)]
struct Compared(TokenHash);

impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        are_equal(&self.0.0, &other.0.0)
    }
}

impl Hash for Compared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.0);
    }
}

// === impl Gate ===

impl Gate {
    /// Over the file of tokens of a folder, or without tokens if there is none.
    pub fn open(folder: &Path) -> Result<Self, TokenError> {
        // Before it is read, so that a change in between is seen at the next look.
        let state = FileState::of(&TokenFile::path(folder));
        let known = match TokenFile::read(folder)? {
            Some(file) => Known::of(&file),
            None => Known::Nothing(Principal::Steward(Arc::new(Grant::without_token()))),
        };
        Ok(Self(Arc::new(Inner {
            folder: folder.to_owned(),
            known: RwLock::new(known),
            seen: Mutex::new(Seen {
                read: state,
                refused: None,
            }),
        })))
    }

    /// Whether tokens are asked for.
    pub fn asks(&self) -> bool {
        matches!(*self.known(), Known::Tokens(_))
    }

    /// Reads the file anew if it changed; tells how many tokens live then. One that cannot be
    /// read changes nothing, and is an error once, and is tried again at each look: what is in
    /// the way may go without a change of the file. One that is gone changes nothing either.
    pub fn follow(&self) -> Result<Option<usize>, TokenError> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = FileState::of(&TokenFile::path(&self.0.folder));
        if now.is_none() || now == seen.read {
            return Ok(None);
        }
        let file = match TokenFile::read(&self.0.folder) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) => {
                let is_told = std::mem::replace(&mut seen.refused, now) == now;
                return if is_told { Ok(None) } else { Err(error) };
            }
        };
        *seen = Seen {
            read: now,
            refused: None,
        };
        let held = self.0.known.write();
        let mut known = held.unwrap_or_else(PoisonError::into_inner);
        *known = known.followed_by(Known::of(&file));
        Ok(Some(known.live()))
    }

    /// Who calls, by what its header `authorization` holds: `Bearer` and a token. Without the
    /// header it is the public. A token that is no good is an error, also where none is needed:
    /// who sends one wants to be known.
    pub fn principal(&self, authorization: Option<&[u8]>) -> Result<Principal, UnknownToken> {
        match (&*self.known(), authorization) {
            (Known::Nothing(everybody), _) => Ok(everybody.clone()),
            (Known::Tokens(_), None) => Ok(Principal::Public),
            (Known::Tokens(tokens), Some(authorization)) => {
                let hash = bearer(authorization).and_then(TokenHash::of);
                let hash = hash.map(Compared).ok_or(UnknownToken)?;
                tokens.by_hash.get(&hash).cloned().ok_or(UnknownToken)
            }
        }
    }

    /// Whether a token that lives is bound to an operator: whoever made the token says that there
    /// is such an operator.
    pub fn knows_operator(&self, operator: &OperatorCode) -> bool {
        match &*self.known() {
            Known::Nothing(_) => false,
            Known::Tokens(tokens) => tokens.operators.contains(operator),
        }
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    fn of(file: &TokenFile) -> Self {
        let mut known = Tokens::default();
        for token in file.tokens().iter().filter(|token| token.revoked.is_none()) {
            known.operators.extend(token.operators.iter().cloned());
            let principal = to_principal(token);
            known.by_hash.insert(Compared(token.hash), principal);
        }
        Self::Tokens(known)
    }

    /// What is known of now, with the grants of before where they are the same. What is granted
    /// no more is over for whoever was let in with it.
    fn followed_by(&self, next: Self) -> Self {
        let before = match self {
            Self::Nothing(everybody) => {
                everybody.end();
                return next;
            }
            Self::Tokens(before) => before,
        };
        let mut next = next.into_tokens();
        for (hash, principal) in &before.by_hash {
            match next.by_hash.get_mut(hash) {
                Some(same) if same == principal => *same = principal.clone(),
                _ => principal.end(),
            }
        }
        Self::Tokens(next)
    }

    fn into_tokens(self) -> Tokens {
        match self {
            Self::Nothing(_) => Tokens::default(),
            Self::Tokens(tokens) => tokens,
        }
    }

    fn live(&self) -> usize {
        match self {
            Self::Nothing(_) => 0,
            Self::Tokens(tokens) => tokens.by_hash.len(),
        }
    }
}

fn to_principal(token: &KnownToken) -> Principal {
    let grant = Arc::new(Grant::new(token.id, token.operators.clone()));
    match token.role {
        Role::Device => Principal::Device(grant),
        Role::Operator => Principal::Operator(grant),
        Role::Steward => Principal::Steward(grant),
        Role::Public | Role::Traveller => Principal::Public,
    }
}

/// What comes after `Bearer`, in any case.
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then_some(token)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::auth::{NewToken, TOKEN_BYTES, Token, TokenId};
    use crate::domain::LocalDay;

    fn folder() -> TempDir {
        TempDir::new().expect("a folder")
    }

    fn today() -> LocalDay {
        LocalDay::parse("2026-11-23").expect("a date")
    }

    fn add(folder: &TempDir, role: Role, label: &str) -> Token {
        let operators = match role {
            Role::Steward => Vec::new(),
            _ => vec!["GVB".parse().expect("a code")],
        };
        let label = label.to_owned();
        let new = NewToken {
            label,
            role,
            operators,
        };
        TokenFile::add(folder.path(), new, today()).expect("made")
    }

    fn role(gate: &Gate, token: &Token) -> Option<Role> {
        let header = format!("Bearer {}", token.expose());
        let principal = gate.principal(Some(header.as_bytes()));
        principal.ok().map(|principal| principal.role())
    }

    #[test]
    fn each_token_has_its_role_and_no_token_is_the_public() {
        let folder = folder();
        let roles = [Role::Device, Role::Operator, Role::Steward];
        let tokens = roles.map(|role| add(&folder, role, role.key()));
        let gate = Gate::open(folder.path()).expect("readable");
        assert!(gate.asks());
        for (token, expected) in tokens.iter().zip(roles) {
            assert_eq!(role(&gate, token), Some(expected));
        }
        assert_eq!(gate.principal(None), Ok(Principal::Public));
        let header = format!("bEARER {}", tokens[0].expose());
        assert!(gate.principal(Some(header.as_bytes())).is_ok());
    }

    #[test]
    fn without_a_file_everybody_is_a_steward_until_there_is_one() {
        let folder = folder();
        let gate = Gate::open(folder.path()).expect("nothing to read");
        assert!(!gate.asks());
        let anything = Some(&b"Bearer nonsense"[..]);
        let let_in = gate.principal(anything).expect("everybody is let in");
        assert_eq!((let_in.role(), let_in.token()), (Role::Steward, None));
        assert!(matches!(gate.follow(), Ok(None)));
        assert!(let_in.is_live());
        add(&folder, Role::Device, "feed");
        assert!(matches!(gate.follow(), Ok(Some(1))));
        assert!(
            !let_in.is_live(),
            "whoever came in before is let in no more"
        );
        assert_eq!(gate.principal(None), Ok(Principal::Public));
        assert_eq!(gate.principal(anything), Err(UnknownToken));
        assert!(matches!(gate.follow(), Ok(None)));
    }

    #[test]
    fn revoked_token_is_no_good_while_the_other_of_its_label_is() {
        let folder = folder();
        let [old, new] = [(); 2].map(|()| add(&folder, Role::Operator, "room"));
        let gate = Gate::open(folder.path()).expect("readable");
        assert!(role(&gate, &old).is_some() && role(&gate, &new).is_some());
        TokenFile::revoke(folder.path(), TokenId(1), today()).expect("it lives");
        assert!(matches!(gate.follow(), Ok(Some(1))));
        assert_eq!(role(&gate, &old), None);
        assert_eq!(role(&gate, &new), Some(Role::Operator));
        let operator: OperatorCode = "GVB".parse().expect("a code");
        assert!(gate.knows_operator(&operator));
        TokenFile::revoke(folder.path(), TokenId(2), today()).expect("it lives");
        assert!(matches!(gate.follow(), Ok(Some(0))));
        assert!(!gate.knows_operator(&operator));
    }

    #[test]
    fn whoever_was_let_in_is_let_in_until_the_token_is_revoked() {
        let folder = folder();
        let [old, new] = [(); 2].map(|()| add(&folder, Role::Operator, "room"));
        let gate = Gate::open(folder.path()).expect("readable");
        let of = |token: &Token| {
            let header = format!("Bearer {}", token.expose());
            gate.principal(Some(header.as_bytes())).expect("it lives")
        };
        let [first, second] = [of(&old), of(&new)];
        // The file changes for another reason.
        add(&folder, Role::Steward, "us");
        assert!(matches!(gate.follow(), Ok(Some(3))));
        assert!(first.is_live() && second.is_live() && of(&old).is_live());
        TokenFile::revoke(folder.path(), TokenId(1), today()).expect("it lives");
        assert!(matches!(gate.follow(), Ok(Some(2))));
        assert!(!first.is_live());
        assert!(second.is_live() && of(&new).is_live());
        assert!(Principal::Public.is_live());
    }

    #[test]
    fn file_that_is_gone_or_damaged_opens_no_door() {
        let folder = folder();
        let token = add(&folder, Role::Operator, "room");
        let gate = Gate::open(folder.path()).expect("readable");
        let path = TokenFile::path(folder.path());
        fs::write(&path, "nonsense, and of another length").expect("written");
        assert!(gate.follow().is_err());
        assert!(matches!(gate.follow(), Ok(None)), "an error is told once");
        fs::remove_file(&path).expect("removed");
        assert!(matches!(gate.follow(), Ok(None)));
        assert_eq!(role(&gate, &token), Some(Role::Operator));
        assert_eq!(gate.principal(None), Ok(Principal::Public));
    }

    #[test]
    fn file_that_could_not_be_read_is_read_once_it_can_be() {
        let folder = folder();
        let token = add(&folder, Role::Operator, "room");
        let gate = Gate::open(folder.path()).expect("readable");
        TokenFile::revoke(folder.path(), TokenId(1), today()).expect("it lives");
        let path = TokenFile::path(folder.path());
        let let_read = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        };
        let_read(0o644);
        assert!(gate.follow().is_err());
        assert!(matches!(gate.follow(), Ok(None)), "an error is told once");
        assert!(role(&gate, &token).is_some());
        let_read(0o600);
        assert!(matches!(gate.follow(), Ok(Some(0))));
        assert_eq!(role(&gate, &token), None);
    }

    #[test]
    fn hashes_are_equal_only_if_they_are_equal_to_the_last_byte() {
        let hash = |byte, last| {
            let mut bytes = [byte; 32];
            bytes[31] = last;
            Compared(TokenHash(bytes))
        };
        assert!(hash(1, 2) == hash(1, 2));
        assert!(hash(1, 2) != hash(1, 3));
        assert!(hash(2, 2) != hash(1, 2));
    }

    proptest! {
        #[test]
        fn random_bytes_are_no_token(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            digits in prop::collection::vec(any::<u8>(), TOKEN_BYTES - 7),
        ) {
            let folder = folder();
            add(&folder, Role::Operator, "room");
            let gate = Gate::open(folder.path()).expect("readable");
            prop_assert_eq!(gate.principal(Some(&bytes)), Err(UnknownToken));
            let formed = [b"Bearer mistap_", &digits[..]].concat();
            prop_assert_eq!(gate.principal(Some(&formed)), Err(UnknownToken));
        }
    }
}
