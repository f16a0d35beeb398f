//! Who told what, as far as it is known.
//!
//! Cards and installations are joined into one reporter where one report names both. All
//! reports that name neither are of one reporter together. The numbers that come out mean
//! nothing outside one call, and nothing in here is kept.

use std::collections::BTreeMap;

use super::id::Pseudonym;

/// The reporter of whoever names neither a card nor an installation.
const NOBODY: u32 = 0;

/// Whom a report names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Names {
    /// Pseudonym of the card.
    pub card: Option<Pseudonym>,
    /// Pseudonym of the installation.
    pub installation: Option<Pseudonym>,
}

/// The number of each report's reporter.
pub fn number(reports: impl Iterator<Item = Names> + Clone) -> Vec<u32> {
    let mut people = People::default();
    for names in reports.clone() {
        people.meet(names);
    }
    reports.map(|names| people.number(names)).collect()
}

/// Cards and installations, joined.
#[derive(Default)]
struct People {
    places: BTreeMap<(bool, [u8; 16]), usize>,
    parents: Vec<usize>,
}

impl People {
    fn meet(&mut self, names: Names) {
        let card = names.card.map(|card| self.place(true, card));
        let installation = names.installation.map(|id| self.place(false, id));
        if let (Some(card), Some(installation)) = (card, installation) {
            let (card, installation) = (self.root(card), self.root(installation));
            self.parents[card] = installation;
        }
    }

    fn place(&mut self, is_card: bool, pseudonym: Pseudonym) -> usize {
        let next = self.parents.len();
        let place = *self.places.entry((is_card, pseudonym.0)).or_insert(next);
        if place == next {
            self.parents.push(next);
        }
        place
    }

    fn root(&mut self, mut place: usize) -> usize {
        while self.parents[place] != place {
            self.parents[place] = self.parents[self.parents[place]];
            place = self.parents[place];
        }
        place
    }

    fn number(&mut self, names: Names) -> u32 {
        let named = names.card.map(|card| (true, card));
        let named = named.or(names.installation.map(|id| (false, id)));
        let Some((is_card, pseudonym)) = named else {
            return NOBODY;
        };
        let place = self.place(is_card, pseudonym);
        let root = self.root(place);
        u32::try_from(root + 1).expect("fewer reports than that in a quarter")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn told(card: u8, installation: u8) -> Names {
        let pseudonym = |number: u8| (0 < number).then_some(Pseudonym([number; 16]));
        Names {
            card: pseudonym(card),
            installation: pseudonym(installation),
        }
    }

    fn different(reports: &[Names]) -> usize {
        let numbers = number(reports.iter().copied());
        numbers.into_iter().collect::<HashSet<_>>().len()
    }

    #[test]
    fn card_and_installation_of_one_report_are_one_reporter() {
        assert_eq!(different(&[told(1, 0), told(0, 1)]), 2);
        assert_eq!(different(&[told(1, 0), told(0, 1), told(1, 1)]), 1);
        assert_eq!(
            different(&[told(1, 1), told(2, 1), told(2, 2), told(0, 2)]),
            1
        );
        assert_eq!(different(&[told(1, 1), told(2, 2)]), 2);
    }

    #[test]
    fn reports_that_name_nobody_are_of_one_reporter() {
        assert_eq!(different(&[told(0, 0), told(0, 0), told(1, 0)]), 2);
    }
}
