//! `mistap network import`: a timetable feed becomes the next version of a data folder's
//! network. A broken feed is refused whole, and the network in use stays.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failure::{Failure, Kind};
use super::output::file_name;
use super::{progress, serve};
use crate::edition::library::newest_network;
use crate::network::{FeedError, Network, import_gtfs};

/// The feed, and where to.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// A GTFS feed: a zip archive
    feed: PathBuf,
}

/// Runs `mistap network import`. A server that uses the folder notices within a minute.
pub fn import(args: &ImportArgs, dir: &Path) -> Result<(), Failure> {
    let bar = progress::bytes(0, "importing");
    let feed = import_gtfs(&args.feed, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
    });
    bar.finish_and_clear();
    let feed = feed.map_err(|error| refused(&args.feed, &error))?;
    let base = Network::load_latest(dir)
        .map_err(|error| serve::unusable("the network in use cannot be read", &error))?
        .unwrap_or_else(Network::built_in);
    let covered: Vec<_> = feed
        .operators
        .iter()
        .map(|operator| operator.code.to_string())
        .collect();
    let (lines, stops) = (feed.lines.len(), feed.stops.len());
    let network = Network::overlay(&base, vec![feed]).map_err(|error| {
        Failure::new(Kind::Refused, "the feed makes no network").with_detail(error.to_string())
    })?;
    let cited = newest_network(dir)
        .map_err(|error| serve::unusable("the editions cannot be read", &error))?;
    let network = network.numbered_for(dir, cited);
    network
        .save(dir)
        .map_err(|error| Failure::unexpected("the network cannot be written", &error))?;
    writeln!(
        io::stdout(),
        "version {}: {} of {lines} lines and {stops} stops; {} lines and {} stops in all",
        network.version(),
        if covered.is_empty() {
            "no operator".to_owned()
        } else {
            covered.join(", ")
        },
        network.all_lines().len(),
        network.all_stops().len(),
    )?;
    Ok(())
}

fn refused(file: &Path, error: &FeedError) -> Failure {
    let file = file_name(file);
    match error {
        FeedError::Open(source) if source.kind() == io::ErrorKind::NotFound => {
            Failure::new(Kind::NotFound, format!("there is no file {file}"))
        }
        error => {
            let message = format!("the feed {file} is refused; the network in use stays");
            Failure::caused(Kind::Refused, message, error)
        }
    }
}
