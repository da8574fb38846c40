//! A list of targets from outside: read within bounds, or refused.
#![no_main]

use secchi::inventory::{Format, parse_groups};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for format in [Format::Json, Format::Yaml] {
        for group in parse_groups(bytes, format).unwrap_or_default() {
            for target in &group.targets {
                assert!(!target.chars().any(char::is_control), "{target:?}");
                let _ = target.parse::<secchi::target::Endpoint>();
            }
        }
    }
});
