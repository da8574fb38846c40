//! Content-Security-Policy as the Observatory reads it: all policies merged into one by comparing
//! texts, and the merged one judged.

use std::collections::{BTreeSet, HashMap};

use percent_encoding::percent_decode_str;

use super::Scan;

/// What the test comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Judged {
    pub(super) key: &'static str,
    /// Whether the merged policy has `frame-ancestors`; false where it could not be read.
    pub(super) has_frame_ancestors: bool,
}

/// The test.
pub(super) fn judge(scan: &Scan<'_>) -> Judged {
    let not_read = |key| Judged { key, has_frame_ancestors: false };
    let Some(response) = &scan.auto else { return not_read("csp-not-implemented") };
    let sent = policies(response.fields.all("content-security-policy"));
    let page = scan.declaring_page();
    let declared = policies(page.iter().flat_map(|page| page.policies.iter().map(|p| &**p)));
    let all: Vec<&str> = sent.iter().chain(&declared).copied().collect();
    let Ok(mut merged) = Merged::of(&all) else { return not_read("csp-header-invalid") };
    // Where the page declares nothing, its fields are all there is.
    let is_empty = match declared.is_empty() {
        true => merged.sets.is_empty(),
        false => Merged::of(&sent).unwrap_or_default().sets.is_empty(),
    };
    let of_page = Merged::of(&declared).unwrap_or_default();
    let mut of_page = of_page.sets.iter().filter(|(name, _)| !NOT_IN_META.contains(&&**name));
    if is_empty && of_page.next().is_none() {
        let reports = response.fields.joined("content-security-policy-report-only");
        return not_read(match reports.is_some_and(|value| !value.is_empty()) {
            true => "csp-not-implemented-but-reporting-enabled",
            false => "csp-not-implemented",
        });
    }
    let key = merged.judge(scan.is_https);
    Judged { key, has_frame_ancestors: merged.find("frame-ancestors").is_some() }
}

fn policies<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    texts.flat_map(|text| text.split(',')).take(MAX_POLICIES).map(str::trim).collect()
}

/// The policies as one: the sources of each directive.
#[derive(Debug, Default)]
struct Merged {
    sets: Vec<(String, BTreeSet<String>)>,
    /// Whether `report-uri` or `report-to` stands twice in a policy.
    has_repeats: bool,
}

/// The policies while they are being merged.
#[derive(Debug, Default)]
struct Merging {
    directives: Vec<(String, Vec<Entry>)>,
    places: HashMap<String, usize>,
    has_repeats: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    text: String,
    policy: usize,
    keep: bool,
}

/// The policies cannot be read.
struct Unreadable;

impl Merging {
    fn add(&mut self, index: usize, policy: &str, is_one_of_many: bool) -> Result<(), Unreadable> {
        let mut seen = BTreeSet::new();
        for part in policy.split(';') {
            let mut words = part.split_whitespace();
            let Some(name) = words.next().map(str::to_lowercase) else { continue };
            if !seen.insert(name.clone()) {
                if !matches!(&*name, "report-uri" | "report-to") {
                    return Err(Unreadable);
                }
                self.has_repeats = true;
            }
            let entry = |text: String| Entry { text, policy: index, keep: index == 0 };
            let mut values: Vec<Entry> = words.map(|word| entry(word.to_lowercase())).collect();
            if values.is_empty() && name.ends_with("-src") {
                values.push(entry(NONE.to_owned()));
            }
            let place = self.places.get(&name).copied();
            let mut sources = match place {
                Some(place) if index > 0 => self.directives[place].1.clone(),
                _ => Vec::new(),
            };
            sources.extend(values);
            let mut sources = narrowed(sources)?;
            if index == 0 && is_one_of_many {
                sources.iter_mut().for_each(|source| source.keep = false);
            }
            match place {
                Some(place) => self.directives[place].1 = sources,
                None => {
                    self.places.insert(name.clone(), self.directives.len());
                    self.directives.push((name, sources));
                }
            }
        }
        Ok(())
    }
}

