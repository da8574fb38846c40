//! Secchi's binary: parse, dispatch, exit code.

fn main() {}
