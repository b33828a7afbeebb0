//! Identity providers: where their issuer is, and what is special about their tokens.

use clap::ValueEnum;

/// An identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Idp {
    /// Keycloak
    Keycloak,
    /// Auth0
    Auth0,
    /// Microsoft Entra ID
    Entra,
    /// Okta
    Okta,
    /// Amazon Cognito
    Cognito,
    /// Google, with ID tokens
    Google,
    /// Another provider with OpenID Connect Discovery
    Oidc,
    /// No tokens: only public routes at first
    None,
}

/// A part of the issuer, as a flag and as a question.
pub(super) struct Part {
    pub(super) flag: &'static str,
    pub(super) question: &'static str,
}

const fn part(flag: &'static str, question: &'static str) -> Part {
    Part { flag, question }
}

/// Where Entra is.
const ENTRA: &str = "https://login.microsoftonline.com";

/// The organizations whose tokens one entry accepts, if there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Organizations {
    /// `issuer_values` as they are written.
    pub(super) values: String,
    /// The URL below which the discovery document for all of them is.
    pub(super) document: String,
}

impl Organizations {
    /// Reads the parts of an issuer.
    pub(super) fn of(idp: Idp, parts: &[String]) -> Option<Self> {
        let (Idp::Entra, [tenant]) = (idp, parts) else {
            return None;
        };
        let (values, below) = match tenant.as_str() {
            "organizations" | "common" => ("any".to_owned(), tenant.as_str()),
            _ if tenant.contains(',') => {
                let ids: Vec<_> = tenant.split(',').map(|id| format!("{:?}", id.trim())).collect();
                (format!("[{}]", ids.join(", ")), "organizations")
            }
            _ => return None,
        };
        Some(Self {
            values: format!("{{ tid: {values} }}"),
            document: format!("{ENTRA}/{below}/v2.0"),
        })
    }

    /// Returns the first organization that is listed; `None` where every one is accepted.
    pub(super) fn first(&self) -> Option<&str> {
        self.values.split('"').nth(1)
    }
}

impl Idp {
    /// What the issuer is made of.
    pub(super) fn parts(self) -> Vec<Part> {
        match self {
            Self::Keycloak => vec![
                part("--domain", "Host of Keycloak, such as id.example.com"),
                part("--realm", "Realm, such as shop"),
            ],
            Self::Auth0 => vec![part("--domain", "Auth0 domain, such as shop.eu.auth0.com")],
            Self::Entra => vec![part(
                "--tenant",
                "Tenant (directory) id; several with commas, or `organizations` for all",
            )],
            Self::Okta => vec![part("--domain", "Okta domain, such as shop.okta.com")],
            Self::Cognito => vec![part("--pool", "User pool id, such as eu-central-1_AbCdEfGhI")],
            Self::Oidc => vec![part("--issuer", "Issuer: the exact `iss` of the tokens, an https URL")],
            Self::Google | Self::None => Vec::new(),
        }
    }

    /// The `iss` of the tokens.
    pub(super) fn issuer(self, parts: &[String]) -> String {
        let part = |at: usize| parts.get(at).map(String::as_str).unwrap_or_default();
        let host = part(0).trim_start_matches("https://").trim_end_matches('/');
        match self {
            Self::Keycloak => format!("https://{host}/realms/{}", part(1)),
            Self::Auth0 => format!("https://{host}/"),
            Self::Entra if Organizations::of(self, parts).is_some() => format!("{ENTRA}/{{tid}}/v2.0"),
            Self::Entra => format!("{ENTRA}/{}/v2.0", part(0)),
            Self::Okta => format!("https://{host}/oauth2/default"),
            Self::Cognito => {
                let region = part(0).split('_').next().unwrap_or_default();
                format!("https://cognito-idp.{region}.amazonaws.com/{}", part(0))
            }
            Self::Google => "https://accounts.google.com".to_owned(),
            Self::Oidc => part(0).to_owned(),
            Self::None => String::new(),
        }
    }

