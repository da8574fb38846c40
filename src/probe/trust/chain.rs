//! Whether a served chain leads to an anchor, judged by the job's time. Trust says nothing of the
//! name; the name is judged beside it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use crate::sample::{Reason, Unknown};

use super::anchors::Anchors;
use super::certificate::{covers, facts, signature_name};
use super::memo;

/// The judgement of one chain, as CONTRACT §tls writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Judgement {
    /// `None` where this machine cannot tell.
    pub(crate) trusted: Option<bool>,
    pub(crate) reason: Option<&'static str>,
    /// `None` where it is not known by what name clients come.
    pub(crate) hostname_matches: Option<bool>,
    pub(crate) order_ok: bool,
    pub(crate) extra: usize,
    pub(crate) incomplete: bool,
    pub(crate) root_sent: bool,
    #[serde(skip)]
    pub(crate) untold: Option<Unknown>,
}

/// Judges a chain, leaf first, of which `certificates` could be read. `None` if the leaf could not.
pub(crate) fn judge(
    served: &[Vec<u8>],
    certificates: &[&X509Certificate<'_>],
    anchors: &Anchors,
    name: &str,
    now: DateTime<Utc>,
) -> Option<Judgement> {
    let leaf = certificates.first()?;
    let shape = Shape::of(certificates);
    let trust = trust(served, certificates, &shape, anchors, now);
    let (trusted, reason, untold) = match trust {
        Verdict::Trusted => (Some(true), None, None),
        Verdict::Untrusted(reason) => (Some(false), Some(reason), None),
        Verdict::Untold(why) => (None, None, Some(why)),
    };
    let in_order = certificates.windows(2).all(|pair| certifies(pair[1], pair[0]));
    Some(Judgement {
        trusted,
        reason,
        hostname_matches: Some(covers(leaf, name)),
        order_ok: in_order && certificates.len() == served.len(),
        extra: served.len() - shape.path.len(),
        incomplete: reason == Some(INCOMPLETE),
        root_sent: certificates.iter().skip(1).any(|certificate| is_self_issued(certificate)),
        untold,
    })
}

/// Whether something is trusted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is.
    Trusted,
    /// It is not, for this of CONTRACT's reasons.
    Untrusted(&'static str),
    /// This machine cannot tell.
    Untold(Unknown),
}

impl Judgement {
    /// Whether a browser would go on: the chain is trusted, and the leaf covers the name.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.reason, &self.untold) {
            (Some(reason), _) => Verdict::Untrusted(reason),
            (None, _) if self.hostname_matches == Some(false) => {
                Verdict::Untrusted(HOSTNAME_MISMATCH)
            }
            (None, Some(why)) => Verdict::Untold(why.clone()),
            (None, None) => Verdict::Trusted,
        }
    }

    /// The handshake was not signed by the leaf's key: whatever it is worth, the peer has no part
    /// in it.
    pub(crate) fn disown(&mut self) {
        if self.trusted != Some(false) {
            self.trusted = Some(false);
            self.reason = Some(WEAK_SIGNATURE);
            self.untold = None;
        }
    }

    /// By what name clients come is not known, so whether it fits is not either.
    pub(crate) fn unname(&mut self) {
        self.hostname_matches = None;
    }

    /// The issuer took it back, whatever else is to be said of it.
    pub(super) fn revoke(&mut self) {
        self.trusted = Some(false);
        self.reason = Some(REVOKED);
        self.untold = None;
    }
}

/// How the served certificates hang together, by name.
struct Shape {
    /// Positions from the leaf up, as far as issuers were sent.
    path: Vec<usize>,
}

