//! Why something is unknown: a closed list that is also the metric label.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! reasons {
    ($($variant:ident $word:literal $doc:literal;)+) => {
        /// The closed list of CONTRACT §Output 4.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason { $(#[doc = $doc] $variant,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in JSON and metric labels.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $word,)+ } }
        }

        impl FromStr for Reason {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}

reasons! {
    Budget "budget" "A budget had no room for it.";
    Challenge "challenge" "A challenge or block page stood in the way.";
    ConnectTimeout "connect_timeout" "No answer to the connect.";
    DnsError "dns_error" "The name could not be resolved.";
    HostDown "host_down" "The host gave no sign of life.";
    HttpStatus "http_status" "The status says nothing of the site's posture (429, 5xx).";
    Inconsistent "inconsistent" "Answers contradict each other.";
    Interrupted "interrupted" "The daemon was stopping.";
    Intolerant "intolerant" "The peer chokes on the question's form.";
    LocalError "local_error" "This machine could not ask: files, ports, memory, routes, firewall.";
    Maintenance "maintenance" "A maintenance window was open.";
    NotApplicable "not_applicable" "The fact cannot exist here.";
    NotObserved "not_observed" "The sample did not come by it; without a detail it did not set out to.";
    NotTls "not_tls" "The peer answered with something that is not TLS.";
    OptIn "opt_in" "Measured only when asked for.";
    OutOfScope "out_of_scope" "The scope does not allow the contact.";
    RateLimited "rate_limited" "The peer limits our rate.";
    Refused "refused" "The connection was refused.";
    Reset "reset" "The connection was reset or closed before an answer.";
    StarttlsNotOffered "starttls_not_offered" "The protocol did not offer STARTTLS.";
    Timeout "timeout" "The peer did not answer in time.";
    TlsError "tls_error" "The handshake failed.";
    Unreachable "unreachable" "No route to the host.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason, with what more is known of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unknown {
    /// The reason.
    pub reason: Reason,
    /// At most 200 characters of printable text.
    pub detail: Option<String>,
}

impl Unknown {
    /// A reason with a detail, cut and cleaned so that it can stand on any screen.
    pub fn new(reason: Reason, detail: impl AsRef<str>) -> Self {
        let detail: String = detail
            .as_ref()
            .chars()
            .take(200)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let detail = detail.trim();
        Self { reason, detail: (!detail.is_empty()).then(|| detail.to_owned()) }
    }
}

impl From<Reason> for Unknown {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl Serialize for Unknown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (word, detail) = match text.split_once(": ") {
            Some((word, detail)) => (word, Some(detail.to_owned())),
            None => (text.as_str(), None),
        };
        let reason = word
            .parse()
            .map_err(|()| serde::de::Error::custom(format!("`{word}` is no unknown reason")))?;
        Ok(Self { reason, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_cannot_carry_control_characters() {
        let unknown = Unknown::new(Reason::NotTls, "SSH-2.0\u{1b}[31m\r\n");
        assert_eq!(unknown.to_string(), "not_tls: SSH-2.0 [31m");
    }

    #[test]
    fn every_reason_reads_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
    }
}
