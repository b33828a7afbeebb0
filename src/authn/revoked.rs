//! Whether a token that is good was revoked.

use serde_json::Value;

use super::claims;
use crate::policy::store_rules::RevocationRule;
use crate::policy::tenant::TenantRule;
use crate::policy::{Fallback, Policy};
use crate::principal::{Principal, TenantId, VerifiedToken};
use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;
use crate::revocation::{Millis, Revocations, Token};

/// Rejects a token that was revoked, or whose revocation is unknown. Where the policy allows the
/// latter, the principal says so.
pub(super) fn check(
    policy: &Policy,
    principal: &mut Principal,
    revocations: Revocations<'_>,
    request: &RequestFacts<'_>,
) -> Result<(), Rejection> {
    let (Some(rule), Revocations::Known { list, age }) = (&policy.revocation, revocations) else {
        return Ok(());
    };
    let Some(token) = principal.token.as_deref() else {
        return Ok(());
    };
    let of_request = policy.tenant.as_ref().filter(|rule| rule.lists);
    let of_request = of_request.map(|rule| requested(rule, token, request));
    let token = token_view(token, of_request.as_ref().map(Option::as_slice))?;
    // What is known counts, however old it is.
    if let Some(target) = list.find(&token, request.now.saturating_mul(1000)) {
        let cause = format!("the token is revoked by its {target}");
        return Err(Rejection::because(Reason::TokenRevoked, cause));
    }
    principal.revocation_unknown = age.is_none_or(|age| age > rule.max_stale);
    match principal.revocation_unknown {
        true => unknown(rule),
        false => Ok(()),
    }
}

fn unknown(rule: &RevocationRule) -> Result<(), Rejection> {
    match rule.when_unavailable {
        Fallback::Allow => Ok(()),
        Fallback::Deny => Err(Rejection::because(
            Reason::StoreUnavailable,
            "the list of revocations is unavailable or too old",
        )),
    }
}

/// Returns the tenant that a request is for, where its token lists several. The others may be revoked.
fn requested(rule: &TenantRule, token: &VerifiedToken, request: &RequestFacts<'_>) -> Option<TenantId> {
    let (_, named) = rule.in_header(request.headers)?;
    named.filter(|tenant| token.tenants.contains(tenant))
}

