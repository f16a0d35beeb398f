//! A table as an operator publishes it (`Date;Hour;Station;Ridership`, with gaps), imported by
//! the command line, with reports on top: every rate by station, by hour, and by both is what a
//! plain recount from the table and the reports gives, with intervals computed by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use mistap::api::pb::v1 as pb;
use mistap::domain::UtcMillis;
use mistap::domain::time::{DAY_MS, HOUR_MS};
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::transport::Channel;

use crate::by_hand;
use crate::child::mistap;
use crate::support::{START, Service, at, founding_story, once_open};

/// Days of the table, up to the day before that of `START`, all in winter time.
const DAYS: i64 = 14;
const STATIONS: [&str; 5] = [
    "Majestic",
    "M G Road",
    "Cubbon Park",
    "Nadaprabhu Kempegowda Station, Majestic",
    "Whitefield (Kadugodi)",
];

/// Hours that are asked about, from the first midnight.
type Span = std::ops::Range<i64>;

/// All days, and from noon of the first to noon of the last.
const SPANS: [Span; 2] = [0..DAYS * 24, 12..DAYS * 24 - 12];

/// Day from the first, hour, station.
type Place = (i64, i64, usize);
/// Taps by place; what is not there was not told.
type Table = BTreeMap<Place, u64>;

/// One report.
struct Report {
    is_observed: bool,
    place: Place,
    /// Whether its hour is known.
    has_hour: bool,
    kind: pb::TapKind,
}

fn midnight(day: i64) -> i64 {
    START.0 - 15 * HOUR_MS - (DAYS - day) * DAY_MS
}

fn code(station: usize) -> String {
    STATIONS[station].replace(' ', "_")
}

/// Few taps at night, none told of some hours, and of one station of most days nothing.
fn table(random: &mut StdRng) -> Table {
    let mut table = Table::new();
    for day in 0..DAYS {
        for hour in 0..24 {
            for station in 0..STATIONS.len() {
                let is_gap = random.random_range(0..40) == 0 || (station == 4 && 3 < day);
                let most = if hour < 5 { 3 } else { 2_000 };
                let taps = random.random_range(0..most);
                if !is_gap {
                    table.insert((day, hour, station), taps);
                }
            }
        }
    }
    table
}

/// Failures on top of the taps, and some where there were none; one station is worse, and on one
/// day all are.
fn reports(table: &Table, random: &mut StdRng) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut add = |random: &mut StdRng, is_observed, place| {
        let kinds = [pb::TapKind::CheckOut, pb::TapKind::Inspection];
        reports.push(Report {
            is_observed,
            place,
            has_hour: random.random_range(0..15) != 0,
            kind: match random.random_range(0..24) {
                which @ 0..2 => kinds[which],
                _ => pb::TapKind::CheckIn,
            },
        });
    };
    for (place, taps) in table {
        let worse = if place.2 == 1 { 4 } else { 1 } * if place.0 == 6 { 5 } else { 1 };
        for (is_observed, per_million) in [(true, 300), (false, 80)] {
            let expected = taps * per_million * worse;
            let rest = u64::from(random.random_range(0..1_000_000) < expected % 1_000_000);
            for _ in 0..expected / 1_000_000 + rest {
                add(random, is_observed, *place);
            }
        }
    }
    for _ in 0..60 {
        let place = (
            random.random_range(0..DAYS),
            random.random_range(0..24),
            random.random_range(0..STATIONS.len()),
        );
        let is_observed = random.random();
        add(random, is_observed, place);
    }
    reports
}

/// A feed of one line through all stations, so that they have codes.
fn write_network(path: &Path) {
    let file = std::fs::File::create(path).expect("room");
    let mut archive = zip::ZipWriter::new(file);
    let (mut stops, mut times) = (String::new(), String::new());
    for (station, name) in STATIONS.iter().enumerate() {
        let code = code(station);
        stops += &format!("\"{code}\",\"{name}\",12.9{station},77.5\n");
        times += &format!("1,08:0{station}:00,08:0{station}:00,\"{code}\",{station}\n");
    }
    for (name, head, body) in [
        (
            "agency.txt",
            "agency_id,agency_name,agency_url,agency_timezone",
            "BMRCL,BMRCL,http://example.org,Asia/Kolkata\n",
        ),
        ("stops.txt", "stop_id,stop_name,stop_lat,stop_lon", &stops),
        (
            "routes.txt",
            "route_id,agency_id,route_short_name,route_long_name,route_type",
            "1,BMRCL,1,all,1\n",
        ),
        ("trips.txt", "route_id,service_id,trip_id", "1,1,1\n"),
        (
            "stop_times.txt",
            "trip_id,arrival_time,departure_time,stop_id,stop_sequence",
            &times,
        ),
        (
            "calendar.txt",
            "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
            "1,1,1,1,1,1,1,1,20260101,20271231\n",
        ),
    ] {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(name, options).expect("a new file");
        archive
            .write_all(format!("{head}\n{body}").as_bytes())
            .expect("room");
    }
    archive.finish().expect("room");
}

