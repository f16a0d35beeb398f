//! Generates the wire types from `proto/` with protox, so that no protoc is needed.

use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

use prost::Message;

const PROTO_FILES: [&str; 8] = [
    "mistap/v1/taxonomy.proto",
    "mistap/v1/incident.proto",
    "mistap/v1/reporting_service.proto",
    "mistap/v1/statistics_service.proto",
    "mistap/v1/live_service.proto",
    "mistap/v1/network_service.proto",
    "mistap/v1/operations_service.proto",
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
    // Derived, they would print card numbers and secrets; `api::pb` has others.
    tonic_prost_build::configure()
        .skip_debug([".mistap.v1.Incident", ".mistap.v1.GetIncidentRequest"])
        .compile_fds(descriptors)?;
    Ok(())
}
