//! Numbers for operators, lines and stops, in the order in which the journal names them. 0 is
//! "not known", and also stands for whatever is named when all numbers are given out.

use std::borrow::Borrow;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::domain::limits::{LINES_MAX, OPERATORS_MAX, STOPS_MAX};
use crate::domain::{Facts, LineId, OperatorCode, StopId, TapScope};

/// The numbers given out so far. A number, once given, never changes.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    operators: Names<OperatorCode>,
    lines: Names<LineId>,
    stops: Names<StopId>,
    /// By line number; place 0 is for lines not known.
    line_operators: Vec<u16>,
}

/// The numbers of what one incident names; 0 for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Operator: as told, else that of the line.
    pub operator: u16,
    /// Line.
    pub line: u32,
    /// Stop.
    pub stop: u32,
}

impl Numbers {
    /// Whether something that the incident names has no number here.
    pub fn miss(self, facts: &Facts) -> bool {
        (self.operator == 0 && facts.operator.is_some())
            || (self.line == 0 && facts.line.is_some())
            || (self.stop == 0 && facts.stop.is_some())
    }
}

impl Dictionary {
    /// The number of an operator; `None` if it has none.
    pub fn operator_number(&self, code: &str) -> Option<u16> {
        self.operators.number(code).map(operator_bits)
    }

    /// The number of a line; `None` if it has none.
    pub fn line_number(&self, id: &str) -> Option<u32> {
        self.lines.number(id)
    }

    /// The number of a stop; `None` if it has none.
    pub fn stop_number(&self, id: &str) -> Option<u32> {
        self.stops.number(id)
    }

    /// The operator with this number.
    pub fn operator(&self, number: u16) -> Option<&OperatorCode> {
        self.operators.name(u32::from(number))
    }

    /// The line with this number.
    pub fn line(&self, number: u32) -> Option<&LineId> {
        self.lines.name(number)
    }

    /// The stop with this number.
    pub fn stop(&self, number: u32) -> Option<&StopId> {
        self.stops.name(number)
    }

    /// The operator of a line (numbers); 0 if it has none.
    pub fn operator_of_line(&self, line: u32) -> u16 {
        let operator = self.line_operators.get(line as usize);
        operator.copied().unwrap_or(0)
    }

    /// One more than the highest number of an operator.
    pub fn operators(&self) -> usize {
        self.operators.names.len() + 1
    }

    /// One more than the highest number of a line.
    pub fn lines(&self) -> usize {
        self.lines.names.len() + 1
    }

    /// One more than the highest number of a stop.
    pub fn stops(&self) -> usize {
        self.stops.names.len() + 1
    }

    /// The numbers of what an incident names, as far as they have been given out.
    pub fn look_up(&self, facts: &Facts) -> Numbers {
        let line = facts
            .line
            .as_ref()
            .and_then(|id| self.lines.number(id.as_str()));
        let stop = facts
            .stop
            .as_ref()
            .and_then(|id| self.stops.number(id.as_str()));
        let line = line.unwrap_or(0);
        let operator = match &facts.operator {
            Some(code) => self.operator_number(code.as_str()).unwrap_or(0),
            None => self.operator_of_line(line),
        };
        Numbers {
            operator,
            line,
            stop: stop.unwrap_or(0),
        }
    }

    /// Whether an incident names something that has no number, though there are numbers left.
    pub fn lacks(&self, facts: &Facts) -> bool {
        let operator = facts.operator.as_ref().map(OperatorCode::as_str);
        let line = facts.line.as_ref().map(LineId::as_str);
        let stop = facts.stop.as_ref().map(StopId::as_str);
        operator.is_some_and(|code| self.operators.lacks(code, OPERATORS_MAX))
            || line.is_some_and(|id| self.lines.lacks(id, LINES_MAX))
            || stop.is_some_and(|id| self.stops.lacks(id, STOPS_MAX))
    }

    /// Gives numbers to what an incident names: operator, then line (its operator first), then
    /// stop.
    pub fn learn(&mut self, facts: &Facts) {
        if let Some(code) = &facts.operator {
            self.operators.learn(code, OPERATORS_MAX);
        }
        if let Some(id) = &facts.line {
            self.learn_line(id);
        }
        if let Some(id) = &facts.stop {
            self.stops.learn(id, STOPS_MAX);
        }
    }

    /// Gives a number to an operator.
    pub(super) fn learn_operator(&mut self, code: &OperatorCode) {
        self.operators.learn(code, OPERATORS_MAX);
    }

    /// Gives numbers to what tap counts name: line (its operator first), then stop.
    pub(super) fn learn_scope(&mut self, scope: &TapScope) {
        if let Some(id) = scope.line() {
            self.learn_line(id);
        }
        if let Some(id) = scope.stop() {
            self.stops.learn(id, STOPS_MAX);
        }
    }

    /// Gives a number to a line, and to its operator if that has none.
    fn learn_line(&mut self, id: &LineId) {
        if !self.lines.lacks(id.as_str(), LINES_MAX) {
            return;
        }
        let operator = self.operators.learn(&id.operator(), OPERATORS_MAX);
        self.lines.learn(id, LINES_MAX);
        self.line_operators.resize(self.lines.names.len(), 0);
        self.line_operators.push(operator_bits(operator));
    }

