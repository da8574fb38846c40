//! Permissions-Policy (§5.2): a structured dictionary of features and who may use them.

use std::collections::BTreeMap;

use serde::Serialize;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::fields::Fields;
use super::text::clean;

/// What a response says.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Permissions {
    /// Whether a policy is sent that browsers can read.
    pub(super) present: bool,
    /// Whether what was sent, if anything, is a dictionary; browsers pass over what is not.
    pub(super) valid: bool,
    /// Each feature with its allowlist: `none`, `all`, or who, in canonical form.
    pub(super) features: BTreeMap<String, String>,
    /// The features that any site in a frame may use.
    pub(super) open: Vec<String>,
}

/// Reads the fields of a response.
pub(super) fn read(fields: &Fields) -> Permissions {
    let Some(text) = fields.joined("permissions-policy") else {
        return Permissions { valid: true, ..Permissions::default() };
    };
    let Ok(dictionary) = Parser::new(&text).parse::<Dictionary>() else {
        return Permissions::default();
    };
    let mut features = BTreeMap::new();
    for (name, entry) in dictionary.iter().take(MAX_FEATURES) {
        if let Some(list) = allowlist(entry) {
            features.insert(clean(name.as_str(), 64), list);
        }
    }
    let open = features.iter().filter(|(_, list)| *list == "all").map(|(n, _)| n.clone()).collect();
    Permissions { present: !features.is_empty(), valid: true, features, open }
}

/// `None` for a value that browsers pass over.
fn allowlist(entry: &ListEntry) -> Option<String> {
    let items: Vec<&BareItem> = match entry {
        ListEntry::Item(item) => vec![&item.bare_item],
        ListEntry::InnerList(list) => list.items.iter().map(|item| &item.bare_item).collect(),
    };
    let mut who: Vec<String> = Vec::new();
    for item in items.into_iter().take(MAX_ORIGINS) {
        match item {
            BareItem::Token(token) if token.as_str() == "*" => return Some("all".to_owned()),
            BareItem::Token(token) if matches!(token.as_str(), "self" | "src") => {
                who.push(token.as_str().to_owned());
            }
            BareItem::String(origin) => who.push(clean(origin.as_str(), 128)),
            // What is neither is passed over; a bare value of another kind voids the feature.
            _ if matches!(entry, ListEntry::Item(_)) => return None,
            _ => {}
        }
    }
    who.sort();
    who.dedup();
    Some(if who.is_empty() { "none".to_owned() } else { who.join(" ") })
}

const MAX_FEATURES: usize = 128;
const MAX_ORIGINS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn features_are_read_as_a_dictionary() {
        for (text, present, valid, features) in [
            (
                "camera=(), geolocation=(self \"https://a.example\")",
                true,
                true,
                &[("camera", "none"), ("geolocation", "https://a.example self")][..],
            ),
            ("fullscreen=*", true, true, &[("fullscreen", "all")]),
            ("usb=(self *)", true, true, &[("usb", "all")]),
            ("usb=self", true, true, &[("usb", "self")]),
            ("usb=?1", false, true, &[]),
            ("camera 'none'; geolocation 'self'", false, false, &[]),
            ("camera=(),", false, false, &[]),
            ("", false, true, &[]),
        ] {
            let read = read(&Fields::of(&[("Permissions-Policy", text)]));
            let got: Vec<_> = read.features.iter().map(|(n, l)| (&**n, &**l)).collect();
            assert_eq!((read.present, read.valid, &*got), (present, valid, features), "{text}");
        }
        assert!(read(&Fields::default()).valid);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = read(&Fields::of(&[("Permissions-Policy", &text)]));
        }
    }
}
