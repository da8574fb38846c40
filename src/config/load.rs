//! Reading a file: tree, structure, shapes, checks.

use std::ops::Range;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_saphyr::{Location, MessageFormatter, UserMessageFormatter};

use super::at::bytes_of;
use super::check;
use super::context::Context;
use super::diagnostics::{DiagnosticLevel, Diagnostics};
use super::file::File;
use super::files::{Checkout, Disk, Files};
use super::good::{GoodSources, Keeping};
use super::model::Config;
use super::reader;
use super::schema;
use super::structure::misfits;
use super::tree::Node;

/// Reads and checks a config file and every file that it names.
pub fn load(path: &Path, now: DateTime<Utc>) -> Result<Config, Diagnostics> {
    load_by(path, &Disk, now, true)
}

/// The same; a source of expectations that is broken keeps what it said in an earlier load.
pub fn load_keeping(
    path: &Path,
    sources: &GoodSources,
    now: DateTime<Utc>,
) -> Result<Config, Diagnostics> {
    sources.begin();
    load_by(path, &Keeping { files: Disk, sources }, now, true)
}

/// The same without the daemon's own files (secrets, and the listener's): a pipeline has none of
/// them, and needs none to sample.
pub fn load_without_secrets(path: &Path, now: DateTime<Utc>) -> Result<Config, Diagnostics> {
    load_by(path, &Checkout, now, true)
}

/// The same, but a guarantee that the budgets cannot hold is no mistake: it is told in
/// [`Config::over_budget`].
pub fn load_with_overdrafts(path: &Path, now: DateTime<Utc>) -> Result<Config, Diagnostics> {
    load_by(path, &Disk, now, false)
}

fn load_by(
    path: &Path,
    files: &dyn Files,
    now: DateTime<Utc>,
    strict: bool,
) -> Result<Config, Diagnostics> {
    let failed = |message: String| Diagnostics::of_file(path, message);
    let bytes = files.read(path, MAX_CONFIG).map_err(|e| failed(format!("cannot read it: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text".to_owned()))?;
    read_config(&text, path, files, now, strict)
}

/// Checks a config's text. `path` is for messages and for what relative names mean; files are
/// reached through `files` only; `now` tells what has expired.
pub fn parse(
    text: &str,
    path: &Path,
    files: &dyn Files,
    now: DateTime<Utc>,
) -> Result<Config, Diagnostics> {
    read_config(text, path, files, now, true)
}

fn read_config(
    text: &str,
    path: &Path,
    files: &dyn Files,
    now: DateTime<Utc>,
    strict: bool,
) -> Result<Config, Diagnostics> {
    let mut out = Diagnostics::new(path, text);
    let error = DiagnosticLevel::Error;
    let root = match read(text) {
        Ok(root) => root,
        Err((span, message)) => {
            out.push(error, span, message, None);
            return Err(out);
        }
    };
    let misfits = misfits(&root, schema::shared());
    let is_readable = misfits.iter().all(|misfit| misfit.is_readable);
    for misfit in misfits {
        out.push(error, Some(misfit.span), misfit.message, misfit.help);
    }
    if !is_readable {
        out.sort();
        return Err(out);
    }
    let file = match reader::from_tree::<Option<File>>(root, text) {
        Ok(file) => file.unwrap_or_default(),
        Err(fault) => {
            out.push(error, fault.span, fault.message, None);
            return Err(out);
        }
    };
    let mut context = Context::new(path, files, now, out);
    let mut config = check::check(&mut context, file, path);
    let mut out = context.out;
    for over in &config.over_budget {
        let level = match over.is_refused && strict {
            true => error,
            false => DiagnosticLevel::Note,
        };
        out.push(level, Some(over.span.clone()), over.to_string(), Some(over.help()));
    }
    out.sort();
    if out.has_errors() {
        // Beside an error a remark is noise, and may only follow from it.
        out.drop_notes();
        return Err(out);
    }
    config.notes = out;
    Ok(config)
}

type Fault = (Option<Range<usize>>, String);

fn read(text: &str) -> Result<Node, Fault> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // `yes`, `no`, `on` and `off` stay the words that they are.
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_events: 16_000_000,
            max_nodes: 8_000_000,
            max_depth: 32,
            max_documents: 1,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let span = error.location().map(|location| place(text, &location));
        (span, UserMessageFormatter.format_message(error).into_owned())
    })
}

/// The bytes of a location; syntax errors know only line and column.
fn place(text: &str, location: &Location) -> Range<usize> {
    if location.span().byte_offset().is_some() {
        return bytes_of(location);
    }
    let number = |n: u64| usize::try_from(n).unwrap_or(1).saturating_sub(1);
    let (line, column) = (number(location.line()), number(location.column()));
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let before: usize = text[start..].chars().take(column).map(char::len_utf8).sum();
    start + before..start + before + 1
}

/// The largest config in bytes.
const MAX_CONFIG: usize = 64 * 1024 * 1024;
