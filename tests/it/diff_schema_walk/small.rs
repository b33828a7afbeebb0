//! Small documents around one place of a large one: each compares in no time, where the large one tells thousands of callers apart.

use serde_json::Value;

/// The fields that every policy has.
const ALWAYS: [&str; 4] = ["version", "service", "upstream", "routes"];

/// Lists of which a small document has the one item that matters, or else the first one.
const ONE_OF: [&str; 4] = ["routes", "jwt/issuers", "internal_key/keys", "mtls/allow"];

/// Lists that a small document has only if they matter, and then the one item that does.
const NONE_OR_ONE_OF: [&str; 3] = ["jwt/sources", "routes/0/when", "jwt/issuers/0/when"];

/// A document, and the place in it that matters.
#[derive(Clone)]
pub(crate) struct Small {
    pub(crate) document: Value,
    pub(crate) pointer: String,
}

/// Makes small documents around a place: with each route if it is in none, and first with few other blocks.
pub(crate) fn around<'d>(
    document: &'d Value,
    pointer: &'d str,
    is_accepted: &'d impl Fn(&Value) -> bool,
) -> impl Iterator<Item = Small> {
    let steps: Vec<&str> = pointer.split('/').skip(1).collect();
    let routes = document["routes"].as_array().unwrap();
    let routes = match steps[0] == "routes" {
        true => vec![routes.clone()],
        false => routes.iter().map(|route| vec![route.clone()]).collect(),
    };
    let sizes = [true, false];
    let all = sizes
        .into_iter()
        .flat_map(move |is_small| routes.clone().into_iter().map(move |routes| (is_small, routes)));
    all.filter_map(move |(is_small, routes)| {
        let mut document = document.clone();
        document["routes"] = Value::Array(routes);
        let small = with_few_items(document, &steps);
        if !is_accepted(&small.document) {
            return None;
        }
        let few = with_few_blocks(small.clone(), steps[0], is_accepted);
        match is_small {
            true => Some(few),
            false => Some(small).filter(|small| small.document != few.document),
        }
    })
}

/// Leaves out the items of lists that have nothing to do with a place.
fn with_few_items(mut document: Value, steps: &[&str]) -> Small {
    let mut steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
    for (list, may_be_gone) in ONE_OF
        .iter()
        .map(|list| (list, false))
        .chain(NONE_OR_ONE_OF.iter().map(|list| (list, true)))
    {
        let path: Vec<&str> = list.split('/').collect();
        let pointer = format!("/{list}");
        let Some(items) = document.pointer(&pointer).and_then(Value::as_array).cloned() else {
            continue;
        };
        let leads_here = steps.len() >= path.len() && steps.iter().zip(&path).all(|(step, part)| step == part);
        let kept: Vec<usize> = match steps.get(path.len()).filter(|_| leads_here) {
            // The place is in an item. One place for tokens is not all.
            Some(index) if steps.len() > path.len() + 1 && !may_be_gone => vec![index.parse().unwrap()],
            // The place is an item, and another one stays if it goes.
            Some(index) => {
                let index = index.parse().unwrap();
                std::iter::once(index)
                    .chain((0..items.len()).find(|other| *other != index))
                    .collect()
            }
            None if leads_here => (0..items.len().min(2)).collect(),
            None if may_be_gone => Vec::new(),
            None => vec![0],
        };
        if let Some(index) = steps.get_mut(path.len()).filter(|_| leads_here) {
            "0".clone_into(index);
        }
        if kept.is_empty() {
            remove(&mut document, &pointer);
        } else {
            let kept = kept.into_iter().map(|index| items[index].clone()).collect();
            *document.pointer_mut(&pointer).unwrap() = Value::Array(kept);
        }
    }
    Small {
        document,
        pointer: format!("/{}", steps.join("/")),
    }
}

fn remove(document: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .unwrap()
        .remove(name);
}

/// Leaves out all blocks that neither the document nor one of its blocks needs.
fn with_few_blocks(mut small: Small, block: &str, is_accepted: impl Fn(&Value) -> bool) -> Small {
    let names: Vec<_> = small.document.as_object().unwrap().keys().cloned().collect();
    let is_other = |name: &&String| *name != block && !ALWAYS.contains(&name.as_str());
    let mut others: Vec<&String> = names.iter().filter(is_other).collect();
    for kept in [None, Some("jwt")] {
        let (kept, gone): (Vec<_>, Vec<_>) = others.iter().partition(|name| kept == Some(name.as_str()));
        if let Some(smaller) = without(&small.document, &gone, &is_accepted) {
            small.document = smaller;
            others = kept;
        }
    }
    for name in others {
        if let Some(smaller) = without(&small.document, &[name], &is_accepted) {
            small.document = smaller;
        }
    }
    small
}

/// Leaves out some blocks, if a document is accepted without them.
fn without(document: &Value, blocks: &[&String], is_accepted: impl Fn(&Value) -> bool) -> Option<Value> {
    let mut smaller = document.clone();
    for block in blocks {
        smaller.as_object_mut().unwrap().remove(*block);
    }
    is_accepted(&smaller).then_some(smaller)
}
