//! Whether a text holds a way to reach somebody: an e-mail address, a link, or a telephone
//! number, also where it is written so that programs should not see it. Ordinary sentences,
//! dates and times are none; where the two cannot be told apart, it is none.

/// Digits of a telephone number, at least, with its leading 0 or country code.
const DIGITS_MIN: usize = 9;
/// Of a number that companies have for it, as 0900 8011.
const SERVICE_DIGITS_MIN: usize = 8;
const SERVICE_PREFIXES: [&str; 4] = ["0800", "0900", "0906", "0909"];
/// Digits that are spelled out, one after the other.
const SPELLED_MIN: usize = 6;
const SPELLED: [&str; 11] = [
    "nul", "een", "één", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen",
];
/// Ends of names of hosts that are no Dutch words: after a full stop without a space, `de` and
/// `nu` begin sentences.
const ENDS: [&str; 20] = [
    "nl",
    "com",
    "net",
    "org",
    "eu",
    "info",
    "be",
    "fr",
    "uk",
    "io",
    "app",
    "dev",
    "online",
    "shop",
    "site",
    "amsterdam",
    "frl",
    "biz",
    "gov",
    "edu",
];
/// What people write for `@`.
const AT: [&str; 7] = [
    "(at)",
    "[at]",
    "{at}",
    "<at>",
    "apenstaart",
    "apenstaartje",
    "apestaartje",
];
/// What people write for the point in a name of a host.
const POINT: [&str; 6] = ["punt", "dot", "(punt)", "(dot)", "[punt]", "[dot]"];
/// What may stand between the digits of one number.
const BETWEEN_DIGITS: &str = "+-./()_*·–—‑";

/// Whether a text holds contact data.
pub fn has_contact(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    text.contains(['@', '＠'])
        || words.iter().any(|word| is_link(word))
        || lower
            .iter()
            .any(|word| AT.iter().any(|at| word.contains(at)))
        || lower
            .windows(2)
            .any(|two| is_spelled_host(&two[0], &two[1]))
        || has_spelled_number(&lower)
        || has_number(&lower)
}

// === Links ===

/// Whether a word is a link, or begins with the name of a host.
fn is_link(word: &str) -> bool {
    let lower = word.to_lowercase();
    if lower.contains("://") || lower.contains("www.") {
        return true;
    }
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
    // Of several with slashes between them, any may be one.
    let starts = word.match_indices(['/', ',', '(']).map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).any(|start| {
        let rest = &word[start..];
        let end = rest.find(['/', ':', '?', '#', '\\', ',', '(', ')', '"']);
        let has_path = end.is_some_and(|at| is_path(&rest[at..]));
        is_host(&rest[..end.unwrap_or(rest.len())], has_path)
    })
}

/// Whether what follows a host is more of a link.
fn is_path(rest: &str) -> bool {
    let mut characters = rest.chars();
    let first = characters.next();
    matches!(first, Some('/' | '?' | '#' | '\\'))
        || first == Some(':') && characters.next().is_some_and(|next| next.is_ascii_digit())
}

/// Whether a text is the name or the address of a host. With a path behind it, any end of two
/// letters will do.
fn is_host(text: &str, has_path: bool) -> bool {
    let text = text.trim_end_matches('.');
    let labels: Vec<&str> = text.split('.').collect();
    let is_label =
        |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    if labels.len() < 2 || !labels.iter().all(is_label) {
        return false;
    }
    if labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok()) {
        return true;
    }
    let end = labels[labels.len() - 1];
    // A sentence that begins without a space before it.
    let is_sentence = end.chars().next().is_some_and(char::is_uppercase)
        && end.chars().skip(1).any(char::is_lowercase);
    let is_country = end.chars().count() == 2 && end.chars().all(char::is_alphabetic);
    // Abbreviations, as `o.a.` and `z.o.z`.
    let is_name = labels.iter().any(|label| 1 < label.chars().count());
    is_name && !is_sentence && (is_end(end) || has_path && is_country)
}

fn is_end(label: &str) -> bool {
    let label = label.to_lowercase();
    ENDS.contains(&&*label)
}

/// Whether two words are the end of a host's name, as in `gvb punt nl`.
fn is_spelled_host(point: &str, end: &str) -> bool {
    let end = end.trim_end_matches(|c: char| !c.is_alphanumeric());
    POINT.contains(&point) && is_end(end)
}

// === Numbers ===

fn has_spelled_number(words: &[String]) -> bool {
    let mut spelled = 0;
    words.iter().any(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphabetic());
        spelled = if SPELLED.contains(&word) {
            spelled + 1
        } else {
            0
        };
        SPELLED_MIN <= spelled
    })
}

/// Whether there are so many digits that begin with 0 or +, with nothing but blanks and signs
/// between them.
fn has_number(words: &[String]) -> bool {
    let mut run = Run::None;
    words.iter().any(|word| {
        if is_date(word) || is_time(word) {
            run = Run::None;
            return false;
        }
        // A number goes on after a blank, and anything else begins anew.
        if matches!(run, Run::Other) {
            run = Run::None;
        }
        word.chars().any(|character| {
            run.take(character);
            run.is_number()
        })
    })
}

/// Digits that follow one another.
enum Run {
    None,
    /// They begin otherwise than a telephone number.
    Other,
    /// What may be a telephone number.
    Number(String),
}

