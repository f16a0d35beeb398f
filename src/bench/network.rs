//! `mistap bench network`: how long a timetable takes to be imported, how long a search among its
//! stops, and how long a report whose stop nobody knows. The feed is made up, a whole country's
//! stops and one operator's lines, or it is the one that `--feed` names.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::Plan;
use super::contest::{self, Bound, print_bounds};
use crate::cli::Failure;
use crate::domain::LocalDay;
use crate::network::{Network, Words, import_gtfs};

/// Stops of the Netherlands, platforms included.
pub const STOPS: usize = 63_000;
/// In a quick run.
pub const QUICK_STOPS: usize = 300;
const LINES: usize = 45;
const STOPS_OF_LINE: usize = 25;
/// So that beginnings and ends of names are shared, as in any country.
const BEGINNINGS: [&str; 24] = [
    "Linden",
    "Eiken",
    "Molen",
    "Kerk",
    "School",
    "Station",
    "Brug",
    "Haven",
    "Markt",
    "Burge",
    "Wilhelmina",
    "Juliana",
    "Prins Hendrik",
    "Water",
    "Vaart",
    "Zand",
    "Heide",
    "Bosch",
    "Weide",
    "Noorder",
    "Zuider",
    "Ooster",
    "Wester",
    "Raadhuis",
];
const ENDS: [&str; 12] = [
    "straat", "laan", "weg", "plein", "kade", "singel", "dijk", "park", "hof", "gracht", "pad",
    "dreef",
];
/// What is typed: right, begun, with errors, in another order, of nothing that there is.
const TYPED: [&str; 10] = [
    "Lindenstraat",
    "molenw",
    "kerkplien",
    "prins hendrik kade",
    "burgelaan stad 71",
    "zuidersngel",
    "stad 12 raadhuisplein",
    "westerdrief",
    "heide",
    "qqxvw zzkrt bbnmp",
];
/// As a report may name its stop: words that are all nearly known, none of them right.
const UNKNOWN: &str = "lindenstrat molenwg kerkplien zuidersngel heidepak westerdrief";
const SEARCHES: usize = 50;
const FOUND: usize = 10;

const IMPORT_SECONDS_MAX: f64 = 2.0;
const SEARCH_MS_MAX: f64 = 5.0;

/// Runs it.
pub fn run(plan: &Plan) -> Result<(), Failure> {
    let made = plan.dir.join("feed.zip");
    let feed = match &plan.feed {
        Some(feed) => feed,
        None => {
            write_feed(&made, plan.feed_stops)?;
            &made
        }
    };
    let mut imports = Vec::new();
    let mut network = Network::built_in();
    for _ in 0..plan.rounds {
        let begun = Instant::now();
        network = imported(feed, &plan.dir)?;
        imports.push(begun.elapsed().as_secs_f64());
    }
    let stops = network.all_stops().len();
    contest::say(&format!("\n{}, {stops} stops", feed.display()))?;
    let (mut middle, mut slowest) = (0.0_f64, Duration::ZERO);
    for typed in TYPED {
        let mut times = timed(|| {
            black_box(network.search(typed, FOUND));
        });
        middle = middle.max(milliseconds(contest::percentile(&mut times, 50)));
        slowest = slowest.max(contest::percentile(&mut times, 100));
    }
    let mut unknown = timed(|| resolve(&network, UNKNOWN));
    let bound = |name: &str, value, most| Bound {
        name: name.to_owned(),
        value,
        most,
    };
    let import = contest::median(&imports).unwrap_or_default();
    print_bounds(
        "importing a timetable",
        "seconds",
        &[bound("import, median", import, Some(IMPORT_SECONDS_MAX))],
        plan.with_targets,
    )?;
    let unknown = milliseconds(contest::percentile(&mut unknown, 50));
    print_bounds(
        "a search among its stops",
        "ms",
        &[
            bound("the dearest text, median", middle, Some(SEARCH_MS_MAX)),
            bound("the slowest search of all", milliseconds(slowest), None),
            bound("a report whose stop nobody knows, median", unknown, None),
        ],
        plan.with_targets,
    )
}

/// Reads a feed, lays it over the built-in network, and writes that down, as an import does.
fn imported(feed: &Path, dir: &Path) -> Result<Network, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::unexpected("no feed imported", error);
    let feed = import_gtfs(feed, &mut |_| ()).map_err(|error| failed(&error))?;
    let network = Network::overlay(&Network::built_in(), vec![feed]);
    let network = network.map_err(|error| failed(&error))?;
    let folder = tempfile::tempdir_in(dir)?;
    network
        .save(folder.path())
        .map_err(|error| failed(&error))?;
    Ok(network)
}

fn resolve(network: &Network, stop: &str) {
    let words = Words {
        operator: "",
        is_operator_vouched_for: false,
        line: "",
        stop,
        mode: None,
        day: LocalDay(0),
    };
    black_box(network.resolve(&words));
}

fn timed(work: impl Fn()) -> Vec<Duration> {
    let once = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    (0..SEARCHES).map(once).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Makes up a feed of so many stops, with a line through some of them.
fn write_feed(path: &Path, stops: usize) -> Result<(), Failure> {
    let failed = |error: zip::result::ZipError| Failure::unexpected("no feed made", &error);
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path)?));
    let mut file = |name: &str, text: &str| -> Result<(), Failure> {
        zip.start_file(name, SimpleFileOptions::default())
            .map_err(failed)?;
        Ok(zip.write_all(text.as_bytes())?)
    };
    file(
        "agency.txt",
        "agency_id,agency_name,agency_url,agency_timezone\nGVB,GVB,,Europe/Amsterdam\n",
    )?;
    file(
        "calendar_dates.txt",
        "service_id,date,exception_type\n1,20261101,1\n",
    )?;
    let stop = |number: usize| {
        let beginning = BEGINNINGS[number % BEGINNINGS.len()];
        let end = ENDS[number / BEGINNINGS.len() % ENDS.len()];
        let town = number / (BEGINNINGS.len() * ENDS.len());
        format!("GVB:{number:05},\"Stad {town}, {beginning}{end}\",52.3,4.9\n")
    };
    let rows: String = (0..stops).map(stop).collect();
    file(
        "stops.txt",
        &format!("stop_id,stop_name,stop_lat,stop_lon\n{rows}"),
    )?;
    let lines = 1..=LINES;
    let rows: String = lines
        .clone()
        .map(|line| format!("{line},GVB,{line},0\n"))
        .collect();
    file(
        "routes.txt",
        &format!("route_id,agency_id,route_short_name,route_type\n{rows}"),
    )?;
    let rows: String = lines
        .clone()
        .map(|line| format!("{line},1,{line},0\n"))
        .collect();
    file(
        "trips.txt",
        &format!("route_id,service_id,trip_id,direction_id\n{rows}"),
    )?;
    let halt = |line: usize, place: usize| {
        let stop = (line * STOPS_OF_LINE + place) % stops;
        format!("{line},{place},GVB:{stop:05},08:00:00,08:00:00\n")
    };
    let halts = |line| (0..STOPS_OF_LINE).map(move |place| halt(line, place));
    let rows: String = lines.flat_map(halts).collect();
    file(
        "stop_times.txt",
        &format!("trip_id,stop_sequence,stop_id,arrival_time,departure_time\n{rows}"),
    )?;
    zip.finish().map_err(failed)?;
    Ok(())
}
