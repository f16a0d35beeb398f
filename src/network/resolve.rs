//! What a traveller meant: operator, line and stop from the words they wrote.
//!
//! A code that the network or the built-in table knows is taken as it stands; one that nobody
//! knows only where it is vouched for, so that nobody adds operators by inventing codes. Words are
//! taken for one thing only if there is exactly one that fits; if there are several, all are named
//! and none is chosen. An identifier of a line outranks the operator's words, because it is picked
//! from a list.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::builtin;
use super::model::Line;
use super::{Network, names, search};
use crate::domain::incident::Match;
use crate::domain::taxonomy::{Mode, Resolution};
use crate::domain::{LineId, LocalDay, OperatorCode, StopId};

/// Least score at which words that are not a stop's name are taken for it all the same, and
/// how far it must be ahead of the next.
const FUZZY_SCORE_MIN: u32 = 650;
const FUZZY_LEAD_MIN: u32 = 60;

/// What a traveller wrote about where it happened.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// Operator: a code or a name; may be empty.
    pub operator: &'a str,
    /// Line: an identifier or a number; may be empty.
    pub line: &'a str,
    /// Stop: a code or a name; may be empty.
    pub stop: &'a str,
    /// The mode, if told.
    pub mode: Option<Mode>,
    /// The day of the tap.
    pub day: LocalDay,
    /// Whether the operator's code is taken also if neither the network nor the built-in table
    /// knows it; see `Incident::is_operator_vouched_for`.
    pub is_operator_vouched_for: bool,
}

/// Whether the stop at a place lies within what is looked at.
type Circle<'a> = &'a dyn Fn(usize) -> bool;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The operator: as written, or else the line's.
    pub operator: Option<OperatorCode>,
    /// The line.
    pub line: Match<LineId>,
    /// The stop.
    pub stop: Match<StopId>,
}

/// A line's words, taken apart.
struct LineWords<'t> {
    number: Cow<'t, str>,
    mode: Option<Mode>,
    operator: Option<OperatorCode>,
}

impl Network {
    /// Finds what the words mean.
    pub fn resolve(&self, words: &Words<'_>) -> Resolved {
        let named = self.resolve_operator(words);
        let is_operator_unclear = named.is_none() && !words.operator.trim().is_empty();
        let lines = match self.line_by_identifier(words.line) {
            Some(line) => LinesFound::exact(line),
            None if is_operator_unclear => LinesFound::nothing(words.line),
            None => self.lines_by_words(words, named.as_ref()),
        };
        let operator = match (lines.found.as_slice(), named) {
            ([line], _) => Some(line.id.operator()),
            (_, Some(named)) => Some(named),
            (several, None) => common_operator(several),
        };
        let line = lines.matched(words.day);
        let stop = self.resolve_stop(words.stop, operator.as_ref(), lines.found.as_slice());
        Resolved {
            operator,
            line,
            stop,
        }
    }

    /// The operator that the words name: by code, by name, or by a word that is its code. A
    /// well-formed code that nobody knows is taken as it stands if it is vouched for.
    fn resolve_operator(&self, words: &Words<'_>) -> Option<OperatorCode> {
        let text = words.operator.trim();
        if text.is_empty() {
            return None;
        }
        let vouched_for = || text.parse().ok().filter(|_| words.is_operator_vouched_for);
        self.known_operator(text).or_else(vouched_for).or_else(|| {
            let codes: BTreeSet<_> = text
                .split(|character: char| !character.is_alphanumeric())
                .filter_map(|word| self.known_code(word))
                .collect();
            let mut codes = codes.into_iter();
            codes.next().filter(|_| codes.next().is_none())
        })
    }

    fn known_operator(&self, text: &str) -> Option<OperatorCode> {
        let by_name = || {
            let key = names::key(text);
            let place = self.operators_by_name.get(&key);
            place
                .filter(|_| !key.is_empty())
                .map(|place| self.operators[*place as usize].code.clone())
        };
        self.known_code(text)
            .or_else(|| builtin::operator_by_name(text))
            .or_else(by_name)
    }

    fn known_code(&self, text: &str) -> Option<OperatorCode> {
        // Nearly all are written as the network writes them.
        if let Some(operator) = self.operator(text) {
            return Some(operator.code.clone());
        }
        let code: OperatorCode = text.to_uppercase().parse().ok()?;
        let is_known = self.operator(code.as_str()).is_some() || builtin::is_operator(&code);
        is_known.then_some(code)
    }

