//! Whether the process itself is set up well: who it listens to, whom it believes, what it may use.

use std::net::IpAddr;

use ipnet::IpNet;

use super::files::Access;
use super::finding::{Finding, Severity};
use crate::config::ServerConfig;
use crate::fd_limit;

/// What the system says of this process.
#[derive(Debug)]
pub struct Process {
    /// As whom it runs.
    pub user: u32,
    /// The most file descriptors that it can have.
    pub descriptors: u64,
    /// Whether it runs in Kubernetes.
    pub kubernetes: bool,
    /// Its control socket, if it has one; without access if no process listens.
    pub control: Option<(String, Option<Access>)>,
}

/// Judges a process by its configuration and by what the system says.
pub fn judge(config: &ServerConfig, process: &Process) -> Vec<Finding> {
    let mut findings: Vec<_> = config.trusted_proxies.iter().filter_map(believed).collect();
    let others = [
        proxy_headers(config),
        admin(config, process),
        control(process),
        log(config),
        limits(config, process),
        user(process),
    ];
    findings.extend(others.into_iter().flatten());
    if findings.is_empty() {
        let found = "nothing to remark".to_owned();
        findings.push(finding(Severity::Ok, "process_set_up", "sidegate", found, ""));
    }
    findings
}

fn finding(severity: Severity, code: &'static str, about: &str, found: String, advice: &'static str) -> Finding {
    Finding {
        code,
        area: "process",
        severity,
        about: about.to_owned(),
        found,
        advice,
    }
}

fn believed(network: &IpNet) -> Option<Finding> {
    let severity = too_wide(network)?;
    let found = format!("the forwarding headers of every host in {network} are trusted");
    let advice = "name only the addresses of the proxies in front";
    Some(finding(
        severity,
        "trusted_proxies_wide",
        "trusted_proxies",
        found,
        advice,
    ))
}

/// The listeners that take the address of the client from each connection.
fn proxy_headers(config: &ServerConfig) -> Option<Finding> {
    let listeners = config.listeners.iter().filter(|listener| listener.proxy_protocol);
    let listeners: Vec<_> = listeners.map(|listener| listener.address.to_string()).collect();
    let networks: Vec<_> = config.trusted_proxies.iter().map(ToString::to_string).collect();
    let found = format!(
        "every host in {} can name any address as the client, in a PROXY header",
        networks.join(", ")
    );
    let advice = "name only the addresses of the load balancers in `trusted_proxies`";
    let about = listeners.join(", ");
    (!listeners.is_empty()).then(|| finding(Severity::Note, "proxy_protocol_trusted", &about, found, advice))
}

fn admin(config: &ServerConfig, process: &Process) -> Option<Finding> {
    if config.admin.ip().is_loopback() {
        return None;
    }
    let severity = if process.kubernetes {
        Severity::Note
    } else {
        Severity::Caution
    };
    let found = format!(
        "{} answers every client that reaches it: names of services, routes and tenants",
        config.admin
    );
    let advice = "listen on 127.0.0.1, or admit Prometheus and probes alone";
    Some(finding(severity, "admin_exposed", "admin", found, advice))
}

fn control(process: &Process) -> Option<Finding> {
    let (path, access) = process.control.as_ref()?;
    let access = access.as_ref().filter(|access| access.lets_others(0o022))?;
    let found = format!(
        "other users can connect to `{path}` and revoke tokens (mode {:04o})",
        access.mode
    );
    let advice = "put it in a folder of mode 0700, or say `control: off`";
    Some(finding(Severity::Problem, "control_open", "control", found, advice))
}

fn log(config: &ServerConfig) -> Option<Finding> {
    let found = "nothing tells afterwards who did what".to_owned();
    let advice = "leave out `access: false`";
    (!config.log.access).then(|| finding(Severity::Caution, "access_log_off", "log", found, advice))
}

fn limits(config: &ServerConfig, process: &Process) -> Option<Finding> {
    let found = too_few(config, process.descriptors)?;
    let advice = "raise the hard limit: `LimitNOFILE`, `ulimit -Hn`";
    Some(finding(Severity::Caution, "descriptors_few", "limits", found, advice))
}

