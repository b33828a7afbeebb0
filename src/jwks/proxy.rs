//! The proxy that key sets are fetched through: read from the variables that other programs know, too. Connects to
//! nothing.
//!
//! `HTTPS_PROXY` names it, and `NO_PROXY` the hosts that are reached without it. The rules are those of curl
//! (`CURLOPT_NOPROXY`) and of Go (`golang.org/x/net/http/httpproxy`): upper case comes first, as in Go; a leading dot
//! of a suffix has no meaning, as in curl; ports and networks are as in Go. `HTTP_PROXY` and `ALL_PROXY` are not used.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use ipnet::IpNet;

use crate::document::environment::Environment;
use crate::document::masks::HIDDEN;
use crate::policy_files::ProcessEnvironment;
use crate::request::is_host;

/// The variables with the proxy, and with the hosts without it. The first one that is set counts.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

const FORM: &str = "write `http://host:port`, or `http://user:password@host:port`";

/// The proxy of a process, if it has one.
#[derive(Debug, Clone, Default)]
pub struct KeyProxy(Option<Arc<Settings>>);

#[derive(Debug)]
struct Settings {
    proxy: Proxy,
    exempt: Vec<Exempt>,
}

/// A proxy that opens tunnels.
pub struct Proxy {
    /// Its host, without brackets.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Whether the connection to the proxy itself is TLS.
    pub(super) tls: bool,
    /// What proves who asks (RFC 7617).
    pub(super) authorization: Option<HeaderValue>,
    shown: String,
}

/// Shows the URL, without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Hosts that are reached without the proxy, on one port or on all.
#[derive(Debug, PartialEq, Eq)]
enum Exempt {
    All,
    Network(IpNet, Option<u16>),
    /// A host and all hosts below it.
    Host(String, Option<u16>),
}

impl KeyProxy {
    /// Reads the variables of this process.
    pub fn from_process() -> Result<Self, String> {
        for name in PROXY.iter().chain(&NO_PROXY) {
            if std::env::var_os(name).is_some_and(|value| value.to_str().is_none()) {
                return Err(format!("the variable `{name}` is not UTF-8: {FORM}"));
            }
        }
        Self::from_environment(&ProcessEnvironment)
    }

    /// Reads the variables. A value that cannot be used is an error, which never shows it.
    fn from_environment(environment: &dyn Environment) -> Result<Self, String> {
        let first = |names: [&'static str; 2]| {
            let mut values = names.into_iter().map(|name| (name, environment.variable(name)));
            values.find_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
        };
        let Some((name, value)) = first(PROXY) else {
            return Ok(Self(None));
        };
        let proxy = Proxy::parse(&value).map_err(|what| format!("the variable `{name}` {what}: {FORM}"))?;
        let exempt = match first(NO_PROXY) {
            Some((name, value)) => exempt(&value).map_err(|what| format!("the variable `{name}` {what}"))?,
            None => Vec::new(),
        };
        Ok(Self(Some(Arc::new(Settings { proxy, exempt }))))
    }

    /// Returns the proxy for a URL: none for plain http, this machine and the cluster.
    pub fn of(&self, uri: &Uri) -> Option<&Proxy> {
        let settings = self.0.as_deref()?;
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(443);
        let is_exempt = || settings.exempt.iter().any(|exempt| exempt.has(&host, port));
        let is_direct = uri.scheme_str() != Some("https") || is_near(&host) || is_exempt();
        (!is_direct).then_some(&settings.proxy)
    }

    /// Returns the proxy as text, to show it, for a discovery document and the key set that it names. Without a document
    /// so far, its key set counts as one of the same host.
    pub fn shown_for_both(&self, document: &str, set: Option<&str>) -> Option<String> {
        let (shown, is_one) = (self.shown_for(document), set.is_none());
        match (shown, set.and_then(|set| self.shown_for(set))) {
            (Some(proxy), None) if !is_one => Some(format!("{proxy} for the discovery document alone")),
            (None, Some(proxy)) => Some(format!("{proxy} for the key set alone")),
            (shown, _) => shown,
        }
    }

    /// Returns the proxy for a URL as text, to show it.
    pub fn shown_for(&self, url: &str) -> Option<String> {
        Some(self.of(&url.parse().ok()?)?.to_string())
    }
}

/// Whether a host is this machine, or a service of the Kubernetes cluster that this machine is in.
fn is_near(host: &str) -> bool {
    let below = |suffix: &str| host == suffix || host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    let address = host.parse::<IpAddr>().map(|address| address.to_canonical());
    // Resolvers take `127.1` and `0x7f000001` for addresses, too.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = address.is_err() && last.starts_with(|c: char| c.is_ascii_digit());
    let is_own = address.is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    ["localhost", "svc", "cluster.local"].into_iter().any(below) || is_own || is_number
}

