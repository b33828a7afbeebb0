//! Secrets in targets and heads that are rejected: no line of the log and no error body repeats them, at any level.

use crate::harness::{
    Setup, eventually,
    frames::{Frames, head},
    gateway::text,
    message::latin1,
};

const MARKER: &str = "MARKER-0123456789";

/// Request lines; `$` is a secret in them.
const LINES: [&str; 38] = [
    "GET http://u:$@h/w/x HTTP/1.1",
    "GET http://$@h/w/x HTTP/1.1",
    "GET HTTP://u:$@h/w/x HTTP/1.1",
    "GET https://u:$@h HTTP/1.1",
    "GET ftp://u:$@h/x HTTP/1.1",
    "GET //u:$@h/w/x HTTP/1.1",
    "GET /\\u:$@h/w/x HTTP/1.1",
    "GET u:$@h/w/x HTTP/1.1",
    "GET http:u:$@h/w/x HTTP/1.1",
    "GET http:/u:$@h/w/x HTTP/1.1",
    "GET http:\\\\u:$@h\\w HTTP/1.1",
    "GET /http://u:$@h/x HTTP/1.1",
    "GET /w/http://u:$@h/x HTTP/1.1",
    "GET http://u:$%40h/x HTTP/1.1",
    "GET http://u:$/$@h/x HTTP/1.1",
    "GET http://u:$?$@h/x HTTP/1.1",
    "GET http://u:$#$@h/x HTTP/1.1",
    "GET http://u:$ $@h/x HTTP/1.1",
    "GET http://$ $@h/x HTTP/1.1",
    "GET http://u:$\u{fc}@h/x HTTP/1.1",
    "GET http://u:$@h/\0 HTTP/1.1",
    "GET http://u:$@h/w/x HTTP/9.9",
    "GET http://u:$@h/w/x FTP/1.1",
    "GET http://u:$@h/w/x",
    "G@T http://u:$@h/w/x HTTP/1.1",
    "CONNECT u:$@h:443 HTTP/1.1",
    "OPTIONS u:$@h HTTP/1.1",
    "GET /w/x?$ HTTP/1.1",
    "GET /w/x#$ HTTP/1.1",
    "GET /w/../x?$ HTTP/1.1",
    "GET /w/x?a=\"$\" HTTP/1.1",
    "GET /w/x?$ b HTTP/1.1",
    "GET /w/x b?$ HTTP/1.1",
    "GET /w/x?$\tb HTTP/1.1",
    "GET /w/x?$\u{fc} HTTP/1.1",
    "GET /w/x?$ HTTP/9.9",
    "GET ?$ HTTP/1.1",
    "GET $",
];

/// What follows a request line, or cuts it off.
const RESTS: [&str; 6] = [
    "\r\nHost: h\r\n\r\n",
    "\r\nHost: $@h\r\n\r\n",
    "\r\nHost: h\r\nAuthorization: Bearer $\r\nno colon $\r\n\r\n",
    "\r\nHost: h\r\nCookie: $\r\nA: \0$\r\n\r\n",
    "\r\nHost: h\r\nCookie: $\r\nTransfer-Encoding: $\r\n\r\n",
    "\nHost: h\r\nCookie: $\r\n\r\n",
];

/// Heads that do not end.
const CUT_OFF: [&str; 8] = [
    "GET http://u:$",
    "GET http://$",
    "GET //$",
    "GET /w//u:$",
    "GET u:$",
    "GET /w/x?$",
    "GET /w/x#$",
    "CONNECT u:$",
];

const POLICIES: [&str; 3] = [
    "$wallet\nprefix: /w\nroutes: [{ path: /x, auth: public }]\n",
    "version: 1\nservice: flat\nhosts: [flat]\nprefix: /\nupstream: { url: '$upstream' }\nroutes: [{ path: /x, auth: jwt }]\n",
    "version: 1\nservice: s\nhosts: [problem]\nprefix: /\nupstream: { url: '$upstream' }\nerrors: { format: problem }\nroutes: [{ path: /x, auth: public }]\n",
];

#[test]
fn secret_in_a_rejected_head_is_in_no_log_and_no_error_body() {
    let mut setup = Setup::new().config("log: { level: trace }\nlimits: { header_timeout: 1s, header_bytes: 16KiB }");
    for (number, policy) in POLICIES.into_iter().enumerate() {
        let jwt = "jwt: { issuers: [{ issuer: a, audience: [a], algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }] }\n";
        let more = if policy.contains("auth: jwt") { jwt } else { "" };
        setup = setup.policy(&number.to_string(), &format!("{policy}{more}"));
    }
    let gateway = setup.start();
    let mut heads = Vec::new();
    for host in ["h", "flat", "problem"] {
        for line in LINES {
            heads.extend(RESTS.map(|rest| format!("{line}{}", rest.replace(": h\r", &format!(": {host}\r")))));
        }
    }
    for start in CUT_OFF {
        heads.push(format!("{start}{}", "a".repeat(20_000)));
        heads.push((*start).to_owned());
    }
    let mut waiting = Vec::new();
    for head in &heads {
        let mut wire = gateway.connect();
        let bytes = latin1(&head.replace('$', MARKER));
        _ = wire.try_write(&bytes);
        waiting.push((head, wire));
    }
    let mut answered = 0;
    for (head, mut wire) in waiting {
        if !CUT_OFF.iter().any(|start| head == start) {
            wire.finish();
        }
        let answer = String::from_utf8_lossy(&wire.rest().unwrap()).into_owned();
        answered += usize::from(answer.starts_with("HTTP/1.1 4"));
        assert!(!answer.contains("MARKER"), "{head:?}: {answer}");
    }
    assert!(answered > heads.len() / 2, "{answered} of {}", heads.len());
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&head(1, 1, "GET", &format!("http://u:{MARKER}@h/w/x")));
    frames.send(&head(3, 1, "GET", &format!("//u:{MARKER}@h/w/x?{MARKER}")));
    frames.send(&head(5, 1, "GET", "/w/last"));
    frames.until(|frame| frame.stream == 5).unwrap();
    eventually("all lines are written", || {
        gateway.log_lines().iter().any(|line| line["path"] == "/w/last")
    });
    let log = gateway.log_text();
    for line in log.lines() {
        assert!(!line.contains("MARKER"), "{line}");
    }
    for shown in [
        "http://***@h/w/x",
        "//***@h/w/x",
        "reading a request head failed",
        "***@h:443",
    ] {
        assert!(log.contains(shown), "no {shown}");
    }
}

#[test]
fn explain_shows_a_target_as_the_running_proxy_does() {
    let setup = Setup::new().policy("w", POLICIES[0]);
    for target in LINES[..17].iter().filter_map(|line| line.split(' ').nth(1)) {
        let output = setup.run(&["explain", "GET", &target.replace('$', MARKER), "--policies", "policies"]);
        let said = text(&output);
        assert!(said.contains("decision: deny"), "{target}: {said}");
        assert!(!said.contains("MARKER"), "{target}: {said}");
    }
}
