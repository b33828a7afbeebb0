//! A service that sends a body where there cannot be one, after HEAD, 204 and 304: its bytes are in no other response.

use std::{io, thread, time::Duration};

use crate::harness::{
    Gateway, Reply, Request, Setup, Upstream,
    certificates::{pki, server},
    client::Stream,
    h2_service::policy,
    upstream::{Recorded, read_request},
};

const CLIENTS: usize = 8;

/// What a client would take for the next response.
const POISON: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-marker: poison\r\n\r\npoison";

/// Answers all requests of a connection, the first of which was read.
fn converse(request: &Recorded) -> Reply {
    let mut request = request.clone();
    Reply::script(move |stream| {
        loop {
            respond(stream, &request)?;
            match read_request(stream)? {
                Some(next) => request = next,
                None => return Ok(()),
            }
        }
    })
}

/// `/SERVICE/KIND/MARKER`, where a kind is a status, and how the body comes that should not.
fn respond(stream: &mut dyn Stream, request: &Recorded) -> io::Result<()> {
    let parts: Vec<&str> = request.target.split('/').collect();
    let [_, _, kind, marker] = parts[..] else {
        panic!("{}", request.target)
    };
    let (status, how) = kind.split_once('-').unwrap();
    let length = match status {
        "204" => String::new(),
        _ => format!("content-length: {}\r\n", marker.len()),
    };
    let mut bytes = format!("HTTP/1.1 {status} Whatever\r\n{length}x-marker: {marker}\r\n\r\n").into_bytes();
    if status == "200" && request.method != "HEAD" {
        bytes.extend_from_slice(marker.as_bytes());
        stream.write_all(&bytes)?;
        return stream.flush();
    }
    if how == "once" {
        bytes.extend_from_slice(POISON);
        stream.write_all(&bytes)?;
        return stream.flush();
    }
    stream.write_all(&bytes)?;
    stream.flush()?;
    if how == "late" {
        // The service is slow; nothing waits for it.
        thread::sleep(Duration::from_millis(1));
    }
    stream.write_all(POISON)?;
    stream.flush()
}

/// The requests of a client, in turn: three that may bring too much, and one that may get it.
const KINDS: [(&str, &str); 4] = [("HEAD", "200"), ("GET", "204"), ("GET", "304"), ("GET", "200")];

fn assert_own(gateway: &Gateway, service: &str, client: usize, count: usize) {
    let mut wire = gateway.connect();
    for n in 0..count {
        let (method, status) = KINDS[(n + client) % KINDS.len()];
        let how = ["once", "twice", "late"][(n / KINDS.len()) % 3];
        let marker = format!("{service}-{client}-{n}");
        let request = Request::new(method, &format!("/{service}/{status}-{how}/{marker}"));
        let answer = wire.exchange(&request);
        assert_eq!(answer.status.to_string(), status, "{request}: {answer:?}");
        assert_eq!(
            answer.header("x-marker"),
            Some(marker.as_str()),
            "{request}: {answer:?}"
        );
        let body = if (method, status) == ("GET", "200") {
            marker.as_str()
        } else {
            ""
        };
        assert_eq!(answer.text(), body, "{request}");
        if !answer.keeps_alive() {
            wire = gateway.connect();
        }
    }
}

#[test]
fn bytes_after_a_response_without_a_body_are_in_no_other_response() {
    let plain = Upstream::start(converse);
    let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), converse);
    let gateway = Setup::in_front_of(plain.clone())
        .tls()
        .policy("plain", &policy("plain", &plain.url, ""))
        .policy("tls", &policy("tls", &tls.url, ", ca_file: $folder/ca.crt"))
        .start();
    for (service, count) in [("plain", 2000), ("tls", 160)] {
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let gateway = &gateway;
                scope.spawn(move || assert_own(gateway, service, client, count / CLIENTS));
            }
        });
    }
}
