//! `mistap receipt`: proof of a report, as a text, as a QR code, and checked offline.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::keys;
use super::output::file_name;
use super::way_back::{KeyArgs, client};
use crate::api::pb::v1 as pb;
use crate::auth::receipts::{parse_jwks, verify};
use crate::config::{ClockSettings, DataSettings};
use crate::domain::limits::RECEIPT_BYTES_MAX;
use crate::ingest::CommandClock;
use crate::ingest::rotation;

/// What to do with receipts.
#[derive(Debug, clap::Subcommand)]
pub enum ReceiptCommand {
    /// Print the receipt of a report, with its secret; the same each time
    Get(GetArgs),
    /// Check a receipt without a server
    Verify(VerifyArgs),
    /// Sign what is received from now on with a new key; old receipts stay valid, and are made
    /// again with the same bytes
    Rotate {
        /// Which folder. No server may use it: stop it first.
        #[command(flatten)]
        data: DataSettings,
        /// What its clock is worth.
        #[command(flatten)]
        clock: ClockSettings,
    },
}

/// Whose receipt.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Write it as a QR code (SVG) to this file
    #[arg(long, value_name = "FILE")]
    qr: Option<PathBuf>,
    /// Print what its digest covers, too: what a holder needs to prove note and words
    #[arg(long)]
    digested: bool,
}

/// What to check, and against what.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The receipt; `-` for standard input
    file: PathBuf,
    /// The public keys, as the instance has them at `/.well-known/jwks.json`
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

/// Runs `mistap receipt get`.
pub async fn get(args: GetArgs, server: &ServerArgs) -> Result<(), Failure> {
    let request = pb::GetReceiptRequest {
        incident_secret: args.key.secret()?,
        incident_id: args.key.id,
        qr_code: args.qr.is_some(),
    };
    let answer = client(server).await?.get_receipt(request).await?;
    let answer = answer.into_inner();
    if let Some(path) = &args.qr {
        if answer.qr_svg.is_empty() {
            return Err(Failure::new(
                Kind::Refused,
                "the receipt is too long for a QR code",
            ));
        }
        std::fs::write(path, answer.qr_svg)?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", answer.receipt)?;
    if args.digested {
        writeln!(out, "{}\n{}", answer.salt, answer.digested_json)?;
    }
    Ok(())
}

/// Runs `mistap receipt verify`: prints what the receipt says, if it can be trusted.
pub fn check(args: &VerifyArgs) -> Result<(), Failure> {
    let keys = std::fs::read_to_string(&args.keys);
    let keys = keys.map_err(|error| unread(&args.keys, &error))?;
    let refused = |why: String| Failure::new(Kind::Refused, why);
    let keys = parse_jwks(&keys).map_err(|error| refused(error.to_string()))?;
    let claims = verify(&read(&args.file)?, &keys).map_err(|error| refused(error.to_string()))?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &claims).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// Runs `mistap receipt rotate`.
pub fn rotate(folder: &Path, clock: CommandClock) -> Result<(), Failure> {
    let made = rotation::rotate_receipts(folder, clock);
    let made = made.map_err(|error| keys::failure(&error, folder))?;
    Ok(writeln!(
        io::stdout(),
        "{} keys; what is received from {} on is signed with the new one, and all of before as it \
         was",
        made.keys,
        made.from
    )?)
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::Unexpected,
    };
    let message = format!("the file {} cannot be read", file_name(path));
    Failure::caused(kind, message, error)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let most = RECEIPT_BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(path);
        let read = file.and_then(|file| file.take(most).read_to_end(&mut bytes));
        read.map_err(|error| unread(path, &error))?;
    }
    String::from_utf8(bytes).map_err(|_| Failure::new(Kind::Refused, "it is no text"))
}
