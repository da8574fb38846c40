//! A year in seconds.
