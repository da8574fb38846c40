//! The probe against scripted servers on loopback.

mod glimpse;
mod hostile;
mod lab;
mod walks;