impl Merged {
    fn of(policies: &[&str]) -> Result<Self, Unreadable> {
        let mut merging = Merging::default();
        for (index, policy) in policies.iter().enumerate() {
            let policy = policy.replace(['\r', '\n'], "");
            let policy = policy.trim();
            if policy.encode_utf16().take(SHORTEST).count() < SHORTEST {
                return Err(Unreadable);
            }
            merging.add(index, policy, policies.len() > 1)?;
        }
        let set = |sources: Vec<Entry>| match sources.is_empty() {
            true => BTreeSet::from([NONE.to_owned()]),
            false => sources.into_iter().map(|source| source.text).collect(),
        };
        let sets = merging.directives.into_iter().map(|(name, list)| (name, set(list))).collect();
        Ok(Self { sets, has_repeats: merging.has_repeats })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.sets.iter().position(|(known, _)| known == name)
    }

    /// The place of the directive that governs: its own, or `default-src`.
    fn governing(&self, name: &str) -> Option<usize> {
        self.find(name).or_else(|| self.find("default-src"))
    }

    /// The sources at a place; everything where there is no directive.
    fn sources(&self, place: Option<usize>) -> BTreeSet<&str> {
        match place {
            None => BTreeSet::from(["*"]),
            Some(place) => self.sets[place].1.iter().map(|source| &**source).collect(),
        }
    }

    fn remove(&mut self, place: Option<usize>, goes: impl Fn(&str) -> bool) {
        if let Some(place) = place {
            self.sets[place].1.retain(|source| !goes(source));
        }
    }

    fn judge(&mut self, is_https: bool) -> &'static str {
        let script = self.governing("script-src");
        let style = self.governing("style-src");
        for place in [script, style] {
            if has_nonce_or_hash(&self.sources(place)) {
                self.remove(place, |source| source == UNSAFE_INLINE);
            }
        }
        let is_dynamic = self.sources(script).contains("'strict-dynamic'");
        let is_void = is_dynamic && !has_nonce_or_hash(&self.sources(script));
        if is_dynamic && !is_void {
            self.remove(script, |source| {
                BROAD.iter().any(|broad| source.starts_with(broad))
                    || matches!(source, "'self'" | UNSAFE_INLINE)
            });
        }
        if is_void {
            return "csp-header-invalid";
        }
        let key = self.rank(script, style, is_https);
        if self.has_repeats && REPEATS_TOLD.contains(&key) {
            return "csp-implemented-but-duplicate-directives";
        }
        key
    }

    fn rank(&self, script: Option<usize>, style: Option<usize>, is_https: bool) -> &'static str {
        let scripts = self.sources(script);
        let styles = self.sources(style);
        let objects = self.sources(self.governing("object-src"));
        let is_broad = |source: &&str| BROAD.contains(source);
        let is_unsafe =
            |source: &&str| is_broad(source) || matches!(*source, UNSAFE_INLINE | "data:");
        let is_plain = |source: &str| source.starts_with("http:") || source.starts_with("ftp:");
        if scripts.iter().any(is_unsafe) || objects.iter().any(is_broad) {
            return "csp-implemented-with-unsafe-inline";
        }
        let mut active = self
            .sets
            .iter()
            .filter(|(name, _)| !matches!(&**name, "img-src" | "media-src" | "script-src"));
        let is_active_plain = scripts.iter().any(|source| is_plain(source))
            || active.any(|(_, sources)| sources.iter().any(|source| is_plain(source)));
        if is_https && is_active_plain {
            return "csp-implemented-with-insecure-scheme";
        }
        if scripts.contains("'unsafe-eval'") || styles.contains("'unsafe-eval'") {
            return "csp-implemented-with-unsafe-eval";
        }
        let is_passive_plain = ["img-src", "media-src"].into_iter().any(|name| {
            self.governing(name).is_some_and(|p| self.sources(Some(p)).iter().any(|s| is_plain(s)))
        });
        if is_https && is_passive_plain {
            return "csp-implemented-with-insecure-scheme-in-passive-content-only";
        }
        if styles.iter().any(is_unsafe) {
            return "csp-implemented-with-unsafe-inline-in-style-src-only";
        }
        let default = self.find("default-src").map(|place| self.sources(Some(place)));
        if default.is_some_and(|sources| sources == BTreeSet::from([NONE])) {
            "csp-implemented-with-no-unsafe-default-src-none"
        } else {
            "csp-implemented-with-no-unsafe"
        }
    }
}