    /// The question for the audience, where tokens have one.
    pub(super) const fn audience_question(self) -> Option<&'static str> {
        match self {
            Self::Keycloak | Self::Oidc => Some("Audience: what `aud` of the tokens names for this service"),
            Self::Auth0 => Some("Audience: the identifier of the API in Auth0"),
            Self::Entra => Some("Audience: the application (client) id of the API"),
            Self::Okta => Some("Audience: that of the authorization server, such as api://default"),
            Self::Google => Some("Audience: the client id, which ends in .apps.googleusercontent.com"),
            Self::Cognito | Self::None => None,
        }
    }

    /// The question for an audience that tokens can go without.
    pub(super) const fn optional_audience_question(self) -> Option<&'static str> {
        match self {
            Self::Cognito => Some("Id of the app client (empty for all app clients of the pool)"),
            _ => None,
        }
    }

    /// The claim that names the audience, if that is not `aud`.
    pub(super) const fn audience_claim(self) -> Option<&'static str> {
        match self {
            Self::Cognito => Some("client_id"),
            _ => None,
        }
    }

    /// The claim with the scopes, if Sidegate does not look there by itself.
    pub(super) const fn scopes_claim(self) -> Option<&'static str> {
        match self {
            Self::Entra | Self::Okta => Some("scp"),
            _ => None,
        }
    }

    /// What to know about the `iss` of the tokens.
    pub(super) const fn about_issuer(self) -> &'static str {
        match self {
            Self::Keycloak => "The URL of the realm. Keycloak before version 17 has `/auth` in front of `/realms`.",
            Self::Auth0 => "The slash at the end is a part of the issuer.",
            Self::Entra => {
                "Tokens of version 2.0. If the tokens have `iss: https://sts.windows.net/…`, set \
                 `requestedAccessTokenVersion` of the application to 2."
            }
            Self::Okta => "The authorization server `default`. Tokens of the organization itself cannot be verified.",
            Self::Cognito => "The region and the id of the user pool.",
            Self::Google => "ID tokens of Google. Its access tokens are not JWTs and are rejected.",
            Self::Oidc | Self::None => "The exact `iss` of the tokens: a slash at the end counts.",
        }
    }

    /// What to know about the `aud` of the tokens.
    pub(super) const fn about_audience(self) -> &'static str {
        match self {
            Self::Keycloak => {
                "Keycloak names this service in `aud` only with an audience mapper in a client scope (or where the user \
                 has a role of this client). Without one, `aud` is `account` and requests get 401 \
                 `token_audience_mismatch`."
            }
            Self::Auth0 => "The identifier of the API. Clients must request it, or they get a token that is not a JWT.",
            Self::Entra => "The application (client) id of the API, without `api://` in tokens of version 2.0.",
            Self::Okta => "The audience in the settings of the authorization server.",
            Self::Cognito => {
                "Access tokens of Cognito have no `aud`, and the id of the app client in `client_id`. With \
                 `audience: [ID]` and `audience_claim: client_id`, only those of your app clients are accepted; with \
                 `unchecked`, those of all app clients of the user pool."
            }
            Self::Google => "The client id of your application. Never `unchecked`: every user of Google has ID tokens.",
            Self::Oidc | Self::None => "One of these must be in `aud`.",
        }
    }

    /// The claim with the roles, as it is written, and what to know about it.
    pub(super) const fn roles_claim(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::Keycloak => (
                Some("[realm_access, roles]"),
                "Roles of the realm. With those of a client: `[[realm_access, roles], [resource_access, CLIENT, roles]]`.",
            ),
            Self::Auth0 => (
                Some("permissions"),
                "Permissions of the user, if \"Add Permissions in the Access Token\" is on for the API.",
            ),
            Self::Entra => (Some("roles"), "App roles. Entra writes scopes to `scp`."),
            Self::Okta => (
                Some("groups"),
                "Groups, if the authorization server has a claim `groups`. Okta writes scopes to `scp`.",
            ),
            Self::Cognito => (Some("cognito:groups"), "Groups of the user pool."),
            Self::Google => (None, "ID tokens of Google have no roles."),
            Self::Oidc | Self::None => (
                Some("roles"),
                "The claim with the list of roles; `[a, b]` for a claim in another one.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_written_as_each_provider_does() {
        for (idp, parts, want) in [
            (
                Idp::Keycloak,
                &["id.example.com", "shop"][..],
                "https://id.example.com/realms/shop",
            ),
            (
                Idp::Auth0,
                &["https://shop.eu.auth0.com/"],
                "https://shop.eu.auth0.com/",
            ),
            (
                Idp::Entra,
                &["11111111-2222"],
                "https://login.microsoftonline.com/11111111-2222/v2.0",
            ),
            (Idp::Okta, &["shop.okta.com"], "https://shop.okta.com/oauth2/default"),
            (
                Idp::Cognito,
                &["eu-central-1_AbC"],
                "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbC",
            ),
            (Idp::Google, &[], "https://accounts.google.com"),
            (
                Idp::Entra,
                &["11111111-2222, 33333333-4444"],
                "https://login.microsoftonline.com/{tid}/v2.0",
            ),
            (
                Idp::Entra,
                &["organizations"],
                "https://login.microsoftonline.com/{tid}/v2.0",
            ),
        ] {
            let parts: Vec<_> = parts.iter().map(|&part| part.to_owned()).collect();
            assert_eq!(idp.parts().len(), parts.len());
            assert_eq!(idp.issuer(&parts), want);
        }
    }
}