fn write_table(path: &Path, table: &Table) {
    let mut text = String::from("Date;Hour;Station;Ridership\n");
    for ((day, hour, station), taps) in table {
        let day = jiff::Timestamp::from_millisecond(midnight(*day) + 12 * HOUR_MS);
        let date = day.expect("a time").strftime("%Y-%m-%d");
        text += &format!("{date};{hour};{};{taps}\n", STATIONS[*station]);
    }
    std::fs::write(path, text).expect("room");
}

async fn run(arguments: &[&str]) -> String {
    let mut command = mistap();
    let output = command.args(arguments).output().await.expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

async fn import(service: &Service, file: &Path) -> serde_json::Value {
    let server = service.address().to_string();
    let file = file.to_str().expect("a plain path");
    let arguments = [
        &["taps", "import", file, "--server", &server, "-f", "json"][..],
        &["--delimiter", ";", "--date", "Date", "--hour", "Hour"],
        &[
            "--stop",
            "Station",
            "--count",
            "Ridership",
            "--blanks-as",
            "_",
        ],
        &[
            "--feed",
            "bmrcl.entries",
            "--operator",
            "BMRCL",
            "--refusals",
            "excluded",
        ],
    ];
    serde_json::from_str(&run(&arguments.concat()).await).expect("JSON")
}

async fn tell(channel: &Channel, reports: &[Report]) {
    let incident = |report: &Report| {
        let (day, hour, station) = report.place;
        let (reporter, precision, hour) = match (report.is_observed, report.has_hour) {
            (true, true) => (pb::ReporterKind::Device, pb::TimePrecision::Hour, hour),
            (true, false) => (pb::ReporterKind::Device, pb::TimePrecision::Day, 12),
            (false, true) => (pb::ReporterKind::Traveller, pb::TimePrecision::Hour, hour),
            (false, false) => (pb::ReporterKind::Traveller, pb::TimePrecision::Day, 12),
        };
        pb::Incident {
            operator: "BMRCL".into(),
            line: String::new(),
            stop: code(station),
            mode: pb::Mode::Metro.into(),
            tap_kind: report.kind.into(),
            reporter: reporter.into(),
            precision: precision.into(),
            occurred_at: at(UtcMillis(midnight(day) + hour * HOUR_MS)),
            staff_present: 0,
            staff_acts: Vec::new(),
            outcomes: Vec::new(),
            ..founding_story()
        }
    };
    let mut client = ReportingServiceClient::new(channel.clone());
    for some in reports.chunks(500) {
        let request = pb::ReportIncidentsRequest {
            incidents: some.iter().map(incident).collect(),
        };
        client.report_incidents(request).await.expect("recorded");
    }
}

/// What rows tell apart.
#[derive(Clone, Copy, Debug)]
struct By {
    station: bool,
    hour: bool,
}

impl By {
    fn key(self, (_, hour, station): Place) -> Vec<String> {
        let station = self.station.then(|| code(station));
        let hour = self.hour.then(|| format!("{hour:02}"));
        station.into_iter().chain(hour).collect()
    }

    fn dimensions(self) -> Vec<i32> {
        let station = self.station.then_some(pb::Dimension::Stop);
        let hour = self.hour.then_some(pb::Dimension::HourOfDay);
        station.into_iter().chain(hour).map(i32::from).collect()
    }
}

/// What is counted of a row.
#[derive(Default)]
struct Counted {
    count: u64,
    reports: u64,
    others: u64,
    /// Reports of both bases by day, matched or not.
    own_by_day: BTreeMap<i64, u64>,
    others_by_day: BTreeMap<i64, u64>,
    matched: BTreeMap<i64, u64>,
    taps: BTreeMap<i64, u64>,
    /// Hours that count of each day of which any does.
    hours: BTreeMap<i64, u64>,
}

/// Hours of the span, by day; only those at an hour of day if rows tell it.
fn hours_by_day(span: &Span, hour_of_day: Option<i64>) -> BTreeMap<i64, u64> {
    let mut by_day = BTreeMap::new();
    for hour in span.clone() {
        if hour_of_day.is_none_or(|wanted| wanted == hour % 24) {
            *by_day.entry(hour / 24).or_default() += 1;
        }
    }
    by_day
}

/// Whether a report lies in the span, if its day is known alone with all of it.
fn is_within(span: &Span, report: &Report) -> bool {
    let (day, hour, _) = report.place;
    if report.has_hour {
        span.contains(&(day * 24 + hour))
    } else {
        span.start <= day * 24 && (day + 1) * 24 <= span.end
    }
}

fn recount(
    table: &Table,
    told: &[Report],
    is_observed: bool,
    by: By,
    span: &Span,
) -> BTreeMap<Vec<String>, Counted> {
    let mut rows = BTreeMap::<_, Counted>::new();
    let told = told.iter().filter(|report| is_within(span, report));
    for report in told.filter(|report| report.has_hour || !by.hour) {
        let row = rows.entry(by.key(report.place)).or_default();
        row.hours = hours_by_day(span, by.hour.then_some(report.place.1));
        let is_tap = report.kind != pb::TapKind::Inspection;
        if report.is_observed != is_observed {
            row.others += u64::from(is_tap);
            *row.others_by_day.entry(report.place.0).or_default() += u64::from(is_tap);
            continue;
        }
        row.count += 1;
        row.reports += u64::from(is_tap);
        *row.own_by_day.entry(report.place.0).or_default() += u64::from(is_tap);
        let is_check_in = report.kind == pb::TapKind::CheckIn;
        if report.has_hour && is_check_in && table.contains_key(&report.place) {
            *row.matched.entry(report.place.0).or_default() += 1;
        }
    }
    rows.retain(|_, row| 0 < row.count);
    for (place, taps) in table {
        if span.contains(&(place.0 * 24 + place.1))
            && let Some(row) = rows.get_mut(&by.key(*place))
        {
            *row.taps.entry(place.0).or_default() += taps;
        }
    }
    rows
}

impl Counted {
    fn check(&self, rate: &pb::Rate, is_observed: bool) {
        let on = |day: &i64| self.matched.get(day).copied().unwrap_or(0);
        let (matched, taps) = (
            self.matched.values().sum::<u64>(),
            self.taps.values().sum::<u64>(),
        );
        let told = self.taps.len();
        assert_eq!(
            (rate.reports, rate.matched, rate.taps),
            (self.reports, matched, taps)
        );
        let all = self.hours.len();
        assert_eq!(
            (rate.days as usize, rate.days_with_taps as usize),
            (all, told)
        );
        // The feed leaves refused taps out, so that more reports than taps contradict nothing.
        assert_eq!(rate.contradictions, 0);
        let attempts = |day: &i64, taps: u64| taps + if is_observed { on(day) } else { 0 };
        let days = self.taps.iter();
        let days = days.map(|(day, taps)| (on(day) as f64, attempts(day, *taps) as f64));
        let days: Vec<_> = days.collect();
        let scatter = if is_observed {
            by_hand::scatter_of_shares(&days)
        } else {
            by_hand::scatter_of_counts(&days)
        };
        is_close(rate.dispersion, scatter);
        assert_eq!(
            rate.reporting.is_some(),
            0 < self.reports && 0 < self.others
        );
        if let Some(ratio) = &rate.reporting {
            self.check_ratio(ratio, is_observed);
        }
        let reason = match () {
            () if told == 0 => pb::NoRate::NoTaps,
            () if told * 100 < all * 90 => pb::NoRate::DaysNotCovered,
            () if matched * 100 < self.reports * 80 => pb::NoRate::ReportsNotMatched,
            () if taps == 0 && (matched == 0 || !is_observed) => pb::NoRate::ZeroTaps,
            () => pb::NoRate::Unspecified,
        };
        assert_eq!(rate.no_rate(), reason);
        if reason != pb::NoRate::Unspecified {
            return;
        }
        let (matched, taps) = (matched as f64, taps as f64);
        let (value, (low, high)) = match is_observed {
            true => {
                let attempts = taps + matched;
                let ends = by_hand::wilson(matched, attempts, scatter);
                (matched / attempts, ends)
            }
            false => {
                let per = 100_000.0 / taps;
                let (low, high) = by_hand::garwood(matched, scatter);
                (matched * per, (low * per, high * per))
            }
        };
        is_close(rate.value.expect("a rate"), value);
        is_close(rate.low.expect("an end"), low);
        is_close(rate.high.expect("an end"), high);
    }

    /// Over all days of the span by their hours, whatever taps were told.
    fn check_ratio(&self, ratio: &pb::ReportingRatio, is_observed: bool) {
        let scatter = |by_day: &BTreeMap<i64, u64>| {
            let on = |day| by_day.get(&day).copied().unwrap_or(0) as f64;
            let days = self.hours.iter();
            let days: Vec<_> = days.map(|(day, hours)| (on(*day), *hours as f64)).collect();
            by_hand::scatter_of_counts(&days)
        };
        let scatter = scatter(&self.own_by_day).max(scatter(&self.others_by_day));
        let (own, others) = (self.reports as f64, self.others as f64);
        let (told, seen) = if is_observed {
            (others, own)
        } else {
            (own, others)
        };
        let (low, high) = by_hand::ratio(told, seen, scatter);
        is_close(ratio.value, told / seen);
        is_close(ratio.low, low);
        is_close(ratio.high, high);
    }
}

fn is_close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-10 * expected.abs(),
        "{found} for {expected}"
    );
}