impl Proxy {
    /// Reads a URL. Returns what is wrong with it, without any part of it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            // As curl and Go read it.
            false => format!("http://{text}"),
        };
        let uri: Uri = with_scheme.parse().map_err(|_| "is not the URL of a proxy")?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("names a proxy that speaks neither HTTP nor HTTPS"),
        };
        if uri.path() != "/" || uri.query().is_some() || text.contains('#') {
            return Err("has more than a host and a port");
        }
        let authority = uri.authority().ok_or("is not the URL of a proxy")?.as_str();
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        let host = uri.host().filter(|host| is_host(host)).ok_or("names no host")?;
        let port = uri.port_u16().filter(|port| *port > 0).ok_or("names no port")?;
        let scheme = if tls { "https" } else { "http" };
        let masked = user.map(|_| format!("{HIDDEN}@")).unwrap_or_default();
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            tls,
            authorization: user.map(authorization).transpose()?,
            shown: format!("{scheme}://{masked}{server}"),
        })
    }
}

/// The credentials of a URL as HTTP has them (RFC 7617, 2).
fn authorization(user: &str) -> Result<HeaderValue, &'static str> {
    const BAD: &str = "has a user or a password that cannot be read";
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let (name, password) = (decoded(name).ok_or(BAD)?, decoded(password).ok_or(BAD)?);
    let has_control = |text: &[u8]| text.iter().any(u8::is_ascii_control);
    if name.is_empty() || name.contains(&b':') || has_control(&name) || has_control(&password) {
        return Err(BAD);
    }
    let credentials = STANDARD.encode([name, password].join(&b':'));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}")).map_err(|_| BAD)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Decodes percent-encoding (RFC 3986, 2.1).
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    Some(bytes)
}

/// Reads the hosts that are reached without the proxy, between commas or spaces.
fn exempt(list: &str) -> Result<Vec<Exempt>, String> {
    let items = list
        .split([',', ' ', '\t'])
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let read = |(at, item)| {
        Exempt::parse(item).ok_or_else(|| {
            let number = at + 1;
            format!("has an item, number {number}, that is neither a host, an address nor a network, nor `*`")
        })
    };
    items.enumerate().map(read).collect()
}

