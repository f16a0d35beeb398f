//! The country that is measured: as many operators, lines and stops as the Netherlands have,
//! made up; and records of its simulated history.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::pb::v1 as pb;
use crate::cli::progress;
use crate::cli::{Failure, Kind};
use crate::domain::taxonomy::Mode;
use crate::domain::time::DAY_MS;
use crate::domain::{OperatorCode, UtcMillis};
use crate::network::{Direction, Feed, Line, Network, Operator, Stop, Validity};
use crate::simulate::history::{self, Until};
use crate::simulate::world::World;
use crate::simulate::{Scenario, Simulation};

/// Days of history.
pub const HISTORY_DAYS: i64 = 730;
/// Reports of the simulation for each that is asked for on an average day: weekends are
/// quieter, broken readers and outages add some. A little low, so that the days suffice.
const REPORTS_PER_ASKED: f64 = 0.93;
/// Reports for each new incident, because some are sent twice.
const REPORTS_PER_INCIDENT: f64 = 1.03;
const SEED: u64 = 7;

const NAMES_FIRST: [&str; 40] = [
    "Kerk",
    "Molen",
    "Haven",
    "School",
    "Dorps",
    "Stations",
    "Markt",
    "Beuken",
    "Eiken",
    "Linden",
    "Raadhuis",
    "Sport",
    "Boer",
    "Polder",
    "Dijk",
    "Sluis",
    "Brug",
    "Tol",
    "Veer",
    "Wilgen",
    "Zand",
    "Heide",
    "Bos",
    "Duin",
    "Zee",
    "Meer",
    "Wal",
    "Burg",
    "Klooster",
    "Prins",
    "Koning",
    "Wilhelmina",
    "Juliana",
    "Beatrix",
    "Rembrandt",
    "Vondel",
    "Tulpen",
    "Rozen",
    "Noorder",
    "Zuider",
];
const NAMES_LAST: [&str; 20] = [
    "straat", "weg", "laan", "plein", "dijk", "kade", "hof", "singel", "gracht", "park", "pad",
    "dreef", "steeg", "poort", "markt", "ring", "baan", "veld", "oever", "brug",
];

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    operators: usize,
    lines: usize,
    stops: usize,
}

/// As in the Netherlands.
pub const PLANNING_SIZE: Size = Size {
    operators: 20,
    lines: 3_400,
    stops: 45_000,
};

/// For a quick run.
pub const TINY_SIZE: Size = Size {
    operators: 3,
    lines: 24,
    stops: 200,
};

/// A network of this size, laid over the built-in one.
pub fn network(size: Size) -> Result<Arc<Network>, Failure> {
    let feed = Feed {
        operators: (0..size.operators)
            .map(operator)
            .collect::<Result<_, _>>()?,
        lines: (0..size.lines)
            .map(|place| line(place, size))
            .collect::<Result<_, _>>()?,
        stops: (0..size.stops).map(stop).collect::<Result<_, _>>()?,
    };
    let network = Network::overlay(&Network::built_in(), vec![feed]);
    let network =
        network.map_err(|error| Failure::unexpected("no network could be made", &error))?;
    Ok(Arc::new(network))
}

/// So many different reports of the days before now, to be sent now.
pub fn incidents(
    network: &Network,
    count: usize,
    now: UtcMillis,
) -> Result<Vec<pb::Incident>, Failure> {
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let reports_per_day = count as f64;
    let scenario = Scenario {
        seed: SEED,
        start: UtcMillis(now.0 - 4 * DAY_MS),
        reports_per_day,
    };
    let sent = Simulation::new(scenario, world(network)?).take(count);
    Ok(sent.map(|sent| sent.incident).collect())
}

