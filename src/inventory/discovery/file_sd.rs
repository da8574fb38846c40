//! file_sd: lists in files, by glob patterns, read again at each refresh.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::cache::Parts;
use super::groups::{Format, GroupsError, MAX_BYTES, parse_groups};
use super::{DiscoveryError, Group};

/// Reads every file of the patterns. A file that cannot be read or parsed keeps what it gave
/// before; a file that is gone takes its targets with it, as in Prometheus.
pub(super) fn read_all(patterns: &[String], before: &Parts) -> (Parts, Option<DiscoveryError>) {
    let (mut parts, mut first_error) = (Parts::new(), None);
    let mut files = Vec::new();
    for pattern in patterns {
        match matches(pattern) {
            Ok(found) => files.extend(found),
            Err(error) => {
                // What lies behind an unreadable folder is not gone.
                let kept = before.iter().filter(|(file, _)| pattern_covers(pattern, file));
                parts.extend(kept.map(|(file, groups)| (file.clone(), groups.clone())));
                first_error.get_or_insert(error);
            }
        }
    }
    if files.len() > MAX_FILES {
        return (before.clone(), Some(DiscoveryError::TooManyFiles));
    }
    for file in files {
        match read(Path::new(&file)) {
            Ok(groups) => {
                parts.insert(file, groups);
            }
            Err(error) => {
                if let Some(groups) = before.get(&file) {
                    parts.insert(file, groups.clone());
                }
                first_error.get_or_insert(error);
            }
        }
    }
    (parts, first_error)
}

fn matches(pattern: &str) -> Result<Vec<String>, DiscoveryError> {
    let failed = |message: String| DiscoveryError::Pattern { pattern: pattern.to_owned(), message };
    let mut files = Vec::new();
    for entry in glob::glob(pattern).map_err(|error| failed(error.to_string()))? {
        let path = entry.map_err(|error| failed(error.to_string()))?;
        files.push(path.to_string_lossy().into_owned());
        if files.len() > MAX_FILES {
            return Err(DiscoveryError::TooManyFiles);
        }
    }
    Ok(files)
}

fn pattern_covers(pattern: &str, file: &str) -> bool {
    glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(file))
}

fn read(path: &Path) -> Result<Vec<Group>, DiscoveryError> {
    let file = || path.to_path_buf();
    let format = format_of(path).ok_or_else(|| DiscoveryError::Extension { file: file() })?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|opened| opened.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| DiscoveryError::Read { file: file(), message: error.to_string() })?;
    parse_groups(&bytes, format)
        .map_err(|error: GroupsError| DiscoveryError::File { file: file(), error })
}

/// The format that a file's name says; Prometheus takes no other names.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "json" => Some(Format::Json),
        "yml" | "yaml" => Some(Format::Yaml),
        _ => None,
    }
}

const MAX_FILES: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_broken_file_keeps_its_targets_and_a_removed_one_loses_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.json"), r#"[{"targets": ["a.test"]}]"#).expect("written");
        fs::write(path("b.yml"), "- targets: [b.test]\n").expect("written");
        let patterns = [path("*.json"), path("*.yml")].map(|p| p.to_string_lossy().into_owned());
        let (first, error) = read_all(&patterns, &Parts::new());
        assert_eq!((first.len(), error), (2, None));

        fs::write(path("a.json"), "[{").expect("written");
        fs::remove_file(path("b.yml")).expect("removed");
        let (second, error) = read_all(&patterns, &first);
        let targets: Vec<_> = second.values().flatten().flat_map(|g| &g.targets).collect();
        assert_eq!(targets, ["a.test"]);
        assert!(error.expect("an error").to_string().contains("a.json:1:"));
    }

    #[test]
    fn only_json_and_yaml_names_are_lists() {
        assert_eq!(format_of(Path::new("x.JSON")), Some(Format::Json));
        assert_eq!(format_of(Path::new("x.yaml")), Some(Format::Yaml));
        assert_eq!(format_of(Path::new("x.txt")), None);
    }
}
