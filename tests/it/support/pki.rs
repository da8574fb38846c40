//! Certificates made at test time; none is committed.

use std::path::{Path, PathBuf};

use chrono::{Datelike, NaiveDate};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// A CA and what it issues, as PEM files of a folder.
pub struct Pki {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Makes a CA; its certificate is `ca.pem`.
    pub fn new(folder: &Path) -> Self {
        Self::of(folder, "Test")
    }

    /// The same for an organisation of this name.
    pub fn of(folder: &Path, organisation: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join("ca.pem"), certificate.pem()).expect("a file");
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// The CA's file.
    pub fn ca(&self) -> String {
        self.folder.join("ca.pem").display().to_string()
    }

    /// Issues a leaf; gives the files of certificate and key.
    pub fn leaf(&self, name: &str, last_year: i32) -> (PathBuf, PathBuf) {
        let last = NaiveDate::from_ymd_opt(last_year, 1, 1).expect("a date");
        self.leaf_until(name, last)
    }

    /// The same, valid until the day begins.
    pub fn leaf_until(&self, name: &str, last: NaiveDate) -> (PathBuf, PathBuf) {
        let (month, day) = (last.month() as u8, last.day() as u8);
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(last.year(), month, day);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let files =
            (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")));
        std::fs::write(&files.0, certificate.pem()).expect("a file");
        std::fs::write(&files.1, key.serialize_pem()).expect("a file");
        files
    }
}
