//! See `secchi::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| secchi::fuzzing::structured_fields(bytes));
