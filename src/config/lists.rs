//! What the lists of file_sd say now, held against the config that names them.

use super::diagnostics::DiagnosticLevel;
use super::model::Config;
use crate::inventory::Group;

impl Config {
    /// Remarks on what the daemon would leave out of the lists in files: lists that cannot be read,
    /// and entries that are no targets or out of scope, each by its name. Nobody is asked over HTTP.
    pub fn note_lists(&mut self) {
        let mut remarks = Vec::new();
        for (at, source) in self.discovery.iter().enumerate() {
            let (lists, error) = source.spec.lists();
            let label = source.label();
            remarks.extend(error.map(|error| format!("discovery {label}: {error}")));
            for (file, groups) in lists {
                for refused in groups.iter().flat_map(|group| self.refused(at, group)) {
                    remarks.push(format!("discovery {label}: {file}: {refused}"));
                }
            }
        }
        let more = remarks.len().saturating_sub(MOST);
        remarks.truncate(MOST);
        if more > 0 {
            remarks.push(format!("discovery: {more} more entries are left out"));
        }
        for remark in remarks {
            self.notes.push(DiagnosticLevel::Note, None, remark, None);
        }
    }

    fn refused(&self, at: usize, group: &Group) -> Vec<String> {
        let refused = group.targets.iter().filter_map(|target| {
            let error = self.targets_from_discovery(at, target, &group.labels).err()?.to_string();
            // Not every reason repeats the entry.
            Some(if error.contains(target.as_str()) { error } else { format!("{target}: {error}") })
        });
        refused.collect()
    }
}

/// Remarks; a list may have two hundred thousand entries.
const MOST: usize = 100;
