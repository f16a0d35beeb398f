//! The layers hold: a module imports only what its row in the table allows, and the words
//! that must not stand in the source do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module under `src/` may import, as in ARCHITECTURE.md. `ANY` may import all.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("network", &["domain"]),
    ("stats", &["domain"]),
    ("journal", &["domain"]),
    ("store", &["domain"]),
    ("auth", &["domain"]),
    ("ledger", &["domain", "stats", "store"]),
    (
        "query",
        &["domain", "network", "stats", "ledger", "store", "journal"],
    ),
    ("edition", &["domain", "stats", "journal", "query"]),
    (
        "live",
        &[
            "domain", "stats", "ledger", "store", "journal", "auth", "query",
        ],
    ),
    (
        "ingest",
        &[
            "domain", "network", "auth", "journal", "ledger", "store", "live",
        ],
    ),
    (
        "api",
        &[
            "domain", "network", "stats", "journal", "store", "auth", "ledger", "query", "live",
            "ingest", "edition",
        ],
    ),
    (
        "http",
        &[
            "domain", "network", "stats", "journal", "store", "auth", "ledger", "query", "live",
            "ingest", "edition",
        ],
    ),
    (
        "upkeep",
        &[
            "domain", "auth", "edition", "ingest", "journal", "ledger", "store",
        ],
    ),
    ("app", ANY),
    ("bench", ANY),
    ("cli", ANY),
    ("client", ANY),
    ("config", ANY),
    ("lib", ANY),
    ("main", ANY),
    ("simulate", ANY),
    ("telemetry", ANY),
];

const ANY: &[&str] = &["*"];

/// Crates that may be named only in these modules.
const CRATES: &[(&str, &[&str])] = &[
    ("sled", &["store"]),
    (
        "tonic",
        &["api", "app", "bench", "cli", "client", "simulate"],
    ),
    (
        "prost",
        &["api", "journal", "network", "bench", "cli", "simulate"],
    ),
    ("axum", &["http", "app", "api"]),
];

/// Crates that the pure modules may not name.
const IMPURE: &[&str] = &[
    "tokio", "tonic", "prost", "sled", "tracing", "std::fs", "std::net",
];

/// Words that say that a pure module or the fold reads a clock, or draws a random number.
const UNSTEADY: &[&str] = &["::now(", "getrandom", "rand::", "RandomState"];

/// Files of the ledger that are no part of the fold: they keep what it gives, read it, or hand it on.
const BESIDE_FOLD: &[&str] = &[
    "as_of.rs",
    "checkpoint.rs",
    "day_summaries.rs",
    "memory.rs",
    "mod.rs",
    "past_taps.rs",
    "refill.rs",
    "store_writer.rs",
    "testing.rs",
    "tests.rs",
];

/// Ways to go through a hash table.
const ITERATIONS: &[&str] = &[
    ".iter(",
    ".iter_mut(",
    ".keys(",
    ".values(",
    ".values_mut(",
    ".into_iter(",
    ".into_keys(",
    ".into_values(",
    ".drain(",
    ".retain(",
    ".extract_if(",
];

/// Where the fold goes through one all the same: what comes of it is sorted.
const SORTED: &[(&str, &str)] = &[("ledger/ids.rs", "table.iter(")];

fn source_files(dir: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .expect("the source folder can be read")
        .map(|entry| entry.expect("an entry of the source folder").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every source file: its module under `src/`, its path and its text.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).expect("below the source folder");
            let first = relative.components().next().expect("a file has a name");
            let module = first
                .as_os_str()
                .to_string_lossy()
                .trim_end_matches(".rs")
                .to_owned();
            let text = fs::read_to_string(&path).expect("a source file is text");
            (module, relative.display().to_string(), text)
        })
        .collect()
}

/// The text without comments and without its tests at the end.
fn code(text: &str) -> String {
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .expect("split gives one part");
    code.lines()
        .map(|line| {
            if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The modules of ours that a text names: after `crate::`, also in braces.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let is_our_crate = !code[..start]
            .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$');
        if !is_our_crate {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut item)),
                    _ if depth == 0 => item.push(character),
                    _ => {}
                }
            }
            found.push(item);
        } else {
            found.push(rest.to_owned());
        }
    }
    found
        .into_iter()
        .map(|path| {
            path.trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(start, _)| {
        !code[..start]
            .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
    })
}

