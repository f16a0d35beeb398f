//! Settings, each by a flag or a `MISTAP_*` variable. Parts of the service receive values,
//! never these.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};

use crate::domain::limits::{
    INCIDENT_MONTHS_DEFAULT, INCIDENT_MONTHS_MAX, INCIDENT_MONTHS_MIN, PERSONAL_DAYS_DEFAULT,
    PERSONAL_DAYS_MIN, TAP_DAYS_DEFAULT, TAP_DAYS_MAX, TAP_DAYS_MIN, WORDS_DAYS_DEFAULT,
};

/// Heading of the flags that every command takes.
pub const EVERYWHERE: &str = "Options of every command";

/// How to write the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// What to log, and how.
#[derive(Args, Clone, Debug)]
pub struct LogSettings {
    /// What to log: a level (error, warn, info, debug, trace), or levels by module as in
    /// `info,mistap::ingest=debug`. If left out: info while serving, warnings elsewhere.
    #[arg(long, global = true, env = "MISTAP_LOG", help_heading = EVERYWHERE)]
    pub log: Option<String>,
    /// How to write the log.
    #[arg(
        long,
        global = true,
        env = "MISTAP_LOG_FORMAT",
        default_value = "auto",
        help_heading = EVERYWHERE
    )]
    pub log_format: LogFormat,
}

/// Where the data is.
#[derive(Args, Clone, Debug)]
pub struct DataSettings {
    /// The data folder
    #[arg(
        long = "data",
        value_name = "FOLDER",
        env = "MISTAP_DATA",
        default_value = "mistap-data"
    )]
    pub dir: PathBuf,
}

/// Whether the clock is believed.
#[derive(Args, Clone, Copy, Debug)]
pub struct ClockSettings {
    /// Believe the clock at once also where the last entry is more than 35 days old. Otherwise a
    /// server takes nothing in for ten minutes then, and commands that write to a data folder refuse
    /// to, since a clock that is wrong would close months and destroy keys for good
    #[arg(long, env = "MISTAP_TRUST_CLOCK", value_parser = parse_switch)]
    pub trust_clock: bool,
}

/// What the server needs.
#[derive(Args, Clone, Debug)]
pub struct ServeSettings {
    /// Where the data is.
    #[command(flatten)]
    pub data: DataSettings,
    /// Address and port to listen at. Without tokens (see mistap token) an address of this
    /// machine only, because nobody has to prove who they are. Port 0 takes any free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "MISTAP_LISTEN",
        default_value = "127.0.0.1:7070",
        value_parser = parse_address
    )]
    pub listen: SocketAddr,
    /// How long tap counts are kept, in days, 31 to 3660: 18 months if left out
    #[arg(
        long,
        value_name = "DAYS",
        env = "MISTAP_TAP_DAYS",
        default_value_t = TAP_DAYS_DEFAULT,
        value_parser = value_parser!(u32).range(i64::from(TAP_DAYS_MIN)..=i64::from(TAP_DAYS_MAX))
    )]
    pub tap_days: u32,
    /// Entries between two checkpoints, so that tests of crashes meet one being written
    #[arg(long, value_name = "ENTRIES", hide = true, value_parser = value_parser!(u64).range(1..))]
    pub checkpoint_entries: Option<u64>,
    /// How long notes and words are kept, in days since they came in, 1 to 90
    #[arg(
        long,
        value_name = "DAYS",
        env = "MISTAP_WORDS_DAYS",
        default_value_t = WORDS_DAYS_DEFAULT,
        value_parser = value_parser!(u32).range(1..=i64::from(WORDS_DAYS_DEFAULT))
    )]
    pub words_days: u32,
    /// How long all else is kept that could lead to a person, in days since it came in, 125 to
    /// 183: six months if left out. Editions need it for four
    #[arg(
        long,
        value_name = "DAYS",
        env = "MISTAP_PERSONAL_DAYS",
        default_value_t = PERSONAL_DAYS_DEFAULT,
        value_parser = value_parser!(u32)
            .range(i64::from(PERSONAL_DAYS_MIN)..=i64::from(PERSONAL_DAYS_DEFAULT))
    )]
    pub personal_days: u32,
    /// How long single incidents are kept, in whole months after the one in which they were
    /// told, 5 to 11. With that month, and half a year in which more may be told, nothing of one is left
    /// after 18 months if left out, or 21 where it was erased later than that; from then on they count
    /// in tallies
    #[arg(
        long,
        value_name = "MONTHS",
        env = "MISTAP_INCIDENT_MONTHS",
        default_value_t = INCIDENT_MONTHS_DEFAULT,
        value_parser = value_parser!(u32)
            .range(i64::from(INCIDENT_MONTHS_MIN)..=i64::from(INCIDENT_MONTHS_MAX))
    )]
    pub incident_months: u32,
    /// Calls from this machine come through a proxy on it, which adds the caller's address to
    /// x-forwarded-for. Without it, all of them count as one caller that is trusted: bounds by
    /// address, those of figures included, are then the proxy's to keep
    #[arg(long, env = "MISTAP_BEHIND_PROXY", value_parser = parse_switch)]
    pub behind_proxy: bool,
    /// Whether the clock is believed.
    #[command(flatten)]
    pub clock: ClockSettings,
}

