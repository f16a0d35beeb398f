//! Finds stops by what somebody types.
//!
//! An index of words: each word of a query is looked for among all words of all names,
//! as it stands, as the beginning of one, as one with typing errors, and as one that a name
//! abbreviates; the stops that have the found words are scored by how much of the query
//! they explain (rare words count more than common ones) and how much of their own name
//! is explained. Whole numbers throughout, so that an order never depends on the machine.

use std::collections::{BTreeMap, HashMap};

use super::model::Stop;
use super::names::{self, Word};
use crate::domain::limits::SEARCH_CHARS_MAX;

/// A perfect match of one word, and of a whole query.
const FULL: u32 = 1_000;
/// On top, if query and name have the same words.
const SAME_NAME_BONUS: u32 = 200;
/// Best match of two words that a name has in one.
const JOINED_SCORE_MAX: u32 = 950;
/// How much of a name counts as explained if the query is about the town alone.
const TOWN_COVERED: u32 = 700;
/// Least part of a query that a stop must explain, of `FULL`.
const EXPLAINED_MIN: u32 = 500;
/// Words of a query that are looked at; further ones are not.
const QUERY_WORDS_MAX: usize = 12;
/// Shortest word in which a typing error is forgiven, and shortest for two of them.
const ONE_ERROR_CHARS_MIN: usize = 4;
const TWO_ERRORS_CHARS_MIN: usize = 8;
/// Longest beginning of a word that an abbreviation is looked for by.
const ABBREVIATION_CHARS_MAX: usize = 4;
/// Longest word whose typing errors are counted.
const FUZZY_CHARS_MAX: usize = 32;

/// Where in a stop's texts a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Name,
    Town,
    /// A compound in the name whose parts stand in the index as well.
    Compound,
}

/// A word of the vocabulary and what it takes to compare with it quickly.
struct Entry {
    text: Box<str>,
    /// One bit for each letter or digit that it has.
    letters: u64,
    /// Where its postings end; they begin where those of the entry before end.
    postings_end: u32,
}

/// The index.
pub(super) struct SearchIndex {
    /// In order of text. Abbreviations end with a full stop.
    vocabulary: Vec<Entry>,
    /// Stops by word: place among the stops, and part.
    postings: Vec<(u32, Part)>,
    /// How many words each stop's name has, particles and town left out; 1 at least.
    name_words: Vec<u8>,
    /// Stops by the keys of their names, with and without the town.
    keys: HashMap<Box<str>, Vec<u32>>,
}

/// A stop that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Its place among the stops.
    pub stop: usize,
    /// Up to `FULL + SAME_NAME_BONUS`.
    pub score: u32,
    /// Whether every word of the query was found, particles left out.
    pub is_complete: bool,
}

/// A word of the vocabulary that a word of the query may mean.
#[derive(Clone, Copy)]
struct Meaning {
    entry: usize,
    score: u32,
}

/// What a stop has collected so far.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Sum of scores times weights of finished words.
    score: u64,
    /// Best score of the word at hand.
    best: u32,
    /// Words of the query found, particles left out.
    found: u8,
    /// Of those, in the name.
    found_in_name: u8,
    best_is_in_name: bool,
}

impl SearchIndex {
    pub(super) fn build(stops: &[Stop]) -> Self {
        let mut words = BTreeMap::<Box<str>, Vec<(u32, Part)>>::new();
        let mut keys = HashMap::<Box<str>, Vec<u32>>::new();
        let mut name_words = Vec::with_capacity(stops.len());
        for (place, stop) in (0..).zip(stops) {
            let name = names::words(&stop.name);
            let count = name.iter().filter(|word| !word.is_particle).count();
            name_words.push(u8::try_from(count.max(1)).unwrap_or(u8::MAX));
            for (word, part) in indexed(&name, Part::Name) {
                words.entry(word).or_default().push((place, part));
            }
            for (word, part) in indexed(&names::words(&stop.town), Part::Town) {
                words.entry(word).or_default().push((place, part));
            }
            let mut stop_keys = [names::key(&stop.name), names::key(&stop.full_name())].to_vec();
            stop_keys.dedup();
            for key in stop_keys {
                keys.entry(key.into()).or_default().push(place);
            }
        }
        let mut postings = Vec::new();
        let vocabulary = words
            .into_iter()
            .map(|(text, mut stops)| {
                stops.sort_unstable();
                stops.dedup();
                postings.append(&mut stops);
                Entry {
                    letters: letters(&text),
                    text,
                    postings_end: u32::try_from(postings.len()).unwrap_or(u32::MAX),
                }
            })
            .collect();
        Self {
            vocabulary,
            postings,
            name_words,
            keys,
        }
    }