impl Exempt {
    fn parse(item: &str) -> Option<Self> {
        if item == "*" {
            return Some(Self::All);
        }
        let address = |text: &str| {
            let text = text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'))
                .unwrap_or(text);
            text.parse::<IpAddr>()
                .ok()
                .map(|address| IpNet::from(address.to_canonical()))
        };
        if let Some(network) = item.parse().ok().or_else(|| address(item)) {
            return Some(Self::Network(network, None));
        }
        let (host, port) = match item.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)),
            None => (item, None),
        };
        if let Some(network) = address(host) {
            return Some(Self::Network(network, port));
        }
        let suffix = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        let suffix = suffix.strip_prefix('.').unwrap_or(suffix);
        let suffix = suffix.strip_suffix('.').unwrap_or(suffix).to_ascii_lowercase();
        is_host(&suffix).then_some(Self::Host(suffix, port))
    }

    /// Whether a host in lower case is reached without the proxy.
    fn has(&self, host: &str, port: u16) -> bool {
        let on_port = |own: &Option<u16>| own.is_none_or(|own| own == port);
        match self {
            Self::All => true,
            Self::Network(network, own) => {
                let address = host.parse::<IpAddr>().map(|address| address.to_canonical());
                on_port(own) && address.is_ok_and(|address| network.contains(&address))
            }
            Self::Host(suffix, own) => {
                let rest = host.strip_suffix(suffix.as_str());
                on_port(own) && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::environment::FixedEnvironment;

    fn read(variables: &[(&str, &str)]) -> Result<KeyProxy, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        KeyProxy::from_environment(&FixedEnvironment {
            variables: variables.collect(),
            files: Vec::new(),
        })
    }

    fn shown(variables: &[(&str, &str)]) -> Option<String> {
        read(variables).unwrap().shown_for("https://idp.example/keys")
    }

    #[test]
    fn proxy_is_named_by_one_variable_in_either_case() {
        const URL: &str = "http://proxy:3128";
        for (variables, want) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", "http://proxy:3128")], Some(URL)),
            (&[("https_proxy", "http://proxy:3128/")], Some(URL)),
            (&[("HTTPS_PROXY", URL), ("https_proxy", "http://other:1")], Some(URL)),
            (&[("HTTPS_PROXY", ""), ("https_proxy", URL)], Some(URL)),
            (&[("HTTPS_PROXY", "")], None),
            (&[("HTTPS_PROXY", "proxy:3128")], Some(URL)),
            (&[("HTTPS_PROXY", "https://proxy:3128")], Some("https://proxy:3128")),
            (&[("HTTPS_PROXY", "http://[::1]:3128")], Some("http://[::1]:3128")),
            (
                &[("HTTPS_PROXY", "http://u:hush@proxy:3128")],
                Some("http://***@proxy:3128"),
            ),
            (&[("HTTP_PROXY", URL), ("ALL_PROXY", URL), ("all_proxy", URL)], None),
            // Without a proxy, the hosts without it do not matter.
            (&[("NO_PROXY", "10.*")], None),
        ] {
            assert_eq!(shown(variables).as_deref(), want, "{variables:?}");
        }
    }

    #[test]
    fn credentials_of_the_proxy_are_decoded_and_never_shown() {
        for (user, want) in [
            ("u:hush", "u:hush"),
            ("u", "u:"),
            ("u:", "u:"),
            ("u:a:b", "u:a:b"),
            ("u%40corp:h%3Aush", "u@corp:h:ush"),
        ] {
            let proxy = Proxy::parse(&format!("http://{user}@proxy:3128")).unwrap();
            let value = proxy.authorization.as_ref().unwrap();
            assert_eq!(
                value.to_str().unwrap(),
                format!("Basic {}", STANDARD.encode(want)),
                "{user}"
            );
            assert_eq!(
                format!("{proxy} {proxy:?} {value:?}"),
                "http://***@proxy:3128 Proxy(http://***@proxy:3128) Sensitive"
            );
        }
    }

    #[test]
    fn proxy_is_shown_for_what_is_fetched_through_it() {
        const NEAR: &str = "https://keys.auth.svc/keys";
        const FAR: &str = "https://idp.example/keys";
        let proxy = read(&[("HTTPS_PROXY", "http://u:hush@proxy:3128")]).unwrap();
        for (document, set, want) in [
            (FAR, None, Some("http://***@proxy:3128")),
            (FAR, Some(FAR), Some("http://***@proxy:3128")),
            (
                FAR,
                Some(NEAR),
                Some("http://***@proxy:3128 for the discovery document alone"),
            ),
            (NEAR, Some(FAR), Some("http://***@proxy:3128 for the key set alone")),
            (NEAR, Some(NEAR), None),
            (NEAR, None, None),
        ] {
            assert_eq!(
                proxy.shown_for_both(document, set).as_deref(),
                want,
                "{document} {set:?}"
            );
            assert_eq!(KeyProxy::default().shown_for_both(document, set), None);
        }
    }

    #[test]
    fn bad_value_is_an_error_that_names_the_variable_and_shows_nothing_of_it() {
        for value in [
            "http://proxy",
            "http://proxy:0",
            "http://proxy:99999",
            "http://proxy:3128/path",
            "http://proxy:3128?x",
            "http://proxy:3128#x",
            "http://:3128",
            "http://pro xy:3128",
            "socks5://u:hush@proxy:1080",
            "ftp://proxy:21",
            "http://u:hush%zz@proxy:3128",
            "http://u:hush%0d@proxy:3128",
            "http://u%3ax:hush@proxy:3128",
            "http://:hush@proxy:3128",
            "http://u:hush@",
            "://",
            "proxy",
        ] {
            for name in PROXY {
                let error = read(&[(name, value)]).unwrap_err();
                assert!(
                    error.starts_with(&format!("the variable `{name}` ")),
                    "{value}: {error}"
                );
                assert!(!error.contains("hush") && !error.contains("3128"), "{value}: {error}");
            }
        }
        for value in ["10.*", "10.0.0.0/33", "a b,c/d", "a:b", "a:0", "*a", "a..b", "[::1"] {
            for name in NO_PROXY {
                let error = read(&[("HTTPS_PROXY", "http://proxy:1"), (name, value)]).unwrap_err();
                assert!(
                    error.starts_with(&format!("the variable `{name}` has an item, ")),
                    "{value}: {error}"
                );
            }
        }
    }

    #[test]
    fn host_is_reached_without_the_proxy_if_it_is_listed_or_near() {
        for (list, url, direct) in [
            ("", "https://idp.example/keys", false),
            ("*", "https://idp.example", true),
            ("idp.example", "https://idp.example", true),
            ("idp.example", "https://IDP.example.", true),
            ("IDP.Example.", "https://a.idp.example", true),
            (".idp.example", "https://a.idp.example", true),
            (".idp.example", "https://idp.example", true),
            ("*.idp.example", "https://a.idp.example", true),
            ("idp.example", "https://notidp.example", false),
            ("idp.example", "https://idp.example.evil", false),
            ("idp.example:443", "https://idp.example", true),
            ("idp.example:8443", "https://idp.example", false),
            ("idp.example:8443", "https://idp.example:8443", true),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.0.0.1", "https://10.0.0.1", true),
            ("10.0.0.1:8443", "https://10.0.0.1", false),
            ("10.0.0.1:8443", "https://10.0.0.1:8443", true),
            ("2001:db8::/32", "https://[2001:db8::1]", true),
            ("[2001:db8::1]:443", "https://[2001:db8::1]", true),
            ("2001:db8::1", "https://[2001:db8::2]", false),
            ("a, ,b.example idp.example", "https://idp.example", true),
            // Whatever is listed.
            ("", "http://idp.example", true),
            ("", "https://localhost:8443", true),
            ("", "https://a.localhost", true),
            ("", "https://127.9.9.9", true),
            ("", "https://[::1]", true),
            ("", "https://[::ffff:127.0.0.1]", true),
            ("", "https://kubernetes.default.svc/openid/v1/jwks", true),
            ("", "https://keycloak.auth.svc.cluster.local", true),
            ("", "https://svc.example", false),
            ("", "https://notsvc", false),
        ] {
            let proxy = read(&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", list)]).unwrap();
            assert_eq!(proxy.of(&url.parse().unwrap()).is_none(), direct, "{list:?} {url}");
        }
    }
}