/// The hash tables that a text declares: fields with the dot before them, arguments without.
fn hash_tables(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, _) in ["HashMap<", "HashSet<", "HashTable<"]
        .iter()
        .flat_map(|kind| code.match_indices(kind))
    {
        let line = code[..start].lines().next_back().unwrap_or_default();
        // Of `name: Arc<` what stands before the colon.
        let Some((before, _)) = line.rsplit_once(": ") else {
            continue;
        };
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let name = before.rsplit(|letter| !is_word(letter)).next();
        let name = name.unwrap_or_default();
        let is_argument = before.contains('(') || before.contains("let ");
        found.insert(if is_argument {
            name.to_owned()
        } else {
            format!(".{name}")
        });
    }
    found
}

/// Where a text goes through a hash table.
fn iterations(code: &str) -> Vec<String> {
    let compact: String = code.split_whitespace().collect();
    let mut found = Vec::new();
    for table in hash_tables(code) {
        let ways = ITERATIONS.iter().map(|way| format!("{table}{way}"));
        let loops = ["in&self", "in&mutself", "inself"].map(|start| format!("{start}{table}{{"));
        found.extend(ways.chain(loops).filter(|way| compact.contains(way)));
    }
    found
}

/// Whether a file of the ledger folds.
fn is_fold(path: &str) -> bool {
    let file = path.strip_prefix("ledger/");
    file.is_some_and(|file| !BESIDE_FOLD.contains(&file))
}

#[test]
fn fold_and_pure_modules_read_no_clock_and_draw_no_random_number() {
    let mut wrong = Vec::new();
    let mut folding = 0;
    for (module, path, text) in sources() {
        let is_pure = ["domain", "stats"].contains(&module.as_str());
        folding += usize::from(is_fold(&path));
        if !is_pure && !is_fold(&path) {
            continue;
        }
        let code = code(&text);
        for word in UNSTEADY {
            if code.contains(word) {
                wrong.push(format!("src/{path} may not use {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(10 < folding, "the fold lies elsewhere");
}

#[test]
fn fold_goes_through_no_hash_table() {
    let (mut wrong, mut sorted) = (Vec::new(), Vec::new());
    for (_, path, text) in sources() {
        if !is_fold(&path) {
            continue;
        }
        for way in iterations(&code(&text)) {
            match SORTED.iter().find(|known| **known == (&path, &way)) {
                Some(known) => sorted.push(known),
                None => wrong.push(format!("src/{path}: {way} comes in no order")),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(
        sorted.len(),
        SORTED.len(),
        "what is there no more is listed"
    );
}

#[test]
fn modules_import_only_what_their_layer_allows() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        let Some(allowed) = layers.get(module.as_str()) else {
            wrong.push(format!(
                "src/{path}: {module} is not in the table of layers"
            ));
            continue;
        };
        for import in imports(&code(&text)) {
            let is_own = import == module;
            if !is_own && *allowed != ANY && !allowed.contains(&import.as_str()) {
                wrong.push(format!("src/{path}: {module} may not import {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn crates_stay_behind_their_walls() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        let code = code(&text);
        for (name, modules) in CRATES {
            if names_crate(&code, name) && !modules.contains(&module.as_str()) {
                wrong.push(format!("src/{path}: {name} belongs in {modules:?}"));
            }
        }
        if ["domain", "stats"].contains(&module.as_str()) {
            for name in IMPURE {
                if names_crate(&code, name) {
                    wrong.push(format!("src/{path}: {module} may not use {name}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_checks_of_this_file_can_fail() {
    let text = "use crate::domain::Row;\nuse crate::{journal, store::{Store, block}};\nfn f() { sled::open() }";
    assert_eq!(imports(text), ["domain", "journal", "store"]);
    assert!(names_crate(text, "sled"));
    assert!(!names_crate("fn f() { our_sled::open() }", "sled"));
    assert_eq!(imports("$crate::domain"), Vec::<String>::new());
    let text = "struct A {\n    pub ids: Arc<HashMap<u8, u8>>,\n    other: Vec<u8>,\n}\n\
                fn f(table: &HashTable<u8>) {\n    other.iter();\n    table.find();\n}";
    let of = |more: &str| iterations(&format!("{text}\nfn g(&self) {{ {more} }}"));
    assert_eq!(of("self.other.iter(); ids.iter()"), Vec::<String>::new());
    assert_eq!(of("self.ids\n    .values()"), [".ids.values("]);
    assert_eq!(of("for id in &self.ids {}"), ["in&self.ids{"]);
    assert_eq!(of("table.iter()"), ["table.iter("]);
}

#[test]
fn every_file_says_what_it_is_for() {
    for (_, path, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "src/{path} does not begin with //!"
        );
    }
}

#[test]
fn no_promises_are_left_in_the_source() {
    for (_, path, text) in sources() {
        for word in [
            "TODO",
            "FIXME",
            "todo!(",
            "unimplemented!(",
            "dbg!(",
            "unbounded_channel",
        ] {
            assert!(!text.contains(word), "src/{path} holds {word}");
        }
    }
}
