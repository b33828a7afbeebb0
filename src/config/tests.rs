use super::*;

fn parse(text: &str) -> Result<ServerConfig, Vec<String>> {
    let source = SourceFile::new("sidegate.yaml", text);
    let config = ServerConfig::parse(source, Path::new("/etc/sidegate"));
    config.map_err(|problems| problems.iter().map(|p| p.message().to_owned()).collect())
}

#[test]
fn defaults() {
    let config = parse("version: 1\n").unwrap();
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin.to_string(), "127.0.0.1:9090");
    assert_eq!(config.control, ControlSocket::Default);
    assert_eq!(config.policies, Path::new("/etc/sidegate/policies"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!((config.threads, config.auto_threads, config.probe), (1, false, None));
    assert_eq!(config.ready, ReadyRule::OnceHad);
    assert_eq!((config.delay, config.grace), (Duration::ZERO, Duration::from_secs(20)));
    assert!(config.trusted_proxies.is_empty());
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        "version: 1\nlisteners:\n  - address: unix:/run/s.sock\n  - address: 127.0.0.1:8443\n    tls: { certificate: t.crt, key: /t.key, certificates: [{ certificate: u.crt, key: /u.key }], client_ca: ca.crt }\nadmin: { address: localhost:1, ready: always, probe: { upstream: 'unix:/run/app.sock', path: /up, timeout: 2s } }\nlimits: { header_bytes: 1KiB, headers: 7, body_bytes: 2GiB, idle_timeout: 5s }\nshutdown: { delay: 1s, grace: 5s }\ntrusted_proxies: [10.0.0.0/8, '::1']\nlog: { format: text, level: debug, access: false }\nthreads: 2\ncontrol: c.sock\nstore: memory\ndefaults: { errors: { format: problem, code_prefix: ERR_X } }\n",
    )
    .unwrap();
    let tls = config.listeners[1].tls.clone().unwrap();
    assert_eq!(tls.pair.certificate.path, Path::new("/etc/sidegate/t.crt"));
    assert_eq!(tls.pair.key.path, Path::new("/t.key"));
    let paths = [
        "/etc/sidegate/t.crt",
        "/t.key",
        "/etc/sidegate/u.crt",
        "/u.key",
        "/etc/sidegate/ca.crt",
    ];
    assert_eq!(tls.paths(), paths.map(PathBuf::from));
    assert_eq!(config.control, ControlSocket::At("/etc/sidegate/c.sock".into()));
    assert_eq!(config.ready, ReadyRule::Always);
    let mapped = ["::ffff:10.0.0.0/104", "::ffff:192.0.2.1", "::/0", "2001:db8::/32"];
    let networks = mapped.map(|text| network(text).unwrap().to_string());
    assert_eq!(networks, ["10.0.0.0/8", "192.0.2.1/32", "::/0", "2001:db8::/32"]);
    let probe = config.probe.unwrap();
    assert_eq!(
        (probe.upstream.to_string(), probe.path.as_str()),
        ("unix:/run/app.sock".into(), "/up")
    );
    assert_eq!(
        [probe.timeout, config.delay, config.grace],
        [2, 1, 5].map(Duration::from_secs)
    );
    assert_eq!(config.limits.request.body_bytes, 2 << 30);
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!((config.threads, config.auto_threads), (2, false));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.default_errors.code_prefix, "ERR_X");
}

#[test]
fn every_problem_is_reported() {
    let problems = parse(
        "version: 2\nlisteners: [{ address: x }]\nthreads: 0\nlimits: { headers: 300 }\ntrusted_proxies: [all]\nstore: disk\nadmn: {}\n",
    )
    .unwrap_err();
    assert_eq!(problems.len(), 7, "{problems:#?}");
    let twice = "version: 1\nlisteners: [{ address: '127.0.0.1:1' }, { address: '127.0.0.1:0' }, { address: '127.0.0.1:0' }]\nadmin: { address: '127.0.0.1:1' }\n";
    assert_eq!(parse(twice).unwrap_err(), ["`127.0.0.1:1` is written twice"]);
    let twice = "version: 1\nlisteners: [{ address: 'unix:/run/s.sock' }]\ncontrol: /run/s.sock\n";
    assert_eq!(parse(twice).unwrap_err(), ["`unix:/run/s.sock` is written twice"]);
    assert_eq!(parse("version: 1\ncontrol: off\n").unwrap().control, ControlSocket::Off);
    let url = parse("version: 1\ncontrol: unix:/run/s.sock\n").unwrap_err();
    assert_eq!(url, ["`unix:/run/s.sock` is not a path"]);
}
