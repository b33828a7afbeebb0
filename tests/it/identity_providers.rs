//! docs/identity-providers.md, run as a reader would: each policy passes `check`, each token is allowed with the
//! identity headers that stand beside it, and each mistake is rejected with the reason that stands beside it.
//!
//! A section of the page is a recipe: a `yaml` block with the policy, a `json` block with header and claims of a token,
//! a `text` block with the request and the headers that the service receives, a table of mistakes and a line
//! `Read more:`. How a mistake is written is in [`mistake`]. Only what needs a network or a secret is replaced:
//! `keys`, and the time of the request.

mod mistake;
mod page;
mod signer;

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    documented_commands::Document,
    harness::{
        Reply, Setup,
        certificates::pki,
        gateway::{output, text},
        issuer::KeyServer,
    },
};
use mistake::{Change, Keys, Mistake};
use page::Recipe;
use signer::{OwnKey, SECRET_NAME};

const PAGE: &str = "docs/identity-providers.md";

/// Where a pod has the files of its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Recipes that the page has at least: those of `sidegate init`, and issuers of tokens for programs.
const PROVIDERS: [&str; 10] = [
    "Keycloak",
    "Auth0",
    "Entra ID",
    "Okta",
    "Cognito",
    "Google",
    "GitHub Actions",
    "Kubernetes",
    "SPIFFE",
    "Supabase",
];

/// Makes one test for each recipe, and the list of them.
macro_rules! recipes {
    ($($test:ident: $title:literal,)*) => {
        const RECIPES: &[&str] = &[$($title),*];
        $(
            #[test]
            fn $test() {
                hold($title);
            }
        )*
    };
}

recipes! {
    recipe_for_auth0_holds: "Auth0",
    recipe_for_cognito_holds: "Cognito",
    recipe_for_entra_with_one_tenant_holds: "Entra ID, one tenant",
    recipe_for_entra_with_several_tenants_holds: "Entra ID, several tenants",
    recipe_for_github_actions_holds: "GitHub Actions",
    recipe_for_google_holds: "Google",
    recipe_for_keycloak_holds: "Keycloak",
    recipe_for_kubernetes_holds: "Kubernetes service accounts",
    recipe_for_okta_holds: "Okta",
    recipe_for_spiffe_holds: "SPIFFE JWT-SVID",
    recipe_for_supabase_holds: "Supabase",
    recipe_for_supabase_with_the_secret_holds: "Supabase with the JWT secret",
}

#[test]
fn each_section_is_a_recipe_with_a_test() {
    let mut titles: Vec<String> = recipes().into_iter().map(|recipe| recipe.title).collect();
    titles.sort();
    assert_eq!(titles, RECIPES, "sections of {PAGE}, and `recipes!` of this file");
    for provider in PROVIDERS {
        assert!(titles.iter().any(|title| title.starts_with(provider)), "{provider}");
    }
}

fn recipes() -> Vec<Recipe> {
    page::recipes(&Document::read(PAGE))
}

