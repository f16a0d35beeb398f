//! `mistap token`: makes, lists and revokes the tokens of a data folder. A service that uses
//! the folder takes them up by itself, within a second.

use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::failure::{Failure, Kind};
use super::output::{Format, Sheet};
use super::say_aside;
use crate::auth::{NewToken, Role, Token, TokenError, TokenFile, TokenId, TokenRefused};
use crate::config::DataSettings;
use crate::domain::{LocalDay, OperatorCode};
use crate::journal;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and show it, this once
    New(NewArgs),
    /// List tokens; none is shown
    List {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
    },
    /// End a token
    Revoke {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
        /// Its number, as mistap token list tells it
        id: u32,
    },
}

/// What a new token is to be.
#[derive(Args, Debug)]
pub struct NewArgs {
    /// Which folder.
    #[command(flatten)]
    data: DataSettings,
    /// What its holder is
    #[arg(long)]
    role: TokenRole,
    /// An operator that it is bound to, by code, as in GVB; again for each further one. Needed
    /// for devices and operators, and not allowed for stewards
    #[arg(long = "operator", value_name = "CODE")]
    operators: Vec<OperatorCode>,
    /// Whose it is, in words. Two tokens of one label may live at once, so that one can take
    /// the place of the other
    #[arg(long)]
    label: String,
}

/// Roles that tokens are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TokenRole {
    /// Tells observed incidents and tap counts of its operators
    Device,
    /// Sees and answers what is reported of its operators
    Operator,
    /// Sees every figure
    Steward,
}

impl TokenRole {
    fn role(self) -> Role {
        match self {
            Self::Device => Role::Device,
            Self::Operator => Role::Operator,
            Self::Steward => Role::Steward,
        }
    }
}

/// Runs `mistap token`.
pub fn token(command: TokenCommand, format: Format, today: LocalDay) -> Result<(), Failure> {
    match command {
        TokenCommand::New(args) => new(args, format, today),
        TokenCommand::List { data } => list(&data.dir, format),
        TokenCommand::Revoke { data, id } => {
            let revoked = TokenFile::revoke(&data.dir, TokenId(id), today);
            revoked.map_err(|error| failure("the token is not revoked", &error))?;
            writeln!(io::stdout(), "token {id} is revoked")?;
            Ok(())
        }
    }
}

fn new(args: NewArgs, format: Format, today: LocalDay) -> Result<(), Failure> {
    let dir = &args.data.dir;
    let has_record = has_record(dir);
    make_folder(dir)?;
    let mut operators = args.operators;
    operators.sort();
    operators.dedup();
    let label = args.label.trim();
    let new = NewToken {
        label: label.to_owned(),
        role: args.role.role(),
        operators,
    };
    let made = TokenFile::add(dir, new, today);
    let token = made.map_err(|error| failure("no token is made", &error))?;
    if !has_record {
        say_aside(&format!(
            "note: there is no record in {} yet; `mistap serve` with the same --data begins one",
            dir.display()
        ));
    }
    let mut out = io::stdout().lock();
    show(&token, format, &mut out).map_err(|failure| unseen(failure, dir, label))?;
    if format == Format::Table {
        writeln!(
            out,
            "\nThis is shown once. Give it to its holder, who sends it with --token-file, or as \
             the header `authorization: Bearer ...`."
        )?;
    }
    Ok(())
}

fn show(token: &Token, format: Format, out: &mut impl Write) -> Result<(), Failure> {
    if format == Format::Table {
        return Ok(writeln!(out, "{}", token.expose())?);
    }
    let mut sheet = Sheet::new(["token"]);
    sheet.push(vec![json!(token.expose())]);
    sheet.print(format, out)
}

/// Says that a token lives that nobody saw: also where whoever read the output went away, since it
/// is nowhere else.
fn unseen(failure: Failure, dir: &Path, label: &str) -> Failure {
    let file = TokenFile::read(dir).ok().flatten().unwrap_or_default();
    let mut newest_first = file.tokens().iter().rev();
    let made = newest_first.find(|token| token.label == label);
    let number = made.map_or_else(|| "NUMBER".to_owned(), |token| token.id.0.to_string());
    let data = dir.display();
    failure
        .said_in_any_case()
        .with_detail(format!("token {number} is made, and shown to nobody"))
        .with_hint(format!("`mistap token revoke --data {data} {number}`"))
}

fn list(dir: &Path, format: Format) -> Result<(), Failure> {
    let file = TokenFile::read(dir).map_err(|error| failure("no token is listed", &error))?;
    if file.is_none() && !has_record(dir) {
        let message = format!("there is neither a record nor a token in {}", dir.display());
        let failure = Failure::new(Kind::NotFound, message);
        return Err(failure.with_hint("name the data folder with --data"));
    }
    let mut sheet = Sheet::new(["id", "label", "role", "operators", "made", "revoked"]);
    for token in file.unwrap_or_default().tokens() {
        let operators: Vec<_> = token.operators.iter().map(ToString::to_string).collect();
        sheet.push(vec![
            json!(token.id.0),
            json!(token.label),
            json!(token.role.key()),
            json!(operators.join(" ")),
            json!(token.made.to_string()),
            json!(token.revoked.map(|day| day.to_string())),
        ]);
    }
    sheet.print(format, &mut io::stdout().lock())
}

fn has_record(dir: &Path) -> bool {
    matches!(journal::exists(&dir.join("journal")), Ok(true))
}

/// The first token may be made before the service ever ran.
fn make_folder(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    const FOLDER_MODE: u32 = 0o700;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(FOLDER_MODE).create(dir);
    made.map_err(|error| Failure::unexpected("the data folder cannot be made", &error))
}

/// Every error has its own arm, so that a new one does not compile until someone chooses.
fn failure(what: &str, error: &TokenError) -> Failure {
    let kind = match error {
        TokenError::Exposed { .. } => Kind::Refused,
        TokenError::Malformed { .. } => Kind::Damage,
        TokenError::Locked { .. } => Kind::TryAgain,
        TokenError::Io { .. } | TokenError::Random(_) => Kind::Unexpected,
        TokenError::Refused(refused) => match refused {
            TokenRefused::NotFound => Kind::NotFound,
            TokenRefused::LabelTaken => Kind::Taken,
            TokenRefused::Label
            | TokenRefused::Role
            | TokenRefused::NoOperators
            | TokenRefused::TooManyOperators
            | TokenRefused::Operators
            | TokenRefused::TwoLive
            | TokenRefused::TooMany => Kind::Refused,
        },
    };
    Failure::caused(kind, what, error)
}
