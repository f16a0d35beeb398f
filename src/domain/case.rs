//! What an operator calls an incident by.

use std::fmt;
use std::str::FromStr;

/// Crockford's base 32: no I, L, O or U, so that it can be read out.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LETTER_BITS: u32 = 5;
const LETTERS_COUNT: u32 = CaseNumber::BITS / LETTER_BITS;
const GROUP: u32 = 4;

/// A case number: 60 bits, written as three groups of four letters and digits, as in
/// `7H2K-9QWM-3XVT`. It says nothing of the incident; `auth` alone knows what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaseNumber(u64);

/// Not a case number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a case number, as in 7H2K-9QWM-3XVT")]
pub struct InvalidCase;

impl CaseNumber {
    /// Bits of a case number.
    pub const BITS: u32 = 60;
    /// The largest.
    pub const MAX: u64 = (1 << Self::BITS) - 1;

    /// Of the lowest 60 bits.
    pub fn new(bits: u64) -> Self {
        Self(bits & Self::MAX)
    }

    /// The bits.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in 0..LETTERS_COUNT {
            if place != 0 && place.is_multiple_of(GROUP) {
                f.write_str("-")?;
            }
            let shift = (LETTERS_COUNT - 1 - place) * LETTER_BITS;
            let value = usize::try_from(self.0 >> shift & 31).expect("five bits");
            write!(f, "{}", char::from(LETTERS[value]))?;
        }
        Ok(())
    }
}

impl FromStr for CaseNumber {
    type Err = InvalidCase;

    /// Small letters, spaces and missing hyphens will do; I and L are read as 1, and O as 0.
    fn from_str(text: &str) -> Result<Self, InvalidCase> {
        let mut number = 0;
        let mut count = 0;
        for byte in text.bytes().filter(|byte| !b"- ".contains(byte)) {
            let letter = match byte.to_ascii_uppercase() {
                b'I' | b'L' => b'1',
                b'O' => b'0',
                letter => letter,
            };
            let value = LETTERS.iter().position(|known| *known == letter);
            let value = u64::try_from(value.ok_or(InvalidCase)?).map_err(|_| InvalidCase)?;
            number = number << LETTER_BITS | value;
            count += 1;
            if LETTERS_COUNT < count {
                return Err(InvalidCase);
            }
        }
        if count == LETTERS_COUNT {
            Ok(Self(number))
        } else {
            Err(InvalidCase)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_number_is_read_as_people_write_it() {
        let case = CaseNumber::new(0x0123_4567_89ab_cdef);
        let text = case.to_string();
        assert_eq!(text, "28T5-CY4T-QKFF");
        for written in ["28t5-cy4t-qkff", "28T5CY4TQKFF", " 28T5 CY4T QKFF "] {
            assert_eq!(written.parse(), Ok(case), "{written}");
        }
        assert_eq!(
            "OIL0-0000-0000".parse(),
            "0110-0000-0000".parse::<CaseNumber>()
        );
    }

    #[test]
    fn what_is_no_case_number_is_refused() {
        for wrong in [
            "",
            "28T5-CY4T-QKF",
            "28T5-CY4T-QKFFF",
            "28T5-CY4T-QKFU",
            "28T5-CY4T-QKFé",
        ] {
            assert_eq!(wrong.parse::<CaseNumber>(), Err(InvalidCase), "{wrong}");
        }
    }
}
