//! What only the record itself can read: which place a token stands for, and which incident a case
//! number. So what operators saw, who are told neither, is held to the same promises.

use std::path::Path;

use mistap::auth::{CaseNumbers, Keys, Seal};
use mistap::domain::{CaseNumber, Restores};

/// What stands before what is sealed in a token.
const HEAD_BYTES: usize = 9;

/// Reads tokens of incidents, and case numbers. Clones read the same.
#[derive(Clone)]
pub struct Unsealed {
    seal: Seal,
    cases: CaseNumbers,
}

impl Unsealed {
    /// Of the record in a folder.
    pub fn of(folder: &Path) -> Self {
        let keys = Keys::open(folder).expect("readable");
        Self {
            seal: keys.seal(),
            cases: keys.case_numbers(&Restores::default()),
        }
    }

    /// Everything through here is known to whoever has this token.
    pub fn place(&self, token: &[u8]) -> u64 {
        let (head, sealed) = token.split_at(HEAD_BYTES);
        let text = self
            .seal
            .open(head, sealed)
            .expect("a token of this record");
        u64::from_be_bytes(text.try_into().expect("a place"))
    }

    /// Where an incident was recorded.
    pub fn recorded(&self, case_number: &str) -> u64 {
        let case: CaseNumber = case_number.parse().expect("a case number");
        self.cases.position(case).0
    }
}
