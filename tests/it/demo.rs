//! `secchi demo`: self-contained, ends by itself, a finding opens and resolves.

use crate::support::run;

#[test]
fn the_demo_shows_a_finding_confirmed_and_resolved_and_exits_0() {
    let output = run(&["demo", "--for", "40s"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("confirmed") && text.contains("resolved"), "{text}");
    assert!(output.stdout.iter().all(|&byte| byte >= 0x20 || byte == b'\n'), "{text}");
}
