//! The one integration binary. Tests drive the `secchi` binary, HTTP and real servers on loopback.