    /// Stops whose name, with or without the town, has the same words as the text: places,
    /// ascending.
    pub(super) fn same_name(&self, text: &str) -> &[u32] {
        self.keys
            .get(names::key(text).as_str())
            .map_or(&[], Vec::as_slice)
    }

    /// Up to `limit` of the stops that fit and are wanted, best first. `stops` are those that
    /// the index was built from.
    pub(super) fn find(
        &self,
        query: &str,
        limit: usize,
        stops: &[Stop],
        is_wanted: impl Fn(usize) -> bool,
    ) -> Vec<Hit> {
        let words = parse(query);
        let meanings = (0..words.len()).map(|place| self.meanings(&words, place));
        let hits = self.hits(&words, meanings.collect(), query);
        best(&hits, limit, stops, is_wanted)
    }

    /// All stops that fit, in no order, if each word of the query can be found at all: else none
    /// has the whole query. Most texts that name no stop are let go of at their first such word.
    pub(super) fn find_if_whole(&self, query: &str) -> Vec<Hit> {
        let words = parse(query);
        let known = |(place, word): (usize, &Word)| {
            let meanings = self.meanings(&words, place);
            (word.is_particle || !meanings.is_empty()).then_some(meanings)
        };
        let meanings: Option<Vec<_>> = words.iter().enumerate().map(known).collect();
        meanings.map_or_else(Vec::new, |meanings| self.hits(&words, meanings, query))
    }

    /// All stops that fit, in no order, by what each word may mean.
    fn hits(&self, words: &[Word], meanings: Vec<Vec<Meaning>>, query: &str) -> Vec<Hit> {
        let mut tallies = vec![Tally::default(); self.name_words.len()];
        let weights = self.collect(words, meanings, &mut tallies);
        let asked = words.iter().filter(|word| !word.is_particle).count();
        let same_name = self.same_name(query);
        let hit = |(stop, tally): (usize, &Tally)| {
            let is_same =
                u32::try_from(stop).is_ok_and(|stop| same_name.binary_search(&stop).is_ok());
            Some(Hit {
                stop,
                score: score(tally, weights, self.name_words[stop], is_same)?,
                is_complete: asked <= usize::from(tally.found),
            })
        };
        let fitting = tallies.iter().enumerate();
        let fitting = fitting.filter(|(_, tally)| 0 < tally.score);
        fitting.filter_map(hit).collect()
    }

    /// Adds up, for each stop, what it has of each word. Returns the sum of all weights.
    fn collect(&self, words: &[Word], meanings: Vec<Vec<Meaning>>, tallies: &mut [Tally]) -> u64 {
        let mut weights = 0;
        let mut touched = Vec::new();
        for (word, meanings) in words.iter().zip(meanings) {
            let weight = self.weight(word, &meanings, tallies.len());
            weights += weight;
            for meaning in meanings {
                for &(stop, part) in self.postings_of(meaning.entry) {
                    let tally = &mut tallies[stop as usize];
                    if tally.best == 0 {
                        touched.push(stop);
                    }
                    if tally.best < meaning.score {
                        tally.best = meaning.score;
                        tally.best_is_in_name = part != Part::Town;
                    }
                }
            }
            for stop in touched.drain(..) {
                let tally = &mut tallies[stop as usize];
                tally.score += u64::from(std::mem::take(&mut tally.best)) * weight;
                if !word.is_particle {
                    tally.found += 1;
                    tally.found_in_name += u8::from(tally.best_is_in_name);
                }
            }
        }
        weights
    }

