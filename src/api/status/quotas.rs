//! The bounds that callers reach, as `google.rpc.QuotaFailure` tells them: whose bound, and
//! what it bounds.

/// A bound that a caller has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// Whose bound.
    pub subject: &'static str,
    /// What it bounds.
    pub description: &'static str,
}

impl Quota {
    const fn new(subject: &'static str, description: &'static str) -> Self {
        Self {
            subject,
            description,
        }
    }
}

pub(super) static CALLS_OF_ADDRESS: Quota = Quota::new(
    "address",
    "calls without a token from one IPv4 address or IPv6 /64",
);
pub(super) static CALLS_OF_NETWORK: Quota = Quota::new(
    "network",
    "calls without a token from one IPv4 /24 or /16, or IPv6 /48 or /32",
);
pub(super) static CALLS_OF_TOKEN: Quota =
    Quota::new("token", "calls and observed incidents with one token");
pub(super) static REPORTS_OF_REPORTER: Quota = Quota::new(
    "reporter",
    "reports of one installation, or of one card from one address prefix",
);
pub(super) static QUESTIONS: Quota = Quota::new("service", "different questions watched at once");
pub(super) static QUESTIONS_OF_TOKEN: Quota =
    Quota::new("token", "different questions watched with one token");
pub(super) static RATED_QUESTIONS_OF_TOKEN: Quota = Quota::new(
    "token",
    "different questions with rates watched with one token",
);
pub(super) static ROWS_OF_TOKEN: Quota =
    Quota::new("token", "rows of all questions watched with one token");
pub(super) static STREAMS: Quota = Quota::new("service", "open streams in total");
pub(super) static STREAMS_OF_TOKEN: Quota = Quota::new("token", "open streams with one token");
pub(super) static STREAMS_OF_PREFIX: Quota = Quota::new(
    "address",
    "open streams from one address, or from a prefix that it lies in",
);
pub(super) static LARGE_OF_TOKEN: Quota =
    Quota::new("token", "large requests on their way with one token");
pub(super) static LARGE_OF_PREFIX: Quota = Quota::new(
    "address",
    "large requests on their way from one address, or from a prefix that it lies in",
);
pub(super) static UNTAKEN_OF_TOKEN: Quota = Quota::new(
    "token",
    "bytes of whole states that clients with one token have not taken",
);
pub(super) static UNTAKEN_OF_PREFIX: Quota = Quota::new(
    "address",
    "bytes of whole states that clients of one address, or of a prefix that it lies in, have \
     not taken",
);