impl Shape {
    fn of(certificates: &[&X509Certificate<'_>]) -> Self {
        let mut path = vec![0];
        let mut top = 0;
        while !is_self_issued(certificates[top]) {
            let next = (0..certificates.len())
                .find(|&at| !path.contains(&at) && certifies(certificates[at], certificates[top]));
            let Some(next) = next else { break };
            path.push(next);
            top = next;
        }
        Self { path }
    }
}

fn trust(
    served: &[Vec<u8>],
    certificates: &[&X509Certificate<'_>],
    shape: &Shape,
    anchors: &Anchors,
    now: DateTime<Utc>,
) -> Verdict {
    let leaf = certificates[0];
    // A leaf that is itself an anchor needs no path; rustls would refuse it as a CA.
    if anchors.keys_of(leaf.subject().as_raw()).any(|key| key == leaf.public_key().raw) {
        return match dates(leaf, now) {
            Some(reason) => Verdict::Untrusted(reason),
            None => Verdict::Trusted,
        };
    }
    let at = |time: i64| path(served, anchors, time);
    let error = match at(now.timestamp()) {
        Ok(()) => return Verdict::Trusted,
        Err(error) => error,
    };
    // Dates are checked first; what else is wrong weighs more, since expiry has its own measure.
    let validity = leaf.validity();
    let inside = now
        .timestamp()
        .clamp(validity.not_before.timestamp(), validity.not_after.timestamp().saturating_sub(1));
    match date_reason(&error) {
        Some(reason) => match at(inside) {
            Err(deeper) if date_reason(&deeper).is_none() => {
                why(&deeper, certificates, shape, anchors)
            }
            _ => Verdict::Untrusted(reason),
        },
        None => why(&error, certificates, shape, anchors),
    }
}

fn dates(certificate: &X509Certificate<'_>, now: DateTime<Utc>) -> Option<&'static str> {
    let validity = certificate.validity();
    if now.timestamp() > validity.not_after.timestamp() {
        return Some(EXPIRED);
    }
    (now.timestamp() < validity.not_before.timestamp()).then_some(NOT_YET_VALID)
}

/// Looks for a path in each store; of two errors the more telling one is kept.
fn path(served: &[Vec<u8>], anchors: &Anchors, time: i64) -> Result<(), Error> {
    let mut worst = Error::from(CertificateError::UnknownIssuer);
    for store in anchors.stores().filter(|store| !store.is_empty()) {
        match path_in(served, store, time) {
            Ok(()) => return Ok(()),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
            Err(error) => worst = error,
        }
    }
    Err(worst)
}

fn path_in(served: &[Vec<u8>], store: &RootCertStore, time: i64) -> Result<(), Error> {
    let all: Vec<CertificateDer<'_>> =
        served.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let (leaf, intermediates) =
        all.split_first().ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(time.try_into().unwrap_or(0)));
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(leaf)?,
        store,
        intermediates,
        time,
        memo::algorithms(),
    )
}

fn date_reason(error: &Error) -> Option<&'static str> {
    let Error::InvalidCertificate(error) = error else { return None };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some(EXPIRED),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some(NOT_YET_VALID)
        }
        _ => None,
    }
}

fn why(
    error: &Error,
    certificates: &[&X509Certificate<'_>],
    shape: &Shape,
    anchors: &Anchors,
) -> Verdict {
    let Error::InvalidCertificate(error) = error else {
        return Verdict::Untold(Unknown::new(Reason::LocalError, error.to_string()));
    };
    let on_path: Vec<_> = shape.path.iter().map(|&at| certificates[at]).collect();
    let weak = on_path.iter().any(|c| has_weak_signature(c))
        || on_path.iter().skip(1).any(|c| has_weak_rsa_key(c));
    let lone = is_self_issued(certificates[0]);
    #[allow(deprecated, reason = "rustls still maps to these from older webpki errors")]
    match error {
        CertificateError::Revoked => Verdict::Untrusted(REVOKED),
        CertificateError::UnknownIssuer => {
            Verdict::Untrusted(missing_issuer(certificates, shape, anchors))
        }
        _ if lone => Verdict::Untrusted(SELF_SIGNED),
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
            if weak =>
        {
            Verdict::Untrusted(WEAK_SIGNATURE)
        }
        // An issuer of the right name and another key.
        CertificateError::BadSignature => Verdict::Untrusted(UNKNOWN_ISSUER),
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Verdict::Untold(Unknown::new(Reason::LocalError, "a signature that is not known here"))
        }
        _ => Verdict::Untrusted(BAD_CONSTRAINTS),
    }
}

