//! Reads timetable feeds: zip archives of GTFS, the format of OVapi and most of the world.
//!
//! A feed is taken whole or refused whole, naming file, line, column and reason. It may lie
//! in one folder or in several, one for each operator; a folder may hold stops alone. Files
//! are streamed, so that the largest (`stop_times.txt` of a country has more than a
//! gigabyte) needs memory for its trips and not for its rows.

mod archive;
mod error;
mod lines;
mod stops;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

pub use archive::Progress;
use archive::{Archive, FeedBounds};
pub use error::{FeedError, Reason as FeedReason};

use super::builtin;
use super::model::{Feed, Operator};
use crate::domain::OperatorCode;

const TIMETABLE_FILES: [&str; 4] = ["agency.txt", "routes.txt", "trips.txt", "stop_times.txt"];

/// Reads the feed in a file. Tells how far it is as it goes.
pub fn import_gtfs(path: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Feed, FeedError> {
    let file = File::open(path).map_err(FeedError::Open)?;
    read_gtfs(BufReader::new(file), progress)
}

/// Reads a feed. Tells how far it is as it goes.
pub fn read_gtfs<R: Read + Seek>(
    reader: R,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Feed, FeedError> {
    read_within(reader, FeedBounds::default(), progress)
}

fn read_within<R: Read + Seek>(
    reader: R,
    bounds: FeedBounds,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Feed, FeedError> {
    let mut archive = Archive::open(reader, bounds, progress)?;
    let folders = archive.folders_with("stops.txt");
    if folders.is_empty() {
        return Err(FeedError::FileMissing {
            file: "stops.txt".into(),
        });
    }
    let mut feed = Feed::default();
    let mut names = BTreeMap::new();
    let (mut used_stops, mut taken) = (BTreeSet::new(), lines::Taken::default());
    for folder in &folders {
        let places = stops::read(&mut archive, folder, &mut used_stops)?;
        names.extend(places.operators().map(|code| (code, None)));
        if TIMETABLE_FILES.iter().any(|file| archive.has(folder, file)) {
            let timetable = lines::read(&mut archive, folder, &places, &mut taken)?;
            names.extend(timetable.operators);
            feed.lines.extend(timetable.lines);
        }
        feed.stops.extend(places.stops);
    }
    feed.operators = names.into_iter().map(operator).collect();
    Ok(feed)
}

fn operator((code, name): (OperatorCode, Option<Box<str>>)) -> Operator {
    let name = builtin::operator_name(&code)
        .map(Into::into)
        .or(name)
        .unwrap_or_else(|| code.as_str().into());
    Operator {
        code,
        name,
        lines: 0,
    }
}

/// A code out of any text: visible ASCII, at most `bytes_max`; what is not becomes `_`.
fn visible(text: &str, bytes_max: usize) -> String {
    text.chars()
        .map(|character| {
            if character.is_ascii_graphic() {
                character
            } else {
                '_'
            }
        })
        .take(bytes_max)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::error::Reason;
    use super::*;
    use crate::domain::LocalDay;
    use crate::domain::limits::TABLE_ROW_BYTES_MAX;
    use crate::domain::taxonomy::Mode;
    use crate::network::{Network, Validity};

    /// A small feed that is right: two areas and a lone platform, one line both ways.
    const FILES: [(&str, &str); 6] = [
        (
            "agency.txt",
            "agency_id,agency_name,agency_url\nGVB,GVB,x\n",
        ),
        (
            "stops.txt",
            "stop_id,stop_code,stop_name,stop_lat,stop_lon,location_type,parent_station\n\
             GVB:1,1,\"Amsterdam, Dam\",52.373,4.893,0,stoparea:GVB:1\n\
             GVB:2,2,\"Amsterdam, Dam\",52.3731,4.8931,0,stoparea:GVB:1\n\
             GVB:3,3,\"Amsterdam, Spui\",52.369,4.89,0,stoparea:GVB:3\n\
             GVB:4,4,\"Amsterdam, Muntplein\",52.367,4.893,0,\n\
             stoparea:GVB:1,,\"Amsterdam, Dam\",52.373,4.893,1,\n\
             stoparea:GVB:3,,\"Amsterdam, Spui\",52.369,4.89,1,\n",
        ),
        (
            "routes.txt",
            "route_id,agency_id,route_short_name,route_long_name,route_type\n\
             GVB:10,GVB,10,Dam - Muntplein,0\n",
        ),
        (
            "trips.txt",
            "route_id,service_id,trip_id,trip_headsign,direction_id\n\
             GVB:10,D,t1,Muntplein,0\nGVB:10,D,t2,Dam,1\nGVB:10,D,t3,Muntplein,0\n",
        ),
        (
            "stop_times.txt",
            "trip_id,stop_sequence,stop_id\n\
             t1,3,GVB:4\nt1,1,GVB:1\nt1,2,GVB:3\n\
             t2,1,GVB:4\nt2,2,GVB:3\nt2,5,GVB:2\n\
             t3,1,GVB:1\nt3,2,GVB:3\n",
        ),
        (
            "feed_info.txt",
            "feed_publisher_name,feed_start_date,feed_end_date\nx,20170212,20171209\n",
        ),
    ];

    fn zipped(files: &[(&str, &[u8])]) -> Cursor<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for (name, content) in files {
            zip.start_file(*name, stored).expect("in memory");
            zip.write_all(content).expect("in memory");
        }
        zip.finish().expect("in memory")
    }

    fn read(files: &[(&str, &[u8])]) -> Result<Feed, FeedError> {
        read_gtfs(zipped(files), &mut |_| ())
    }

    /// The right feed with one file replaced.
    fn read_with(name: &str, content: &[u8]) -> Result<Feed, FeedError> {
        let files = FILES.map(|(file, right)| {
            if file == name {
                (file, content)
            } else {
                (file, right.as_bytes())
            }
        });
        read(&files)
    }

    fn right() -> Feed {
        read_with("", b"").expect("a right feed")
    }

    #[test]
    fn platforms_of_an_area_are_one_stop() {
        let feed = right();
        let mut stops: Vec<_> = feed
            .stops
            .iter()
            .map(|stop| {
                (
                    stop.id.as_str(),
                    &*stop.town,
                    &*stop.name,
                    stop.platforms.concat(),
                )
            })
            .collect();
        stops.sort();
        let expected = [
            ("GVB:1", "Amsterdam", "Dam", "12GVB:2".to_owned()),
            ("GVB:3", "Amsterdam", "Spui", "3".to_owned()),
            ("GVB:4", "Amsterdam", "Muntplein", "4".to_owned()),
        ];
        assert_eq!(stops, expected);
    }

    #[test]
    fn directions_have_the_stops_of_the_longest_trip_in_order() {
        let feed = right();
        let line = &feed.lines[0];
        assert_eq!(
            (line.id.as_str(), &*line.number, line.mode),
            ("GVB:10", "10", Mode::Tram)
        );
        let directions: Vec<_> = line
            .directions
            .iter()
            .map(|direction| {
                let stops: Vec<_> = direction.stops.iter().map(|stop| stop.as_str()).collect();
                (&*direction.headsign, stops.join(" "))
            })
            .collect();
        let there = ("Muntplein", "GVB:1 GVB:3 GVB:4".to_owned());
        assert_eq!(directions, [there, ("Dam", "GVB:4 GVB:3 GVB:1".to_owned())]);
    }

    #[test]
    fn days_are_those_of_the_feed_or_else_of_its_services() {
        let days = |feed: &Feed| {
            let text = |day: Option<LocalDay>| day.map(|day| day.to_string());
            let days = feed.lines[0].validity;
            (text(days.from), text(days.until))
        };
        let expected = (Some("2017-02-12".to_owned()), Some("2017-12-09".to_owned()));
        assert_eq!(days(&right()), expected);
        let calendar =
            b"service_id,start_date,end_date\nD,20170401,20170501\nE,20170212,20171209\n";
        let mut files = FILES.map(|(file, content)| (file, content.as_bytes()));
        files[5] = ("calendar.txt", calendar);
        assert_eq!(days(&read(&files).expect("right")), expected);
    }

    #[test]
    fn days_on_which_a_service_does_not_run_say_nothing_of_how_far_a_feed_reaches() {
        let changes = b"service_id,date,exception_type\nD,20170101,2\nD,20170212,1\n\
                        E,20171209,1\nE,20171225,2\n";
        let mut files = FILES.map(|(file, content)| (file, content.as_bytes()));
        files[5] = ("calendar_dates.txt", changes);
        let days = read(&files).expect("right").lines[0].validity;
        assert_eq!(days.from, LocalDay::parse("2017-02-12"));
        assert_eq!(days.until, LocalDay::parse("2017-12-09"));
    }

    #[test]
    fn lines_whose_names_an_identifier_cannot_tell_apart_are_told_apart() {
        let ids = |routes: &str| {
            let head = "route_id,agency_id,route_short_name,route_long_name,route_type\n";
            let content = format!("{head}GVB:10,GVB,10,Dam - Muntplein,0\n{routes}");
            let feed = read_with("routes.txt", content.as_bytes()).expect("right");
            let ids = feed.lines.iter().map(|line| line.id.to_string());
            ids.collect::<BTreeSet<_>>()
        };
        let letters = ids("a,GVB,\u{410},,0\nb,GVB,\u{411},,0\n");
        assert_eq!(letters.len(), 3);
        let alike = ids("\u{410},GVB,1,,0\n\u{411},GVB,1,,0\n");
        let reversed = ids("\u{411},GVB,1,,0\n\u{410},GVB,1,,0\n");
        assert_eq!((alike.len(), &alike), (3, &reversed));
        let alone = ids("\u{410},GVB,1,,0\nx,GVB,1,,0\n\u{412},GVB,1,,0\n");
        assert_eq!(alone.intersection(&alike).count(), 2, "{alone:?} {alike:?}");
        let taken = ids("x,GVB,10,,0\n");
        assert!(taken.contains("GVB:10.x"));
        for ids in [letters, alike, taken] {
            assert!(ids.contains("GVB:10"), "{ids:?}");
        }
    }

    #[test]
    fn control_characters_of_names_become_blanks_and_refuse_no_feed() {
        let stops = FILES[1].1.replace("Muntplein", "Munt\u{1b}plein\u{9b}\t\n");
        let feed = read_with("stops.txt", stops.as_bytes()).expect("a feed");
        let names = feed.stops.iter().map(|stop| format!("{stop:?}"));
        let names = names.collect::<String>();
        assert!(names.contains("Munt plein\""), "{names}");
    }

    #[test]
    fn feed_becomes_part_of_the_network() {
        let network = Network::overlay(&Network::built_in(), vec![right()]).expect("fits");
        let line = network.line("GVB:10").expect("listed");
        assert_eq!(&*line.name, "Dam - Muntplein");
        let dam = network.stop("GVB:1").expect("listed");
        assert_eq!(
            dam.lines
                .iter()
                .map(|line| line.as_str())
                .collect::<Vec<_>>(),
            ["GVB:10"]
        );
    }

    #[test]
    fn folders_of_stops_alone_are_read_together() {
        let of = |operator: &str| {
            format!("stop_id,stop_name,stop_lat,stop_lon\n{operator}:1,\"Delft, Station\",52,4.3\n")
        };
        let (htm, ret) = (of("HTM"), of("RET"));
        let files = [
            ("htm/stops.txt", htm.as_bytes()),
            ("ret/stops.txt", ret.as_bytes()),
        ];
        let feed = read(&files).expect("right");
        let codes: Vec<_> = feed
            .operators
            .iter()
            .map(|operator| operator.code.as_str())
            .collect();
        assert_eq!(
            (codes, feed.stops.len(), feed.lines.len()),
            (vec!["HTM", "RET"], 2, 0)
        );
    }

    #[test]
    fn lines_that_were_abolished_stay_also_where_a_folder_of_stops_comes_first() {
        let info = "feed_start_date,feed_end_date\n20260101,20261231\n";
        let mut files = vec![(
            "chb/stops.txt".to_owned(),
            "stop_id,stop_name,stop_lat,stop_lon\nCHB:1,\"Delft, Station\",52,4.3\n".to_owned(),
        )];
        files.extend(FILES.map(|(file, content)| {
            let content = match file {
                "feed_info.txt" => info.to_owned(),
                _ => content.replace("GVB:10", "GVB:99"),
            };
            (format!("gvb/{file}"), content)
        }));
        let files: Vec<_> = files
            .iter()
            .map(|(name, content)| (&**name, content.as_bytes()))
            .collect();
        let feed = read(&files).expect("right");
        let network = Network::overlay(&Network::built_in(), vec![feed]).expect("fits");
        let ten = network.line("GVB:10").expect("abolished, and still known");
        assert_eq!(ten.validity.until, LocalDay::parse("2018-07-21"));
    }

    #[test]
    fn agencies_for_which_one_code_would_be_made_are_refused_naming_the_place() {
        let refused = |content: &str| match read_with("agency.txt", content.as_bytes()) {
            Err(FeedError::Refused { line, reason, .. }) => Some((line, reason)),
            _ => None,
        };
        let munich = "agency_id,agency_name\nGVB,GVB\n1,Stadtwerke München\n";
        assert_eq!(refused(munich), None);
        let bonn = format!("{munich}2,Stadtwerke Bonn\n");
        assert_eq!(refused(&bonn), Some((4, Reason::OperatorTwice)));
        let with_code = format!("{munich}SWB,Stadtwerke Bonn\n");
        assert_eq!(refused(&with_code), None);
        let same_name = format!("{munich}2,Stadtwerke München\n");
        assert_eq!(refused(&same_name), None);
    }

    #[test]
    fn agencies_of_two_folders_for_which_one_code_would_be_made_are_refused() {
        let in_folder = |folder: &str, agency: &str| {
            FILES.map(|(file, content)| {
                let content = match file {
                    "agency.txt" => format!("agency_id,agency_name\n1,{agency}\n"),
                    _ => content
                        .replace("GVB:", &format!("{folder}:"))
                        .replace(",GVB,", ",1,"),
                };
                (format!("{folder}/{file}"), content)
            })
        };
        let read_both = |one: &str, other: &str| {
            let files = [in_folder("AAA", one), in_folder("BBB", other)].concat();
            let files: Vec<_> = files
                .iter()
                .map(|(name, content)| (&**name, content.as_bytes()))
                .collect();
            read(&files)
        };
        match read_both("Stadtwerke München", "Stadtwerke Bonn") {
            Err(FeedError::Refused {
                file,
                line: 2,
                reason,
                ..
            }) => {
                assert_eq!((&*file, reason), ("BBB/agency.txt", Reason::OperatorTwice));
            }
            other => panic!("{other:?}"),
        }
        assert!(read_both("Stadtwerke München", "Rheinbahn").is_ok());
    }

    #[test]
    fn wrong_line_has_its_number_whatever_ends_lines() {
        let check = |times: &str, line| match read_with("stop_times.txt", times.as_bytes()) {
            Err(FeedError::Refused { line: told, .. }) => assert_eq!(told, line, "{times:?}"),
            other => panic!("{other:?}"),
        };
        let head = "trip_id,stop_id,stop_sequence,note\n";
        for row in [
            "t9,GVB:1,2,x",
            "t1,GVB:1,2",
            "t1,GVB:1,x,x",
            "t1,GVB:1,\"2,x",
        ] {
            let times = format!("{head}t1,GVB:1,1,x\n{row}\nt1,GVB:1,3,x\n");
            let blank = times.replace('\n', "\n\n");
            let quoted = times.replacen("1,x", "1,\"x\ny\"", 1);
            check(&times, 3);
            check(&blank, 5);
            check(&quoted, 4);
            for ends in ["\r\n", "\r"] {
                check(&times.replace('\n', ends), 3);
                check(&blank.replace('\n', ends), 5);
                check(&quoted.replace('\n', ends), 4);
            }
        }
        check(&format!("\n\n{head}t9,GVB:1,2,x"), 4);
    }

    #[test]
    fn trips_on_demand_are_left_out_and_do_not_refuse_the_feed() {
        let times = "trip_id,stop_sequence,stop_id,location_group_id,location_id\n\
                     t1,1,GVB:1,,\nt1,2,GVB:3,,\nt1,3,,area,\nt1,4,,,zone\nt1,5,GVB:4,,\n\
                     t2,1,,,zone\n";
        let feed = read_with("stop_times.txt", times.as_bytes()).expect("right");
        let directions = &feed.lines[0].directions;
        let stops: Vec<_> = directions[0]
            .stops
            .iter()
            .map(|stop| stop.as_str())
            .collect();
        assert_eq!(
            (directions.len(), stops),
            (1, vec!["GVB:1", "GVB:3", "GVB:4"])
        );

        let nowhere = times.replace("t1,4,,,zone", "t1,4,,,");
        match read_with("stop_times.txt", nowhere.as_bytes()) {
            Err(FeedError::Refused {
                line: 5,
                column,
                reason,
                ..
            }) => {
                assert_eq!((&*column, reason), ("stop_id", Reason::Empty));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn day_outside_the_supported_years_is_an_open_end() {
        let days = |from: &str, until: &str| {
            let info = format!("feed_start_date,feed_end_date\n{from},{until}\n");
            let calendar = format!("service_id,start_date,end_date\nD,{from},{until}\n");
            let told = read_with("feed_info.txt", info.as_bytes()).expect("right");
            let mut files = FILES.map(|(file, content)| (file, content.as_bytes()));
            files[5] = ("calendar.txt", calendar.as_bytes());
            let served = read(&files).expect("right");
            assert_eq!(told.lines[0].validity, served.lines[0].validity);
            told.lines[0].validity
        };
        let day = LocalDay::parse;
        for until in ["21001231", "99991231", "20991231"] {
            let expected = Validity {
                from: day("2017-02-12"),
                until: None,
            };
            assert_eq!(days("20170212", until), expected);
        }
        let expected = Validity {
            from: None,
            until: day("2017-12-09"),
        };
        assert_eq!(days("19700101", "20171209"), expected);
    }

    #[test]
    fn row_that_never_ends_is_refused_where_it_begins() {
        let mut times = "trip_id,stop_sequence,stop_id\nt1,1,GVB:1\n\n\"t1,2,".to_owned();
        times.push_str(&"GVB:3\n".repeat(TABLE_ROW_BYTES_MAX / 6 + 1));
        match read_with("stop_times.txt", times.as_bytes()) {
            Err(FeedError::Refused { line, reason, .. }) => {
                assert_eq!((line, reason), (4, Reason::RowTooLong));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn platforms_with_another_name_than_their_area_are_a_stop_of_their_own() {
        let stops = "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station\n\
                     GVB:1,\"A, Dam\",52.37,4.89,0,a\nGVB:2,\"A, Damrak\",52.37,4.89,0,a\n\
                     a,\"A, Dam\",52.37,4.89,1,\n";
        let feed = read(&[("stops.txt", stops.as_bytes())]).expect("right");
        let mut names: Vec<_> = feed.stops.iter().map(|stop| &*stop.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["Dam", "Damrak"]);
    }

    #[test]
    fn operators_and_lines_get_codes_also_where_the_feed_has_none() {
        let agency = b"agency_id,agency_name\n7,Nederlandse Spoorwegen\n";
        let routes = b"route_id,agency_id,route_short_name,route_long_name,route_type\n\
                       GVB:10,7,Sprinter,a,2\n91,7,Sprinter,b,2\n92,7,IC direct,c,100\n";
        let mut files = FILES.map(|(file, content)| (file, content.as_bytes()));
        files[0].1 = agency;
        files[2].1 = routes;
        let feed = read(&files).expect("right");
        let ids: Vec<_> = feed.lines.iter().map(|line| line.id.as_str()).collect();
        assert_eq!(
            ids,
            ["NS:Sprinter.GVB:10", "NS:Sprinter.91", "NS:IC_direct"]
        );
    }

    #[test]
    fn broken_feed_is_refused_naming_the_place() {
        let check =
            |file: &str, content: &[u8], line, column: &str, reason| match read_with(file, content)
            {
                Err(FeedError::Refused {
                    file: f,
                    line: l,
                    column: c,
                    reason: r,
                }) => {
                    assert_eq!((&*f, l, &*c, r), (file, line, column, reason));
                }
                other => panic!("{file}, {reason:?}: {other:?}"),
            };
        let stops = "stops.txt";
        let head = "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station\n";
        let stop = |row: &str| format!("{head}GVB:1,a,52,4,,\n{row}\n").into_bytes();
        check(
            stops,
            b"stop_id,stop_name,stop_lat\n",
            1,
            "stop_lon",
            Reason::ColumnMissing,
        );
        check(stops, b"", 1, "stop_id", Reason::ColumnMissing);
        check(stops, &stop("GVB:1,b,52,4,,"), 3, "stop_id", Reason::Twice);
        check(stops, &stop(",b,52,4,,"), 3, "stop_id", Reason::Empty);
        check(stops, &stop("GVB:2,,52,4,,"), 3, "stop_name", Reason::Empty);
        check(
            stops,
            &stop("GVB:2,b,52;0,4,,"),
            3,
            "stop_lat",
            Reason::NotANumber,
        );
        check(
            stops,
            &stop("GVB:2,b,152,4,,"),
            3,
            "stop_lat",
            Reason::OffTheEarth,
        );
        check(
            stops,
            &stop("GVB:2,b,52,NaN,,"),
            3,
            "stop_lon",
            Reason::OffTheEarth,
        );
        check(stops, &stop("GVB:2,b,52,,,"), 3, "stop_lon", Reason::Empty);
        check(
            stops,
            &stop("GVB:2,b,52,4,9,"),
            3,
            "location_type",
            Reason::NotAValue,
        );
        check(
            stops,
            &stop("GVB:2,b,52,4,,z"),
            3,
            "parent_station",
            Reason::Unknown,
        );
        check(
            stops,
            &stop("GVB:2,b,52,4,,GVB:1"),
            3,
            "parent_station",
            Reason::NotAStation,
        );
        check(
            stops,
            &stop("GVB:2,b,52,4,"),
            3,
            "6",
            Reason::WrongColumnCount,
        );
        let long = format!("GVB:2,{},52,4,,", "b".repeat(256));
        check(stops, &stop(&long), 3, "stop_name", Reason::TooLong);
        let latin = [&stop("")[..head.len() + 15], b"GVB:2,Caf\xe9,52,4,,\n"].concat();
        check(stops, &latin, 3, "stop_name", Reason::NotUtf8);

        let routes = |row: &str| format!("route_id,route_type,route_short_name,agency_id\n{row}\n");
        let route = |row, column, reason| {
            check("routes.txt", routes(row).as_bytes(), 2, column, reason);
        };
        route("GVB:10,0,,GVB", "route_short_name", Reason::Empty);
        route("GVB:10,tram,10,GVB", "route_type", Reason::NotANumber);
        route("GVB:10,0,10,HTM", "agency_id", Reason::Unknown);

        let trip = |row: &str, column, reason| {
            let trips = format!("route_id,trip_id,direction_id\nGVB:10,t1,0\n{row}\n");
            check("trips.txt", trips.as_bytes(), 3, column, reason);
        };
        trip("GVB:11,t2,0", "route_id", Reason::Unknown);
        trip("GVB:10,t1,0", "trip_id", Reason::Twice);
        trip("GVB:10,t2,2", "direction_id", Reason::NotAValue);

        let time = |row: &str, column, reason| {
            let times = format!("trip_id,stop_id,stop_sequence\nt1,GVB:1,1\n{row}\n");
            check("stop_times.txt", times.as_bytes(), 3, column, reason);
        };
        time("t9,GVB:1,2", "trip_id", Reason::Unknown);
        time("t1,GVB:9,2", "stop_id", Reason::Unknown);
        time("t1,GVB:3,-2", "stop_sequence", Reason::NotANumber);
        time("t1,GVB:3,1", "stop_sequence", Reason::Twice);

        let info = b"feed_start_date,feed_end_date\n20170230,20171209\n";
        check("feed_info.txt", info, 2, "feed_start_date", Reason::NotADay);
        check(
            "agency.txt",
            b"agency_name\n!\n",
            2,
            "agency_name",
            Reason::NoOperator,
        );
    }

    #[test]
    fn missing_file_is_named() {
        for missing in [
            "agency.txt",
            "stops.txt",
            "routes.txt",
            "trips.txt",
            "stop_times.txt",
        ] {
            let files: Vec<_> = FILES
                .iter()
                .filter(|(file, _)| *file != missing)
                .map(|(file, content)| (*file, content.as_bytes()))
                .collect();
            let error = read(&files).expect_err("a file is missing");
            assert_eq!(error.to_string(), format!("{missing} is missing"));
        }
    }

    #[test]
    fn what_is_no_archive_or_a_damaged_one_is_refused() {
        let refused = read_gtfs(Cursor::new(b"no zip".to_vec()), &mut |_| ());
        assert!(matches!(refused, Err(FeedError::Zip(_))));
        let whole = zipped(&FILES.map(|(file, content)| (file, content.as_bytes()))).into_inner();
        for place in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            // Some damage hits only names of files that nobody reads, or their dates.
            drop(read_gtfs(Cursor::new(bytes), &mut |_| ()));
        }
        let mut bytes = whole;
        let content = bytes
            .windows(6)
            .position(|window| window == b"GVB,GV")
            .expect("stored as it is");
        bytes[content] ^= 1;
        assert!(read_gtfs(Cursor::new(bytes), &mut |_| ()).is_err());
    }

    /// Reads the right feed within other bounds; what is too large, and how much may be.
    fn too_large(bounds: FeedBounds) -> Option<(Box<str>, u64)> {
        let files = FILES.map(|(file, content)| (file, content.as_bytes()));
        told_too_large(read_within(zipped(&files), bounds, &mut |_| ()))
    }

    fn told_too_large(read: Result<Feed, FeedError>) -> Option<(Box<str>, u64)> {
        match read {
            Ok(_) => None,
            Err(FeedError::TooLarge { what, max }) => Some((what, max)),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn feed_that_is_too_large_is_refused_saying_what_of_it() {
        let just = FeedBounds {
            files: FILES.len(),
            file_bytes: FILES.map(|(_, content)| content.len() as u64)[1],
            trips: 3,
            stop_rows: 6,
        };
        assert_eq!(too_large(just), None);
        let files = just.files - 1;
        let found = too_large(FeedBounds { files, ..just });
        assert_eq!(found, Some(("the number of files".into(), 5)));
        let file_bytes = just.file_bytes - 1;
        let found = too_large(FeedBounds { file_bytes, ..just });
        assert_eq!(found, Some(("stops.txt".into(), file_bytes)));
        let found = too_large(FeedBounds { trips: 2, ..just });
        assert_eq!(found, Some(("the number of trips".into(), 2)));
        let stop_rows = 5;
        let found = too_large(FeedBounds { stop_rows, ..just });
        assert_eq!(found, Some(("the number of stops".into(), 5)));
    }

    /// An archive of one compressed file that says to be of fewer bytes than it is.
    fn bomb(file: &str, content: &[u8], said_bytes: u32) -> Cursor<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(file, deflated).expect("in memory");
        zip.write_all(content).expect("in memory");
        let mut bytes = zip.finish().expect("in memory").into_inner();
        // In the header of the file, and in the directory at the end.
        for (signature, place) in [(b"PK\x03\x04", 22), (b"PK\x01\x02", 24)] {
            let header = bytes.windows(4).rposition(|window| window == signature);
            let size = header.expect("each file has one") + place;
            bytes[size..size + 4].copy_from_slice(&said_bytes.to_le_bytes());
        }
        Cursor::new(bytes)
    }

    #[test]
    fn file_that_unpacks_to_more_than_its_archive_says_is_read_no_further_than_may_be() {
        const FILE_BYTES: u64 = 100_000;
        let head = "stop_id,stop_name,stop_lat,stop_lon\n";
        let rows = (0..200_000).map(|number| format!("GVB:{number},\"Delft, Station\",52,4.3\n"));
        let content = head.to_owned() + &rows.collect::<String>();
        let bounds = FeedBounds {
            file_bytes: FILE_BYTES,
            ..FeedBounds::default()
        };
        let mut most = 0;
        let bomb = bomb("stops.txt", content.as_bytes(), 1_000);
        let read = read_within(bomb, bounds, &mut |progress| most = progress.bytes_done);
        let expected = Some(("stops.txt".into(), FILE_BYTES));
        assert_eq!(told_too_large(read), expected);
        assert!(most <= FILE_BYTES, "{most}");
    }

    #[test]
    fn file_that_its_archive_says_is_too_large_is_not_unpacked() {
        let bounds = FeedBounds {
            file_bytes: 1_000,
            ..FeedBounds::default()
        };
        let bomb = bomb("stops.txt", FILES[1].1.as_bytes(), 1_001);
        let mut is_read = false;
        let read = read_within(bomb, bounds, &mut |_| is_read = true);
        assert_eq!(told_too_large(read), Some(("stops.txt".into(), 1_000)));
        assert!(!is_read);
    }

    #[test]
    fn progress_counts_up_to_the_whole() {
        let files = FILES.map(|(file, content)| (file, content.as_bytes()));
        let mut told = Vec::new();
        read_gtfs(zipped(&files), &mut |progress| {
            told.push((progress.bytes_done, progress.bytes_total));
        })
        .expect("right");
        assert!(told.is_sorted());
        assert!(told.last().is_some_and(|(done, total)| done == total));
    }
}
