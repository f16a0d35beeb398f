//! Reads the arguments, and says what is wrong with them: without repeating what may be a card's
//! number, a token or a secret, which whoever typed it in the wrong place would find again in a
//! log or a bug report.

use std::error::Error as _;
use std::ffi::OsStr;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Command, CommandFactory, Error, FromArgMatches};

use super::values::Rule;
use super::when::InvalidTime;
use super::{Cli, say_aside};
use crate::domain::limits::TOLD_ARGUMENT_BYTES_MAX;
use crate::domain::text::is_card_like;

/// What is said instead of what was typed.
const NOT_REPEATED: &str =
    "it is not taken, and not repeated, as it may hold a card's number or a secret";

/// The arguments, or what to exit with after saying what is wrong with them.
pub(super) fn read() -> Result<Cli, ExitCode> {
    let command = without_blank_variables(Cli::command(), &is_blank);
    let matches = command.try_get_matches();
    let cli = matches.and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        cli.server.choose_token(&matches)?;
        Ok(cli)
    });
    cli.map_err(|error| refuse(&error))
}

/// The commands, with variables passed over that are blank: a line in a service's settings that
/// says nothing is the same as none.
fn without_blank_variables(command: Command, is_blank: &dyn Fn(&OsStr) -> bool) -> Command {
    let set = command.mut_args(|arg| {
        if arg.get_env().is_some_and(is_blank) {
            arg.env(None::<&'static str>)
        } else {
            arg
        }
    });
    set.mut_subcommands(|command| without_blank_variables(command, is_blank))
}

fn is_blank(variable: &OsStr) -> bool {
    let value = std::env::var_os(variable);
    value.is_some_and(|value| value.to_string_lossy().trim().is_empty())
}

fn refuse(error: &Error) -> ExitCode {
    match told_quietly(error) {
        Some(message) => say_aside(&message),
        // There is nobody left to tell where it cannot be printed.
        None => drop(error.print()),
    }
    let code = u8::try_from(error.exit_code());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What is said of an error that repeats what must not be; `None` of any other.
fn told_quietly(error: &Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let typed = [
        ContextKind::InvalidValue,
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
    ];
    let is_private = |kind| text(kind).is_some_and(may_be_private);
    if !typed.into_iter().any(is_private) {
        return None;
    }
    // Whose value it is stands beside it.
    let place = match text(ContextKind::InvalidArg) {
        Some(place) if !may_be_private(place) => format!("the value of '{place}'"),
        _ => "an argument".to_owned(),
    };
    let rule = rule(error).map_or_else(String::new, |rule| format!("\n  {rule}"));
    Some(format!(
        "error: {place}: {NOT_REPEATED}{rule}\n\nFor more information, try '--help'."
    ))
}

/// The rule that a value breaks, if it is told by one of the types that hold nothing of a value:
/// a time that is written otherwise has as many digits as a card's number.
fn rule(error: &Error) -> Option<String> {
    let source = error.source()?;
    let time = source
        .downcast_ref::<InvalidTime>()
        .map(ToString::to_string);
    time.or_else(|| source.downcast_ref::<Rule>().map(ToString::to_string))
}

/// Whether a text is like a card's number, or as long as secrets and tokens are.
fn may_be_private(text: &str) -> bool {
    let mut words = text.split_whitespace();
    is_card_like(text) || words.any(|word| TOLD_ARGUMENT_BYTES_MAX < word.len())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn told(args: &[&str]) -> String {
        let args = ["mistap"].into_iter().chain(args.iter().copied());
        let error = Cli::try_parse_from(args).expect_err("not to be understood");
        told_quietly(&error).unwrap_or_else(|| error.to_string())
    }

    #[test]
    fn number_of_a_card_in_a_wrong_place_is_not_repeated() {
        let number = "3528 0160 4471 9359";
        for args in [
            &["report", "--mode", number][..],
            &["report", number],
            &["report", "--attempts", number],
            &["--3528016044719359"],
            &["3528016044719359"],
        ] {
            let told = told(args);
            assert!(
                !told.contains("4471") && told.contains(NOT_REPEATED),
                "{told}"
            );
        }
        assert!(told(&["report", "--mode", number]).contains("--mode"));
    }

    #[test]
    fn rule_is_told_though_what_was_typed_is_not() {
        let days = "2026-10-01..2026-10-14";
        for (args, rule) in [
            (
                &["report", "--at", "23-11-2026 08:15"][..],
                "2026-11-23T08:15",
            ),
            (&["report", "--day", "2026-11-27T23:50"], "yesterday"),
            (&["stats", "--from", "2026-11-28T18:00"], "2026-11-23"),
            (&["stats", "--from", days], "30-days-ago"),
            (
                &["compare", "2026-10", "2026-09-01...2026-09-14"],
                "last-month",
            ),
            (
                &["outage", "declare", "2026-11-20..2026-11-10"],
                "yesterday",
            ),
            (
                &["stats", "--limit", "99999999999999999999"],
                "a whole number from 1",
            ),
            (
                &["report", "--attempts", "3528016044719359"],
                "from 0 to 20",
            ),
            (&["stats", "--line", "3528016044719359"], "GVB:10"),
            (&["rank", "line", "--limit", "0"], "from 1 to 10000"),
            (
                &["network", "search", "Dam", "--limit", "0"],
                "from 1 to 50",
            ),
            (
                &["network", "near", "52", "5", "--radius", "0"],
                "from 1 to 5000",
            ),
        ] {
            let typed = args.last().expect("a value");
            let told = told(args);
            assert!(told.contains(rule), "{told}");
            assert_eq!(told.contains(typed), !may_be_private(typed), "{told}");
        }
    }

    #[test]
    fn variable_without_a_value_is_as_one_that_is_not_set() {
        fn variables(command: &Command, all: &mut Vec<String>) {
            let set = command.get_arguments().filter_map(|arg| arg.get_env());
            all.extend(set.map(|name| name.to_string_lossy().into_owned()));
            for one in command.get_subcommands() {
                variables(one, all);
            }
        }
        let left = |blank: &'static [&str]| {
            let is_blank = |name: &OsStr| blank.iter().any(|one| name == *one);
            let mut all = Vec::new();
            variables(
                &without_blank_variables(Cli::command(), &is_blank),
                &mut all,
            );
            all
        };
        let has = |all: &[String], name| all.iter().any(|one| one == name);
        let all = left(&[]);
        let some = left(&["MISTAP_SERVER", "MISTAP_DATA"]);
        for name in ["MISTAP_SERVER", "MISTAP_DATA"] {
            assert!(has(&all, name) && !has(&some, name), "{name}");
        }
        assert!(has(&some, "MISTAP_LISTEN"));
    }

    #[test]
    fn token_that_cannot_be_sent_is_not_repeated() {
        let token = format!("mistap_{}\nx", "7f".repeat(32));
        let told = told(&["choices", "--token", &token]);
        assert!(!told.contains("7f7f") && told.contains("--token"), "{told}");
    }

    #[test]
    fn anything_else_is_told_as_it_was_typed() {
        let told = told(&["report", "--mode", "tarm"]);
        assert!(told.contains("tarm") && told.contains("tram"), "{told}");
    }
}
