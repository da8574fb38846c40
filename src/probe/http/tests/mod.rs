//! The probe against scripted servers on loopback.

mod credentials;
mod drift;
mod edges;
mod glimpse;
mod hostile;
mod judged;
mod lab;
mod walks;
