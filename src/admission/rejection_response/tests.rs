use super::*;

const ID: &str = "0b0f0000-0000-4000-8000-000000000001";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn response(format: ErrorFormat, reason: Reason, accepts: &[AuthMethod], grpc: Option<&str>) -> LocalResponse {
    let grpc = grpc.map(|kind| kind.parse().unwrap());
    let style = ErrorStyle::new(format, "ERR_X".into());
    styled(&style, reason, accepts, grpc.as_ref())
}

fn styled(style: &ErrorStyle, reason: Reason, accepts: &[AuthMethod], grpc: Option<&HeaderValue>) -> LocalResponse {
    let context = ErrorContext {
        accepts,
        scopes: &["wallet:read".into(), "write".into()],
        grpc,
        ..context(style)
    };
    render(&reason.into(), &context)
}

fn context(style: &ErrorStyle) -> ErrorContext<'_> {
    ErrorContext {
        style,
        realm: "x-svc",
        accepts: &[],
        path: "/x/\"1\"".into(),
        request_id: ID,
        trace_id: TRACE,
        now: "2026-02-24T12:00:00Z".parse().unwrap(),
        scopes: &[],
        grpc: None,
        cors: None,
        allowed_origin: None,
        had_token_in_query: false,
        resource: None,
    }
}

fn header(response: &LocalResponse, name: &str) -> Option<String> {
    let found = response.headers.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.to_str().unwrap().to_owned())
}

#[test]
fn body_has_the_format_of_the_service() {
    for (format, media_type, want) in [
        (
            ErrorFormat::Flat,
            "application/json",
            r#"{"statusCode":401,"code":"ERR_X_UNAUTHORIZED","message":"The token has expired.","path":"/x/\"1\"","timestamp":"2026-02-24T12:00:00.000Z"}"#.to_owned(),
        ),
        (
            ErrorFormat::Envelope,
            "application/json",
            format!(
                r#"{{"data":null,"error":{{"code":"ERR_X_UNAUTHORIZED","message":"The token has expired.","details":{{"reason":"token_expired"}},"traceId":"{TRACE}"}},"meta":{{"requestId":"{ID}","traceId":"{TRACE}","timestamp":"2026-02-24T12:00:00.000Z"}}}}"#
            ),
        ),
        (
            ErrorFormat::Problem,
            "application/problem+json",
            format!(
                r#"{{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The token has expired.","instance":"/x/\"1\"","code":"ERR_X_UNAUTHORIZED","reason":"token_expired","requestId":"{ID}"}}"#
            ),
        ),
    ] {
        let response = response(format, Reason::TokenExpired, &[AuthMethod::Jwt], None);
        assert_eq!(std::str::from_utf8(&response.body).unwrap(), want);
        assert_eq!(header(&response, "content-type").as_deref(), Some(media_type));
        assert_eq!(header(&response, "content-length"), Some(want.len().to_string()));
        assert_eq!(header(&response, "cache-control").as_deref(), Some("no-store"));
        assert_eq!(header(&response, "x-request-id").as_deref(), Some(ID));
    }
}

#[test]
fn rejection_names_its_reason_unless_the_style_leaves_it_out() {
    let grpc = HeaderValue::from_static("application/grpc");
    for (grpc, reason_header) in [(None, true), (None, false), (Some(&grpc), true), (Some(&grpc), false)] {
        let style = ErrorStyle {
            reason_header,
            ..ErrorStyle::new(ErrorFormat::Flat, "ERR_X".into())
        };
        for &reason in Reason::ALL {
            let response = styled(&style, reason, &[], grpc);
            let want = reason_header.then(|| reason.code().to_owned());
            assert_eq!(header(&response, "x-sidegate-reason"), want, "{grpc:?}");
        }
    }
}

#[test]
fn reason_is_recognized_in_every_spelling() {
    for (name, want) in [
        ("x-sidegate-reason", true),
        ("x_sidegate_reason", true),
        ("x.sidegate-reason", true),
        ("x-sidegate-reasons", false),
        ("x-sidegate", false),
        ("x-content-type-options", false),
    ] {
        assert_eq!(is_reason(&HeaderName::from_static(name)), want, "{name}");
    }
}

#[test]
fn type_of_a_problem_links_to_the_reason() {
    for (base, want) in [
        (None, "about:blank"),
        (
            Some("https://docs.example.com/rejections#"),
            "https://docs.example.com/rejections#token_expired",
        ),
    ] {
        let style = ErrorStyle {
            type_base: base.map(str::to_owned),
            ..ErrorStyle::new(ErrorFormat::Problem, "ERR_X".into())
        };
        let response = styled(&style, Reason::TokenExpired, &[], None);
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body["type"], want);
    }
}

