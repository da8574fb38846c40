//! Any text is a config or a list of mistakes that can be shown.
#![no_main]

use std::path::Path;

use chrono::DateTime;
use secchi::config::{MemoryFiles, parse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let path = Path::new("/secchi.yaml");
    if let Err(mistakes) = parse(text, path, &MemoryFiles::default(), DateTime::UNIX_EPOCH) {
        assert!(!mistakes.render(false).is_empty());
    }
});
