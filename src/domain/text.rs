//! Texts that travellers write: bounded, without control characters, and without anything
//! that could be a card number. Also the card number itself, which lives only as long as
//! the call that brings it.

use std::borrow::Cow;
use std::fmt;

use smol_str::SmolStr;
use zeroize::ZeroizeOnDrop;

use super::limits::{
    CARD_LIKE_DIGITS_MIN, CARD_NUMBER_BYTES_MAX, INSTALLATION_BYTES_MAX, INSTALLATION_BYTES_MIN,
};

/// Digits of a card's number.
const CARD_DIGITS: usize = 16;
/// How OV-chipkaart numbers begin.
const OV_PREFIX: &[u8] = b"3528";

/// Why a text is refused. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Longer than its bound.
    #[error("must be at most {0} characters")]
    TooLong(usize),
    /// Holds control characters.
    #[error("must not contain control characters")]
    Control,
    /// Could hold a card number.
    #[error("must not contain a card number or any other long run of digits")]
    CardLike,
    /// An identifier that could be a card number.
    #[error("must not contain a card number")]
    HoldsCard,
    /// A card number with a wrong shape.
    #[error("must be 16 digits beginning 3528; spaces and hyphens are allowed")]
    CardNumber,
    /// An installation's identifier with a wrong shape.
    #[error("must be 16 to 64 visible ASCII characters, or empty")]
    Installation,
    /// A number that looks like a bank card's.
    #[error("must be an OV-chipkaart number, which begins 3528; never send a bank card's number")]
    BankCard,
}

/// Checks a text: at most `chars_max` characters, none of them a control character, and no
/// run of 12 or more digits, spaces and hyphens between them ignored. Returns it trimmed.
pub fn parse_text(text: &str, chars_max: usize) -> Result<SmolStr, InvalidText> {
    let text = text.trim();
    // As many bytes are never more characters.
    if chars_max < text.len() && text.chars().take(chars_max + 1).count() > chars_max {
        return Err(InvalidText::TooLong(chars_max));
    }
    if text.contains(is_control) {
        return Err(InvalidText::Control);
    }
    if is_card_like(text) {
        return Err(InvalidText::CardLike);
    }
    Ok(SmolStr::new(text))
}

/// A text as it can be printed in a line: with a blank in place of each control character, which
/// a terminal would obey, see `is_control`.
pub fn without_controls(text: &str) -> Cow<'_, str> {
    match text.contains(is_control) {
        true => text.replace(is_control, " ").into(),
        false => text.into(),
    }
}

/// Whether a character is obeyed and not shown: a control character, or one that turns the
/// direction of writing, after which words stand in another order than they were told.
fn is_control(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns || character.is_control()
}

/// Whether a text holds a run of digits as long as a card number's. Digits of all scripts
/// count, and spaces, hyphens, dots and invisible characters do not end a run.
pub fn is_card_like(text: &str) -> bool {
    if text.len() < CARD_LIKE_DIGITS_MIN {
        return false;
    }
    let mut digits = 0;
    for character in text.chars() {
        if character.is_numeric() {
            digits += 1;
            if CARD_LIKE_DIGITS_MIN <= digits {
                return true;
            }
        } else if character.is_alphabetic() {
            digits = 0;
        }
    }
    false
}

/// Whether an identifier holds what could be a card's number: as many digits in a run as a card
/// has, hyphens and dots between them ignored, beginning as OV-chipkaart numbers do or with a
/// right check digit. Codes of stops may be long runs of digits, so that this is narrower than
/// what a text may not hold.
pub fn holds_card_number(id: &str) -> bool {
    let is_between = |character: char| matches!(character, '-' | '.');
    let runs = id.split(|character: char| !character.is_ascii_digit() && !is_between(character));
    let mut runs = runs.map(|run| -> Vec<u8> {
        let digits = run.bytes().filter(u8::is_ascii_digit);
        digits.collect()
    });
    runs.any(|run| {
        let mut parts = run.windows(CARD_DIGITS);
        let is_whole = run.len() == CARD_DIGITS;
        parts.any(|digits| digits.starts_with(OV_PREFIX) || (is_whole && has_check_digit(digits)))
    })
}

/// An OV-chipkaart number. Cleared when dropped; shown nowhere.
#[derive(ZeroizeOnDrop)]
pub struct CardNumber([u8; CARD_DIGITS]);

impl CardNumber {
    /// From 16 digits beginning 3528, spaces and hyphens allowed; `None` if nothing is
    /// written. Source: the operators' forms ask for 16 digits and fill in the first four.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidText> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        if CARD_NUMBER_BYTES_MAX < text.len() {
            return Err(InvalidText::CardNumber);
        }
        let mut number = Self([0; CARD_DIGITS]);
        let mut length = 0;
        for byte in text
            .trim()
            .bytes()
            .filter(|byte| !matches!(byte, b' ' | b'-'))
        {
            if !byte.is_ascii_digit() || length == number.0.len() {
                return Err(InvalidText::CardNumber);
            }
            number.0[length] = byte;
            length += 1;
        }
        if length != number.0.len() {
            return Err(InvalidText::CardNumber);
        }
        if !number.0.starts_with(OV_PREFIX) {
            return Err(InvalidText::BankCard);
        }
        Ok(Some(number))
    }

    /// The 16 digits, for the pseudonym.
    pub fn expose(&self) -> &[u8; CARD_DIGITS] {
        &self.0
    }

    /// Whether the last digit is the check digit of Luhn's formula (ISO/IEC 7812-1, annex B).
    /// No source states that these numbers have one, so it is only worth a warning.
    pub fn has_valid_check_digit(&self) -> bool {
        has_check_digit(&self.0)
    }
}

