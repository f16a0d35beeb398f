//! How many files, and so connections, the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::domain::limits::FILES_RESERVED;

/// Raises the limit of open files as far as the system lets it, because a connection is one.
/// Returns the limit; where it cannot be raised, it stays.
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let is_raised = setrlimit(Resource::Nofile, raised).is_ok();
    let current = if is_raised {
        limit.maximum
    } else {
        limit.current
    };
    // None is no limit at all.
    current.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    })
}

/// How many of so many files are for connections: those that the record needs are left to it.
pub fn for_connections(files: usize) -> usize {
    files - FILES_RESERVED.min(files / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_to_the_record() {
        assert_eq!(for_connections(usize::MAX), usize::MAX - FILES_RESERVED);
        assert_eq!(for_connections(20_000), 20_000 - FILES_RESERVED);
        assert_eq!(for_connections(256), 128);
    }

    #[test]
    fn limit_is_raised_once_and_for_all() {
        let raised = raise_limit();
        assert_eq!(raise_limit(), raised);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
