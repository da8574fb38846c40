//! The catalogue of measurements: one table a probe. Rules, the digest and the reference page read
//! it; a measurement that is not here does not exist.

mod dns;
mod http;
mod ports;
mod tls;

use super::Measure;
use crate::target::ProbeKind;

/// Every measurement of one probe.
pub fn measures(probe: ProbeKind) -> &'static [Measure] {
    match probe {
        ProbeKind::Tls => tls::MEASURES,
        ProbeKind::Http => http::MEASURES,
        ProbeKind::Ports => ports::MEASURES,
        ProbeKind::Dns => dns::MEASURES,
    }
}

/// The measurement of that path (`tls.versions`).
pub fn find(path: &str) -> Option<&'static Measure> {
    ProbeKind::ALL.into_iter().flat_map(measures).find(|measure| measure.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_begins_with_its_probe_and_stands_once() {
        for probe in ProbeKind::ALL {
            let mut paths: Vec<_> = measures(probe).iter().map(|measure| measure.path).collect();
            assert!(paths.iter().all(|path| path.starts_with(&format!("{probe}."))));
            paths.sort_unstable();
            let count = paths.len();
            paths.dedup();
            assert_eq!(paths.len(), count);
        }
    }
}
