//! Choices of the taxonomies as values of flags: listed by `--help`, completed by shells,
//! and refused with the list when misspelt.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::domain::question::Dimension;
use crate::domain::taxonomy::Taxonomy;

/// A flag's value that is a choice of `T`, by its key.
pub fn choice<T: Taxonomy + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let values = T::ALL
        .iter()
        .map(|value| PossibleValue::new(value.key()).help(value.label_en()));
    PossibleValuesParser::new(values)
        .map(|key| T::from_key(&key).expect("the parser lets only keys of the list through"))
}

/// A flag's value that is a dimension, by its key.
pub fn dimension() -> impl TypedValueParser<Value = Dimension> {
    PossibleValuesParser::new(Dimension::ALL.map(Dimension::key)).map(|key| {
        Dimension::ALL
            .into_iter()
            .find(|dimension| dimension.key() == key)
            .expect("the parser lets only keys of the list through")
    })
}

/// The number that the API uses for a choice; 0 if it was not made.
pub fn number<T: Taxonomy>(choice: Option<T>) -> i32 {
    choice.map_or(0, |value| i32::from(value.number()))
}

/// The numbers that the API uses for several choices.
pub fn numbers<T: Taxonomy>(choices: &[T]) -> Vec<i32> {
    choices
        .iter()
        .map(|value| i32::from(value.number()))
        .collect()
}

/// The key of a number that the API uses; empty for "not said", the number for one that
/// this program does not know.
pub fn key<T: Taxonomy>(number: i32) -> String {
    if number == 0 {
        return String::new();
    }
    let known = u8::try_from(number).ok().and_then(T::from_number);
    known.map_or_else(|| number.to_string(), |value| value.key().to_owned())
}

/// The English label of a number that the API uses, as `key`.
pub fn label<T: Taxonomy>(number: i32) -> String {
    if number == 0 {
        return String::new();
    }
    let known = u8::try_from(number).ok().and_then(T::from_number);
    known.map_or_else(|| number.to_string(), |value| value.label_en().to_owned())
}
