//! The closed lists, for clients that build forms from them.

use crate::api::pb::v1 as pb;
use crate::domain::taxonomy::{
    CalledBack, CardKind, CaseState, Cause, ClaimSource, ClosedReason, ExtraCost, Mode,
    OthersGotThrough, Outcome, ReaderKind, ReporterKind, Resolution, Signal, StaffAct,
    StaffMinutes, StaffPresence, TapKind, Taxonomy, TimePrecision, WorkedLater,
};

/// Every taxonomy with every choice.
pub fn to_choices() -> pb::ListChoicesResponse {
    let taxonomies = vec![
        to_taxonomy::<Mode>(),
        to_taxonomy::<TapKind>(),
        to_taxonomy::<ReaderKind>(),
        to_taxonomy::<Signal>(),
        to_taxonomy::<Cause>(),
        to_taxonomy::<ClaimSource>(),
        to_taxonomy::<CardKind>(),
        to_taxonomy::<StaffAct>(),
        to_taxonomy::<StaffPresence>(),
        to_taxonomy::<StaffMinutes>(),
        to_taxonomy::<Outcome>(),
        to_taxonomy::<ExtraCost>(),
        to_taxonomy::<OthersGotThrough>(),
        to_taxonomy::<WorkedLater>(),
        to_taxonomy::<ReporterKind>(),
        to_taxonomy::<TimePrecision>(),
        to_taxonomy::<Resolution>(),
        to_taxonomy::<CalledBack>(),
        to_taxonomy::<CaseState>(),
        to_taxonomy::<ClosedReason>(),
    ];
    pb::ListChoicesResponse { taxonomies }
}

fn to_taxonomy<T: Taxonomy>() -> pb::Taxonomy {
    let to_choice = |value: &T| pb::Choice {
        number: i32::from(value.number()),
        key: value.key().to_owned(),
        label_nl: value.label_nl().to_owned(),
        label_en: value.label_en().to_owned(),
    };
    pb::Taxonomy {
        name: T::NAME.to_owned(),
        choices: T::ALL.iter().map(to_choice).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::api::pb::descriptors;

    /// Numbers and names of every enum of `taxonomy.proto`, without the zero values.
    fn enums() -> BTreeMap<String, BTreeMap<i32, String>> {
        let set = descriptors();
        let file = set
            .file
            .iter()
            .find(|file| file.name() == "mistap/v1/taxonomy.proto")
            .expect("compiled");
        let values = |one: &prost_types::EnumDescriptorProto| {
            one.value
                .iter()
                .map(|value| (value.number(), value.name().to_owned()))
                .filter(|(number, _)| *number != 0)
                .collect()
        };
        file.enum_type
            .iter()
            .map(|one| (one.name().to_owned(), values(one)))
            .collect()
    }

    #[test]
    fn every_enum_of_the_api_has_the_numbers_of_its_taxonomy() {
        let enums = enums();
        let listed = to_choices().taxonomies;
        assert_eq!(listed.len(), enums.len());
        for taxonomy in listed {
            let expected: BTreeSet<_> = enums[&taxonomy.name].keys().copied().collect();
            let numbers: BTreeSet<_> = taxonomy.choices.iter().map(|one| one.number).collect();
            assert_eq!(numbers, expected, "{}", taxonomy.name);
        }
    }

    #[test]
    fn keys_of_choices_resemble_the_names_in_the_api() {
        let signals = &enums()["Signal"];
        let taxonomy = to_taxonomy::<Signal>();
        for choice in taxonomy.choices {
            let key = choice.key.replace('-', "_").to_uppercase();
            let name = &signals[&choice.number];
            assert!(name.contains(&key), "{name} {key}");
        }
    }
}