    /// How much a word of the query counts: more the fewer stops have it, little if the
    /// name means the same without it.
    fn weight(&self, word: &Word, meanings: &[Meaning], stops: usize) -> u64 {
        if word.is_particle {
            return 1;
        }
        let best = meanings.iter().map(|meaning| meaning.score).max();
        let having: usize = meanings
            .iter()
            .filter(|meaning| Some(meaning.score) == best)
            .map(|meaning| self.postings_of(meaning.entry).len())
            .sum();
        4 + u64::from((stops / having.max(1)).max(1).ilog2())
    }

    fn postings_of(&self, entry: usize) -> &[(u32, Part)] {
        let first = match entry.checked_sub(1) {
            Some(before) => self.vocabulary[before].postings_end as usize,
            None => 0,
        };
        &self.postings[first..self.vocabulary[entry].postings_end as usize]
    }

    /// What the word at a place of the query may mean.
    fn meanings(&self, words: &[Word], place: usize) -> Vec<Meaning> {
        let word = &words[place];
        let is_last = place + 1 == words.len();
        let mut meanings = self.beginning_with(&word.text, is_last);
        if word.is_particle {
            meanings.retain(|meaning| is_last || meaning.score == FULL);
            return meanings;
        }
        if let Some(compound) = &word.compound {
            meanings.extend(self.beginning_with(compound, is_last));
        }
        let joined = joined(words, place);
        for (joined, is_last) in &joined {
            let found = self.beginning_with(joined, *is_last);
            meanings.extend(found.iter().map(|meaning| Meaning {
                score: meaning.score.min(JOINED_SCORE_MAX),
                ..*meaning
            }));
        }
        self.add_abbreviated(&word.text, &mut meanings);
        if !meanings.iter().any(|meaning| meaning.score == FULL) {
            self.add_misspelt(&word.text, &mut meanings);
            for (joined, _) in &joined {
                self.add_misspelt(joined, &mut meanings);
            }
        }
        meanings
    }

    /// Words that begin with a text, or are it. Less for one that is not the last: those
    /// before it are finished.
    fn beginning_with(&self, text: &str, is_last: bool) -> Vec<Meaning> {
        let first = self.vocabulary.partition_point(|entry| *entry.text < *text);
        let base = if is_last { 900 } else { 800 };
        self.vocabulary[first..]
            .iter()
            .take_while(|entry| entry.text.starts_with(text))
            .enumerate()
            .map(|(offset, entry)| {
                let missing = u32::try_from(entry.text.len() - text.len()).unwrap_or(u32::MAX);
                let score = if missing == 0 {
                    FULL
                } else {
                    base - 10 * missing.min(20)
                };
                Meaning {
                    entry: first + offset,
                    score,
                }
            })
            .collect()
    }

    /// Abbreviations in names that stand for the word: `Lod.` for `Lodewijk`.
    fn add_abbreviated(&self, text: &str, meanings: &mut Vec<Meaning>) {
        let ends = text.char_indices().skip(1).map(|(end, _)| end);
        for (end, score) in ends.take(ABBREVIATION_CHARS_MAX).zip([450, 600, 700, 750]) {
            let abbreviation = format!("{}.", &text[..end]);
            let found = self
                .vocabulary
                .binary_search_by(|entry| (*entry.text).cmp(abbreviation.as_str()));
            meanings.extend(found.ok().map(|entry| Meaning { entry, score }));
        }
    }

