//! Which headers of other products a policy can pass, and what is said about it.

use crate::policy::PolicySet;
use crate::testing::parse;

const POLICY: &str = "\
version: 1
service: s
upstream: { url: 'http://127.0.0.1:1' }
jwt: { issuers: [{ issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
tenant: { header: x-org, claims: [org] }
internal_key: { header: x_job_key, keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
identity: { x-webauth-user: sub }
$policy
routes:
  - { path: /open, auth: public $open }
  - { path: /maybe, auth: { any: [jwt, public] } $maybe }
  - { path: /trial, auth: jwt, mode: shadow $trial }
  - { path: /*, auth: jwt $jwt }
";

fn policy(policy: &str, routes: [&str; 4]) -> String {
    let [open, maybe, trial, jwt] = routes.map(|pass| {
        if pass.is_empty() {
            String::new()
        } else {
            format!(", {pass}")
        }
    });
    let policy = POLICY.replace("$policy", policy).replace("$open", &open);
    policy
        .replace("$maybe", &maybe)
        .replace("$trial", &trial)
        .replace("$jwt", &jwt)
}

fn errors(text: &str) -> Vec<String> {
    let problems = parse(&[text]).err().unwrap_or_default();
    let errors = problems.iter().filter(|problem| problem.is_error());
    errors
        .map(|error| format!("{} ({})", error.message(), error.fix()))
        .collect()
}

fn warnings(policies: &PolicySet) -> Vec<String> {
    policies
        .warnings()
        .map(|warning| warning.message().to_owned())
        .collect()
}

#[test]
fn name_that_cannot_be_passed_is_a_problem_with_a_hint() {
    for (name, message, help) in [
        ("x-user-id", "is read or set by Sidegate", "leave it out"),
        ("X_User_Id", "is read or set by Sidegate", "leave it out"),
        ("x-tenant-id", "is read or set by Sidegate", "leave it out"),
        ("x-job-key", "is read or set by Sidegate", "leave it out"),
        ("x-webauth-user", "is read or set by Sidegate", "leave it out"),
        ("x-original-url", "never passes", "leave it out"),
        ("x-forwarded-client-cert", "never passes", "leave it out"),
        ("x-envoy-original-path", "never passes", "leave it out"),
        ("content_length", "never passes", "leave it out"),
        ("x-forwarded-for", "from trusted proxies only", "`trusted_proxies`"),
        ("x-real-ip", "from trusted proxies only", "`trusted_proxies`"),
        ("x-userinf", "is not removed", "did you mean `x-userinfo`?"),
        ("x-custom", "is not removed", "leave it out"),
        ("'a b'", "is not a header name", ""),
    ] {
        for text in [
            policy(&format!("pass: [{name}]"), [""; 4]),
            policy("", ["", "", "", &format!("pass: [{name}]")]),
        ] {
            let errors = errors(&text);
            assert!(
                errors.len() == 1 && errors[0].contains(message) && errors[0].contains(help),
                "{name}: {errors:?}"
            );
        }
    }
    let tenant = errors(&policy("pass: [x-org]", [""; 4]));
    assert!(
        tenant.len() == 1 && tenant[0].contains("by a route, not by a policy"),
        "{tenant:?}"
    );
    let verified = errors(&policy("", ["", "", "", "pass: [X-Org]"]));
    assert!(
        verified.len() == 1 && verified[0].contains("verified on this route"),
        "{verified:?}"
    );
}

#[test]
fn header_that_is_passed_where_no_caller_is_proven_is_warned_of() {
    let passes = "pass: [x-userinfo]";
    for (text, want) in [
        (policy("", ["", "", "", passes]), &[][..]),
        (policy("", [passes, "", "", ""]), &["the route proves no caller"]),
        (policy("", ["", passes, "", ""]), &["the route proves no caller"]),
        (policy("", ["", "", passes, ""]), &["the route proves no caller"]),
        (policy("", ["pass: [x-org]", "", "", ""]), &[]),
        // Of a policy, once for each name and not for each route.
        (
            policy("pass: [x-userinfo, x-consumer-id]", [""; 4]),
            &["`/open` proves no caller", "`/open` proves no caller"],
        ),
        (
            policy(passes, ["pass: [x-org]", "pass: [x-org-2]", "", ""]).replace(", pass: [x-org-2]", ""),
            &["`/maybe` proves no caller"],
        ),
    ] {
        let warnings = warnings(&parse(&[&text]).unwrap());
        assert_eq!(warnings.len(), want.len(), "{text}{warnings:?}");
        for (warning, want) in warnings.iter().zip(want) {
            assert!(warning.contains(want), "{text}{warnings:?}");
        }
    }
}

#[test]
fn route_passes_its_own_names_in_place_of_those_of_its_policy() {
    let text = policy(
        "pass: [x-userinfo, X-MS-Client-Principal-Name]",
        ["", "", "", "pass: [x-amzn-oidc-data]"],
    );
    let policies = parse(&[&text]).unwrap();
    let passed = |at: usize| -> Vec<String> {
        let route = &policies.get(0).unwrap().routes[at];
        route.pass_through.iter().map(ToString::to_string).collect()
    };
    assert_eq!(passed(0), ["x-userinfo", "x-ms-client-principal-name"]);
    assert_eq!(passed(3), ["x-amzn-oidc-data"]);
}