async fn ask(
    channel: &Channel,
    is_observed: bool,
    by: By,
    span: &Span,
) -> pb::QueryFiguresResponse {
    let basis = if is_observed {
        pb::Basis::Observed
    } else {
        pb::Basis::SelfReported
    };
    let request = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            filter: Some(pb::Filter {
                basis: basis.into(),
                ..pb::Filter::default()
            }),
            by: by.dimensions(),
            window: Some(pb::Window {
                start: at(UtcMillis(midnight(0) + span.start * HOUR_MS)),
                end: at(UtcMillis(midnight(0) + span.end * HOUR_MS)),
            }),
        }),
        rates: Some(pb::RatesRequest::default()),
        ..pb::QueryFiguresRequest::default()
    };
    let mut client = StatisticsServiceClient::new(channel.clone());
    once_open(async || client.query_figures(request.clone()).await)
        .await
        .expect("an answer")
}

#[tokio::test]
async fn rates_by_station_and_hour_of_an_imported_table_are_those_of_a_plain_recount() {
    let folder = tempfile::tempdir().expect("a folder");
    let (network, taps) = (
        folder.path().join("network.zip"),
        folder.path().join("taps.csv"),
    );
    let mut random = StdRng::seed_from_u64(7);
    let table = table(&mut random);
    write_network(&network);
    write_table(&taps, &table);
    let data = tempfile::tempdir().expect("a folder");
    let (zip, dir) = (network.to_str(), data.path().to_str());
    let (zip, dir) = (zip.expect("a plain path"), dir.expect("a plain path"));
    run(&["network", "import", zip, "--data", dir]).await;
    // Before all days of the table.
    let service = Service::start_later(data, DAYS + 2).await;
    let imported = import(&service, &taps).await;
    assert_eq!(imported["recorded"], table.len());
    assert_eq!(imported["refused"], 0);
    let channel = service.connect().await;
    let told = reports(&table, &mut random);
    tell(&channel, &told).await;
    let (mut rates, mut reasons) = (0, BTreeSet::new());
    let asked = SPANS.iter().flat_map(|span| [(span, false), (span, true)]);
    for (span, is_observed) in asked {
        for (station, hour) in [(false, false), (true, false), (false, true), (true, true)] {
            let by = By { station, hour };
            let answer = ask(&channel, is_observed, by, span).await;
            let expected = recount(&table, &told, is_observed, by, span);
            assert_eq!(answer.figures.len(), expected.len(), "{by:?} {span:?}");
            for figure in &answer.figures {
                let key: Vec<String> = figure.keys.iter().map(|key| key.value.clone()).collect();
                let row = &expected[&key];
                assert_eq!(figure.count, row.count, "{key:?} {span:?}");
                let rate = figure.rate.as_ref().expect("asked for");
                row.check(rate, is_observed);
                rates += usize::from(rate.value.is_some());
                reasons.insert(rate.no_rate());
            }
        }
    }
    assert!(200 < rates, "{rates} rates were compared");
    assert!(reasons.contains(&pb::NoRate::DaysNotCovered), "{reasons:?}");
    assert!(
        reasons.contains(&pb::NoRate::ReportsNotMatched),
        "{reasons:?}"
    );
    service.stop().await;
}