    /// Words that differ by a typing error or two, also in their beginnings.
    fn add_misspelt(&self, text: &str, meanings: &mut Vec<Meaning>) {
        let typed: Vec<char> = text.chars().collect();
        let errors_max = match typed.len() {
            TWO_ERRORS_CHARS_MIN..=FUZZY_CHARS_MAX => 2,
            ONE_ERROR_CHARS_MIN..=FUZZY_CHARS_MAX => 1,
            _ => return,
        };
        if typed.iter().all(char::is_ascii_digit) {
            return;
        }
        let typed_letters = letters(text);
        let mut distances = Distances::new(&typed);
        for (entry, candidate) in self.vocabulary.iter().enumerate() {
            let missing = (typed_letters & !candidate.letters).count_ones();
            if errors_max < missing || candidate.text.len() + 2 < typed.len() {
                continue;
            }
            let (whole, beginning) = distances.to(&candidate.text, errors_max);
            let score = match (whole, beginning) {
                (1, _) => 720,
                (2, _) if errors_max == 2 => 560,
                (_, 1) => 600,
                (_, 2) if errors_max == 2 => 450,
                _ => continue,
            };
            meanings.push(Meaning { entry, score });
        }
    }
}

/// The words of a query that are looked at.
fn parse(query: &str) -> Vec<Word> {
    let query: String = query.chars().take(SEARCH_CHARS_MAX).collect();
    let mut words = names::words(&query);
    words.truncate(QUERY_WORDS_MAX);
    words
}

/// Up to `limit` of the hits that are wanted, best first. Of equals, those that more lines serve
/// come first.
pub(super) fn best(
    hits: &[Hit],
    limit: usize,
    stops: &[Stop],
    is_wanted: impl Fn(usize) -> bool,
) -> Vec<Hit> {
    let by_rank = |a: &Hit, b: &Hit| {
        let (one, other) = (&stops[a.stop], &stops[b.stop]);
        b.score
            .cmp(&a.score)
            .then_with(|| other.lines.len().cmp(&one.lines.len()))
            .then_with(|| one.name.cmp(&other.name))
            .then_with(|| a.stop.cmp(&b.stop))
    };
    let mut best: Vec<_> = hits
        .iter()
        .copied()
        .filter(|hit| is_wanted(hit.stop))
        .collect();
    if 0 < limit && limit < best.len() {
        best.select_nth_unstable_by(limit - 1, by_rank);
    }
    best.truncate(limit);
    best.sort_unstable_by(by_rank);
    best
}

/// A word and its neighbours in one, as in `leidse plein`, and whether that is the last.
fn joined(words: &[Word], place: usize) -> Vec<(String, bool)> {
    let firsts = [place.checked_sub(1), Some(place)].into_iter().flatten();
    firsts
        .filter_map(|first| match words.get(first..first + 2)? {
            [one, _] if one.is_particle => None,
            [one, other] => {
                let is_last = first + 2 == words.len();
                Some((format!("{}{}", one.text, other.text), is_last))
            }
            _ => None,
        })
        .collect()
}

/// The words under which a text stands in the index.
fn indexed(words: &[Word], part: Part) -> impl Iterator<Item = (Box<str>, Part)> {
    words.iter().flat_map(move |word| {
        let text = if word.is_abbreviated {
            format!("{}.", word.text).into()
        } else {
            word.text.as_str().into()
        };
        let compound = word.compound.as_deref().map(|whole| {
            let part = match part {
                Part::Town => Part::Town,
                Part::Name | Part::Compound => Part::Compound,
            };
            (whole.into(), part)
        });
        std::iter::once((text, part)).chain(compound)
    })
}

/// What a stop has made of the query, of `FULL`, and more if it has the same name; `None`
/// if that is too little. Four fifths are how much of the query it explains, one fifth how
/// much of its name is explained.
fn score(tally: &Tally, weights: u64, name_words: u8, is_same: bool) -> Option<u32> {
    let explained = u32::try_from(tally.score / weights.max(1)).unwrap_or(FULL);
    if explained < EXPLAINED_MIN {
        return None;
    }
    let covered = match tally.found_in_name {
        0 => TOWN_COVERED,
        found => u32::from(found.min(name_words)) * FULL / u32::from(name_words),
    };
    let bonus = if is_same { SAME_NAME_BONUS } else { 0 };
    Some((explained * 4 + covered) / 5 + bonus)
}

