//! Reads the arguments, and says what is wrong with them: without repeating what may be a card's
//! number, a token or a secret, which whoever typed it in the wrong place would find again in a
//! log or a bug report.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Error, Parser};

use super::Cli;
use crate::domain::limits::TOLD_ARGUMENT_BYTES_MAX;
use crate::domain::text::is_card_like;

/// What is said instead of what was typed.
const NOT_REPEATED: &str =
    "it is not taken, and not repeated, as it may hold a card's number or a secret";

/// The arguments, or what to exit with after saying what is wrong with them.
pub(super) fn read() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| refuse(&error))
}

#[expect(clippy::print_stderr, reason = "the answer of a command to its user")]
fn refuse(error: &Error) -> ExitCode {
    match told_quietly(error) {
        Some(message) => eprintln!("{message}"),
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
    Some(format!(
        "error: {place}: {NOT_REPEATED}\n\nFor more information, try '--help'."
    ))
}

/// Whether a text is like a card's number, or as long as secrets and tokens are.
fn may_be_private(text: &str) -> bool {
    let mut words = text.split_whitespace();
    is_card_like(text) || words.any(|word| TOLD_ARGUMENT_BYTES_MAX < word.len())
}

#[cfg(test)]
mod tests {
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
