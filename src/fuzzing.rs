//! Doors for `fuzz/`, which is built by itself: what a peer's bytes reach, without a peer. They
//! exist under `cfg(fuzzing)` only and are no part of the API.

pub use crate::probe::dns::fuzzing::dns_message;
pub use crate::probe::http::fuzzing::{
    csp_evaluator, hsts_field, http_judged, http_response, structured_fields,
};
pub use crate::probe::tls::fuzzing::{certificate, tls_flight};
