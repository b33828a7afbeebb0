//! The metadata of a protected resource, which Sidegate serves before routing.

use super::*;

const RESOURCE: &str = "
version: 1
service: tools
prefix: /mcp
hosts: [tools.example.com]
upstream: { url: http://127.0.0.1:1 }
jwt: { issuers: [{ issuer: eventzr.com, audience: ['https://tools.example.com/mcp'], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
resource: { url: 'https://tools.example.com/mcp', authorization_servers: ['https://login.example.com'] }
routes: [{ path: /*, auth: jwt }]
";

/// Takes every other path of every host.
const FRONT: &str = "
version: 1
service: front
upstream: { url: http://127.0.0.1:2 }
tenant: { claims: [tenant] }
jwt: { issuers: [{ issuer: eventzr.com, audience: [a], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
routes: [{ path: /*, auth: jwt }]
";

#[test]
fn metadata_are_for_every_client_and_come_before_routes() {
    let policies = parse(&[FRONT, RESOURCE]).unwrap();
    let document = "/.well-known/oauth-protected-resource";
    for (method, host, rest, want) in [
        ("GET", "tools.example.com", "/mcp", "metadata"),
        ("HEAD", "tools.example.com", "/mcp/", "metadata"),
        ("OPTIONS", "TOOLS.example.com", "/mcp", "metadata"),
        ("GET", "tools.example.com", "", "metadata"),
        ("GET", "tools.example.com:8443", "/mcp", "metadata"),
        ("GET", "tools.example.com.", "/mcp", "metadata"),
        ("POST", "tools.example.com", "/mcp", "method_not_allowed"),
        ("DELETE", "tools.example.com", "", "method_not_allowed"),
        ("get", "tools.example.com", "/mcp", "request_malformed"),
        ("CONNECT", "tools.example.com", "/mcp", "method_not_allowed"),
        // Routes decide about these.
        ("GET", "tools.example.com", "/mcpx", "credential_missing"),
        ("GET", "tools.example.com", "/mcp/x", "credential_missing"),
        ("GET", "tools.example.com", "/MCP", "credential_missing"),
        ("GET", "tools.example.com", "/%6dcp", "credential_missing"),
        ("GET", "tools.example.com", "//mcp", "path_ambiguous"),
        ("GET", "other.example.com", "/mcp", "credential_missing"),
        ("GET", "a b", "/mcp", "request_malformed"),
    ] {
        let request = request(&format!("{method} {document}{rest}")).host(host);
        assert_eq!(request.outcome(&policies), want, "{method} {host} {rest}");
    }
}

#[test]
fn metadata_belong_to_their_policy_and_to_no_route() {
    let policies = parse(&[FRONT, RESOURCE]).unwrap();
    for method in ["GET", "POST"] {
        let line = format!("{method} /.well-known/oauth-protected-resource/mcp");
        // Headers that the other policy reads decide nothing.
        let request = request(&line).host("tools.example.com").tenant("a").tenant("b");
        let decision = request.decide(&policies);
        assert_eq!(decision.matched.policy().unwrap().service, "tools");
        assert!(decision.matched.route().is_none() && decision.outcome.permit().is_none());
        assert!(decision.path.is_none() && decision.principal.is_none());
    }
}
