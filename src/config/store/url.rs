//! The URL of a Redis. What is wrong with one is said without quoting it, for it may hold a
//! password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::secret::Secret;
use crate::document::problem::{Fault, ProblemCode};
use crate::request::is_host;

/// Where a Redis is, and as whom it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Where it is.
    pub servers: Servers,
    /// Whether it is spoken to through TLS.
    pub tls: bool,
    /// As whom.
    pub username: Option<String>,
    /// What proves it.
    pub password: Option<Secret>,
}

/// Where a Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// One server.
    One {
        /// Its address.
        address: Address,
        /// The number of its database.
        database: u16,
    },
    /// A cluster, by some of its nodes.
    Cluster(Vec<HostPort>),
    /// The server that sentinels name.
    Sentinel {
        /// Who is asked, one after the other.
        sentinels: Vec<HostPort>,
        /// The name of what they watch.
        master: String,
        /// The number of its database.
        database: u16,
    },
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Tcp(HostPort),
    /// The path of a socket.
    Unix(PathBuf),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an IP address, the latter without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Without who speaks.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |hosts: &[HostPort]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::One { address, .. } => match address {
                Address::Tcp(address) => address.fmt(f),
                Address::Unix(path) => path.display().fmt(f),
            },
            Self::Cluster(nodes) => f.write_str(&list(nodes)),
            Self::Sentinel { sentinels, master, .. } => write!(f, "{master} of {}", list(sentinels)),
        }
    }
}

/// The port of a Redis, and that of a sentinel.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The forms that there are.
const FORMS: &str = "write `redis://host:6379`, `rediss://host:6379`, `unix:/path`, `redis+cluster://host:6379,host:6379` \
     or `redis+sentinel://host:26379,host:26379/NAME`";

impl FromStr for RedisUrl {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if let Some(path) = text
            .strip_prefix("redis+unix://")
            .or_else(|| text.strip_prefix("unix://"))
        {
            return unix(path);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        if rest.contains(['?', '#']) {
            let help = "leave `?` and `#` out; in a password, write `%3F` and `%23`";
            return Err(invalid("the URL of a Redis has neither a query nor a fragment", help));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            // The password is not shown.
            return Err(invalid("the password in the URL has a `/`", "write `%2F` for it"));
        }
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let tls = scheme.starts_with("rediss");
        let servers = match scheme {
            "redis" | "rediss" => one(hosts, path)?,
            "redis+cluster" | "rediss+cluster" => cluster(hosts, path)?,
            "redis+sentinel" | "rediss+sentinel" => sentinel(hosts, path)?,
            _ => return Err(unknown()),
        };
        let (username, password) = user.map_or(Ok((None, None)), userinfo)?;
        Ok(Self {
            servers,
            tls,
            username,
            password,
        })
    }
}

fn invalid(message: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault::new(ProblemCode::InvalidRedisUrl, message, help)
}

fn unknown() -> Fault {
    invalid("the text is not the URL of a Redis", FORMS)
}

fn unix(path: &str) -> Result<RedisUrl, Fault> {
    if !path.starts_with('/') || path.contains(['?', '#']) {
        let help = "write `unix:/run/redis/redis.sock`";
        return Err(invalid("the text is not an absolute path of a socket", help));
    }
    Ok(RedisUrl {
        servers: Servers::One {
            address: Address::Unix(path.into()),
            database: 0,
        },
        tls: false,
        username: None,
        password: None,
    })
}

fn one(host: &str, path: &str) -> Result<Servers, Fault> {
    if host.contains(',') {
        let help = "write `redis+cluster://host:6379,host:6379` for a cluster";
        return Err(invalid("the URL of one Redis has several hosts", help));
    }
    Ok(Servers::One {
        address: Address::Tcp(host_port(host, PORT)?),
        database: database(path)?,
    })
}

fn cluster(hosts: &str, path: &str) -> Result<Servers, Fault> {
    if !matches!(path, "" | "0") {
        let help = "leave out the path behind the hosts";
        return Err(invalid("a cluster has one database, without a number", help));
    }
    host_ports(hosts, PORT).map(Servers::Cluster)
}

fn sentinel(hosts: &str, path: &str) -> Result<Servers, Fault> {
    let (master, number) = path.split_once('/').unwrap_or((path, ""));
    // What Redis itself allows in such a name.
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if master.is_empty() || !master.bytes().all(fine) {
        let help = "write `redis+sentinel://host:26379,host:26379/NAME`";
        return Err(invalid(
            "the URL of sentinels needs the name of the server that they watch",
            help,
        ));
    }
    Ok(Servers::Sentinel {
        sentinels: host_ports(hosts, SENTINEL_PORT)?,
        master: master.to_owned(),
        database: database(number)?,
    })
}

