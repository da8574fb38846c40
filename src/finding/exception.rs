//! Exceptions: accepted risks with an end.

use chrono::{DateTime, NaiveDate, Utc};
use glob::Pattern;
use serde::{Deserialize, Serialize};

use super::FindingKey;

/// An accepted risk: it silences a rule at the targets that it names, until a date.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Exception {
    /// The rule's id.
    pub rule: String,
    /// The target's name, or a glob of it (`*.example.com`).
    pub target: String,
    /// Only this subject; every one if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why the risk is accepted.
    pub reason: String,
    /// By whom.
    pub approved_by: String,
    /// The last day on which it holds, UTC.
    pub until: NaiveDate,
}

impl Exception {
    /// Whether it covers the finding at that time.
    pub fn covers(&self, key: &FindingKey, at: DateTime<Utc>) -> bool {
        self.rule == *key.rule
            && at.date_naive() <= self.until
            && self.subject.as_deref().is_none_or(|subject| subject == &*key.subject)
            && self.names(&key.target)
    }

    /// A glob that cannot be read names only itself.
    fn names(&self, target: &str) -> bool {
        self.target == target
            || (self.target.contains(['*', '?', '['])
                && Pattern::new(&self.target).is_ok_and(|pattern| pattern.matches(target)))
    }

    /// The one that covers the finding longest, if any does.
    pub fn find<'a>(
        exceptions: &'a [Self],
        key: &FindingKey,
        at: DateTime<Utc>,
    ) -> Option<&'a Self> {
        exceptions.iter().filter(|e| e.covers(key, at)).max_by_key(|e| e.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_through_its_last_day_for_the_targets_that_its_glob_names() {
        let exception = Exception {
            rule: "tls-legacy-protocol".into(),
            target: "*.example.com".into(),
            subject: None,
            reason: "till terminals".into(),
            approved_by: "ciso".into(),
            until: NaiveDate::from_ymd_opt(2027, 1, 31).expect("a date"),
        };
        let key = |rule: &str, target: &str| FindingKey {
            rule: rule.into(),
            target: target.into(),
            address: None,
            subject: "TLSv1.0".into(),
        };
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let shop = key("tls-legacy-protocol", "shop.example.com");
        assert!(exception.covers(&shop, at("2027-01-31T23:59:59Z")));
        assert!(!exception.covers(&shop, at("2027-02-01T00:00:00Z")));
        let now = at("2027-01-01T00:00:00Z");
        assert!(!exception.covers(&key("tls-weak-key", "shop.example.com"), now));
        assert!(!exception.covers(&key("tls-legacy-protocol", "example.org"), now));
    }
}
