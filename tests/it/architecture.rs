//! The import rule of ARCHITECTURE.md, and the bounds on files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import, beside itself and the vocabulary.
const ALLOWED: &[(&str, &[&str])] = &[
    ("target", &[]),
    ("sample", &[]),
    ("telemetry", &[]),
    ("testing", &[]),
    ("outgoing", &[]),
    ("inventory", &["outgoing"]),
    ("schedule", &[]),
    ("probe", &[]),
    ("rules", &[]),
    ("finding", &[]),
    ("ledger", &["finding"]),
    ("sampler", &["probe", "rules", "schedule"]),
    ("alert", &["ledger", "outgoing"]),
    ("web", &["finding", "ledger", "schedule"]),
    ("report", &["finding", "ledger", "rules", "schedule"]),
    ("config", &["inventory", "outgoing", "schedule", "rules", "alert", "web"]),
    (
        "daemon",
        &[
            "alert",
            "config",
            "finding",
            "inventory",
            "ledger",
            "outgoing",
            "probe",
            "report",
            "rules",
            "sampler",
            "schedule",
            "web",
        ],
    ),
    (
        "cli",
        &[
            "alert",
            "config",
            "daemon",
            "finding",
            "inventory",
            "ledger",
            "outgoing",
            "probe",
            "report",
            "rules",
            "sampler",
            "schedule",
            "web",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
    // Doors for the fuzzer, in its builds only.
    ("fuzzing", &["config", "probe", "rules"]),
];

/// `target` imports nothing; `sample` imports `target`; `telemetry` both; every room all three, and
/// its tests `testing`.
const VOCABULARY: &[&str] = &["target", "sample", "telemetry", "testing"];

#[test]
fn a_room_imports_only_what_the_architecture_lets_it() {
    let mut wrong = Vec::new();
    for file in sources() {
        let room = room(&file);
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("{} is in no room of the table", file.display()));
        for import in imports(&fs::read_to_string(&file).expect("a source file")) {
            let known = ALLOWED.iter().any(|(name, _)| *name == import);
            let fine =
                import == room || allowed.contains(&&*import) || is_vocabulary(&room, &import);
            if known && !fine {
                wrong.push(format!("{}: {room} imports {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_dialer_opens_probing_sockets() {
    for file in sources()
        .filter(|file| file.starts_with("src/probe") && !file.starts_with("src/probe/dial"))
    {
        let text = fs::read_to_string(&file).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if is_test_support(&file) {
            continue;
        }
        for socket in ["TcpStream::connect", "UdpSocket::bind", "TcpSocket::new"] {
            assert!(!code.contains(socket), "{} opens a socket by {socket}", file.display());
        }
    }
}

#[test]
fn files_stay_readable() {
    let mut lengths: Vec<(usize, PathBuf)> = sources()
        .map(|file| (fs::read_to_string(&file).expect("a source file").lines().count(), file))
        .collect();
    lengths.sort();
    let (longest, file) = lengths.last().expect("sources");
    assert!(*longest <= 800, "{} has {longest} lines", file.display());
    let (median, _) = &lengths[lengths.len() / 2];
    assert!(*median <= 200, "the median file has {median} lines");
    let main = fs::read_to_string("src/main.rs").expect("main.rs").lines().count();
    assert!(main <= 60, "main.rs has {main} lines");
}

/// Peers that a probe's own tests talk to.
fn is_test_support(file: &Path) -> bool {
    let name = file.file_name().expect("a name").to_string_lossy();
    let is_named_so = ["tests.rs", "lab.rs", "testing.rs"].iter().any(|end| name.ends_with(end));
    is_named_so || file.components().any(|part| part.as_os_str() == "tests")
}

fn is_vocabulary(room: &str, import: &str) -> bool {
    match room {
        "target" => false,
        "sample" => import == "target",
        "telemetry" => import == "target" || import == "sample",
        _ => VOCABULARY.contains(&import),
    }
}

fn imports(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| {
            line.match_indices("crate::").map(move |(at, found)| &line[at + found.len()..])
        })
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => {
                group.split('}').next().unwrap_or("").split(',').map(first_word).collect()
            }
            None => vec![first_word(rest)],
        })
        .collect()
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

fn room(file: &Path) -> String {
    let first = file.strip_prefix("src").expect("below src").components().next().expect("a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn sources() -> impl Iterator<Item = PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.into_iter()
}