fn user(process: &Process) -> Option<Finding> {
    let found = "it runs as root, and can do more than it has to".to_owned();
    let advice = "run it, and `doctor`, as a user of its own";
    (process.user == 0).then(|| finding(Severity::Caution, "running_as_root", "user", found, advice))
}

/// How bad it is to believe a whole network. Private ones are as wide as their owner says.
fn too_wide(network: &IpNet) -> Option<Severity> {
    let private = match network.network() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    let (any, wide) = match network {
        IpNet::V4(_) => (8, 16),
        IpNet::V6(_) => (16, 32),
    };
    match network.prefix_len() {
        length if private && length > 6 => None,
        length if length < any => Some(Severity::Problem),
        length if length < wide => Some(Severity::Caution),
        _ => None,
    }
}

/// What the descriptors are not enough for.
fn too_few(config: &ServerConfig, limit: u64) -> Option<String> {
    let shortage = fd_limit::shortage(limit, (config.listeners.len(), config.threads), config.wanted())?;
    Some(format!("there are too few file descriptors: {shortage}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::document::problem::SourceFile;

    #[test]
    fn wide_networks() {
        use Severity::{Caution, Problem};
        for (network, want) in [
            ("0.0.0.0/0", Some(Problem)),
            ("128.0.0.0/1", Some(Problem)),
            ("::/0", Some(Problem)),
            ("2000::/3", Some(Problem)),
            ("104.16.0.0/13", Some(Caution)),
            ("2606::/20", Some(Caution)),
            ("203.0.113.0/24", None),
            ("10.0.0.0/8", None),
            ("10.0.0.0/2", Some(Problem)),
            ("fd00::/8", None),
            ("127.0.0.1/32", None),
        ] {
            assert_eq!(too_wide(&network.parse().unwrap()), want, "{network}");
        }
    }

    #[test]
    fn a_process_and_its_surroundings() {
        let fine = || Process {
            user: 7,
            descriptors: 1 << 20,
            kubernetes: false,
            control: None,
        };
        let socket = |mode, sheltered| {
            Some((
                "s".to_owned(),
                Some(Access {
                    mode,
                    owner: 7,
                    sheltered,
                }),
            ))
        };
        let everywhere = "admin: { address: '0.0.0.0:9090' }";
        for (lines, process, want) in [
            ("", fine(), ("process_set_up", Severity::Ok)),
            (everywhere, fine(), ("admin_exposed", Severity::Caution)),
            (
                everywhere,
                Process {
                    kubernetes: true,
                    ..fine()
                },
                ("admin_exposed", Severity::Note),
            ),
            (
                "trusted_proxies: [0.0.0.0/0]",
                fine(),
                ("trusted_proxies_wide", Severity::Problem),
            ),
            (
                "trusted_proxies: [10.0.0.4]\nlisteners: [{ address: '127.0.0.1:1', proxy_protocol: true }]",
                fine(),
                ("proxy_protocol_trusted", Severity::Note),
            ),
            ("log: { access: false }", fine(), ("access_log_off", Severity::Caution)),
            (
                "",
                Process {
                    descriptors: 1024,
                    ..fine()
                },
                ("descriptors_few", Severity::Caution),
            ),
            (
                "limits: { connections: 300, requests: 300 }",
                Process {
                    descriptors: 1024,
                    ..fine()
                },
                ("process_set_up", Severity::Ok),
            ),
            (
                "",
                Process { user: 0, ..fine() },
                ("running_as_root", Severity::Caution),
            ),
            (
                "",
                Process {
                    control: socket(0o600, false),
                    ..fine()
                },
                ("process_set_up", Severity::Ok),
            ),
            (
                "",
                Process {
                    control: socket(0o777, true),
                    ..fine()
                },
                ("process_set_up", Severity::Ok),
            ),
            (
                "",
                Process {
                    control: socket(0o777, false),
                    ..fine()
                },
                ("control_open", Severity::Problem),
            ),
        ] {
            let source = SourceFile::new("sidegate.yaml", format!("version: 1\n{lines}\n"));
            let config = ServerConfig::parse(source, Path::new("")).unwrap();
            let found = judge(&config, &process);
            let found: Vec<_> = found.iter().map(|finding| (finding.code, finding.severity)).collect();
            assert_eq!(found, [want], "{lines} {process:?}");
        }
    }
}
