//! A service that answers with the request it received, so that a reader sees what a proxy in front of it sent.
//!
//! It never shows a whole credential: the values of headers that carry one are cut short.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::body::Body;
use hyper::{HeaderMap, Request, StatusCode};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::demo::http::{self, Answer};

/// How much of a body is echoed, in bytes.
const BODY_BYTES: usize = 4 * 1024;

/// How many characters of a credential are shown.
const SHOWN_CHARACTERS: usize = 8;

/// The headers that carry a credential.
const CREDENTIAL_HEADERS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-internal-api-key",
    "x-internal-key",
];

/// A request as its service received it.
#[derive(Debug, Serialize)]
struct Echo<'a> {
    service: &'a str,
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    headers: BTreeMap<&'a str, Vec<String>>,
    body: Option<String>,
}

/// Answers every request with a description of it, in the name of `service`. This never returns.
pub async fn serve(listener: TcpListener, service: &'static str) {
    http::serve(listener, move |request| echo(service, request)).await;
}

/// Describes `request`: its line, its headers and the start of its body.
pub async fn echo<B: Body<Data = Bytes>>(service: &'static str, request: Request<B>) -> Answer {
    let (head, body) = request.into_parts();
    let start = http::read_body_start(body, BODY_BYTES).await;
    let echo = Echo {
        service,
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query(),
        headers: shown_headers(&head.headers),
        body: text(&start),
    };
    http::json_response(StatusCode::OK, &echo)
}

fn shown_headers(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut shown = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        shown
            .entry(name.as_str())
            .or_default()
            .push(shown_value(name.as_str(), &value));
    }
    shown
}

fn shown_value(name: &str, value: &str) -> String {
    if CREDENTIAL_HEADERS.contains(&name) {
        mask(value)
    } else {
        value.to_owned()
    }
}

/// The first characters of a credential, or none of one which they would show whole.
fn mask(value: &str) -> String {
    let shown = match value.chars().count() {
        0..=SHOWN_CHARACTERS => 0,
        _ => SHOWN_CHARACTERS,
    };
    value.chars().take(shown).chain(['…']).collect()
}

/// The body as text, without the part of a character that was cut at its end; none if it is empty or no text.
fn text(body: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(cause) if cause.error_len().is_none() => {
            let (whole, _) = body.split_at_checked(cause.valid_up_to())?;
            std::str::from_utf8(whole).ok()?
        }
        Err(_) => return None,
    };
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use serde_json::{Value, json};

    use super::*;

    fn request(method: &str, uri: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(uri)
            .header("x-user-roles", "admin,user")
            .header("X-Twice", "one")
            .header("x-twice", "two")
            .header("authorization", "Bearer secret")
            .body(Full::new(body.into()))
            .unwrap()
    }

    async fn json_body(answer: Answer) -> Value {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/json");
        serde_json::from_slice(&http::read_body(answer.into_body()).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_described() {
        let answer = echo("wallet-svc", request("PATCH", "/wallet/v1/a%20b?x=1&y", "{}")).await;
        assert_eq!(
            json_body(answer).await,
            json!({
                "service": "wallet-svc",
                "method": "PATCH",
                "path": "/wallet/v1/a%20b",
                "query": "x=1&y",
                "headers": {
                    "authorization": ["Bearer s…"],
                    "x-twice": ["one", "two"],
                    "x-user-roles": ["admin,user"],
                },
                "body": "{}",
            })
        );
    }

    #[tokio::test]
    async fn a_body_is_text_or_null() {
        let long = "€".repeat(2000);
        for (body, shown) in [
            (Bytes::new(), Value::Null),
            (Bytes::from_static(b"plain"), json!("plain")),
            (Bytes::from_static(b"\xff\xfe"), Value::Null),
            (Bytes::from(long), json!("€".repeat(BODY_BYTES / 3))),
            (Bytes::from(vec![b'a'; 200_000]), json!("a".repeat(BODY_BYTES))),
        ] {
            let length = body.len();
            let answer = echo("hub", request("POST", "/", body)).await;
            assert_eq!(json_body(answer).await["body"], shown, "{length} bytes");
        }
    }

    #[test]
    fn credentials_are_masked() {
        for (name, value, shown) in [
            ("authorization", "Bearer eyJhbGciOi", "Bearer e…"),
            ("x-internal-api-key", "0123456789abcdef", "01234567…"),
            ("x-internal-api-key", "01234567", "…"),
            ("x-internal-api-key", "", "…"),
            ("x-internal-api-key", "ключ-от-всех-дверей", "ключ-от-…"),
            ("x-user-id", "0123456789abcdef", "0123456789abcdef"),
        ] {
            assert_eq!(shown_value(name, value), shown, "{name}: {value}");
        }
    }

    #[tokio::test]
    async fn it_answers_on_the_wire() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, "hub"));
        let uri = format!("http://{address}/integrationhub/v1/execute");
        let response = Client::builder(TokioExecutor::new())
            .build_http()
            .request(request("POST", &uri, vec![b'a'; 1_000_000]))
            .await
            .unwrap();
        let body: Value = serde_json::from_slice(&http::read_body(response.into_body()).await.unwrap()).unwrap();
        assert_eq!(body["path"], "/integrationhub/v1/execute");
        assert_eq!(body["body"].as_str().map(str::len), Some(BODY_BYTES));
    }
}
