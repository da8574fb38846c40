//! What a target is expected to show, put together from its sources: the block's own pins, then its
//! `expect` files in their order. Where two differ the first stands, and the other is told of.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::config::at::At;
use crate::config::context::Context;
use crate::config::expect::parse_expectations;
use crate::config::file::Keys;
use crate::target::{Expectation, PinType, Pins, TextFile};

/// The pins of a block and of its `expect` files.
pub(super) fn pins(context: &mut Context<'_>, keys: &Keys) -> Option<Pins> {
    let mut joined = Joined::default();
    if let Some(at) = &keys.pins {
        for fault in at.value.check() {
            context.error(&at.span, fault.to_string());
        }
        joined.add(context, &at.span, "`pins`", at.value.clone());
    }
    for at in keys.expect.iter().flat_map(|list| &list.items) {
        let Some((path, pins)) = source(context, at) else { continue };
        joined.add(context, &at.span, &path, pins);
    }
    let first = keys.pins.as_ref().map(|at| &at.span);
    let first = first.or_else(|| keys.expect.as_ref().map(|list| &list.span))?;
    Some(seen_here(context, first, &joined.pins()))
}

/// What the pins come to at this vantage, with a remark where that is nothing: a name may be wrong.
fn seen_here(context: &mut Context<'_>, span: &Range<usize>, pins: &Pins) -> Pins {
    let vantage = Arc::clone(&context.vantage);
    let mut elsewhere = pins.elsewhere(&vantage);
    if let Some((name, kind)) = elsewhere.next() {
        let more = match elsewhere.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let kind = kind.as_str();
        context.note(span, format!("pin {name} {kind}{more}: nothing for the vantage `{vantage}`"));
    }
    pins.seen_from(&vantage)
}

/// One file's pins. One that cannot be read any more keeps what it last said, where somebody
/// remembers it.
fn source(context: &mut Context<'_>, at: &At<String>) -> Option<(String, Pins)> {
    let path = context.path(&at.value);
    let shown = path.display().to_string();
    let read = context.source_file(&path).and_then(|file| {
        let pins = parse_expectations(&file).map_err(|error| format!("{shown}: {error}"))?;
        Ok((file, pins))
    });
    match read {
        Ok((file, pins)) => {
            context.files.keep_good(&file);
            Some((shown, pins))
        }
        Err(error) => {
            let Some(text) = context.files.last_good(&path) else {
                context.error(&at.span, error);
                return None;
            };
            let pins = parse_expectations(&TextFile { path, text }).ok()?;
            context.note(&at.span, format!("{error}; what it last said stands"));
            Some((shown, pins))
        }
    }
}

/// Pins by normal name and type, each with the source it came from.
#[derive(Default)]
struct Joined(BTreeMap<(String, PinType), (String, Expectation)>);

impl Joined {
    fn add(&mut self, context: &mut Context<'_>, span: &Range<usize>, source: &str, pins: Pins) {
        let mut conflicts = 0;
        for (name, types) in pins.0 {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            for (kind, pin) in types {
                let subject = format!("{name} {}", kind.as_str());
                let key = (name.clone(), kind);
                let Some((first, stands)) = self.0.get(&key) else {
                    self.0.insert(key, (source.to_owned(), pin));
                    continue;
                };
                if stands.says_the_same(&pin) {
                    continue;
                }
                conflicts += 1;
                if conflicts <= MAX_TOLD {
                    let message = match first == source {
                        true => format!("{source} pins {subject} twice; the first stands"),
                        false => {
                            format!("{source} pins {subject} otherwise than {first}, which stands")
                        }
                    };
                    context.note(span, message);
                }
            }
        }
        if conflicts > MAX_TOLD {
            let more = conflicts - MAX_TOLD;
            context
                .note(span, format!("{source} differs from other sources in {more} more pin(s)"));
        }
    }

    fn pins(self) -> Pins {
        let mut pins = Pins::default();
        for ((name, kind), (_, pin)) in self.0 {
            pins.0.entry(name).or_default().insert(kind, pin);
        }
        pins
    }
}

/// Conflicts of one source that are told one by one.
const MAX_TOLD: usize = 20;
