//! Names of stops as they are compared: small letters without accents, in words, with the
//! abbreviations of Dutch stop names written out.
//!
//! What a traveller types and what the network lists go through the same functions, so it
//! does not matter which of the two abbreviates.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words that a name keeps its meaning without.
const PARTICLES: [&str; 18] = [
    "van", "de", "den", "der", "het", "t", "s", "d", "ten", "ter", "te", "en", "a", "ad", "aan",
    "op", "o", "in",
];

/// Abbreviations that stand for whole words, and words that stand for one another.
const WORDS: [(&str, &[&str]); 45] = [
    ("cs", &["centraal", "station"]),
    ("hs", &["hollands", "spoor"]),
    ("ns", &["station"]),
    ("stn", &["station"]),
    ("stat", &["station"]),
    ("metrostation", &["station"]),
    ("centr", &["centraal"]),
    ("sint", &["st"]),
    ("sainte", &["ste"]),
    ("str", &["straat"]),
    ("pl", &["plein"]),
    ("ln", &["laan"]),
    ("wg", &["weg"]),
    ("gr", &["gracht"]),
    ("kd", &["kade"]),
    ("prk", &["park"]),
    ("v", &["van"]),
    ("vd", &["van", "de"]),
    ("burg", &["burgemeester"]),
    ("burgem", &["burgemeester"]),
    ("bgm", &["burgemeester"]),
    ("weth", &["wethouder"]),
    ("doctor", &["dr"]),
    ("professor", &["prof"]),
    ("meester", &["mr"]),
    ("dominee", &["ds"]),
    ("monseigneur", &["mgr"]),
    ("ingenieur", &["ir"]),
    ("eerste", &["1e"]),
    ("tweede", &["2e"]),
    ("derde", &["3e"]),
    ("vierde", &["4e"]),
    ("verl", &["verlengde"]),
    ("oostz", &["oostzijde"]),
    ("wc", &["winkelcentrum"]),
    ("wkc", &["winkelcentrum"]),
    ("winkelc", &["winkelcentrum"]),
    ("zkh", &["ziekenhuis"]),
    ("zkhs", &["ziekenhuis"]),
    ("a'dam", &["amsterdam"]),
    ("a'veen", &["amstelveen"]),
    ("asd", &["amsterdam"]),
    ("r'dam", &["rotterdam"]),
    ("gravenhage", &["haag"]),
    ("bosch", &["hertogenbosch"]),
];

/// Ends of words that are abbreviated, the shortest word that may end so, and whether only
/// a full stop tells.
const ENDS: [(&str, &str, usize, bool); 6] = [
    ("str", "straat", 5, false),
    ("pl", "plein", 4, true),
    ("ln", "laan", 5, false),
    ("wg", "weg", 5, false),
    ("gr", "gracht", 5, true),
    ("stat", "station", 7, true),
];

const STATION: &str = "station";
/// Shortest word before `station` that is taken for a word of its own.
const STATION_STEM_CHARS_MIN: usize = 3;

/// One word of a name, as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Small letters and digits; never empty.
    pub text: String,
    /// Followed by a full stop, and not known what it stands for.
    pub is_abbreviated: bool,
    /// A word that the name keeps its meaning without.
    pub is_particle: bool,
    /// The word of which this one is the first part, where it was taken apart.
    pub compound: Option<String>,
}

/// The words of a name.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text
        .nfkd()
        .filter(|character| !is_combining_mark(*character))
    {
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase().flat_map(plain));
        } else if !is_apostrophe(character) {
            end_word(&mut words, &mut word, character == '.');
        } else if word == "a" || word == "r" {
            word.push('\'');
        } else if word.chars().count() < 2 {
            end_word(&mut words, &mut word, character == '.');
        }
    }
    end_word(&mut words, &mut word, false);
    words
}