/// Returns what revocations look at in a token: the tenant of the request, or else all tenants that the token names.
fn token_view<'t>(token: &'t VerifiedToken, of_request: Option<&'t [TenantId]>) -> Result<Token<'t>, Rejection> {
    // RFC 7519, 4.1.7: a text. Another value would not be found among the revoked.
    if let Some(jti) = token.claims.get("jti").filter(|jti| !jti.is_string()) {
        return Err(claims::unfit("jti", jti, "a text: it can be revoked"));
    }
    Ok(Token {
        issuer: token.text("iss"),
        jti: token.text("jti"),
        subject: token.text("sub"),
        tenants: of_request.unwrap_or(&token.tenants),
        issued: token.claims.get("iat").and_then(Value::as_f64).map(milliseconds),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "`iat` is in range: it was verified")]
fn milliseconds(seconds: f64) -> Millis {
    (seconds * 1000.0) as Millis
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::decision::{Evaluator, decide};
    use crate::rejection::Rejection;
    use crate::revocation::{Revocation, RevocationList, Revocations, Target};
    use crate::testing::{NOW, TENANT, claims_with, evaluator, request};

    const POLICY: &str = "
version: 1
service: s
upstream: { url: http://127.0.0.1:1 }
jwt: { issuers: [{ issuer: eventzr.com, audience: unchecked, algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
tenant: { claims: [tenant, tenantId] }
$revocation
routes: [{ path: /*, auth: jwt }]
";

    fn policies(revocation: &str) -> Evaluator {
        evaluator(&[&POLICY.replace("$revocation", revocation)])
    }

    /// Returns the reason, and whether the revocation is unknown, for a request with these claims.
    fn outcome(evaluator: &Evaluator, changes: &Value, revocations: Revocations<'_>) -> (String, bool) {
        let request = request("GET /x").bearer(&claims_with(changes)).tenant(TENANT);
        let decision = decide(evaluator, &request.facts(), revocations, &mut ());
        let reason = decision
            .outcome
            .rejection()
            .map_or("allow", |rejection| rejection.reason().code());
        let unknown = decision.principal.is_some_and(|principal| principal.revocation_unknown);
        (reason.to_owned(), unknown)
    }

    #[test]
    fn revoked_token_still_names_its_bearer() {
        let list = revoked(Target::Jti("t".into()), None);
        let known = Revocations::Known {
            list: &list,
            age: Some(Duration::ZERO),
        };
        let (evaluator, changes) = (policies("revocation: {}"), json!({ "jti": "t" }));
        let request = request("GET /x").bearer(&claims_with(&changes)).tenant(TENANT);
        let decision = decide(&evaluator, &request.facts(), known, &mut ());
        // The rejection knows the bearer for the log; the decision proves no caller.
        assert_eq!(decision.principal, None);
        let caller = decision.outcome.rejection().and_then(Rejection::caller).unwrap();
        assert_eq!(caller.subject(), Some("user-1"));
        assert_eq!(caller.tenant.as_ref().map(ToString::to_string).as_deref(), Some(TENANT));
    }

    fn revoked(target: Target, before: Option<i64>) -> RevocationList {
        let mut list = RevocationList::default();
        list.add(&Revocation {
            target,
            issuer: None,
            before: before.map(|seconds| seconds * 1000),
            expires: (NOW + 1) * 1000,
        });
        list
    }

    #[test]
    fn a_token_is_looked_for_by_all_that_it_says() {
        let tenant = crate::principal::TenantId::parse(TENANT).unwrap();
        let subject = || Target::Subject("user-1".into());
        for (list, changes, want) in [
            (
                revoked(Target::Jti("t".into()), None),
                json!({ "jti": "t" }),
                "token_revoked",
            ),
            (revoked(Target::Jti("t".into()), None), json!({ "jti": "u" }), "allow"),
            (
                revoked(Target::Jti("7".into()), None),
                json!({ "jti": 7 }),
                "token_claim_invalid",
            ),
            (revoked(subject(), Some(NOW + 1)), json!({}), "token_revoked"),
            (revoked(subject(), Some(NOW)), json!({}), "allow"),
            (
                revoked(subject(), Some(NOW)),
                json!({ "iat": f64::from(1_799_999_999) + 0.999 }),
                "token_revoked",
            ),
            (revoked(subject(), Some(NOW)), json!({ "iat": null }), "token_revoked"),
            (
                revoked(subject(), Some(NOW)),
                json!({ "sub": "user-2", "iat": null }),
                "allow",
            ),
            (
                revoked(Target::Tenant(tenant.clone()), Some(NOW + 1)),
                json!({}),
                "token_revoked",
            ),
            (
                revoked(Target::Tenant(tenant.clone()), Some(NOW + 1)),
                json!({ "tenant": null }),
                "token_revoked",
            ),
        ] {
            let known = Revocations::Known {
                list: &list,
                age: Some(Duration::ZERO),
            };
            assert_eq!(
                outcome(&policies("revocation: {}"), &changes, known).0,
                want,
                "{changes}"
            );
            let elsewhere = outcome(&policies(""), &changes, known).0;
            assert_ne!(elsewhere, "token_revoked", "a policy that does not ask: {changes}");
        }
    }

    #[test]
    fn what_is_known_may_be_so_old_and_no_older() {
        let none = RevocationList::default();
        let hit = revoked(Target::Subject("user-1".into()), Some(NOW + 1));
        let old = Some(Duration::from_secs(31));
        let fresh = Some(Duration::from_secs(30));
        for (rule, list, age, want) in [
            ("{}", &none, fresh, ("allow", false)),
            ("{}", &none, old, ("store_unavailable", false)),
            ("{}", &none, None, ("store_unavailable", false)),
            ("{}", &hit, old, ("token_revoked", false)),
            ("{ max_stale: 2s }", &none, fresh, ("store_unavailable", false)),
            ("{ max_stale: 1h }", &none, old, ("allow", false)),
            ("{ when_unavailable: allow }", &none, old, ("allow", true)),
            ("{ when_unavailable: allow }", &none, None, ("allow", true)),
            ("{ when_unavailable: allow }", &hit, None, ("token_revoked", false)),
        ] {
            let known = Revocations::Known { list, age };
            let (reason, unknown) = outcome(&policies(&format!("revocation: {rule}")), &json!({}), known);
            assert_eq!((reason.as_str(), unknown), want, "{rule} {age:?}");
        }
    }
}
