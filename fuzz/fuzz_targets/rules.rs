//! Any text is a rule pack or a list of mistakes.
#![no_main]

use secchi::rules::RuleSet;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match RuleSet::load(&[("own.yaml", text)], &[]) {
        Ok(set) => assert!(!set.rules().is_empty()),
        Err(mistakes) => assert!(!mistakes.is_empty()),
    }
});
