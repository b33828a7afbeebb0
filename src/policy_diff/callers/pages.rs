//! The pages that requests come from, and what browsers ask for them before they send one.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderName, HeaderValue, Method};

use super::pair::{MethodClass, Pair};
use super::parts::{OWN_ORIGIN, Patch, Sent};
use super::rules::UNNAMED;
use super::space::{Aspect, Dimension, Label, Variant};
use crate::authn::sources::SEC_FETCH_SITE;
use crate::policy::cors::{AllowedOrigin, Cors};

/// What cookies have to do with the page of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookies {
    /// Nothing: no side reads them.
    Unread,
    /// There may be one without a token.
    Possible,
    /// The token is in one, which counts if the page is the own one of the service.
    Token,
}

/// The words of browsers for how a page is related to the host.
const SITES: [&str; 5] = ["same-origin", "none", "same-site", "cross-site", UNNAMED];

/// A page, or that there is none.
type Page = Vec<Sent>;

/// Returns the pages, with what else browsers say of them: each is of one kind only together with it. `taken` returns the
/// values that conditions compare.
pub(super) fn dimension(
    pair: &Pair<'_>,
    method: MethodClass,
    methods: &[Method],
    cookies: Cookies,
    mut taken: impl FnMut(&HeaderName) -> Vec<Variant>,
) -> Option<Dimension> {
    let reads_cookies = cookies != Cookies::Unread;
    let differs = !pair.has_same_policy(|policy| &policy.cors);
    if !(reads_cookies || differs || method.asks) {
        return None;
    }
    let mut pages: Vec<Page> = vec![Vec::new(), vec![Sent::Value(OWN_ORIGIN)]];
    let compared = taken(&ORIGIN).into_iter().flat_map(|variant| variant.patches);
    let compared = compared.filter_map(|patch| match patch {
        Patch::Header(_, values) => Some(values),
        _ => None,
    });
    for page in origins(pair)
        .into_iter()
        .map(|origin| vec![Sent::Value(origin)])
        .chain(compared)
    {
        if !pages.contains(&page) {
            pages.push(page);
        }
    }
    if cookies == Cookies::Token {
        pages.swap(0, 1);
    }
    let mut variants: Vec<Variant> = Vec::new();
    for page in &pages {
        let usual = variants.is_empty();
        variants.push(variant(page, &[], if usual { Label::None } else { label(page) }));
    }
    let compares_site = !taken(&SEC_FETCH_SITE).is_empty();
    if reads_cookies || compares_site {
        for (page, site) in pages.iter().flat_map(|page| SITES.map(|site| (page, site))) {
            let words = format!("{}, with `sec-fetch-site: {site}`", words(page));
            variants.push(variant(page, &[(&SEC_FETCH_SITE, site)], Label::When(words)));
        }
    }
    if method.asks {
        for (page, asked) in pages
            .iter()
            .flat_map(|page| methods.iter().map(move |asked| (page, asked)))
        {
            let words = format!("{}, asking whether it may send {asked}", words(page));
            let header = [(&ACCESS_CONTROL_REQUEST_METHOD, asked.as_str())];
            variants.push(variant(page, &header, Label::When(words)));
        }
    }
    let names = vec![ORIGIN, SEC_FETCH_SITE, ACCESS_CONTROL_REQUEST_METHOD];
    Some(Dimension::new(Aspect::Page(names), variants))
}

fn variant(page: &Page, others: &[(&HeaderName, &str)], label: Label) -> Variant {
    let others = others.iter().map(|(name, value)| Patch::header(name, value));
    let patches = std::iter::once(Patch::Header(ORIGIN, page.clone())).chain(others);
    Variant::of(patches.collect(), label)
}

fn label(page: &Page) -> Label {
    Label::Header("origin".to_owned(), text(page))
}

fn text(page: &Page) -> Option<String> {
    match page.as_slice() {
        [] => None,
        [Sent::Value(origin)] if *origin == OWN_ORIGIN => Some("its own".to_owned()),
        [Sent::Value(origin)] => Some(String::from_utf8_lossy(origin.as_bytes()).into_owned()),
        _ => Some("twice".to_owned()),
    }
}

fn words(page: &Page) -> String {
    match text(page) {
        None => "from no page".to_owned(),
        Some(origin) => format!("from a page of `{origin}`"),
    }
}

/// Returns origins that the entries of both sides tell apart: those that are listed, one for each pattern that no entry lists,
/// and others.
fn origins(pair: &Pair<'_>) -> Vec<HeaderValue> {
    let lists: Vec<&Cors> = pair.policies().filter_map(|policy| policy.cors.as_ref()).collect();
    let entries = || lists.iter().flat_map(|cors| &cors.origins);
    let is_listed =
        |origin: &HeaderValue| entries().any(|entry| matches!(entry, AllowedOrigin::Exact(known) if known == origin));
    let is_fresh = |origin: &HeaderValue| {
        let is_pattern = |entry: &&AllowedOrigin| matches!(entry, AllowedOrigin::Subdomain(_));
        !is_listed(origin)
            && !entries()
                .filter(is_pattern)
                .any(|entry| entry.is_for(origin.as_bytes()))
    };
    let mut found = Vec::new();
    for entry in entries() {
        found.extend(match entry {
            AllowedOrigin::Any => None,
            AllowedOrigin::Exact(origin) => Some(origin.clone()),
            AllowedOrigin::Subdomain(end) => numbered("a-page", end).find(|origin| !is_listed(origin)),
        });
    }
    found.extend(numbered("other", ".example").find(|origin| is_fresh(origin)));
    found.push(HeaderValue::from_static("null"));
    found
}

/// Returns one origin after the other that begin and end alike.
fn numbered(start: &str, end: &str) -> impl Iterator<Item = HeaderValue> {
    let texts = (0..).map(move |number: u32| match number {
        0 => format!("https://{start}{end}"),
        number => format!("https://{start}-{number}{end}"),
    });
    texts.filter_map(|text| HeaderValue::from_str(&text).ok())
}