fn database(path: &str) -> Result<u16, Fault> {
    match path {
        "" => Ok(0),
        _ => path.parse().map_err(|_| {
            let message = format!("the path of the URL must be the number of a database, and `{path}` is not");
            invalid(message, "write `redis://host:6379/0`, or leave the path out")
        }),
    }
}

fn host_ports(hosts: &str, port: u16) -> Result<Vec<HostPort>, Fault> {
    hosts.split(',').map(|host| host_port(host, port)).collect()
}

fn host_port(text: &str, default: u16) -> Result<HostPort, Fault> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if !is_host(host) {
        return Err(invalid(format!("`{host}` is not a host"), FORMS));
    }
    let port = port.map_or(Ok(default), str::parse);
    let port = port.ok().filter(|port| *port > 0);
    Ok(HostPort {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: port.ok_or_else(|| {
            let message = format!("the port of `{host}` is not a number from 1 to 65535");
            invalid(message, format!("write `{host}:{default}`"))
        })?,
    })
}

fn userinfo(text: &str) -> Result<(Option<String>, Option<Secret>), Fault> {
    let unreadable = || {
        let message = "the user or the password in the URL is not percent-encoded UTF-8";
        invalid(
            message,
            "write `%` and two hex digits for each special byte, such as `%40` for `@`",
        )
    };
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let user = decoded(user).ok_or_else(unreadable)?;
    let password = password.map(|password| decoded(password).ok_or_else(unreadable));
    let password = password.transpose()?.filter(|password| !password.is_empty());
    if !user.is_empty() && password.is_none() {
        let help = "write `redis://user:password@host:6379` in a variable, or leave the user out";
        return Err(invalid("the URL names a user and no password", help));
    }
    Ok((Some(user).filter(|user| !user.is_empty()), password.map(Secret)))
}

/// RFC 3986, 2.1.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(hex, 16).ok().filter(|_| digits)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match text.parse::<RedisUrl>() {
            Ok(url) => format!("{} {:?}", url.servers, url.servers),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn every_form_is_read() {
        for (text, shown) in [
            ("redis://h", "h:6379"),
            ("rediss://h:1/", "h:1"),
            ("redis://[::1]:7/3", "[::1]:7"),
            ("redis://[::1]", "[::1]:6379"),
            ("unix:/run/r.sock", "/run/r.sock"),
            ("redis+unix:///run/r.sock", "/run/r.sock"),
            ("redis+cluster://a,b:7", "a:6379,b:7"),
            ("rediss+cluster://a:1,b:2/0", "a:1,b:2"),
            ("redis+sentinel://a,b:7/main", "main of a:26379,b:7"),
            ("rediss+sentinel://u:p@a/main/2", "main of a:26379"),
        ] {
            let url: RedisUrl = text.parse().unwrap();
            assert_eq!(url.servers.to_string(), shown, "{text}");
            assert_eq!(url.tls, text.starts_with("rediss"), "{text}");
        }
        assert!(read("redis://h/3").ends_with("database: 3 }"));
        assert!(read("redis+sentinel://h/m/9").ends_with("database: 9 }"));
    }

    #[test]
    fn who_speaks_is_percent_encoded() {
        for (text, username, password) in [
            ("redis://h", None, None),
            ("redis://:s%40%3A%2fx@h", None, Some("s@:/x")),
            ("redis://u:p:q@h", Some("u"), Some("p:q")),
            ("redis://:@h", None, None),
        ] {
            let url: RedisUrl = text.parse().unwrap();
            assert_eq!(url.username.as_deref(), username, "{text}");
            assert_eq!(url.password.as_ref().map(Secret::expose), password, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in [
            "",
            "sentinel",
            "redis:h",
            "http://:hunter2@h",
            "redis://",
            "redis://:hunter2@",
            "redis://:hunter2@h:0",
            "redis://:hunter2@h:99999",
            "redis://:hunter2@h:",
            "redis://:hunter2@h/x",
            "redis://:hunter2@h?db=1",
            "redis://:hunter2#@h",
            "redis://:hunter2@h,i",
            "redis://h i",
            "redis://u@h",
            "redis://:hunter2%4@h",
            "redis://:%ff@h",
            "redis+cluster://:hunter2@h/1",
            "redis+cluster://h,",
            "redis+sentinel://:hunter2@h",
            "redis+sentinel://h/a b",
            "unix:run/r.sock",
            "redis+unix:///run/r.sock?db=1",
        ] {
            let message = text.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{text}: {message}");
        }
        let url: RedisUrl = "redis://u:hunter2@h".parse().unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
