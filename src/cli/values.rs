//! Values of flags that are checked before a server is asked: numbers within the bounds that it
//! holds them to, codes of operators and identifiers of lines. What a refusal says is the rule
//! alone, so that it can be told whatever was typed: that may be a card's number.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use crate::domain::{LineId, OperatorCode};

const OPERATOR_RULE: &str = "must be an operator's code, 2 to 10 letters or digits, as in GVB: \
                             `mistap network operators` lists them";
const LINE_RULE: &str = "must be a line with its operator, as in GVB:10: \
                         `mistap network lines --number 10` finds those with a number";

/// A rule that a value breaks. Nothing of the value may be in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rule(Cow<'static, str>);

impl From<&'static str> for Rule {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// Takes whole numbers from `least` to `most`.
pub fn whole<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, Rule> + Clone + Send + Sync
where
    T: Copy + Display + FromStr + PartialOrd + Send + Sync + 'static,
{
    bounded("a whole number", least, most)
}

/// Takes numbers from `least` to `most`, and fractions of them.
pub fn fraction(least: f64, most: f64) -> impl Fn(&str) -> Result<f64, Rule> + Clone + Send + Sync {
    bounded("a number", least, most)
}

fn bounded<T>(
    what: &'static str,
    least: T,
    most: T,
) -> impl Fn(&str) -> Result<T, Rule> + Clone + Send + Sync
where
    T: Copy + Display + FromStr + PartialOrd + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok();
        let number = number.filter(|number| least <= *number && *number <= most);
        number.ok_or_else(|| {
            let rule = format!("must be {what} from {least} to {most}");
            Rule(Cow::Owned(rule))
        })
    }
}

/// Takes a place in the record. Whether the record reaches it, the server says.
pub fn position(text: &str) -> Result<u64, Rule> {
    let rule = "must be a position of the record, as figures are cited with it: a whole number";
    text.parse().map_err(|_| Rule::from(rule))
}

/// Takes the code of an operator, written large or small.
pub fn operator(text: &str) -> Result<String, Rule> {
    let code = text.to_ascii_uppercase();
    match OperatorCode::from_str(&code) {
        Ok(_) => Ok(code),
        Err(_) => Err(OPERATOR_RULE.into()),
    }
}

/// Takes the identifier of a line; the code of its operator may be written small.
pub fn line(text: &str) -> Result<String, Rule> {
    let (operator, number) = text.split_once(':').ok_or(LINE_RULE)?;
    let id = format!("{}:{number}", operator.to_ascii_uppercase());
    match LineId::from_str(&id) {
        Ok(_) => Ok(id),
        Err(_) => Err(LINE_RULE.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_refused_with_its_bounds_and_without_what_was_typed() {
        let attempts = whole(0_u32, 20);
        assert_eq!(attempts("20"), Ok(20));
        for wrong in ["21", "-1", "1.5", "mon", "", "3528016044719359"] {
            let rule = attempts(wrong).expect_err(wrong).to_string();
            assert_eq!(rule, "must be a whole number from 0 to 20");
        }
        let level = fraction(0.5, 0.999_999);
        assert_eq!(level("0.95"), Ok(0.95));
        for wrong in ["NaN", "inf", "95", "0.49", "sure"] {
            let rule = level(wrong).expect_err(wrong).to_string();
            assert_eq!(rule, "must be a number from 0.5 to 0.999999");
        }
    }

    #[test]
    fn code_may_be_written_small_and_line_needs_its_operator() {
        assert_eq!(operator("gvb").as_deref(), Ok("GVB"));
        assert_eq!(operator("Gvb2").as_deref(), Ok("GVB2"));
        assert_eq!(line("gvb:N10a").as_deref(), Ok("GVB:N10a"));
        for wrong in ["", "g", "connexxion-gooi", "G V"] {
            assert!(operator(wrong).is_err(), "{wrong}");
        }
        for wrong in ["10", ":10", "gvb:", "tram 10", "g:10"] {
            let rule = line(wrong).expect_err(wrong).to_string();
            assert!(rule.contains("mistap network lines --number"), "{rule}");
        }
    }
}
