//! How the newest figures of a watch are cited. The whole line is told once for each window; for
//! the figures of all other messages it is the same, with their own number. Pure.

use crate::api::pb::v1 as pb;

/// What stands before the number in the line, and after it.
const BEFORE: &str = " as of position ";
const AFTER: char = ':';

/// The citation of what was heard last.
#[derive(Default)]
pub struct Cited(Option<Line>);

struct Line {
    head: String,
    place: u64,
    tail: String,
}

impl Cited {
    /// Takes a message in. Where the line cannot be told from it, there is none until the next.
    pub fn heard(&mut self, message: &pb::WatchRatesResponse) {
        if !message.citation.is_empty() {
            self.0 = Line::of(&message.citation);
        }
        match (&mut self.0, message.cited_position) {
            (Some(line), place) if place != 0 => line.place = place,
            // A server of before this field cites the figures of such messages alone.
            _ if message.citation.is_empty() => self.0 = None,
            _ => {}
        }
    }

    /// The whole line.
    pub fn line(&self) -> Option<String> {
        let Line { head, place, tail } = self.0.as_ref()?;
        Some(format!("{head}{BEFORE}{place}{AFTER}{tail}"))
    }
}

impl Line {
    fn of(citation: &str) -> Option<Self> {
        let (head, rest) = citation.split_once(BEFORE)?;
        let (place, tail) = rest.split_once(AFTER)?;
        Some(Self {
            head: head.to_owned(),
            place: place.parse().ok()?,
            tail: tail.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::question::Filter;
    use crate::domain::{Basis, Minute, MinuteSpan};
    use crate::query::citing::citation_of_watch;

    fn citation(place: u64, end: u32) -> String {
        let window = MinuteSpan {
            start: Minute(end - 60),
            end: Minute(end),
        };
        citation_of_watch(&Filter::all(Basis::SelfReported), window, place)
    }

    fn message(citation: &str, cited_position: u64) -> pb::WatchRatesResponse {
        pb::WatchRatesResponse {
            citation: citation.to_owned(),
            cited_position,
            ..pb::WatchRatesResponse::default()
        }
    }

    #[test]
    fn figures_are_cited_by_their_own_number_and_window() {
        let mut cited = Cited::default();
        assert_eq!(cited.line(), None);
        let told = [
            (citation(7, 90), 7),
            (String::new(), 9),
            (citation(9, 91), 9),
        ];
        let expected = [citation(7, 90), citation(9, 90), citation(9, 91)];
        for ((line, place), expected) in told.iter().zip(expected) {
            cited.heard(&message(line, *place));
            assert_eq!(cited.line(), Some(expected));
        }
    }

    #[test]
    fn figures_whose_number_is_not_told_are_not_cited_by_an_older_one() {
        let mut cited = Cited::default();
        cited.heard(&message(&citation(7, 90), 0));
        assert_eq!(cited.line(), Some(citation(7, 90)));
        cited.heard(&message("", 0));
        assert_eq!(cited.line(), None);
    }
}