#[test]
fn challenge_names_the_methods_that_the_route_accepts() {
    use AuthMethod::{InternalKey, Jwt, Mtls, Public};
    for (reason, accepts, want) in [
        (Reason::CredentialMissing, &[Jwt][..], Some(r#"Bearer realm="x-svc""#)),
        (
            Reason::TokenExpired,
            &[InternalKey, Jwt],
            Some(r#"Bearer realm="x-svc", error="invalid_token", error_description="The token has expired.""#),
        ),
        (
            Reason::CredentialMissing,
            &[InternalKey, Jwt],
            Some(r#"ApiKey realm="x-svc", Bearer realm="x-svc""#),
        ),
        (
            Reason::ClientCertificateMissing,
            &[Mtls],
            Some(r#"Mutual realm="x-svc""#),
        ),
        (Reason::RoleMissing, &[Jwt], None),
        (
            Reason::ScopeMissing,
            &[Jwt, InternalKey],
            Some(r#"Bearer realm="x-svc", error="insufficient_scope", scope="wallet:read write""#),
        ),
        (Reason::RequestMalformed, &[Public], None),
    ] {
        let response = response(ErrorFormat::Flat, reason, accepts, None);
        assert_eq!(
            header(&response, "www-authenticate").as_deref(),
            want,
            "{}",
            reason.code()
        );
    }
}

#[test]
fn challenge_of_a_resource_names_its_metadata_and_the_scopes_of_the_route() {
    use AuthMethod::{InternalKey, Jwt};
    const METADATA: &str = r#"resource_metadata="https://a.example/.well-known/oauth-protected-resource/mcp""#;
    let text = "version: 1\nservice: x-svc\nupstream: { url: 'http://127.0.0.1:1' }\nroutes: [{ path: /*, auth: jwt }]\n\
        jwt: { issuers: [{ issuer: i, audience: ['https://a.example/mcp'], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }\n\
        resource: { url: 'https://a.example/mcp', authorization_servers: ['https://login.example'] }\n";
    let policies = crate::testing::parse(&[text]).unwrap();
    let resource = policies.policies()[0].resource.as_ref();
    let scopes = ["wallet:read".to_owned(), "write".to_owned()];
    for (reason, accepts, scopes, want) in [
        (
            Reason::CredentialMissing,
            &[Jwt][..],
            &scopes[..],
            Some(format!(
                r#"Bearer realm="x-svc", {METADATA}, scope="wallet:read write""#
            )),
        ),
        (
            Reason::CredentialMissing,
            &[Jwt],
            &[],
            Some(format!(r#"Bearer realm="x-svc", {METADATA}"#)),
        ),
        (
            Reason::TokenExpired,
            &[Jwt],
            &scopes,
            Some(format!(
                r#"Bearer realm="x-svc", error="invalid_token", error_description="The token has expired.", {METADATA}, scope="wallet:read write""#
            )),
        ),
        (
            Reason::CredentialMissing,
            &[InternalKey, Jwt],
            &[],
            Some(format!(r#"ApiKey realm="x-svc", Bearer realm="x-svc", {METADATA}"#)),
        ),
        (
            Reason::CredentialMissing,
            &[InternalKey],
            &[],
            Some(r#"ApiKey realm="x-svc""#.to_owned()),
        ),
        (
            Reason::ScopeMissing,
            &[Jwt],
            &scopes,
            Some(format!(
                r#"Bearer realm="x-svc", error="insufficient_scope", scope="wallet:read write", {METADATA}"#
            )),
        ),
        (Reason::RoleMissing, &[Jwt], &scopes, None),
    ] {
        // Also with a style that has no challenge for a missing scope.
        for format in [ErrorFormat::Flat, ErrorFormat::Envelope] {
            let style = ErrorStyle::new(format, "ERR_X".into());
            let context = ErrorContext {
                accepts,
                scopes,
                resource,
                ..context(&style)
            };
            let response = render(&reason.into(), &context);
            assert_eq!(header(&response, "www-authenticate"), want, "{}", reason.code());
        }
    }
}

#[test]
fn missing_scope_has_a_challenge_unless_the_style_has_none() {
    for (format, has_challenge) in [
        (ErrorFormat::Flat, true),
        (ErrorFormat::Problem, true),
        (ErrorFormat::Envelope, false),
    ] {
        let response = response(format, Reason::ScopeMissing, &[AuthMethod::Jwt], None);
        assert_eq!(
            header(&response, "www-authenticate").is_some(),
            has_challenge,
            "{format:?}"
        );
    }
}

#[test]
fn grpc_client_gets_a_trailers_only_response() {
    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web-text+proto",
    ] {
        let reason = Reason::CredentialMissing;
        let response = response(ErrorFormat::Envelope, reason, &[AuthMethod::Jwt], Some(kind));
        assert_eq!((response.status, response.body.len()), (200, 0));
        for (name, want) in [
            ("content-type", kind),
            ("grpc-status", "16"),
            ("grpc-message", "Authentication is required."),
        ] {
            assert_eq!(header(&response, name).as_deref(), Some(want));
        }
    }
}

#[test]
fn messages_need_no_percent_encoding_in_headers() {
    for reason in Reason::ALL {
        let fine = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '%' | '"' | '\\');
        assert!(reason.message().chars().all(fine), "{}", reason.code());
    }
}

#[test]
fn name_of_each_field_is_known() {
    let style = ErrorStyle::new(ErrorFormat::Flat, "ERR_X".into());
    for grpc in [None, Some("application/grpc")] {
        for reason in Reason::ALL {
            let response = response(ErrorFormat::Flat, *reason, &[AuthMethod::Jwt], grpc);
            for (name, _) in response.headers {
                assert!(super::super::response_names::is_field(&name), "{name}");
            }
        }
    }
    let rejection = Rejection::from(Reason::QuotaExceeded).retry_after(std::time::Duration::from_secs(1));
    let context = ErrorContext {
        had_token_in_query: true,
        ..context(&style)
    };
    for (name, _) in render(&rejection, &context).headers {
        assert!(super::super::response_names::is_field(&name), "{name}");
    }
}