/// The data folder of a record with about so many incidents over two years, written now
/// unless it is there from an earlier run.
pub async fn record(
    dir: &Path,
    size: Size,
    incidents: u64,
    now: UtcMillis,
) -> Result<PathBuf, Failure> {
    let folder = dir.join(format!("record-{incidents}"));
    let (data, done) = (folder.join("data"), folder.join("done"));
    if done.exists() {
        return Ok(data);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let network = network(size)?;
    save(&network, &data)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let asked = incidents as f64;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let days = HISTORY_DAYS as f64;
    let scenario = Scenario {
        seed: SEED,
        start: UtcMillis(now.0 - HISTORY_DAYS * DAY_MS),
        reports_per_day: asked / days / REPORTS_PER_ASKED,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let reports_max = (asked * REPORTS_PER_INCIDENT) as u64;
    let until = Until {
        end: now,
        reports_max,
    };
    let mut simulation = Simulation::new(scenario, world(&network)?);
    let bar = progress::bar(reports_max, "reports", "writing history");
    let written = history::write(&data, network, &mut simulation, None, until, |written| {
        bar.set_position(written.reports);
        ControlFlow::Continue(())
    });
    let written = written.await;
    bar.finish_and_clear();
    let written = written.map_err(|error| Failure::unexpected("no history was written", &error))?;
    if 0 < written.refused {
        let text = format!("{} simulated reports were refused", written.refused);
        return Err(Failure::new(Kind::Unexpected, text));
    }
    fs::write(done, b"")?;
    Ok(data)
}

/// Puts the network into a data folder, where a server finds it.
pub fn save(network: &Network, data: &Path) -> Result<(), Failure> {
    let saved = network.save(data);
    saved.map_err(|error| Failure::unexpected("the network cannot be written", &error))?;
    Ok(())
}

fn world(network: &Network) -> Result<World, Failure> {
    World::from_network(network)
        .ok_or_else(|| Failure::new(Kind::Unexpected, "the network has no lines"))
}

fn code<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    let invalid = |_| Failure::new(Kind::Unexpected, format!("{text} is no code"));
    text.parse().map_err(invalid)
}

fn operator(place: usize) -> Result<Operator, Failure> {
    Ok(Operator {
        code: code::<OperatorCode>(&format!("OP{place:02}"))?,
        name: format!("Vervoerder {place}").into(),
        lines: 0,
    })
}

/// Public numbers repeat among operators, as they do.
fn line(place: usize, size: Size) -> Result<Line, Failure> {
    let number = place / size.operators;
    let stops_per_line = (size.stops / size.lines).max(1);
    let first = place * stops_per_line;
    let stops = (first..first + stops_per_line).map(|stop| code(&stop_code(stop % size.stops)));
    Ok(Line {
        id: code(&format!("OP{:02}:{number}", place % size.operators))?,
        number: number.to_string().into(),
        name: "".into(),
        mode: [Mode::Bus, Mode::Bus, Mode::Tram, Mode::Bus, Mode::Train][place % 5],
        validity: Validity::default(),
        directions: vec![Direction {
            headsign: "".into(),
            stops: stops.collect::<Result<_, _>>()?,
        }],
    })
}

fn stop(place: usize) -> Result<Stop, Failure> {
    let (firsts, lasts) = (NAMES_FIRST.len(), NAMES_LAST.len());
    // A prime apart, so that the names of one line differ.
    let name = place * 37 % (firsts * lasts);
    let town = place / (firsts * lasts);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let (north, east) = ((place % 300) as f64, (place / 300) as f64);
    Ok(Stop {
        id: code(&stop_code(place))?,
        name: format!(
            "{}{}",
            NAMES_FIRST[name % firsts],
            NAMES_LAST[name / firsts]
        )
        .into(),
        town: format!("{}veen", NAMES_FIRST[town % firsts]).into(),
        latitude: 51.0 + north * 0.008,
        longitude: 4.0 + east * 0.018,
        platforms: Vec::new(),
        lines: Vec::new(),
    })
}

fn stop_code(place: usize) -> String {
    format!("NL:S:{place:08}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_of_planning_size_can_be_made() {
        let network = network(PLANNING_SIZE).expect("its codes are valid");
        assert!(3_400 <= network.all_lines().len());
        assert!(45_000 <= network.all_stops().len());
    }

    #[test]
    fn reports_lie_before_now() {
        let network = network(TINY_SIZE).expect("its codes are valid");
        let now = UtcMillis(1_800_000_000_000);
        let incidents = incidents(&network, 500, now).expect("it has lines");
        let at = |incident: &pb::Incident| incident.occurred_at.as_ref().map(|at| at.seconds);
        assert!(
            incidents
                .iter()
                .all(|incident| at(incident) < Some(now.0 / 1_000))
        );
        assert_eq!(incidents.len(), 500);
    }
}
