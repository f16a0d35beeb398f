//! The version of the method, and what changed with it.

/// Version of the method: what is counted, and how it is screened.
pub const METHOD: u32 = 4;

/// Something that makes figures before it and after it hard to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// From when on, as a day or month: `2023-06-06`.
    pub since: &'static str,
    /// What changed, in one sentence.
    pub what: &'static str,
}

/// All known breaks, in the order in which they came or will come.
pub const BREAKS: [Break; 6] = [
    Break {
        since: "2023-06-06",
        what: "Bank cards and phones can be tapped in the whole country (OVpay); more than \
               60,000 readers and gates were replaced or adapted for it.",
    },
    Break {
        since: "2026-11",
        what: "Method 1: the first.",
    },
    Break {
        since: "2026-11",
        what: "Method 2: a rate in an edition adds up feeds of different kinds of tap, and there is \
               none where too many reports are of days without taps; a rate of before may be over \
               taps of one kind, or count such reports. An act of staff is shown no more where all \
               acts shown would tell of fewer than ten who met every one of them.",
    },
    Break {
        since: "2026-11",
        what: "Method 3: the dispersion of an edition counts the days that have no row of their own \
               as well, so that an interval of before may be far too narrow where few days had one. \
               Of one reporter's reports of a day without a line, one counts for each operator, and \
               of trains and the metro for each station; before, one of all.",
    },
    Break {
        since: "2026-12",
        what: "Method 4: an edition places a report that names a line by that line, whatever its \
               mode; before, one of a train or the metro by its station. Stations have no rates in it \
               any more: a rate of before, of a station or of a line of the metro, set reports of some \
               modes against taps of all. Where the key of pseudonyms changed within a month, it counts \
               what was told under one of both keys; before, one person may have been two reporters.",
    },
    Break {
        since: "2028-01",
        what: "The OV-chipkaart is accepted no longer, as was announced in 2026: kinds of card \
               and of cause before and after are not of one series.",
    },
];