/// One bit for each letter or digit that a text has; all others share one.
fn letters(text: &str) -> u64 {
    text.bytes().fold(0, |letters, byte| {
        let bit = match byte {
            b'a'..=b'z' => byte - b'a',
            b'0'..=b'9' => byte - b'0' + 26,
            _ => 36,
        };
        letters | 1 << bit
    })
}

/// Counts typing errors between one text and others: letters missing, too many, wrong, or
/// two swapped (optimal string alignment; Boytsov 2011, section 2.2.1).
struct Distances<'a> {
    typed: &'a [char],
    rows: [Vec<u8>; 3],
}

impl<'a> Distances<'a> {
    fn new(typed: &'a [char]) -> Self {
        let row = vec![0; typed.len() + 1];
        Self {
            typed,
            rows: [row.clone(), row.clone(), row],
        }
    }

    /// Errors against the whole of a text and against its best beginning. Counts no further
    /// than one more than `errors_max`.
    fn to(&mut self, text: &str, errors_max: u32) -> (u32, u32) {
        let enough = u8::try_from(errors_max + 1).unwrap_or(u8::MAX);
        let width = self.typed.len();
        let [before, above, row] = &mut self.rows;
        for (value, cell) in (0..).zip(above.iter_mut()) {
            *cell = value;
        }
        let (mut beginning, mut last, mut length) = (enough, None, 0);
        for letter in text.chars().take(FUZZY_CHARS_MAX + 2) {
            length += 1;
            row[0] = length;
            for (place, &typed) in self.typed.iter().enumerate() {
                let swap = last == Some(typed) && 0 < place && self.typed[place - 1] == letter;
                let swapped = if swap { before[place - 1] + 1 } else { u8::MAX };
                row[place + 1] = (above[place] + u8::from(typed != letter))
                    .min(above[place + 1] + 1)
                    .min(row[place] + 1)
                    .min(swapped);
            }
            beginning = beginning.min(row[width]);
            let is_lost = row.iter().all(|&errors| enough <= errors);
            last = Some(letter);
            before.swap_with_slice(above);
            above.swap_with_slice(row);
            if is_lost {
                return (u32::from(enough), u32::from(beginning));
            }
        }
        (u32::from(above[width]), u32::from(beginning))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::network::Network;

    static NETWORK: LazyLock<Network> = LazyLock::new(Network::built_in);

    fn best(query: &str) -> String {
        let found = NETWORK.search(query, 1);
        found
            .first()
            .map(|stop| stop.full_name())
            .unwrap_or_default()
    }

    fn check(query: &str, expected: &str) {
        assert_eq!(best(query), expected, "{query}");
    }

    #[test]
    fn accents_capitals_and_signs_do_not_matter() {
        check("LEIDSEPLEIN", "Amsterdam, Leidseplein");
        check("lumierestraat", "Amsterdam, Lumièrestraat");
        check("Lumièrestraat", "Amsterdam, Lumièrestraat");
        check("plein 40 45", "Amsterdam, Plein '40-'45");
        check("mr visserplein", "Amsterdam, Mr. Visserplein");
    }

    #[test]
    fn abbreviations_stand_for_what_they_abbreviate() {
        check("Amsterdam CS", "Amsterdam, Centraal Station");
        check("a'dam cs", "Amsterdam, Centraal Station");
        check("leidsepl.", "Amsterdam, Leidseplein");
        check("v limburg stirumstr", "Amsterdam, Van Limburg Stirumstraat");
        check("den haag hs", "Den Haag, Station Hollands Spoor");
        check("burg. eliasstr.", "Amsterdam, Burgemeester Eliasstraat");
        check("st. zuid", "Amsterdam, Station Zuid");
        check("C. Schuytstraat", "Amsterdam, Cornelis Schuytstraat");
    }

    #[test]
    fn words_may_come_in_any_order_and_be_taken_apart_or_together() {
        check("leidseplein amsterdam", "Amsterdam, Leidseplein");
        check("leidse plein", "Amsterdam, Leidseplein");
        check("station amstel", "Amsterdam, Amstelstation");
        check("lelylaan station", "Amsterdam, Station Lelylaan");
    }

    #[test]
    fn names_are_found_while_they_are_typed() {
        check("leids", "Amsterdam, Leidseplein");
        check("amsterdam wete", "Amsterdam, Weteringcircuit");
        check("azar", "Amsterdam, Azartplein");
    }

    #[test]
    fn one_or_two_typing_errors_are_forgiven() {
        for query in [
            "lijdseplein",
            "leidsplein",
            "leidsepelin",
            "leiddseplein",
            "liedseplien",
        ] {
            check(query, "Amsterdam, Leidseplein");
        }
        check("wetering circut", "Amsterdam, Weteringcircuit");
        check("azartplien", "Amsterdam, Azartplein");
        check("amstelstatoin", "Amsterdam, Amstelstation");
    }

    #[test]
    fn the_town_chooses_among_stops_of_one_name() {
        check("rotterdam centraal", "Rotterdam, Rotterdam Centraal");
        check("den haag centraal station", "Den Haag, Centraal Station");
        check("amsterdam centraal station", "Amsterdam, Centraal Station");
    }

    #[test]
    fn exact_names_come_before_longer_ones() {
        check("dam", "Amsterdam, Dam");
        check("spui amsterdam", "Amsterdam, Spui");
    }

    #[test]
    fn town_alone_finds_its_stops_busiest_first() {
        let found = NETWORK.search("amsterdam", 5);
        assert_eq!(&*found[0].name, "Centraal Station");
        assert!(found.iter().all(|stop| &*stop.town == "Amsterdam"));
    }

    #[test]
    fn what_is_nothing_like_a_name_finds_nothing() {
        for query in ["xqzzy", "", "  ", "...", "12345678", "\u{301}"] {
            check(query, "");
        }
        assert!(NETWORK.search("leidseplein", 0).is_empty());
    }

    #[test]
    fn text_with_a_word_that_no_stop_has_is_let_go_of_and_any_other_is_found_as_ever() {
        let index = &NETWORK.search;
        let stops = &NETWORK.stops;
        let all = index.vocabulary.len();
        let word = |number: usize| &*index.vocabulary[number * 31 % all].text;
        let mut whole = 0;
        for number in 0..400 {
            let (one, other) = (word(number), word(3 * number + 1));
            let typed = format!("{one} {}", other.replacen('e', "", 1));
            let found = index.find(&typed, 5, stops, |_| true);
            let hits = super::best(&index.find_if_whole(&typed), 5, stops, |_| true);
            if found.first().is_some_and(|best| best.is_complete) {
                assert_eq!(hits, found, "{typed}");
                whole += 1;
            }
            let typed = format!("{typed} xqzzyxqzzy");
            assert_eq!(index.find_if_whole(&typed), [], "{typed}");
        }
        assert!(20 < whole, "{whole}");
    }

    #[test]
    fn typing_errors_are_counted_as_the_literature_counts_them() {
        let check = |typed: &str, text, whole, beginning| {
            let typed: Vec<_> = typed.chars().collect();
            assert_eq!(
                Distances::new(&typed).to(text, 9),
                (whole, beginning),
                "{text}"
            );
        };
        check("kitten", "sitting", 3, 2);
        check("ab", "ba", 1, 1);
        check("leids", "leidseplein", 6, 0);
        check("abc", "", 3, 9 + 1);
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer_within_its_limit(query in ".{0,120}", limit in 0_usize..50) {
            prop_assert!(NETWORK.search(&query, limit).len() <= limit);
        }

        #[test]
        fn every_stop_is_found_by_its_own_name(place in 0..NETWORK.all_stops().len()) {
            let stop = &NETWORK.all_stops()[place];
            let found = NETWORK.search(&stop.full_name(), 5);
            prop_assert!(found.iter().any(|found| found.id == stop.id), "{}", stop.full_name());
        }

        #[test]
        fn fewer_results_are_the_first_of_more(query in "[a-z]{1,9}", limit in 1_usize..20) {
            let few = NETWORK.search(&query, limit);
            let many = NETWORK.search(&query, 50);
            prop_assert_eq!(&few[..], &many[..few.len()]);
        }
    }
}