/// What the Observatory keeps of a directive: of one policy what no shorter source begins, of
/// several what stands in the one before as well, each told by its neighbour in the sorted list.
fn narrowed(mut sources: Vec<Entry>) -> Result<Vec<Entry>, Unreadable> {
    sources.sort_by(|a, b| collation(&a.text).cmp(collation(&b.text)));
    for at in 1..sources.len() {
        let (before, rest) = sources.split_at_mut(at);
        let (prev, source) = (&before[at - 1], &mut rest[0]);
        if source.policy == prev.policy {
            if source.text.starts_with(&prev.text) {
                source.keep = false;
            }
        } else if paths_match(&prev.text, &source.text)? {
            source.keep = true;
        }
    }
    sources.retain(|source| source.keep);
    Ok(sources)
}

/// Whether the second lies under the first, piece by piece. A piece that does not decode spoils the
/// whole.
fn paths_match(first: &str, second: &str) -> Result<bool, Unreadable> {
    if first.is_empty() || (first == "/" && second.is_empty()) {
        return Ok(true);
    }
    let is_folder = first.ends_with('/');
    let mut pieces: Vec<&str> = first.split('/').collect();
    let others: Vec<&str> = second.split('/').collect();
    if pieces.len() > others.len() || (!is_folder && pieces.len() != others.len()) {
        return Ok(false);
    }
    if is_folder {
        pieces.pop();
    }
    for (piece, other) in pieces.iter().zip(&others) {
        if decoded(piece)? != decoded(other)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// JavaScript's `decodeURIComponent`.
fn decoded(piece: &str) -> Result<String, Unreadable> {
    let is_escaped = |at: usize| {
        piece
            .as_bytes()
            .get(at + 1..at + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    };
    if !piece.match_indices('%').all(|(at, _)| is_escaped(at)) {
        return Err(Unreadable);
    }
    percent_decode_str(piece).decode_utf8().map(|text| text.into_owned()).map_err(|_| Unreadable)
}

/// The order of the root collation (CLDR) for what stands in a policy.
fn collation(text: &str) -> impl Iterator<Item = (usize, char)> {
    let place = |c: char| usize::try_from(u32::from(c)).ok().and_then(|at| PLACES.get(at));
    text.chars().map(move |c| (place(c).map_or(ORDER.len(), |place| usize::from(*place)), c))
}

fn has_nonce_or_hash(sources: &BTreeSet<&str>) -> bool {
    let starts = ["'nonce-", "'sha256-", "'sha384-", "'sha512-"];
    sources.iter().any(|source| starts.iter().any(|start| source.starts_with(start)))
}

const ORDER: &[u8] = b"_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz";

/// Where each byte of ASCII stands in the order; what is not in it comes last.
static PLACES: [u8; 128] = {
    let mut places = [ORDER.len() as u8; 128];
    let mut at = 0;
    while at < ORDER.len() {
        places[ORDER[at] as usize] = at as u8;
        at += 1;
    }
    places
};

const NONE: &str = "'none'";
const UNSAFE_INLINE: &str = "'unsafe-inline'";

const BROAD: [&str; 8] =
    ["ftp:", "http:", "https:", "*", "http://*", "http://*.*", "https://*", "https://*.*"];

const NOT_IN_META: [&str; 3] = ["frame-ancestors", "report-uri", "sandbox"];

const REPEATS_TOLD: [&str; 4] = [
    "csp-implemented-with-no-unsafe",
    "csp-implemented-with-no-unsafe-default-src-none",
    "csp-implemented-with-unsafe-inline-in-style-src-only",
    "csp-implemented-with-insecure-scheme-in-passive-content-only",
];

/// Nobody sends as many; merging them takes time that grows with their square.
const MAX_POLICIES: usize = 64;

/// The shortest policy that is taken for one.
const SHORTEST: usize = 6;
