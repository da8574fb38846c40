//! `secchi.yaml` to a typed, checked config. Every mistake is found in one pass and shown with
//! file, line, column and a caret; secrets and files are read at load.

mod adhoc;
mod at;
mod check;
mod context;
mod diagnostics;
mod diff;
mod expect;
mod explain;
mod file;
mod files;
mod fit;
mod good;
mod lists;
mod load;
mod model;
mod over_budget;
mod overrides;
mod reader;
mod schema;
mod structure;
mod tree;

pub use crate::outgoing::Secret;
pub use adhoc::{AdHoc, AdHocError};
pub use context::parse_server;
pub use diagnostics::{Diagnostic, DiagnosticLevel, Diagnostics};
pub use diff::{Diff, diff};
pub use expect::parse_expectations;
pub use files::{Disk, Files, MAX_FILE, MAX_LIST, MemoryFiles};
pub use good::GoodSources;
pub use load::{load, load_keeping, load_with_overdrafts, load_without_secrets, parse};
pub use model::{
    AlertingSpec, Config, DataDir, DataSpec, ExceptionSpec, Ranges, ReceiverSpec, RepeatSpec,
    SourceConfig, TargetConfig, TokenSpec, WebSpec,
};
pub use over_budget::OverBudget;
pub use schema::schema;

#[cfg(test)]
mod tests;
