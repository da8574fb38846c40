//! What is found beside the head: what the page loads, and what further requests came to.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::sample::{Measurements, Reason, Unknown};

use super::exchange::Answer;
use super::extras::{Asked, CorsMethod, Extra, Origin};
use super::facts::none;
use super::subresources::Loads;
use super::walk::Hop;
use super::{cors, exposures, security_txt, text, usable};

/// What the page loads; unknown where its body was not read to the end, for a part says nothing of
/// the rest.
pub(super) fn loads(hop: &Hop, answer: &Answer, measurements: &mut Measurements) {
    let why = match &answer.body.page {
        None => none("the response is no page of HTML that could be read"),
        Some(page) => {
            let loads = Loads::of(page, &hop.url);
            measurements.set_value("sri", loads.integrity());
            measurements.set_value("mixed_content", loads.mixed());
            if page.is_whole {
                return;
            }
            Unknown::new(Reason::NotObserved, "the page was not read to its end")
        }
    };
    for set in
        ["sri.missing", "mixed_content.active", "mixed_content.passive", "mixed_content.forms"]
    {
        measurements.set_unknown(set, why.clone());
    }
    if answer.body.page.is_none() {
        measurements.set_unknown("sri", why.clone());
        measurements.set_unknown("mixed_content", why);
    }
}

/// What the further requests came to. What was not asked this time is not there; of what was asked
/// in part, the rest is unknown.
pub(super) fn further(asked: &[Asked], now: DateTime<Utc>, measurements: &mut Measurements) {
    let find = |extra: Extra| asked.iter().find(|one| one.extra == extra);
    let sharing = cors::read(asked);
    if asked.iter().any(|one| matches!(one.extra, Extra::Cors(..))) {
        if sharing.len() < 2 * Origin::ALL.len() {
            measurements.set_unknown("cors", Reason::NotObserved);
        }
        measurements.set("cors", sharing);
    }
    if asked.iter().any(|one| matches!(one.extra, Extra::Exposure(_))) {
        let (found, whole) = (exposures::read(asked), exposures::is_whole(asked));
        if !whole || found.is_none() {
            measurements.set_unknown("exposures", Reason::NotObserved);
        }
        measurements.set("exposures", found);
    }
    let mut set = |key: &str, extra: Extra, read: &dyn Fn(&Answer) -> Value| {
        let Some(one) = find(extra) else { return };
        let usable = one
            .answer
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|answer| usable::judge_further(answer).map(|()| answer));
        match usable {
            Ok(answer) => match read(answer) {
                Value::Null => measurements.set_unknown(key, none("the answer does not say")),
                told => measurements.set_value(key, told),
            },
            Err(unknown) => measurements.set_unknown(key, unknown),
        }
    };
    set("security_txt", Extra::SecurityTxt, &|answer| security_txt::read(answer, now));
    set("trace", Extra::Trace, &|answer| {
        let echoes = answer.body.start.windows(5).any(|window| window == b"TRACE");
        json!(answer.head.status == 200 && echoes)
    });
    set("methods", Extra::Cors(CorsMethod::Options, Origin::Foreign), &|answer| {
        let allowed = answer.head.fields.joined("allow");
        let methods = |allowed: String| -> Vec<String> {
            let words = allowed.split(',').map(|word| text::clean(word.trim(), 32));
            words.filter(|word| !word.is_empty()).take(MAX_METHODS).collect()
        };
        json!(allowed.map(methods))
    });
    set("compression", Extra::Compressed, &|answer| {
        let encoding = answer.head.fields.joined("content-encoding").unwrap_or_default();
        json!(text::clean(&encoding.to_ascii_lowercase(), 64))
    });
    let is_there = |answer: &Answer| matches!(answer.head.status, 200..=299 | 301..=308);
    let control = find(Extra::ChangePasswordControl).and_then(|one| one.answer.as_ref().ok());
    if let Some(control) = control {
        let answers_everything = is_there(control);
        set("change_password", Extra::ChangePassword, &|answer| {
            json!(is_there(answer) && !answers_everything)
        });
    }
}

const MAX_METHODS: usize = 32;
