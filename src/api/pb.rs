//! The API's wire types, generated from `proto/mistap/v1`, with servers and clients.
//!
//! Nothing outside `api/` and the clients of the last layer may use them.

/// Package `mistap.v1`.
#[allow(clippy::all, missing_docs, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("mistap.v1");
}

use prost::Message;
use prost_types::FileDescriptorSet;

/// Every compiled `.proto` file, those of the journal included.
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Package of the journal's own schema, which is no part of the API.
const JOURNAL_PACKAGE: &str = "mistap.journal.v1";

/// The descriptors of the API, for reflection.
pub fn descriptors() -> FileDescriptorSet {
    let mut set = FileDescriptorSet::decode(COMPILED).expect("written by build.rs");
    set.file.retain(|file| file.package() != JOURNAL_PACKAGE);
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_shows_the_api_and_not_the_journal() {
        let set = descriptors();
        let packages: Vec<_> = set.file.iter().map(|file| file.package()).collect();
        assert!(packages.contains(&"mistap.v1"));
        assert!(!packages.contains(&JOURNAL_PACKAGE));
    }
}