/// No path was found. Whether the issuer that is missing is an intermediate or a root cannot be
/// seen in what was not sent; these are the signs.
fn missing_issuer(
    certificates: &[&X509Certificate<'_>],
    shape: &Shape,
    anchors: &Anchors,
) -> &'static str {
    let top = shape.path.last().copied().unwrap_or(0);
    let last = certificates[top];
    if is_self_issued(last) {
        return if top == 0 { SELF_SIGNED } else { UNKNOWN_ISSUER };
    }
    // A certificate beyond a gap leads on to an anchor.
    let beyond = (0..certificates.len())
        .filter(|at| !shape.path.contains(at))
        .any(|at| anchors.know(certificates[at].issuer().as_raw()));
    let issuer = last.issuer().to_string().to_ascii_lowercase();
    let alone = top == 0 && !issuer.contains("root");
    let says_where = says_where_its_issuer_is(last);
    let is_gap = beyond || (alone && (says_where || anchors.has_own()));
    let is_forged = anchors.know(last.issuer().as_raw());
    if is_gap && !is_forged { INCOMPLETE } else { UNKNOWN_ISSUER }
}

/// caIssuers (RFC 5280 §4.2.2.1): where to fetch what should have been sent.
fn says_where_its_issuer_is(certificate: &X509Certificate<'_>) -> bool {
    certificate.iter_extensions().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => access.iter().any(|entry| {
            entry.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2"
                && matches!(entry.access_location, GeneralName::URI(_))
        }),
        _ => false,
    })
}

pub(crate) fn certifies(issuer: &X509Certificate<'_>, subject: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == subject.issuer().as_raw()
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certifies(certificate, certificate)
}

fn has_weak_signature(certificate: &X509Certificate<'_>) -> bool {
    let name = signature_name(&certificate.signature_algorithm.algorithm).to_ascii_lowercase();
    name.starts_with("md") || name.contains("sha1")
}

fn has_weak_rsa_key(certificate: &X509Certificate<'_>) -> bool {
    let facts = facts(&[], certificate);
    facts.key_type.starts_with("rsa") && facts.key_bits < 2048
}