/// Runs a recipe, and reports each mistake that does not hold.
fn hold(title: &str) {
    let found = recipes().into_iter().find(|recipe| recipe.title == title);
    let recipe = found.unwrap_or_else(|| panic!("{PAGE} has no section `{title}`"));
    let stage = Stage::new(recipe);
    stage.check().unwrap_or_else(|fault| panic!("{fault}"));
    let mut faults: Vec<String> = stage.allow().err().into_iter().collect();
    for mistake in &stage.recipe.mistakes {
        let fault = stage.reject(mistake).err();
        faults.extend(fault.map(|fault| format!("{PAGE}:{}: {fault}", mistake.line)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// A recipe in a folder of its own, with a key that the test has.
struct Stage {
    recipe: Recipe,
    setup: Setup,
    key: OwnKey,
}

/// A request, and the policy that decides about it.
struct Attempt {
    policy: String,
    token: String,
    request: String,
    headers: Vec<String>,
    // Serves keys for as long as the request is decided.
    _server: Option<KeyServer>,
}

impl Stage {
    fn new(recipe: Recipe) -> Self {
        let key = OwnKey::for_header(&recipe.token["header"]);
        let setup = Setup::new().env("SUPABASE_JWT_SECRET", signer::SECRET);
        let setup = setup.env(SECRET_NAME, signer::SECRET);
        fs::write(setup.path("keys.json"), key.set()).unwrap();
        fs::write(setup.path("ca.crt"), &pki().ca).unwrap();
        fs::write(setup.path("token"), "a-token-of-a-service-account").unwrap();
        Self { recipe, setup, key }
    }

    /// The page's policy passes `check` as it stands there, and with the test's keys.
    fn check(&self) -> Result<(), String> {
        let folder = self.setup.folder.path().to_str().unwrap();
        let as_written = self.recipe.policy.replace(SERVICE_ACCOUNT, folder);
        for policy in [as_written, self.with_own_keys(&self.recipe.policy)] {
            self.write(&policy);
            let arguments = ["check", "policies/orders.yaml", "--deny-warnings"];
            let output = output(self.setup.command(&arguments));
            if output.status.code() != Some(0) || text(&output) != "1 policy, no problems\n" {
                return Err(format!("check of\n{policy}\nsays:\n{}", text(&output)));
            }
        }
        Ok(())
    }

    /// The page's request is allowed, with the page's headers and no other identity header.
    fn allow(&self) -> Result<(), String> {
        let (report, printed) = self.explain(&self.attempt(&[]));
        let headers: BTreeMap<String, String> = report["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| is_identity(name))
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        match report["decision"] == "allow" && headers == self.recipe.headers {
            true => Ok(()),
            false => Err(format!("expected {:#?}:\n{printed}", self.recipe.headers)),
        }
    }

    /// A mistake of the page is rejected for the reason that the page gives.
    fn reject(&self, mistake: &Mistake) -> Result<(), String> {
        let (report, printed) = self.explain(&self.attempt(&mistake.changes));
        match report["decision"] == "deny" && report["reason"] == mistake.reason.as_str() {
            true => Ok(()),
            false => Err(format!("expected {}:\n{printed}", mistake.reason)),
        }
    }

    /// The recipe with some changes.
    fn attempt(&self, changes: &[Change]) -> Attempt {
        let recipe = &self.recipe;
        let mut policy = recipe.policy.clone();
        let (mut header, mut claims) = (recipe.token["header"].clone(), recipe.token["claims"].clone());
        let (mut request, mut headers) = (recipe.request.clone(), Vec::new());
        let (mut opaque, mut secret, mut server) = (None, signer::SECRET, None);
        for change in changes {
            match change {
                Change::Claims(members) => merge(&mut claims, members),
                Change::Header(members) => merge(&mut header, members),
                Change::NoClaim(name) => {
                    let removed = claims.as_object_mut().unwrap().remove(name);
                    assert!(removed.is_some(), "the token has no claim `{name}`");
                }
                Change::Policy(field, value) => policy = page::with_field(&policy, field, Some(value)),
                Change::NoField(field) => policy = page::with_field(&policy, field, None),
                Change::Request(line) => request.clone_from(line),
                Change::RequestHeader(line) => headers.push(line.clone()),
                Change::Opaque(token) => opaque = Some(token.clone()),
                Change::Secret(other) => secret = other.as_str(),
                Change::Keys(keys) => server = Some(self.serve(keys)),
            }
        }
        let policy = match &server {
            Some(server) => page::with_field(&policy, "keys", Some(&format!("{{ jwks: {{ url: {} }} }}", server.url))),
            None => self.with_own_keys(&policy),
        };
        let token = opaque.unwrap_or_else(|| self.key.sign(&header, &claims, secret));
        Attempt {
            policy,
            token,
            request,
            headers,
            _server: server,
        }
    }

    fn with_own_keys(&self, policy: &str) -> String {
        let keys = match self.key {
            OwnKey::Secret => format!("{{ secret: {{ env: {SECRET_NAME} }} }}"),
            _ => format!("{{ jwks: {{ file: {} }} }}", self.setup.path("keys.json").display()),
        };
        page::with_field(policy, "keys", Some(&keys))
    }

    /// A key server that has the keys of the recipe in another form, or does not give them away.
    fn serve(&self, keys: &Keys) -> KeyServer {
        let set = match keys {
            Keys::Status(status) => {
                let status = *status;
                return KeyServer::new(move || Reply::status(status, "{}"));
            }
            Keys::With(members) => {
                let mut set: Value = serde_json::from_str(&self.key.set()).unwrap();
                for key in set["keys"].as_array_mut().unwrap() {
                    merge(key, members);
                }
                set.to_string()
            }
        };
        KeyServer::new(move || Reply::ok(&set).header("content-type", "application/json"))
    }

    /// What `explain` reports, and what it prints.
    fn explain(&self, attempt: &Attempt) -> (Value, String) {
        self.write(&attempt.policy);
        let file = self.setup.path("token.jwt");
        fs::write(&file, &attempt.token).unwrap();
        let (method, path) = attempt.request.split_once(' ').unwrap();
        // A minute after the token was issued.
        let time = self.recipe.token["claims"]["iat"].as_i64().unwrap() + 60;
        let (file, time) = (format!("@{}", file.display()), time.to_string());
        let mut arguments = vec!["explain", method, path, "--policies", "policies", "--output", "json"];
        arguments.extend(["--token", &file, "--at", &time]);
        arguments.extend(attempt.headers.iter().flat_map(|line| ["-H", line]));
        let output = output(self.setup.command(&arguments));
        let report = serde_json::from_slice(&output.stdout).unwrap_or(json!({}));
        let policy = &attempt.policy;
        (report, format!("{policy}\n{}", text(&output)))
    }

    fn write(&self, policy: &str) {
        fs::write(self.policy_file(), policy).unwrap();
    }

    fn policy_file(&self) -> PathBuf {
        self.setup.path("policies/orders.yaml")
    }
}

/// Whether a header that the service receives says who calls, rather than how the request came.
fn is_identity(name: &str) -> bool {
    name.starts_with("x-") && !name.starts_with("x-forwarded-") && name != "x-request-id"
}

/// Puts members of an object into another one.
fn merge(object: &mut Value, members: &Value) {
    let members = members.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(members);
}