/// A variable that switches something on or off.
fn parse_switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("must be 1 or 0, or true or false"),
    }
}

/// Why an address is not listened at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// No address with a port.
    #[error("must be an address and a port, as in 127.0.0.1:7070")]
    Malformed,
    /// Others could reach it.
    #[error(
        "must be a loopback address (127.0.0.1 or [::1]): there are no tokens, so every caller \
         may do everything, and only this machine may reach the service"
    )]
    NotLoopback,
}

/// Refuses every address that other machines could reach.
pub fn check_loopback(address: SocketAddr) -> Result<SocketAddr, InvalidAddress> {
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(InvalidAddress::NotLoopback)
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, InvalidAddress> {
    text.parse().map_err(|_| InvalidAddress::Malformed)
}

/// An address that only this machine reaches.
pub fn parse_loopback(text: &str) -> Result<SocketAddr, InvalidAddress> {
    parse_address(text).and_then(check_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switch_is_understood_as_people_write_it() {
        for on in ["1", "true", "Yes", "on"] {
            assert_eq!(parse_switch(on), Ok(true), "{on}");
        }
        for off in ["0", "FALSE", "no", "off"] {
            assert_eq!(parse_switch(off), Ok(false), "{off}");
        }
        for neither in ["", "2", "nope"] {
            assert!(parse_switch(neither).is_err(), "{neither}");
        }
    }

    #[test]
    fn help_tells_the_range_of_each_setting_that_has_one() {
        let command = ServeSettings::augment_args(clap::Command::new("serve"));
        let check = |name: &str, least: u32, most: u32| {
            let mut args = command.get_arguments();
            let arg = args.find(|arg| arg.get_long() == Some(name));
            let help = arg.and_then(clap::Arg::get_help).expect("told").to_string();
            assert!(help.contains(&format!("{least} to {most}")), "{help}");
        };
        check("tap-days", TAP_DAYS_MIN, TAP_DAYS_MAX);
        check("words-days", 1, WORDS_DAYS_DEFAULT);
        check("personal-days", PERSONAL_DAYS_MIN, PERSONAL_DAYS_DEFAULT);
        check("incident-months", INCIDENT_MONTHS_MIN, INCIDENT_MONTHS_MAX);
    }

    #[test]
    fn addresses_that_others_could_reach_are_told_apart() {
        let check = parse_loopback;
        for good in ["127.0.0.1:7070", "[::1]:0", "127.1.2.3:1"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:7070", "[::]:7070", "192.168.1.2:7070"] {
            assert_eq!(check(bad), Err(InvalidAddress::NotLoopback), "{bad}");
        }
        for bad in ["", "7070", "localhost:7070", "127.0.0.1"] {
            assert_eq!(check(bad), Err(InvalidAddress::Malformed), "{bad}");
        }
    }
}
