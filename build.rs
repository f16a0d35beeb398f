//! Generates the wire types from `proto/` with protox, so that no protoc is needed.

use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

use prost::Message;

const PROTO_FILES: [&str; 11] = [
    "mistap/v1/taxonomy.proto",
    "mistap/v1/incident.proto",
    "mistap/v1/reporting_service.proto",
    "mistap/v1/edition.proto",
    "mistap/v1/statistics_service.proto",
    "mistap/v1/live_service.proto",
    "mistap/v1/network_service.proto",
    "mistap/v1/operations_service.proto",
    "mistap/v1/outage.proto",
    "mistap/v1/taps.proto",
    "mistap/journal/v1/entry.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in PROTO_FILES {
        println!(
            "cargo::rerun-if-changed={}",
            Path::new("proto").join(file).display()
        );
    }
    let descriptors = protox::compile(PROTO_FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    fs::write(
        out.join("edition_columns.rs"),
        columns(&descriptors, "EditionRow"),
    )?;
    // Derived, they would print card numbers and secrets; `api::pb` has others.
    tonic_prost_build::configure()
        .skip_debug([
            ".mistap.v1.Incident",
            ".mistap.v1.GetIncidentRequest",
            ".mistap.v1.AmendIncidentRequest",
            ".mistap.v1.WithdrawIncidentRequest",
            ".mistap.v1.EraseIncidentRequest",
            ".mistap.v1.FollowIncidentRequest",
            ".mistap.v1.GetReceiptRequest",
        ])
        // Clients pass requests on many times before they are sent.
        .boxed(".mistap.v1.StreamIncidentsRequest.incident")
        .compile_fds(descriptors)?;
    Ok(())
}

/// The fields of a message with their types and comments, as the constant `COLUMNS`.
fn columns(
    descriptors: &protox::prost_reflect::prost_types::FileDescriptorSet,
    name: &str,
) -> String {
    let mut text = String::from("const COLUMNS: &[Column] = &[\n");
    for file in &descriptors.file {
        let Some(place) = file
            .message_type
            .iter()
            .position(|found| found.name() == name)
        else {
            continue;
        };
        for (number, field) in (0..).zip(&file.message_type[place].field) {
            // Message `place` of the file, field `number` of that.
            let path = [4, i32::try_from(place).unwrap_or(i32::MAX), 2, number];
            let comments = file.source_code_info.iter().flat_map(|info| &info.location);
            let comment = comments
                .filter(|location| location.path == path)
                .map(|location| {
                    location
                        .leading_comments()
                        .split_whitespace()
                        .collect::<Vec<_>>()
                })
                .next()
                .unwrap_or_default();
            text.push_str(&format!(
                "    Column {{ name: {:?}, kind: Kind::{:?}, about: {:?} }},\n",
                field.name(),
                field.r#type(),
                comment.join(" "),
            ));
        }
    }
    text.push_str("];\n");
    text
}
