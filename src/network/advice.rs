//! What now: refunds, appeals and leniency, by operator, from a dated table with sources.
//!
//! The table is `advice.csv` beside this file. A row of an operator stands in place of the
//! rows of all operators on the same topic. It is help and no legal advice, and says of which
//! date it is.
//!
//! Each row says no more than its source did when it was read. Pages of operators have no date of
//! their own, and some were written before surcharges rose in October 2025; so rows with a term
//! send to what the surcharge itself says. Of GVB and Qbuzz no term of objection was found: for
//! them, as for whoever is not named, stands the shortest that is known of anybody.

use std::sync::LazyLock;

use crate::domain::LocalDay;
use crate::domain::taxonomy::{Outcome, SetOf, TapKind};

const TABLE: &str = include_str!("advice.csv");
/// The operator of rows that are of all operators.
const ALL: &str = "*";

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    operator: String,
    when: When,
    /// `refund`, `appeal`, `leniency` or `help`.
    pub topic: String,
    /// Days after the incident within which to act; `None` if no term is known.
    pub deadline_days: Option<u16>,
    /// In Dutch.
    pub nl: String,
    /// In English.
    pub en: String,
    /// Where it was read.
    pub source: String,
    /// When it was read; the page may be older.
    pub as_of: LocalDay,
}

/// Of which incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Any,
    CheckOut,
    Surcharged,
}

static ADVICE: LazyLock<Vec<Advice>> =
    LazyLock::new(|| parse(TABLE).expect("the table is part of the program, and a test reads it"));

/// The advice for an incident, in the order of the table.
pub fn advice(
    operator: Option<&str>,
    tap_kind: Option<TapKind>,
    outcomes: SetOf<Outcome>,
) -> Vec<&'static Advice> {
    let is_concerned = |advice: &&Advice| match advice.when {
        When::Any => true,
        When::CheckOut => tap_kind == Some(TapKind::CheckOut),
        When::Surcharged => outcomes.contains(Outcome::Surcharged),
    };
    let concerned: Vec<_> = ADVICE.iter().filter(is_concerned).collect();
    let is_own = |advice: &Advice| Some(advice.operator.as_str()) == operator;
    let is_best = |advice: &&&Advice| {
        let has_own = || {
            let mut same = concerned.iter();
            same.any(|other| is_own(other) && other.topic == advice.topic)
        };
        is_own(advice) || (advice.operator == ALL && !has_own())
    };
    concerned.iter().filter(is_best).copied().collect()
}

/// What is told of a piece of advice on some day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// In Dutch.
    pub nl: String,
    /// In English.
    pub en: String,
    /// The last day on which to act; `None` if no term is known, or if it is over.
    pub deadline: Option<LocalDay>,
}

impl Advice {
    /// What is told today about an incident of a day. Where the term is over, that is told in
    /// words: it is the shortest that is known, so that asking may still help.
    pub fn told(&self, day: LocalDay, today: LocalDay) -> Told {
        let told = Told {
            nl: self.nl.clone(),
            en: self.en.clone(),
            deadline: self.deadline(day),
        };
        let Some(ended) = told.deadline.filter(|last| *last < today) else {
            return told;
        };
        Told {
            nl: format!(
                "{} De kortste termijn die bekend is, liep af op {ended}; vraag het toch.",
                told.nl
            ),
            en: format!(
                "{} The shortest term that is known ended on {ended}; ask all the same.",
                told.en
            ),
            deadline: None,
        }
    }

    /// The last day on which to act, for an incident of a day.
    fn deadline(&self, day: LocalDay) -> Option<LocalDay> {
        self.deadline_days
            .map(|days| LocalDay(day.0 + i32::from(days)))
    }
}

fn parse(table: &str) -> Option<Vec<Advice>> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    reader.records().map(|row| parse_row(&row.ok()?)).collect()
}

