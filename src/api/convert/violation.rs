//! Rules that fields broke, each with the field's path. All of them are collected; a
//! client's own text never enters one.

use std::fmt;

use smol_str::SmolStr;

use crate::domain::UtcMillis;
use crate::domain::taxonomy::{SetOf, Taxonomy};
use crate::domain::text::parse_text;

/// Violations that are told; further ones are only counted. gRPC clients refuse headers
/// of 8 KiB, and these take about 120 bytes each.
pub const VIOLATIONS_MAX: usize = 48;

/// Where a field stands, as in `incident.cause_claims[1].cause`.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'static str,
    index: Option<usize>,
}

impl<'a> Path<'a> {
    /// A field of the request itself.
    pub const fn root(name: &'static str) -> Self {
        Self {
            parent: None,
            name,
            index: None,
        }
    }

    /// A field of this one.
    pub const fn field(&'a self, name: &'static str) -> Self {
        Self {
            parent: Some(self),
            name,
            index: None,
        }
    }

    /// An element of this list.
    pub const fn at(self, index: usize) -> Self {
        Self {
            index: Some(index),
            ..self
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)?;
        match self.index {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}

/// A rule that a field broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field.
    pub field: String,
    /// The rule, as in `must be 0 to 20`.
    pub rule: String,
}

/// Every rule that a message broke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    told: Vec<Violation>,
    count: usize,
}

impl Violations {
    /// Of one field only.
    pub fn one(at: Path<'_>, rule: impl fmt::Display) -> Self {
        let mut violations = Self::default();
        violations.add(at, rule);
        violations
    }

    /// Adds one.
    pub fn add(&mut self, at: Path<'_>, rule: impl fmt::Display) {
        self.count += 1;
        if self.told.len() < VIOLATIONS_MAX {
            self.told.push(Violation {
                field: at.to_string(),
                rule: rule.to_string(),
            });
        }
    }

    /// How many there are, with those that are not told.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Those that are told, in the order in which they were found.
    pub fn into_told(self) -> Vec<Violation> {
        self.told
    }

    /// What was made, if nothing was violated on the way.
    pub fn finish<T>(self, made: Option<T>) -> Result<T, Self> {
        match made {
            Some(made) if self.count == 0 => Ok(made),
            _ => Err(self),
        }
    }

    /// The value, or its error as a violation.
    pub fn ok<T, E: fmt::Display>(&mut self, at: Path<'_>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(at, error)).ok()
    }

    /// The value, or the rule as a violation.
    pub fn some<T>(&mut self, at: Path<'_>, value: Option<T>, rule: &str) -> Option<T> {
        if value.is_none() {
            self.add(at, rule);
        }
        value
    }

    /// A text within its bound; empty if it breaks a rule.
    pub fn text(&mut self, at: Path<'_>, text: &str, chars_max: usize) -> SmolStr {
        self.ok(at, parse_text(text, chars_max)).unwrap_or_default()
    }

    /// A value of a taxonomy; `None` if it was not said.
    pub fn choice<T: Taxonomy>(&mut self, at: Path<'_>, number: i32) -> Option<T> {
        if number == 0 {
            return None;
        }
        let value = u8::try_from(number).ok().and_then(T::from_number);
        if value.is_none() {
            self.add(at, format_args!("must be a known value of {}", T::NAME));
        }
        value
    }

    /// A value of a taxonomy that must be said.
    pub fn required_choice<T: Taxonomy>(&mut self, at: Path<'_>, number: i32) -> Option<T> {
        if number == 0 {
            self.add(at, format_args!("must be a value of {}", T::NAME));
        }
        self.choice(at, number)
    }

    /// A set of values of a taxonomy. No value may come twice if `is_distinct`.
    pub fn choices<T: Taxonomy>(
        &mut self,
        at: Path<'_>,
        numbers: &[i32],
        len_max: usize,
        is_distinct: bool,
    ) -> SetOf<T> {
        let mut set = SetOf::EMPTY;
        if !self.bounded(at, numbers.len(), len_max) {
            return set;
        }
        for (index, number) in numbers.iter().enumerate() {
            let at = at.at(index);
            if let Some(value) = self.required_choice(at, *number)
                && !set.insert(value)
                && is_distinct
            {
                self.add(at, "must not come twice");
            }
        }
        set
    }

    /// Whether a list is within its bound. One that is not is told as one violation.
    pub fn bounded(&mut self, at: Path<'_>, len: usize, len_max: usize) -> bool {
        let is_bounded = len <= len_max;
        if !is_bounded {
            self.add(at, format_args!("must have at most {len_max} values"));
        }
        is_bounded
    }

    /// A point in time; `None` if it is absent or no valid timestamp.
    pub fn timestamp(
        &mut self,
        at: Path<'_>,
        timestamp: Option<&prost_types::Timestamp>,
    ) -> Option<UtcMillis> {
        let millis = super::parse_millis(timestamp?);
        self.some(at, millis, "must be a valid timestamp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::taxonomy::StaffAct;

    #[test]
    fn path_names_fields_and_places_in_lists() {
        let incident = Path::root("incidents").at(3);
        let claim = incident.field("cause_claims").at(1);
        assert_eq!(
            claim.field("cause").to_string(),
            "incidents[3].cause_claims[1].cause"
        );
    }

    #[test]
    fn violations_past_the_bound_are_only_counted() {
        let mut violations = Violations::default();
        for _ in 0..VIOLATIONS_MAX + 5 {
            violations.add(Path::root("x"), "must not");
        }
        assert_eq!(violations.count(), VIOLATIONS_MAX + 5);
        assert_eq!(violations.into_told().len(), VIOLATIONS_MAX);
    }

    #[test]
    fn set_refuses_what_is_unknown_not_said_or_repeated_and_tells_each() {
        let mut violations = Violations::default();
        let set: SetOf<StaffAct> =
            violations.choices(Path::root("acts"), &[1, 1, 0, 99, -1, 2], 6, true);
        assert_eq!(set.iter().count(), 2);
        let told = violations.into_told();
        let fields: Vec<_> = told.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["acts[1]", "acts[2]", "acts[3]", "acts[4]"]);
    }

    #[test]
    fn list_past_its_bound_is_one_violation() {
        let mut violations = Violations::default();
        let set: SetOf<StaffAct> = violations.choices(Path::root("acts"), &[1; 100_000], 64, false);
        assert!(set.is_empty());
        assert_eq!(violations.count(), 1);
    }
}