const BAD_CONSTRAINTS: &str = "bad_constraints";
const EXPIRED: &str = "expired";
const HOSTNAME_MISMATCH: &str = "hostname_mismatch";
const INCOMPLETE: &str = "incomplete";
const NOT_YET_VALID: &str = "not_yet_valid";
const REVOKED: &str = "revoked";
const SELF_SIGNED: &str = "self_signed";
const UNKNOWN_ISSUER: &str = "unknown_issuer";
pub(crate) const WEAK_SIGNATURE: &str = "weak_signature";

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, KeyPair};

    use crate::target::{Settings, TextFile};
    use crate::testing::{Authority, authority};

    use super::super::certificate::parse;
    use super::*;

    fn leaf_params() -> CertificateParams {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        params
    }

    fn leaf(issuer: &Authority, params: &CertificateParams) -> Vec<u8> {
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, issuer).expect("a leaf").der().to_vec()
    }

    fn der(authority: &Authority) -> Vec<u8> {
        authority.der().to_vec()
    }

    fn anchored(roots: &[&Authority]) -> Anchors {
        let text: String = roots.iter().map(|root| root.pem()).collect();
        let file = TextFile { path: "ca.pem".into(), text: text.into() };
        Anchors::new(&Settings { ca_file: Some(file), ..Settings::default() })
    }

    fn judge(
        served: &[Vec<u8>],
        anchors: &Anchors,
        name: &str,
        now: DateTime<Utc>,
    ) -> Option<Judgement> {
        let read: Vec<_> = served.iter().map_while(|der| parse(der)).collect();
        super::judge(served, &read.iter().collect::<Vec<_>>(), anchors, name, now)
    }

    fn judged(served: &[Vec<u8>], roots: &[&Authority], day: &str) -> Judgement {
        let now = format!("{day}T00:00:00Z").parse().expect("a day");
        let anchors =
            if roots.is_empty() { Anchors::new(&Settings::default()) } else { anchored(roots) };
        judge(served, &anchors, "a.test", now).expect("readable")
    }

    #[test]
    fn a_whole_chain_is_trusted_while_its_dates_last_whatever_the_name() {
        let root = authority("Root", None);
        let issuing = authority("Issuing", Some(&root));
        let served = [leaf(&issuing, &leaf_params()), der(&issuing)];
        let good = judged(&served, &[&root], "2026-06-01");
        assert_eq!((good.trusted, good.reason), (Some(true), None));
        assert!(
            good.hostname_matches == Some(true)
                && good.order_ok
                && !good.incomplete
                && !good.root_sent
        );
        for (day, reason) in [("2025-12-31", NOT_YET_VALID), ("2027-01-02", EXPIRED)] {
            let judgement = judged(&served, &[&root], day);
            assert_eq!((judgement.trusted, judgement.reason), (Some(false), Some(reason)));
        }
        let anchors = anchored(&[&root]);
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        let other = judge(&served, &anchors, "b.test", now).expect("readable");
        assert_eq!((other.trusted, other.hostname_matches), (Some(true), Some(false)));
    }

    #[test]
    fn what_is_missing_too_much_or_out_of_order_is_told() {
        let root = authority("Root", None);
        let (outer, stray) = (authority("Outer", Some(&root)), authority("Stray", None));
        let inner = authority("Inner", Some(&outer));
        let leaf = leaf(&inner, &leaf_params());
        let judge = |served: &[Vec<u8>]| judged(served, &[&root], "2026-06-01");

        let gap = judge(&[leaf.clone(), der(&outer)]);
        assert_eq!((gap.reason, gap.incomplete, gap.extra), (Some(INCOMPLETE), true, 1));
        assert_eq!(judge(std::slice::from_ref(&leaf)).reason, Some(INCOMPLETE));

        let swapped = judge(&[leaf.clone(), der(&outer), der(&inner)]);
        assert_eq!((swapped.trusted, swapped.order_ok, swapped.extra), (Some(true), false, 0));

        let much = judge(&[leaf.clone(), der(&inner), der(&outer), der(&root), der(&stray)]);
        assert_eq!((much.trusted, much.root_sent, much.extra), (Some(true), true, 1));

        let unknown = judged(&[leaf, der(&inner), der(&outer)], &[&stray], "2026-06-01");
        assert_eq!((unknown.trusted, unknown.reason), (Some(false), Some(UNKNOWN_ISSUER)));
        assert!(!unknown.incomplete);
    }

    #[test]
    fn a_self_signed_leaf_is_trusted_only_as_an_anchor() {
        let authority = authority("Lone", None);
        let served = [der(&authority)];
        assert_eq!(judged(&served, &[], "2026-06-01").reason, Some(SELF_SIGNED));
        assert_eq!(judged(&served, &[&authority], "2026-06-01").trusted, Some(true));
        let key = KeyPair::generate().expect("a key");
        let plain = leaf_params().self_signed(&key).expect("a certificate").der().to_vec();
        // Not trusted for a deeper reason than its dates.
        assert_eq!(judged(&[plain], &[], "2027-06-01").reason, Some(SELF_SIGNED));
    }

    #[test]
    fn an_issuer_of_the_right_name_and_another_key_is_unknown() {
        let (root, impostor) = (authority("Root", None), authority("Root", None));
        let served = [leaf(&impostor, &leaf_params())];
        assert_eq!(judged(&served, &[&root], "2026-06-01").reason, Some(UNKNOWN_ISSUER));
    }

    #[test]
    fn a_leaf_for_another_purpose_breaks_its_constraints() {
        let root = authority("Root", None);
        let mut params = leaf_params();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let served = [leaf(&root, &params)];
        assert_eq!(judged(&served, &[&root], "2026-06-01").reason, Some(BAD_CONSTRAINTS));
        let mut params = leaf_params();
        let mut critical = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        critical.set_criticality(true);
        params.custom_extensions.push(critical);
        let served = [leaf(&root, &params)];
        assert_eq!(judged(&served, &[&root], "2026-06-01").reason, Some(BAD_CONSTRAINTS));
    }

    #[test]
    fn an_issuer_out_of_date_or_out_of_its_bounds_is_told_by_its_reason() {
        use rcgen::{BasicConstraints, CertifiedIssuer, GeneralSubtree, IsCa, NameConstraints};
        let root = authority("Root", None);
        let issuing = |change: fn(&mut CertificateParams)| {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, "Issuing");
            change(&mut params);
            let key = KeyPair::generate().expect("a key");
            CertifiedIssuer::signed_by(params, key, &root).expect("an issuer")
        };
        let judge = |issuer: &Authority| {
            let served = [leaf(issuer, &leaf_params()), der(issuer)];
            judged(&served, &[&root], "2026-06-01").reason
        };
        let expired = issuing(|params| {
            params.not_before = rcgen::date_time_ymd(2024, 1, 1);
            params.not_after = rcgen::date_time_ymd(2025, 1, 1);
        });
        assert_eq!(judge(&expired), Some(EXPIRED));
        let elsewhere = issuing(|params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("b.test".to_owned())],
                excluded_subtrees: Vec::new(),
            });
        });
        assert_eq!(judge(&elsewhere), Some(BAD_CONSTRAINTS));
        let here = issuing(|params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("a.test".to_owned())],
                excluded_subtrees: Vec::new(),
            });
        });
        assert_eq!(judge(&here), None);
        let no_authority = issuing(|params| params.is_ca = IsCa::ExplicitNoCa);
        assert_eq!(judge(&no_authority), Some(BAD_CONSTRAINTS));
    }

    #[test]
    fn names_match_by_san_alone_wildcards_addresses_and_a_labels_among_them() {
        let root = authority("Root", None);
        let names = ["*.w.test", "xn--bcher-kva.test", "192.0.2.7", "2001:db8::7"];
        let mut params = CertificateParams::new(names.map(str::to_owned).to_vec()).expect("names");
        params.distinguished_name.push(rcgen::DnType::CommonName, "cn.test");
        let served = [leaf(&root, &params)];
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        let anchors = anchored(&[&root]);
        let matches =
            |name| judge(&served, &anchors, name, now).expect("readable").hostname_matches;
        for name in ["x.w.test", "xn--bcher-kva.test", "192.0.2.7", "2001:db8::7"] {
            assert_eq!(matches(name), Some(true), "{name}");
        }
        for name in ["cn.test", "w.test", "y.x.w.test", "192.0.2.8", "2001:db8::8"] {
            assert_eq!(matches(name), Some(false), "{name}");
        }
    }

    #[test]
    fn what_is_no_certificate_cannot_be_judged_and_hides_nothing_before_it() {
        let root = authority("Root", None);
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        assert_eq!(judge(&[vec![1, 2]], &anchored(&[&root]), "a.test", now), None);
        let served = [leaf(&root, &leaf_params()), vec![1, 2]];
        let judgement = judged(&served, &[&root], "2026-06-01");
        assert_eq!(
            (judgement.trusted, judgement.order_ok, judgement.extra),
            (Some(true), false, 1)
        );
    }
}