fn parse_row(row: &csv::StringRecord) -> Option<Advice> {
    let text = |place| row.get(place).filter(|text| !text.is_empty());
    Some(Advice {
        operator: text(0)?.to_owned(),
        when: match text(1)? {
            "any" => When::Any,
            "check-out" => When::CheckOut,
            "surcharged" => When::Surcharged,
            _ => return None,
        },
        topic: text(2)?.to_owned(),
        deadline_days: match text(3) {
            None => None,
            Some(days) => Some(days.parse().ok()?),
        },
        nl: text(4)?.to_owned(),
        en: text(5)?.to_owned(),
        source: text(6)?.to_owned(),
        as_of: LocalDay::parse(text(7)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_whole_dated_and_sourced() {
        let all = parse(TABLE).expect("every row can be read");
        assert_eq!(all.len() + 1, TABLE.lines().count());
        for advice in all {
            assert!(advice.source.starts_with("https://"), "{}", advice.source);
            assert!(advice.deadline_days.is_none_or(|days| 0 < days));
            let is_known = advice.operator == ALL
                || advice
                    .operator
                    .parse::<crate::domain::OperatorCode>()
                    .is_ok();
            assert!(is_known, "{}", advice.operator);
        }
        assert!(parse(&TABLE.replacen(",89,", ",soon,", 1)).is_none());
    }

    #[test]
    fn rule_of_an_operator_stands_in_place_of_the_general_one() {
        let told = |operator, tap_kind, outcomes: &[Outcome]| {
            let outcomes = outcomes.iter().copied().collect();
            let all = advice(operator, tap_kind, outcomes).into_iter();
            all.map(|one| (one.operator.clone(), one.topic.clone()))
                .collect::<Vec<_>>()
        };
        let row = |operator: &str, topic: &str| (operator.to_owned(), topic.to_owned());
        assert_eq!(told(None, None, &[]), [row("*", "help")]);
        assert_eq!(
            told(Some("GVB"), Some(TapKind::CheckOut), &[]),
            [row("GVB", "refund"), row("*", "help")]
        );
        assert_eq!(
            told(Some("GVB"), Some(TapKind::CheckIn), &[Outcome::Surcharged]),
            [row("*", "appeal"), row("*", "leniency"), row("*", "help")]
        );
        assert_eq!(
            told(Some("RET"), Some(TapKind::CheckIn), &[Outcome::Surcharged]),
            [row("RET", "appeal"), row("*", "leniency"), row("*", "help")]
        );
        assert_eq!(
            told(Some("ARR"), None, &[Outcome::Surcharged]),
            [
                row("ARR", "appeal"),
                row("ARR", "leniency"),
                row("*", "help")
            ]
        );
    }

    #[test]
    fn whose_term_of_objection_is_not_known_is_told_the_shortest_that_is() {
        let appeals = ADVICE.iter().filter(|advice| advice.topic == "appeal");
        let (all, own): (Vec<_>, Vec<_>) = appeals.partition(|advice| advice.operator == ALL);
        let shortest = own
            .iter()
            .map(|advice| advice.deadline_days.expect("a term"));
        assert_eq!(all[0].deadline_days, shortest.min());
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn deadline_is_counted_from_the_day_of_the_incident() {
        let refund = advice(Some("GVB"), Some(TapKind::CheckOut), SetOf::EMPTY)[0];
        let day = |text| LocalDay::parse(text).expect("a date");
        // Never later than three months.
        assert_eq!(refund.deadline(day("2027-02-01")), Some(day("2027-05-01")));
        assert_eq!(refund.deadline(day("2026-11-23")), Some(day("2027-02-20")));
    }

    #[test]
    fn term_that_is_over_is_told_as_over_and_not_as_a_day_on_which_to_act() {
        let refund = advice(Some("GVB"), Some(TapKind::CheckOut), SetOf::EMPTY)[0];
        let day = |text| LocalDay::parse(text).expect("a date");
        let last = refund.told(day("2026-11-23"), day("2027-02-20"));
        assert_eq!(last.deadline, Some(day("2027-02-20")));
        assert_eq!((&last.nl, &last.en), (&refund.nl, &refund.en));
        let over = refund.told(day("2026-11-23"), day("2027-02-21"));
        assert_eq!(over.deadline, None);
        assert!(over.nl.contains("liep af op 2027-02-20"), "{over:?}");
        assert!(over.en.contains("ended on 2027-02-20"), "{over:?}");
        let without_term = advice(None, None, SetOf::EMPTY)[0];
        let told = without_term.told(day("2020-01-01"), day("2027-02-21"));
        assert_eq!((told.en, told.deadline), (without_term.en.clone(), None));
    }
}
