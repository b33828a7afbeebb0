//! Whether a service can be reached around Sidegate.

use std::net::{IpAddr, SocketAddr};

use super::files::Access;
use super::finding::{Finding, Severity};

/// Where the service of a policy is.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its address as in the policy.
    pub address: String,
    /// What is known of it.
    pub place: Place,
}

/// What is known of where a service is.
#[derive(Debug)]
pub enum Place {
    /// On this machine.
    Here {
        /// Its port.
        port: u16,
        /// The addresses of this machine that its name has.
        addresses: Vec<IpAddr>,
        /// The addresses on which the port is listened on; `None` where the system does not tell.
        listening: Option<Vec<IpAddr>>,
    },
    /// A unix socket; `None` where it is not there.
    Socket(Option<Access>),
    /// On another machine.
    Elsewhere,
}

/// Judges one service.
pub fn judge(service: &Service, kubernetes: bool) -> Finding {
    let (severity, code, found, advice) = match &service.place {
        Place::Here {
            port,
            addresses,
            listening: Some(listening),
        } => here(*port, addresses, listening, kubernetes),
        Place::Socket(Some(access)) => socket(access),
        Place::Socket(None) => down("the socket does not exist"),
        Place::Here { listening: None, .. } => (
            Severity::NotChecked,
            "upstream_unknown",
            "the system does not tell who listens".to_owned(),
            "see by `ss -ltn` that it listens on loopback only",
        ),
        Place::Elsewhere => (
            Severity::NotChecked,
            "upstream_elsewhere",
            "it is on another host, and nothing here tells who else reaches it".to_owned(),
            "admit Sidegate alone to it: a NetworkPolicy, an internal network, or mTLS by `upstream.client_certificate`",
        ),
    };
    Finding {
        code,
        area: "services",
        severity,
        about: format!("{} at {}", service.name, service.address),
        found,
        advice,
    }
}

type Judgement = (Severity, &'static str, String, &'static str);

fn here(port: u16, addresses: &[IpAddr], listening: &[IpAddr], kubernetes: bool) -> Judgement {
    if listening.is_empty() {
        return down("nothing listens there");
    }
    let Some(open) = listening.iter().find(|ip| !ip.is_loopback()) else {
        if !listening.iter().any(|ip| addresses.contains(ip)) {
            return down("its port is listened on at another address only");
        }
        let silent: Vec<_> = addresses.iter().filter(|ip| !listening.contains(ip)).collect();
        let found = match silent.as_slice() {
            [] => "it listens on loopback only".to_owned(),
            silent => {
                let silent: Vec<_> = silent.iter().map(ToString::to_string).collect();
                format!("it listens on loopback only, and not at {}", silent.join(", "))
            }
        };
        return (Severity::Ok, "upstream_on_loopback", found, "");
    };
    let address = SocketAddr::new(*open, port);
    let host = if kubernetes { "pod" } else { "host" };
    (
        Severity::Problem,
        "upstream_exposed",
        format!("it listens on {address}: a client that reaches this {host} can bypass Sidegate"),
        "let it listen on 127.0.0.1 or a unix socket; where it cannot, only a firewall or a NetworkPolicy keeps others out",
    )
}

fn down(found: &str) -> Judgement {
    (
        Severity::Caution,
        "upstream_not_listening",
        found.to_owned(),
        "start the service, and run `doctor` again to see where it listens",
    )
}

fn socket(access: &Access) -> Judgement {
    if access.lets_others(0o002) {
        return (
            Severity::Caution,
            "upstream_socket_open",
            format!("every user of this machine can connect (mode {:04o})", access.mode),
            "put the socket in a folder that only the service and Sidegate may enter",
        );
    }
    let found = "other users of this machine cannot connect".to_owned();
    (Severity::Ok, "upstream_socket_private", found, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_that_others_reach_is_a_problem_and_an_unknown_one_is_reported() {
        let access = |mode, sheltered| Access {
            mode,
            owner: 7,
            sheltered,
        };
        let ips = |texts: &[&str]| texts.iter().map(|ip| ip.parse().unwrap()).collect();
        let at = |addresses: &[&str], listening: &[&str]| Place::Here {
            port: 3000,
            addresses: ips(addresses),
            listening: Some(ips(listening)),
        };
        let here = |listening: &[&str]| at(&["127.0.0.1", "::1"], listening);
        for (place, code, severity) in [
            (here(&["127.0.0.1"]), "upstream_on_loopback", Severity::Ok),
            (here(&["127.0.0.1", "::1"]), "upstream_on_loopback", Severity::Ok),
            (here(&["0.0.0.0"]), "upstream_exposed", Severity::Problem),
            (here(&["::"]), "upstream_exposed", Severity::Problem),
            (here(&["127.0.0.1", "10.0.0.5"]), "upstream_exposed", Severity::Problem),
            (here(&[]), "upstream_not_listening", Severity::Caution),
            (here(&["::1"]), "upstream_on_loopback", Severity::Ok),
            (
                at(&["127.0.0.1"], &["::1"]),
                "upstream_not_listening",
                Severity::Caution,
            ),
            (
                at(&["127.0.0.1"], &["::1", "10.0.0.5"]),
                "upstream_exposed",
                Severity::Problem,
            ),
            (
                Place::Here {
                    port: 3000,
                    addresses: ips(&["127.0.0.1"]),
                    listening: None,
                },
                "upstream_unknown",
                Severity::NotChecked,
            ),
            (Place::Elsewhere, "upstream_elsewhere", Severity::NotChecked),
            (Place::Socket(None), "upstream_not_listening", Severity::Caution),
            (
                Place::Socket(Some(access(0o777, false))),
                "upstream_socket_open",
                Severity::Caution,
            ),
            (
                Place::Socket(Some(access(0o777, true))),
                "upstream_socket_private",
                Severity::Ok,
            ),
            (
                Place::Socket(Some(access(0o770, false))),
                "upstream_socket_private",
                Severity::Ok,
            ),
        ] {
            let what = format!("{place:?}");
            let service = Service {
                name: "s".into(),
                address: "a".into(),
                place,
            };
            let finding = judge(&service, false);
            assert_eq!((finding.code, finding.severity), (code, severity), "{what}");
            assert_eq!(finding.advice.is_empty(), severity == Severity::Ok, "{what}");
        }
        let partly = Service {
            name: "s".into(),
            address: "http://orders:3000".into(),
            place: at(&["127.0.0.2", "127.0.0.3"], &["127.0.0.3"]),
        };
        assert_eq!(
            judge(&partly, false).found,
            "it listens on loopback only, and not at 127.0.0.2"
        );
        let exposed = Service {
            name: "s".into(),
            address: "http://localhost:3000".into(),
            place: here(&["0.0.0.0"]),
        };
        let found = |kubernetes| judge(&exposed, kubernetes).found;
        assert!(
            found(false).contains("0.0.0.0:3000: a client that reaches this host"),
            "{}",
            found(false)
        );
        assert!(found(true).contains("this pod"), "{}", found(true));
    }
}