/// What an installation calls itself: 16 to 64 visible ASCII characters. Cleared when dropped;
/// shown nowhere.
#[derive(ZeroizeOnDrop)]
pub struct InstallationId {
    bytes: [u8; INSTALLATION_BYTES_MAX],
    length: u8,
}

const _: () = assert!(INSTALLATION_BYTES_MAX <= u8::MAX as usize);

impl InstallationId {
    /// From what a client sent; `None` for an empty field.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidText> {
        if text.is_empty() {
            return Ok(None);
        }
        let lengths = INSTALLATION_BYTES_MIN..=INSTALLATION_BYTES_MAX;
        let is_visible = || text.bytes().all(|byte| byte.is_ascii_graphic());
        match u8::try_from(text.len()) {
            Ok(length) if lengths.contains(&text.len()) && is_visible() => {
                let mut bytes = [0; INSTALLATION_BYTES_MAX];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Ok(Some(Self { bytes, length }))
            }
            _ => Err(InvalidText::Installation),
        }
    }

    /// The bytes, for the pseudonym.
    pub fn expose(&self) -> &[u8] {
        &self.bytes[..self.length.into()]
    }
}

impl fmt::Debug for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationId(..)")
    }
}

/// Whether the last of some ASCII digits is their check digit.
fn has_check_digit(digits: &[u8]) -> bool {
    let values = digits.iter().rev().enumerate().map(|(place, digit)| {
        let value = u32::from(digit - b'0') * if place % 2 == 1 { 2 } else { 1 };
        value / 10 + value % 10
    });
    values.sum::<u32>().is_multiple_of(10)
}

impl fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardNumber(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_blanks() {
        assert_eq!(without_controls("caf\u{e9} 10"), "caf\u{e9} 10");
        assert_eq!(without_controls("a\u{1b}[2J\nb\u{9b}\u{7f}"), "a [2J b  ");
    }

    #[test]
    fn characters_that_turn_the_direction_of_writing_are_control_characters() {
        for turning in [
            '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}',
        ] {
            let text = format!("lijn{turning} 10");
            assert_eq!(
                parse_text(&text, 100),
                Err(InvalidText::Control),
                "{text:?}"
            );
            assert_eq!(without_controls(&text), "lijn  10");
        }
    }

    #[test]
    fn card_number_may_have_spaces_and_hyphens() {
        for text in ["3528000000000007", " 3528 0000-0000 0007 "] {
            let number = CardNumber::parse(text).expect("valid").expect("not empty");
            assert_eq!(number.expose(), b"3528000000000007");
            assert!(number.has_valid_check_digit());
        }
        assert!(CardNumber::parse("").expect("valid").is_none());
    }

    #[test]
    fn installation_is_kept_as_it_was_sent_or_refused() {
        for length in [16, 64] {
            let text = "~".repeat(length);
            let id = InstallationId::parse(&text)
                .expect("valid")
                .expect("not empty");
            assert_eq!(id.expose(), text.as_bytes());
            assert_eq!(format!("{id:?}"), "InstallationId(..)");
        }
        assert!(InstallationId::parse("").expect("valid").is_none());
        for text in ["~".repeat(15), "~".repeat(65), "~".repeat(300)] {
            assert!(InstallationId::parse(&text).is_err(), "{text}");
        }
        assert!(InstallationId::parse("an installation 1").is_err());
        assert!(InstallationId::parse("één-installatie-1").is_err());
    }

    #[test]
    fn identifier_that_could_be_a_card_number_is_found() {
        let check = |id, expected| assert_eq!(holds_card_number(id), expected, "{id}");
        // Whatever its check digit, in a longer run too.
        check("3528000000000004", true);
        check("GVB:3528-0000-0000-0004", true);
        check("a.3528.0000.0000.00041", true);
        check("4111111111111111", true);
        check("4111111111111112", false);
        check("41111111111111111", false);
        check("de:08111:6115:1:102:1234", false);
        check("490000001234567", false);
        check("NL:Q:58001234", false);
        check("", false);
    }

    #[test]
    fn wrong_check_digit_is_no_reason_to_refuse() {
        let number = CardNumber::parse("3528 0000 0000 0004")
            .expect("valid")
            .expect("not empty");
        assert!(!number.has_valid_check_digit());
    }

    #[test]
    fn other_numbers_are_refused() {
        let check = |text, error| assert_eq!(CardNumber::parse(text).err(), Some(error), "{text}");
        check("4111 1111 1111 1111", InvalidText::BankCard);
        check("352800000000000", InvalidText::CardNumber);
        check("35280000000000070", InvalidText::CardNumber);
        check("3528 0000 0000 000x", InvalidText::CardNumber);
        check("３５２８000000000007", InvalidText::CardNumber);
    }

    #[test]
    fn text_with_a_card_like_run_is_refused_however_it_is_split() {
        for text in [
            "mijn kaart 3528 0000 0000 0007 deed het niet",
            "3528-0000.0000/0007",
            "３５２８００００００００",
            "3528\u{200b}0000\u{200b}0000",
        ] {
            assert_eq!(parse_text(text, 100), Err(InvalidText::CardLike), "{text}");
        }
        assert!(parse_text("lijn 10 om 08:15, wagen 2043", 100).is_ok());
    }

    #[test]
    fn text_is_trimmed_and_bounded_in_characters() {
        assert_eq!(parse_text(" été ", 3).as_deref(), Ok("été"));
        assert_eq!(parse_text("étés", 3), Err(InvalidText::TooLong(3)));
        assert_eq!(parse_text("a\u{7}b", 3), Err(InvalidText::Control));
    }
}