/// What two spellings of one name have in common: its words in order of the alphabet, with
/// particles left out unless there is nothing else. Empty if there are no words.
pub(super) fn key(text: &str) -> String {
    let all = words(text);
    let has_others = all.iter().any(|word| !word.is_particle);
    let mut kept: Vec<_> = all
        .iter()
        .filter(|word| !(has_others && word.is_particle))
        .map(|word| word.text.as_str())
        .collect();
    kept.sort_unstable();
    kept.join(" ")
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’' | '‘' | '`' | '´' | '\u{2bc}')
}

/// Letters that do not come apart into a letter and an accent.
fn plain(letter: char) -> impl Iterator<Item = char> {
    let (first, second) = match letter {
        'ß' => ('s', Some('s')),
        'æ' => ('a', Some('e')),
        'œ' => ('o', Some('e')),
        'ø' => ('o', None),
        'ł' => ('l', None),
        'đ' => ('d', None),
        other => (other, None),
    };
    std::iter::once(first).chain(second)
}

fn end_word(words: &mut Vec<Word>, word: &mut String, has_full_stop: bool) {
    if word.is_empty() {
        return;
    }
    let text = std::mem::take(word);
    if let Some((_, meanings)) = WORDS.iter().find(|(short, _)| *short == text) {
        words.extend(meanings.iter().map(|meaning| plain_word(meaning)));
        return;
    }
    let (text, is_written_out) = write_out_end(text.replace('\'', ""), has_full_stop);
    if let Some(stem) = text.strip_suffix(STATION)
        && STATION_STEM_CHARS_MIN <= stem.len()
    {
        words.push(Word {
            compound: Some(text.clone()),
            ..plain_word(stem)
        });
        words.push(plain_word(STATION));
        return;
    }
    words.push(Word {
        is_abbreviated: has_full_stop && !is_written_out,
        ..plain_word(&text)
    });
}

fn plain_word(text: &str) -> Word {
    Word {
        text: text.to_owned(),
        is_abbreviated: false,
        is_particle: PARTICLES.contains(&text),
        compound: None,
    }
}

/// Writes out the abbreviated end of a word, as in `leidsepl.`.
fn write_out_end(text: String, has_full_stop: bool) -> (String, bool) {
    let found = ENDS.iter().find(|(short, _, length_min, needs_full_stop)| {
        *length_min <= text.len() && text.ends_with(short) && (has_full_stop || !needs_full_stop)
    });
    match found {
        Some((short, long, ..)) => (format!("{}{long}", &text[..text.len() - short.len()]), true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_share_a_key() {
        let check = |one, other| assert_eq!(key(one), key(other), "{one} and {other}");
        check("Amsterdam CS", "amsterdam centraal station");
        check("Amsterdam, Centraal Station", "Centraal Station Amsterdam");
        check("Amstelstation", "Station Amstel");
        check("Amstelstation", "Amstel NS");
        check("Leidsepl.", "Leidseplein");
        check("v Hallstr", "Van Hallstraat");
        check("Burg. Röellstraat", "burgemeester roellstr.");
        check("1e v.Swindenstraat", "Eerste Van Swindenstraat");
        check("A'dam, Dam", "Amsterdam dam");
        check("'s-Gravenhage HS", "Den Haag Hollands Spoor");
        check("K. 's-Gravesandestr.", "K 's Gravesandestraat");
        check("Plein '40 - '45", "plein 40-45");
        check("Sint Jacob", "St. Jacob");
    }

    #[test]
    fn different_names_have_different_keys() {
        assert_ne!(key("Leidseplein"), key("Leidsestraat"));
        assert_ne!(key("1e Coehoornstraat"), key("2e Coehoornstraat"));
        assert_ne!(key("Station Zuid"), key("Station Noord"));
    }

    #[test]
    fn name_of_particles_alone_keeps_them() {
        assert_eq!(key("Den Ter"), "den ter");
        assert_eq!(key(" .,-' "), "");
    }
}