    fn line_by_identifier(&self, text: &str) -> Option<&Line> {
        let text = text.trim();
        self.line(text).or_else(|| {
            let (operator, planning_number) = text.split_once(':')?;
            self.line(&format!("{}:{planning_number}", operator.to_uppercase()))
        })
    }

    /// The lines that a number means: each operator's by itself, those that are valid on
    /// the day before those that are not.
    fn lines_by_words(&self, words: &Words<'_>, named: Option<&OperatorCode>) -> LinesFound<'_> {
        let text = words.line.trim();
        if text.is_empty() {
            return LinesFound::nothing(text);
        }
        let line_words = self.take_apart(text);
        let operator = named.or(line_words.operator.as_ref());
        let mode = words.mode.or(line_words.mode);
        let places = self.lines_by_number.get(&*line_words.number);
        let places = places.into_iter().flatten();
        let places = places.filter(|(_, of)| operator.is_none_or(|operator| operator == of));
        let lines = places.map(|(place, _)| &self.lines[*place as usize]);
        let fitting: Vec<_> = lines
            .filter(|line| mode.is_none_or(|mode| is_same_mode(mode, line.mode)))
            .collect();
        // In order of identifier, so that those of one operator stand together.
        let is_valid = |line: &&Line| line.validity.contains(words.day);
        let by_operator = fitting.chunk_by(|one, next| one.operator() == next.operator());
        let found = by_operator.flat_map(|lines| {
            let has_valid = lines.iter().any(is_valid);
            let lines = lines.iter().copied();
            lines.filter(move |line| !has_valid || is_valid(line))
        });
        LinesFound {
            resolution: Some(Resolution::UniqueMatch),
            found: Found::ByWords(found.collect()),
        }
    }

    /// Takes `GVB tram 10` or `lijn 10` apart. The number is in capitals.
    fn take_apart<'t>(&self, text: &'t str) -> LineWords<'t> {
        if is_bare_number(text) {
            return LineWords {
                number: Cow::Borrowed(text),
                mode: None,
                operator: None,
            };
        }
        let mut words: Vec<_> = text.split_whitespace().collect();
        let (mut mode, mut operator) = (None, None);
        while let [first, _, ..] = words[..] {
            let first = first.to_lowercase();
            if let Some(named) = mode_word(&first) {
                mode = Some(named);
            } else if let Some(code) = self.known_code(&first) {
                operator = Some(code);
            } else if !matches!(&*first, "lijn" | "line" | "nr" | "nr." | "nummer") {
                break;
            }
            words.remove(0);
        }
        let number = words.join(" ").to_uppercase();
        let number = match number.strip_prefix("LIJN") {
            Some(rest) if !rest.is_empty() => rest.trim_start().to_owned(),
            _ => number,
        };
        LineWords {
            number: Cow::Owned(number),
            mode,
            operator,
        }
    }

    /// The stop that a text means: among those of the lines first, then among the operator's;
    /// among all only where the operator is not known, because names stand in more than one town.
    fn resolve_stop(
        &self,
        text: &str,
        operator: Option<&OperatorCode>,
        lines: &[&Line],
    ) -> Match<StopId> {
        let text = text.trim();
        if text.is_empty() {
            return Match::nothing();
        }
        if let Some(found) = self.stop_by_code(text, operator) {
            return found;
        }
        let places = lines
            .iter()
            .filter_map(|line| self.line_places.get(&line.id));
        let stops_of_lines: Vec<_> = places
            .map(|place| &self.stops_of_lines[*place as usize])
            .collect();
        let is_on_lines = |stop: usize| {
            let mut all = stops_of_lines.iter();
            all.any(|stops| {
                let found = stops.binary_search_by_key(&stop, |place| *place as usize);
                found.is_ok()
            })
        };
        let is_operators =
            |stop: usize| operator.is_some_and(|code| self.stops[stop].is_served_by(code.as_str()));
        let mut circles: Vec<Circle<'_>> = Vec::new();
        if !lines.is_empty() {
            circles.push(&is_on_lines);
        }
        if operator.is_some() {
            circles.push(&is_operators);
        } else {
            circles.push(&|_| true);
        }
        let by_name = || {
            let places = self.places_by_name(text);
            circles
                .iter()
                .find_map(|is_inside| self.one_of(places, is_inside))
        };
        by_name()
            .or_else(|| self.stop_by_likeness(text, &circles))
            .unwrap_or_else(Match::unresolved)
    }

    /// The stop with this code: its own as it is, that of a platform only of the operator's, where
    /// that is known.
    fn stop_by_code(&self, text: &str, operator: Option<&OperatorCode>) -> Option<Match<StopId>> {
        let exact = |place: usize| self.named(Resolution::Exact, place);
        if let Some((id, known)) = self.known_stops.get_key_value(text) {
            let name = known.full_name.clone();
            return Some(Match::one(Resolution::Exact, id.clone(), name));
        }
        let with_operator = operator.and_then(|code| {
            let code = format!("{code}:{text}");
            self.known_stops.get(code.as_str())
        });
        if let Some(known) = with_operator {
            return Some(exact(known.place as usize));
        }
        let is_operators = |place: &usize| {
            operator.is_none_or(|code| self.stops[*place].is_served_by(code.as_str()))
        };
        let places = self.platforms.get(text)?.iter();
        let places = places.map(|place| *place as usize).filter(is_operators);
        let places: Vec<_> = places.collect();
        match places[..] {
            [] => None,
            [place] => Some(exact(place)),
            _ => Some(self.ambiguous(places)),
        }
    }

    /// The stop inside a circle, or several; `None` if there is none.
    fn one_of(&self, places: &[u32], is_inside: Circle<'_>) -> Option<Match<StopId>> {
        let places = places.iter().map(|place| *place as usize);
        let mut inside = places.filter(|place| is_inside(*place));
        let first = inside.next()?;
        Some(match inside.next() {
            None => self.unique(first),
            Some(second) => self.ambiguous([first, second].into_iter().chain(inside)),
        })
    }

    /// Places of the stops with this name. `st.` may stand for a station.
    fn places_by_name(&self, text: &str) -> &[u32] {
        let found = self.search.same_name(text);
        if !found.is_empty() {
            return found;
        }
        let is_saint = |word: &str| matches!(word, "st" | "st.");
        let words: Vec<_> = text
            .split_whitespace()
            .map(|word| {
                if is_saint(&word.to_lowercase()) {
                    "station"
                } else {
                    word
                }
            })
            .collect();
        self.search.same_name(&words.join(" "))
    }

    /// The stop whose name is clearly the likest, in the smallest circle that has one.
    fn stop_by_likeness(&self, text: &str, circles: &[Circle<'_>]) -> Option<Match<StopId>> {
        let hits = self.search.find_if_whole(text);
        circles.iter().find_map(|is_inside| {
            let hits = search::best(&hits, 2, &self.stops, is_inside);
            let best = hits.first()?;
            let next = hits.get(1).map_or(0, |hit| hit.score);
            let is_clear = best.is_complete
                && FUZZY_SCORE_MIN <= best.score
                && next + FUZZY_LEAD_MIN <= best.score;
            is_clear.then(|| self.unique(best.stop))
        })
    }

    fn unique(&self, place: usize) -> Match<StopId> {
        self.named(Resolution::UniqueMatch, place)
    }

    fn named(&self, resolution: Resolution, place: usize) -> Match<StopId> {
        let name = self.full_names[place].clone();
        Match::one(resolution, self.stops[place].id.clone(), name)
    }

    fn ambiguous(&self, places: impl IntoIterator<Item = usize>) -> Match<StopId> {
        let ids = places.into_iter().map(|place| self.stops[place].id.clone());
        Match::ambiguous(ids.collect())
    }
}