    /// The operators by number, from 1 up.
    pub fn operator_names(&self) -> &[OperatorCode] {
        &self.operators.names
    }

    /// The lines by number, from 1 up.
    pub fn line_names(&self) -> &[LineId] {
        &self.lines.names
    }

    /// The stops by number, from 1 up.
    pub fn stop_names(&self) -> &[StopId] {
        &self.stops.names
    }

    /// How much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let operators = self.line_operators.capacity() * size_of::<u16>();
        operators + self.operators.bytes() + self.lines.bytes() + self.stops.bytes()
    }

    /// The dictionary with these names; `None` if one stands twice or there are too many.
    pub(super) fn from_names(
        operators: &[OperatorCode],
        lines: &[LineId],
        stops: &[StopId],
    ) -> Option<Self> {
        let mut dictionary = Self::default();
        for code in operators {
            dictionary.operators.learn(code, OPERATORS_MAX);
        }
        lines.iter().for_each(|id| dictionary.learn_line(id));
        for id in stops {
            dictionary.stops.learn(id, STOPS_MAX);
        }
        let is_whole = dictionary.operators.names.len() == operators.len()
            && dictionary.lines.names.len() == lines.len()
            && dictionary.stops.names.len() == stops.len();
        is_whole.then_some(dictionary)
    }
}

fn operator_bits(number: u32) -> u16 {
    u16::try_from(number).expect("OPERATORS_MAX is below 65,536")
}

const _: () = assert!(OPERATORS_MAX < u16::MAX as usize);

/// Names and their numbers, from 1 up.
#[derive(Clone, Debug)]
struct Names<T> {
    names: Vec<T>,
    /// Numbers, found by their names. Its order is never looked at.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<T: Borrow<str> + Clone> Names<T> {
    fn number(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let is_same = |number: &u32| self.names[*number as usize - 1].borrow() == name;
        self.index.find(hash, is_same).copied()
    }

    fn name(&self, number: u32) -> Option<&T> {
        self.names.get((number as usize).checked_sub(1)?)
    }

    fn bytes(&self) -> usize {
        let texts = self.names.iter().map(|name| name.borrow().len());
        let places = self.names.capacity() * size_of::<T>();
        texts.sum::<usize>() + places + self.index.allocation_size()
    }

    fn lacks(&self, name: &str, count_max: usize) -> bool {
        self.names.len() < count_max && self.number(name).is_none()
    }

    /// The number of a name, given out now if need be; 0 if there are none left.
    fn learn(&mut self, name: &T, count_max: usize) -> u32 {
        if let Some(number) = self.number(name.borrow()) {
            return number;
        }
        if count_max <= self.names.len() {
            return 0;
        }
        self.names.push(name.clone());
        let number = u32::try_from(self.names.len()).expect("below a bound of 32 bits");
        let (names, hasher) = (&self.names, &self.hasher);
        let hash_of = |number: &u32| hasher.hash_one(names[*number as usize - 1].borrow());
        self.index.insert_unique(hash_of(&number), number, hash_of);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{line_id, operator_code, stop_id};
    use super::*;

    #[test]
    fn numbers_follow_the_order_of_first_naming() {
        let mut dictionary = Dictionary::default();
        dictionary.learn_line(&line_id(6));
        dictionary.learn_line(&line_id(1));
        dictionary.learn_line(&line_id(6));
        assert_eq!(dictionary.line_number("OP2:6"), Some(1));
        assert_eq!(dictionary.line_number("OP1:1"), Some(2));
        assert_eq!(dictionary.operator_number("OP2"), Some(1));
        assert_eq!(dictionary.operator_of_line(2), 2);
        assert_eq!(dictionary.operator_of_line(0), 0);
        assert_eq!(dictionary.lines(), 3);
        assert_eq!(dictionary.line(0), None);
        assert_eq!(dictionary.line(1), Some(&line_id(6)));
    }

    #[test]
    fn what_is_named_when_numbers_are_out_is_not_known() {
        let mut names = Names::default();
        assert_eq!(names.learn(&stop_id(1), 2), 1);
        assert_eq!(names.learn(&stop_id(2), 2), 2);
        assert_eq!(names.learn(&stop_id(3), 2), 0);
        assert_eq!(names.learn(&stop_id(1), 2), 1);
        assert!(!names.lacks("stop:3", 2));
    }

    #[test]
    fn operators_beyond_the_bound_are_not_known_but_their_lines_are() {
        let mut dictionary = Dictionary::default();
        for number in 0..=1_024 {
            let code = operator_code(number);
            dictionary.operators.learn(&code, OPERATORS_MAX);
        }
        assert_eq!(dictionary.operators(), OPERATORS_MAX + 1);
        assert_eq!(
            dictionary.operator_number(&format!("OP{OPERATORS_MAX}")),
            None
        );
        let line = format!("OP{OPERATORS_MAX}:1").parse().expect("a line");
        dictionary.learn_line(&line);
        assert_eq!(dictionary.operator_of_line(1), 0);
    }

    #[test]
    fn names_that_stand_twice_make_no_dictionary() {
        let stops = vec![stop_id(1), stop_id(1)];
        assert!(Dictionary::from_names(&[], &[], &stops).is_none());
    }
}
