//! The probe against scripted servers on loopback.

mod hostile;
mod lab;
mod walks;

use super::{AGENT, agent};

#[test]
fn a_contact_is_named_and_cannot_break_the_field() {
    assert!(agent("soc@example.com").ends_with("(+soc@example.com)"));
    assert!(agent("a\r\nX: (b)\\ \u{e9}").ends_with("(+aX:b)"));
    assert_eq!(agent(""), AGENT);
}
