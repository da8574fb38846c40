//! Names that say who may have what below them: suffixes where registries sell, and services that
//! give names to customers; and what issuers are called in CAA records. `probes/dns-names.yaml` holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use hickory_proto::rr::Name;
use serde::Deserialize;

use super::text;

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    suffixes: BTreeSet<Name>,
    services: BTreeSet<Name>,
    issuers: BTreeMap<String, Vec<String>>,
}

impl Catalogue {
    /// The lists that are shipped.
    pub(super) fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::read(SHIPPED));
        &BUILTIN
    }

    fn read(yaml: &str) -> Self {
        #[derive(Deserialize)]
        struct Lists {
            suffixes: Vec<String>,
            services: Vec<String>,
            issuers: BTreeMap<String, Vec<String>>,
        }
        let Ok(lists) = serde_saphyr::from_str::<Lists>(yaml) else { return Self::default() };
        let names = |list: Vec<String>| list.iter().filter_map(|name| text::name(name)).collect();
        let (suffixes, services) = (names(lists.suffixes), names(lists.services));
        Self { suffixes, services, issuers: lists.issuers }
    }

    /// The name that one would have to buy to own this one: a suffix and one label more.
    pub(super) fn registrable(&self, name: &Name) -> Option<Name> {
        let labels = name.iter().count();
        // Every top-level domain sells.
        let deepest =
            (2..=labels).rev().find(|depth| self.suffixes.contains(&name.trim_to(*depth)));
        let depth = deepest.unwrap_or(1) + 1;
        (depth <= labels).then(|| name.trim_to(depth))
    }

    /// Whether a service gives names like this one to its customers.
    pub(super) fn is_service(&self, name: &Name) -> bool {
        let labels = name.iter().count();
        (1..labels).any(|depth| self.services.contains(&name.trim_to(depth)))
    }

    /// The names by which CAA records permit an issuer, by the organisation in its certificates; none
    /// where nobody knows them.
    pub(super) fn issuer(&self, organisation: &str) -> &[String] {
        self.issuers.get(organisation).map_or(&[], Vec::as_slice)
    }
}

const SHIPPED: &str = include_str!("../../../probes/dns-names.yaml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_buys_a_label_below_a_suffix() {
        let registrable = |name: &str| {
            let name = text::name(name).expect("a name");
            Catalogue::builtin().registrable(&name).map(|name| text::of_name(&name))
        };
        assert_eq!(registrable("a.b.example.com").as_deref(), Some("example.com"));
        assert_eq!(registrable("www.shop.co.uk").as_deref(), Some("shop.co.uk"));
        assert_eq!(registrable("co.uk"), None);
        assert_eq!(registrable("com"), None);
        assert_eq!(registrable("x.unheard-of").as_deref(), Some("x.unheard-of"));
    }

    #[test]
    fn an_issuer_is_known_by_its_names_in_caa_records() {
        let known = |organisation: &str| Catalogue::builtin().issuer(organisation);
        assert_eq!(known("Let's Encrypt"), ["letsencrypt.org"]);
        assert!(known("DigiCert Inc").contains(&"digicert.com".to_owned()));
        assert!(known("Nobody").is_empty());
    }

    #[test]
    fn a_customers_name_is_below_the_services_own() {
        let is = |name: &str| Catalogue::builtin().is_service(&text::name(name).expect("a name"));
        assert!(is("team.github.io") && is("app.eu-west-1.elasticbeanstalk.com"));
        assert!(!is("github.io") && !is("notgithub.io"));
    }
}
