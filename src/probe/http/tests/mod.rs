//! The probe against scripted servers on loopback.

mod glimpse;
mod hostile;
mod judged;
mod lab;
mod walks;
