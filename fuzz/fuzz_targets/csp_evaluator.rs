//! See `secchi::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| secchi::fuzzing::csp_evaluator(bytes));
