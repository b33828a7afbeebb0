//! The flags of `sidegate init`.

use std::path::PathBuf;

use clap::Args;

use super::provider::Idp;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Init {
    /// The name of the service, in metrics and in the log
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// The URL of the service, such as `http://127.0.0.1:3000` or `unix:/run/orders.sock`
    #[arg(long, value_name = "URL")]
    pub(super) upstream: Option<String>,
    /// The path in front of all routes, such as /orders; without it, all paths
    #[arg(long, value_name = "PATH")]
    pub(super) prefix: Option<String>,
    /// The identity provider that issues the tokens
    #[arg(long, value_enum)]
    pub(super) idp: Option<Idp>,
    /// The exact `iss` of the tokens, in place of what the identity provider's own flags say
    #[arg(long, value_name = "URL")]
    pub(super) issuer: Option<String>,
    /// The host of Keycloak, Auth0 or Okta, such as id.example.com
    #[arg(long, value_name = "HOST")]
    pub(super) domain: Option<String>,
    /// The realm of Keycloak
    #[arg(long, value_name = "NAME")]
    pub(super) realm: Option<String>,
    /// The tenant (directory) id of Microsoft Entra
    #[arg(long, value_name = "ID")]
    pub(super) tenant: Option<String>,
    /// The user pool id of Amazon Cognito, such as eu-central-1_AbCdEfGhI
    #[arg(long, value_name = "ID")]
    pub(super) pool: Option<String>,
    /// The audience of the tokens: what their `aud` names for this service
    #[arg(long, value_name = "NAME")]
    pub(super) audience: Vec<String>,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) output: PathBuf,
}
