//! The probe against scripted servers on loopback.

mod hostile;
mod lab;
mod walks;
