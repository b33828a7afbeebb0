//! JSON Web Key Sets (RFC 7517), read with every check that the library leaves to us.

use serde::Deserialize;
use serde_json::Value;

use super::{Algorithm, KeyNames, KeyProblem, KeySet, MAX_KEYS};

mod encoding;
mod entry;
mod purpose;

use entry::{Entry, Jwk};
use purpose::Purpose;

/// How many reasons are listed of a set that leaves no key.
const REASONS: usize = 4;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// Whether shared secrets may stand in a set. Never in one that comes over a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They may, if no public key stands beside them.
    Allow,
    /// They may not.
    Refuse,
}

/// A key set and why some of its keys are not used.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The keys in use.
    pub set: KeySet,
    /// What is wrong with others, in the order of the file.
    pub refused: Vec<KeyProblem>,
    /// What is odd about keys, used or not, and not wrong enough to reject the set.
    pub notes: Vec<KeyProblem>,
    /// Which keys are meant for something else.
    unused: Vec<String>,
}

/// Reads a key set for an issuer that signs with some algorithms. Keys meant for something else
/// are passed over; keys that are weak or contradict themselves are rejected one by one.
pub fn parse(json: &[u8], algorithms: &[Algorithm], secrets: Secrets) -> Result<Loaded, KeyProblem> {
    let document: Document = serde_json::from_slice(json)
        .map_err(|error| KeyProblem::new(format!("this is not a JWKS: {}", describe(&error))))?;
    if document.keys.len() > MAX_KEYS {
        return Err(KeyProblem::new(format!("the set has more than {MAX_KEYS} keys")));
    }
    let is_secret = |key: &Value| key.get("kty").and_then(Value::as_str) == Some("oct");
    let may_be_secret = secrets == Secrets::Allow && document.keys.iter().all(is_secret);
    let mut loaded = Loaded::default();
    let mut entries = Vec::new();
    for at in 0..document.keys.len() {
        let name = name(&document.keys, at);
        let Some(jwk) = document.keys.get(at).and_then(Jwk::of) else {
            let problem = KeyProblem::new("this is not a JSON object");
            loaded.refused.push(problem.of_key(&name));
            continue;
        };
        match Purpose::of(&jwk) {
            Ok(Purpose::Signatures) => entries.push(jwk.entry(name, algorithms, may_be_secret)),
            Ok(Purpose::Other(what)) => loaded.unused.push(format!("{name} {what}")),
            Ok(Purpose::Unknown(problem)) => loaded.notes.push(problem.of_key(&name)),
            Err(problem) => loaded.refused.push(problem.of_key(&name)),
        }
    }
    let clashes: Vec<_> = entries.iter().map(|entry| entry.clash(&entries)).collect();
    for (entry, clash) in entries.into_iter().zip(clashes) {
        loaded.add(entry, clash);
    }
    Ok(loaded)
}

impl Loaded {
    /// Binds a key to the algorithms that it serves, unless another key claims one of them.
    fn add(&mut self, entry: Entry, clash: Option<Algorithm>) {
        let Entry { name, id, serves, key } = entry;
        if let Some(algorithm) = clash {
            let problem = KeyProblem::ambiguous(algorithm.name());
            self.refused.push(problem.of_key(&name));
            return;
        }
        let bound = key.and_then(|read| {
            if serves.is_empty() {
                // A key for an algorithm that the issuer does not use here is not a fault.
                self.unused.push(format!("{name} {}", read.describe));
                return Ok(());
            }
            let names = KeyNames {
                id: id.as_deref(),
                issuer: read.issuer.as_deref(),
            };
            self.set.bind(names, read.material, &read.key, &serves)?;
            let odd = Some(read.misspelt).filter(|members| !members.is_empty());
            let note = odd.map(|members| KeyProblem::misspelt(&members).of_key(&name));
            self.notes.extend(note);
            Ok(())
        });
        self.refused.extend(bound.err().map(|problem| problem.of_key(&name)));
    }

    /// Says why the set has no key for an issuer. The set is empty.
    pub fn why_empty(&self) -> String {
        let problems = self.refused.iter().chain(&self.notes);
        let mut reasons: Vec<_> = problems.map(ToString::to_string).collect();
        reasons.extend(self.unused.iter().cloned());
        let more = reasons.len().saturating_sub(REASONS);
        reasons.truncate(REASONS);
        if reasons.is_empty() {
            reasons.push("it is empty".to_owned());
        }
        if more > 0 {
            reasons.push(format!("{more} more"));
        }
        let reasons = reasons.join("; ");
        format!("the set has no key for the algorithms of the issuer: {reasons}")
    }
}

/// What messages call a key: by its id and, if others have the same or none, by its place.
fn name(keys: &[Value], at: usize) -> String {
    const SHOWN: usize = 64;
    let id = |key: &Value| key.get("kid").and_then(Value::as_str).map(str::to_owned);
    let number = at + 1;
    let Some(own) = keys.get(at).and_then(id) else {
        return format!("key number {number} of the set");
    };
    let mut shown: String = own.chars().take(SHOWN).collect();
    if shown.len() < own.len() {
        shown.push('…');
    }
    let shown = shown.escape_debug();
    match keys.iter().filter(|key| id(key).as_ref() == Some(&own)).count() {
        1 => format!("key `{shown}`"),
        _ => format!("key `{shown}` (number {number})"),
    }
}

/// What the parser found, without quoting the input.
fn describe(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a member is missing or of the wrong type",
        _ => "it is not JSON",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}