impl Run {
    fn take(&mut self, character: char) {
        match (digit_of(character), &mut *self) {
            (Some('0'), Self::None) => *self = Self::Number("0".to_owned()),
            (Some(_), Self::None) => *self = Self::Other,
            (Some(digit), Self::Number(digits)) => digits.push(digit),
            (Some(_), Self::Other) => {}
            (None, _) if character == '+' => *self = Self::Number(String::new()),
            (None, _) if BETWEEN_DIGITS.contains(character) => {}
            (None, _) => *self = Self::None,
        }
    }

    fn is_number(&self) -> bool {
        let Self::Number(digits) = self else {
            return false;
        };
        let is_service = SERVICE_PREFIXES
            .iter()
            .any(|prefix| digits.starts_with(prefix));
        DIGITS_MIN <= digits.len() || is_service && SERVICE_DIGITS_MIN <= digits.len()
    }
}

/// A digit, also in full width, as it is written otherwise.
fn digit_of(character: char) -> Option<char> {
    match character {
        '0'..='9' => Some(character),
        '０'..='９' => {
            let digit = u32::from(character) - u32::from('０');
            char::from_digit(digit, 10)
        }
        _ => None,
    }
}

/// Whether a word is a date: three numbers, of at most two, two and four digits.
fn is_date(word: &str) -> bool {
    let word = word.trim_end_matches([',', '.', ':', ';']);
    let parts: Vec<&str> = word.split(['-', '/', '.']).collect();
    let is_short = |part: &&str| part.len() <= 2;
    parts.len() == 3
        && parts
            .iter()
            .all(|part| !part.is_empty() && are_digits(part))
        && 2 <= parts.iter().filter(|part| is_short(part)).count()
}

/// Whether a word is a time of day, or several, as in `08.00-09.30`.
fn is_time(word: &str) -> bool {
    let word = word.trim_end_matches([',', '.', ':', ';', ')']);
    let word = word.trim_start_matches('(');
    word.split(['-', '–', '/']).all(|time| {
        time.split_once(['.', ':']).is_some_and(|(hour, minute)| {
            (1..=2).contains(&hour.len())
                && minute.len() == 2
                && are_digits(hour)
                && are_digits(minute)
        })
    })
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_are_found_also_without_a_scheme() {
        for text in [
            "https://gvb.example",
            "zie www.gvb.example",
            "WWW.GVB.NL",
            "zie example.nl/x",
            "zie (gvb.nl/klacht).",
            "kijk op gvb.nl",
            "kijk op gvb.nl.",
            "kijk op GVB.NL!",
            "klacht.example.co.uk/formulier",
            "t.co/abc",
            "marktplaats.de/klacht",
            "gvb.nl:8080",
            "gvb.nl?klacht=1",
            "ga naar 192.0.2.7/klacht",
            "lezer/gvb.nl",
            "gvb punt nl",
            "gvb dot com.",
            "gvb (punt) nl",
        ] {
            assert!(has_contact(text), "{text}");
        }
    }

    #[test]
    fn addresses_are_found_also_with_blanks_and_words_in_them() {
        for text in [
            "mail ons: klacht@gvb.example",
            "klacht @ gvb",
            "klacht＠gvb",
            "klacht (at) gvb",
            "klacht[AT]gvb",
            "klacht apenstaartje gvb",
            "klacht at gvb punt nl",
            "klacht at gvb.nl",
        ] {
            assert!(has_contact(text), "{text}");
        }
    }

    #[test]
    fn telephone_numbers_are_found_however_they_are_split() {
        for text in [
            "bel 020 460 60 60",
            "bel 020-4606060",
            "(020) 460 60 60",
            "+31 6 12345678",
            "+31(0)6-12345678",
            "0031612345678",
            "06.12.34.56.78",
            "06 – 1234 5678",
            "０６１２３４５６７８",
            "bel 0900-8011",
            "bel 0800 1234",
            "nul zes een twee drie vier vijf zes",
            "om 14:30 bel 0612345678",
            "wagen 2134 0612345678",
        ] {
            assert!(has_contact(text), "{text}");
        }
    }

    #[test]
    fn ordinary_sentences_are_not_refused() {
        for text in [
            "hersteld op 23-11-2026 om 14:30, voertuig 2134",
            "lezer 12 van tram 2076 is vervangen",
            "De lezer is hersteld.De tram reed door.",
            "hersteld.de lezer werkt weer",
            "vervangen.nu werkt het",
            "tussen 08.00-09.30 en 10.00-11.30 was er een storing",
            "op 2026-11-23 van 08:00 tot 09:30",
            "in- en/of uitchecken, 24/7, o.a. bij het poortje",
            "m.b.v. een nieuwe lezer, z.o.z./d.w.z. vervangen",
            "voertuigen 2134 2135 2136 en 2137",
            "lijn 1, 2, 3, 4, 5, 6, 7, 8, 9 en 10",
            "op dit punt is niets gevonden; punt uit",
            "wij at het niet; at the stop",
            "spoor 5.b/c, perron 14.30/15.00",
            "het tarief is 0,196 per km",
            "een of twee, drie of vier",
            "versie 3.11.2 van de lezer",
            "wagens 2034 2035 2036 2037",
            "",
        ] {
            assert!(!has_contact(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in ".{0,80}") {
            // Only that it returns is asked here.
            let _ = has_contact(&text);
        }

        #[test]
        fn what_was_found_is_found_among_other_words(before in "[a-z ]{0,20}", after in "[a-z ]{0,20}") {
            for contact in ["klacht@gvb", "gvb.nl/x", "0612345678"] {
                let text = format!("{before} {contact} {after}");
                prop_assert!(has_contact(&text), "{}", text);
            }
        }
    }
}