/// The lines that fit, in order of identifier.
struct LinesFound<'a> {
    /// How, if it is one; `None` if nothing was written.
    resolution: Option<Resolution>,
    found: Found<'a>,
}

enum Found<'a> {
    Nothing,
    /// By its identifier, as nearly all are written.
    Exact([&'a Line; 1]),
    ByWords(Vec<&'a Line>),
}

impl<'a> Found<'a> {
    fn as_slice(&self) -> &[&'a Line] {
        match self {
            Self::Nothing => &[],
            Self::Exact(line) => line,
            Self::ByWords(lines) => lines,
        }
    }
}

impl<'a> LinesFound<'a> {
    fn exact(line: &'a Line) -> Self {
        Self {
            resolution: Some(Resolution::Exact),
            found: Found::Exact([line]),
        }
    }

    fn nothing(text: &str) -> Self {
        Self {
            resolution: (!text.trim().is_empty()).then_some(Resolution::Unresolved),
            found: Found::Nothing,
        }
    }

    fn matched(&self, day: LocalDay) -> Match<LineId> {
        let Some(resolution) = self.resolution else {
            return Match::nothing();
        };
        let is_outside = |line: &&Line| !line.validity.contains(day);
        let found = self.found.as_slice();
        let mut matched = match found {
            [] => Match::unresolved(),
            [line] => Match::one(resolution, line.id.clone(), (&*line.name).into()),
            _ => Match::ambiguous(found.iter().map(|line| line.id.clone()).collect()),
        };
        matched.outside_validity = !found.is_empty() && found.iter().all(is_outside);
        matched
    }
}

/// The operator of all these lines, if it is the same.
fn common_operator(lines: &[&Line]) -> Option<OperatorCode> {
    let first = lines.first()?;
    let is_common = lines.iter().all(|line| line.operator() == first.operator());
    is_common.then(|| first.id.operator())
}

/// Whether a text is a number as vehicles show it, with nothing around it: one word in capitals
/// that does not begin as `lijn` does.
fn is_bare_number(text: &str) -> bool {
    !text.starts_with('L')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

fn mode_word(word: &str) -> Option<Mode> {
    Some(match word {
        "tram" | "tramlijn" => Mode::Tram,
        "bus" | "buslijn" => Mode::Bus,
        "metro" | "metrolijn" => Mode::Metro,
        "sneltram" => Mode::LightRail,
        "trein" | "train" => Mode::Train,
        "veer" | "pont" | "ferry" | "waterbus" => Mode::Ferry,
        "buurtbus" => Mode::NeighbourhoodBus,
        _ => return None,
    })
}

/// Whether a traveller may call a line of the second mode by the first.
fn is_same_mode(told: Mode, listed: Mode) -> bool {
    let kind = |mode| match mode {
        Mode::NeighbourhoodBus | Mode::ReplacementBus => Mode::Bus,
        other => other,
    };
    let is_rail = |mode| matches!(mode, Mode::Tram | Mode::Metro);
    told == Mode::Unknown
        || listed == Mode::Unknown
        || kind(told) == kind(listed)
        || told == Mode::LightRail && is_rail(listed)
        || listed == Mode::LightRail && is_rail(told)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::limits::CANDIDATES_MAX;
    use crate::network::model::{Feed, Stop};

    static NETWORK: LazyLock<Network> = LazyLock::new(Network::built_in);

    fn words<'a>(operator: &'a str, line: &'a str, stop: &'a str, day: &str) -> Words<'a> {
        Words {
            operator,
            line,
            stop,
            mode: None,
            day: LocalDay::parse(day).expect("a day"),
            is_operator_vouched_for: false,
        }
    }

    fn resolve(operator: &str, line: &str, stop: &str) -> Resolved {
        NETWORK.resolve(&words(operator, line, stop, "2026-11-23"))
    }

    fn ids<T: ToString>(ids: &[T]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    fn check_line(operator: &str, line: &str, resolution: Resolution, id: &str) {
        let found = resolve(operator, line, "").line;
        let found_id = found.id.map(|id| id.to_string()).unwrap_or_default();
        let expected = (Some(resolution), id.to_owned());
        assert_eq!((found.resolution, found_id), expected, "{operator}, {line}");
    }

    /// The network that is built in, and a stop of it with a platform.
    fn with_platform(stop: &str, code: &str) -> Network {
        let known = NETWORK.stop(stop).expect("built in");
        let feed = Feed {
            operators: Vec::new(),
            lines: Vec::new(),
            stops: vec![Stop {
                platforms: vec![code.into()],
                ..known.clone()
            }],
        };
        Network::overlay(&NETWORK, vec![feed]).expect("it fits")
    }

    fn check_stop(operator: &str, line: &str, stop: &str, resolution: Resolution, name: &str) {
        let found = resolve(operator, line, stop).stop;
        let expected = (Some(resolution), name);
        assert_eq!(
            (found.resolution, &*found.name),
            expected,
            "{operator}, {line}, {stop}"
        );
    }

    #[test]
    fn tram_10_without_operator_is_ambiguous() {
        for day in ["2017-06-01", "2026-11-23"] {
            let tram = Words {
                mode: Some(Mode::Tram),
                ..words("", "10", "", day)
            };
            let found = NETWORK.resolve(&tram);
            assert_eq!(found.operator, None);
            assert_eq!(found.line.resolution, Some(Resolution::Ambiguous));
            assert_eq!(ids(&found.line.candidates), ["GVB:10", "HTM:10"]);
        }
    }

    #[test]
    fn tram_10_of_gvb_is_one_line_that_no_longer_runs() {
        let check = |day, is_outside| {
            let found = NETWORK.resolve(&words("GVB", "10", "", day));
            assert_eq!(
                found.operator.map(|code| code.to_string()).as_deref(),
                Some("GVB")
            );
            assert_eq!(found.line.resolution, Some(Resolution::UniqueMatch));
            assert_eq!(ids(&Vec::from_iter(found.line.id)), ["GVB:10"]);
            assert_eq!(&*found.line.name, "Westergasfabriek - Azartplein");
            assert_eq!(found.line.outside_validity, is_outside, "{day}");
        };
        check("2018-07-21", false);
        check("2018-07-22", true);
        check("2026-11-23", true);
    }

    #[test]
    fn identifier_of_a_line_is_taken_as_it_stands() {
        check_line("", "GVB:10", Resolution::Exact, "GVB:10");
        check_line("", "gvb:10", Resolution::Exact, "GVB:10");
        check_line("HTM", "GVB:10", Resolution::Exact, "GVB:10");
        let operator = resolve("", "GVB:10", "").operator;
        assert_eq!(
            operator.map(|code| code.to_string()).as_deref(),
            Some("GVB")
        );
        check_line("", "GVB:nothing", Resolution::Unresolved, "");
    }

    #[test]
    fn number_is_understood_however_it_is_written() {
        for line in [
            "26",
            " 26 ",
            "lijn 26",
            "Lijn26",
            "tram 26",
            "GVB 26",
            "gvb tram 26",
        ] {
            check_line("", line, Resolution::UniqueMatch, "GVB:26");
        }
        check_line("", "metro e", Resolution::UniqueMatch, "RET:E");
        check_line("", "bus 26", Resolution::Unresolved, "");
        check_line("GVB", "9999", Resolution::Unresolved, "");
    }

    #[test]
    fn mode_leaves_out_lines_of_other_modes() {
        let found = |mode| {
            let words = words("", "15", "", "2026-11-23");
            let line = NETWORK.resolve(&Words { mode, ..words }).line;
            ids(&Vec::from_iter(line.id))
        };
        assert_eq!(found(Some(Mode::Tram)), ["HTM:15"]);
        assert_eq!(found(Some(Mode::LightRail)), ["HTM:15"]);
        assert_eq!(found(Some(Mode::ReplacementBus)), ["GVB:15"]);
        assert!(found(Some(Mode::Unknown)).is_empty());
        assert!(found(None).is_empty());
    }

    #[test]
    fn operator_goes_by_code_and_by_name() {
        let check = |text, expected: &str| {
            let operator = resolve(text, "", "").operator;
            assert_eq!(
                operator.map(|code| code.to_string()).unwrap_or_default(),
                expected,
                "{text}"
            );
        };
        for text in ["GVB", "gvb", " Gvb ", "GVB Amsterdam", "de tram van GVB"] {
            check(text, "GVB");
        }
        check("Nederlandse Spoorwegen", "NS");
        check("Transdev", "CXX");
        check("connexxion", "CXX");
        check("HTM Den Haag", "HTM");
        check("nobody knows", "");
        check("GVB or HTM", "");
        check("", "");
    }

    #[test]
    fn operator_that_nobody_knows_is_taken_only_where_it_is_vouched_for() {
        let check = |text, is_operator_vouched_for, expected: Option<&str>| {
            let words = Words {
                is_operator_vouched_for,
                ..words(text, "26", "", "2026-11-23")
            };
            let found = NETWORK.resolve(&words);
            let operator = found.operator.map(|code| code.to_string());
            assert_eq!(operator.as_deref(), expected, "{text}");
        };
        check("XYZ9", false, None);
        check(" XYZ9 ", true, Some("XYZ9"));
        check("xyz9", true, None);
        check("nobody knows", true, None);
        check("gvb", true, Some("GVB"));
    }

    #[test]
    fn line_of_an_operator_that_nobody_knows_is_not_guessed() {
        check_line("the blue one", "26", Resolution::Unresolved, "");
        check_line("XYZ", "26", Resolution::Unresolved, "");
    }

    #[test]
    fn unique_line_names_the_operator() {
        let operator = resolve("", "52", "").operator;
        assert_eq!(
            operator.map(|code| code.to_string()).as_deref(),
            Some("GVB")
        );
    }

    #[test]
    fn stop_goes_by_code_and_by_name() {
        check_stop(
            "",
            "",
            "GVB:06061",
            Resolution::Exact,
            "Amsterdam, Leidseplein",
        );
        check_stop(
            "GVB",
            "",
            "06061",
            Resolution::Exact,
            "Amsterdam, Leidseplein",
        );
        for stop in ["Leidseplein", "amsterdam leidseplein", "Leidsepl."] {
            check_stop(
                "",
                "",
                stop,
                Resolution::UniqueMatch,
                "Amsterdam, Leidseplein",
            );
        }
        check_stop(
            "",
            "",
            "Amsterdam st. Zuid",
            Resolution::UniqueMatch,
            "Amsterdam, Station Zuid",
        );
        check_stop(
            "",
            "",
            "Leidsepliein",
            Resolution::UniqueMatch,
            "Amsterdam, Leidseplein",
        );
        check_stop("", "", "somewhere else", Resolution::Unresolved, "");
    }

    #[test]
    fn stop_is_sought_among_the_lines_stops_first() {
        check_stop("", "", "Centraal Station", Resolution::Ambiguous, "");
        check_stop(
            "GVB",
            "",
            "CS",
            Resolution::UniqueMatch,
            "Amsterdam, Centraal Station",
        );
        check_stop(
            "",
            "HTM:9",
            "CS",
            Resolution::UniqueMatch,
            "Den Haag, Centraal Station",
        );
        check_stop("", "", "Keizersgracht", Resolution::Ambiguous, "");
        check_stop(
            "",
            "GVB:2",
            "Keizersgracht",
            Resolution::UniqueMatch,
            "Amsterdam, Keizersgracht",
        );
        check_stop(
            "",
            "GVB:2",
            "Dijkgraafplein",
            Resolution::UniqueMatch,
            "Amsterdam, Dijkgraafplein",
        );
    }

    #[test]
    fn stop_of_another_operator_is_not_taken_for_one_of_the_operators() {
        check_stop("GVB", "13", "Beurs", Resolution::Unresolved, "");
        check_stop("GVB", "", "Beurs", Resolution::Unresolved, "");
        check_stop("NS", "", "Schiphol", Resolution::Unresolved, "");
        check_stop("NS", "", "Leidseplein", Resolution::Unresolved, "");
        check_stop("HTM", "", "Leidsepliein", Resolution::Unresolved, "");
        // Typed in full it is what it is.
        check_stop("GVB", "", "RET:86", Resolution::Exact, "Rotterdam, Beurs");
    }

    #[test]
    fn platform_of_another_operator_is_not_taken_for_one_of_the_operators() {
        let network = with_platform("GVB:06061", "7001");
        let check = |operator: &str, expected: Resolution| {
            let words = words(operator, "", "7001", "2026-11-23");
            let found = network.resolve(&words).stop;
            assert_eq!(found.resolution, Some(expected), "{operator}");
        };
        check("", Resolution::Exact);
        check("GVB", Resolution::Exact);
        check("HTM", Resolution::Unresolved);
    }

    #[test]
    fn nothing_written_is_nothing_resolved() {
        let found = resolve("", " ", "");
        assert_eq!(
            (found.operator, found.line, found.stop),
            (None, Match::nothing(), Match::nothing())
        );
    }

    proptest! {
        #[test]
        fn any_words_have_an_answer(
            operator in ".{0,20}",
            line in ".{0,20}",
            stop in ".{0,110}",
            day in -1_000_000_i32..1_000_000,
        ) {
            let words = Words {
                operator: &operator,
                line: &line,
                stop: &stop,
                mode: None,
                day: LocalDay(day),
                is_operator_vouched_for: false,
            };
            let found = NETWORK.resolve(&words);
            prop_assert!(found.line.candidates.len() <= CANDIDATES_MAX);
            prop_assert!(found.stop.candidates.len() <= CANDIDATES_MAX);
        }

        #[test]
        fn every_line_is_exact_by_its_identifier(place in 0..NETWORK.all_lines().len()) {
            let id = &NETWORK.all_lines()[place].id;
            let found = NETWORK.resolve(&words("", id.as_str(), "", "2020-01-01"));
            prop_assert_eq!(found.line.id.as_ref(), Some(id));
            prop_assert_eq!(found.operator, Some(id.operator()));
        }
    }
}
