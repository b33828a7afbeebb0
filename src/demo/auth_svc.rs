//! auth-svc: logs the demo's users in and issues their tokens, as the real one does.
//!
//! It keeps nothing but refresh tokens, in memory, and never logs a token or a password.

use std::fmt;
use std::sync::Arc;

use hyper::body::Body;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use self::access::SigningKeys;
use self::refresh::RefreshTokens;
use self::refusal::Refusal;
use self::users::{Tenant, User};
use crate::demo::http::{self, Answer};

mod access;
mod refresh;
mod refusal;
mod users;

pub use self::access::KeyError;

/// The path under which all endpoints are.
const PREFIX: &str = "/auth/v1";

/// What a body that cannot be read fails with, whatever kind of body it is.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The service: its keys, and the refresh tokens that are in force.
pub struct AuthService {
    keys: SigningKeys,
    refresh_tokens: Mutex<RefreshTokens>,
}

impl fmt::Debug for AuthService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthService").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refresh {
    refresh_token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    access_token: String,
    refresh_token: String,
    expires_in: i64,
}

impl AuthService {
    /// Makes a service with a new RSA key for the Hub's tokens and `wallet_secret` for the Wallet's.
    ///
    /// The secret is the one that the Wallet's policy verifies with; it has at least 32 bytes.
    pub fn generate(wallet_secret: &str) -> Result<Self, KeyError> {
        Ok(Self {
            keys: SigningKeys::generate(wallet_secret)?,
            refresh_tokens: Mutex::default(),
        })
    }

    /// Answers every request that arrives at `listener`. This never returns.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        http::serve(listener, move |request| {
            let service = Arc::clone(&self);
            async move { service.handle(request, Timestamp::now()).await }
        })
        .await;
    }

    /// Answers one request, as of `now`.
    pub async fn handle<B>(&self, request: Request<B>, now: Timestamp) -> Answer
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let path = request.uri().path().to_owned();
        self.answer(request, now.as_second())
            .await
            .unwrap_or_else(|refusal| refusal.answer(&path, now))
    }

    async fn answer<B>(&self, request: Request<B>, now: i64) -> Result<Answer, Refusal>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let endpoint = Endpoint::find(request.uri().path()).ok_or(Refusal::NotFound)?;
        endpoint.check_method(request.method())?;
        match endpoint {
            Endpoint::Login => self.login(request, now).await,
            Endpoint::Refresh => self.refresh(request, now).await,
            Endpoint::Jwks => Ok(http::json_response(StatusCode::OK, self.keys.jwks())),
            Endpoint::Health => Ok(http::json_response(StatusCode::OK, &json!({ "status": "ok" }))),
        }
    }

    async fn login<B>(&self, request: Request<B>, now: i64) -> Result<Answer, Refusal>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let id = tenant_id(request.headers())?;
        let login: Login = read_json(request.into_body(), "JSON with an `email` and a `password`").await?;
        let tenant = Tenant::find(id).ok_or(Refusal::LoginWrong)?;
        let user = User::log_in(tenant, &login.email, &login.password).ok_or(Refusal::LoginWrong)?;
        self.issue(user, now)
    }

    async fn refresh<B>(&self, request: Request<B>, now: i64) -> Result<Answer, Refusal>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let refresh: Refresh = read_json(request.into_body(), "JSON with a `refreshToken`").await?;
        let redeemed = self.refresh_tokens.lock().redeem(&refresh.refresh_token, now);
        self.issue(redeemed.ok_or(Refusal::RefreshTokenInvalid)?, now)
    }

    fn issue(&self, user: User, now: i64) -> Result<Answer, Refusal> {
        let refresh_token = self.keys.refresh_token(user, now).map_err(|_| Refusal::Internal)?;
        self.refresh_tokens.lock().put_in_force(&refresh_token, user, now);
        let tokens = Tokens {
            access_token: self.keys.access_token(user, now).map_err(|_| Refusal::Internal)?,
            refresh_token,
            expires_in: user.tenant.access_token_seconds(),
        };
        let mut answer = http::json_response(StatusCode::OK, &json!({ "data": tokens }));
        answer
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

/// What can be asked of the service.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Login,
    Refresh,
    Jwks,
    Health,
}

impl Endpoint {
    /// The endpoint at `path`, with or without one trailing slash.
    fn find(path: &str) -> Option<Self> {
        // Where `sidegate healthcheck` asks.
        if path == "/readyz" {
            return Some(Self::Health);
        }
        let path = path.strip_prefix(PREFIX)?;
        match path.strip_suffix('/').unwrap_or(path) {
            "/login" => Some(Self::Login),
            "/refresh" => Some(Self::Refresh),
            "/.well-known/jwks.json" => Some(Self::Jwks),
            "/health" => Some(Self::Health),
            _ => None,
        }
    }

    const fn allow(self) -> &'static str {
        match self {
            Self::Login | Self::Refresh => "POST",
            Self::Jwks | Self::Health => "GET, HEAD",
        }
    }

    fn check_method(self, method: &Method) -> Result<(), Refusal> {
        if self.allow().split(", ").any(|allowed| allowed == method.as_str()) {
            Ok(())
        } else {
            Err(Refusal::MethodNotAllowed(self.allow()))
        }
    }
}

/// The tenant that a login names, or the Hub's if it names none.
fn tenant_id(headers: &HeaderMap) -> Result<Uuid, Refusal> {
    let mut values = headers.get_all("x-tenant-id").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(Tenant::Hub.id()),
        (Some(value), None) => Uuid::try_parse_ascii(value.as_bytes()).map_err(|_| Refusal::TenantInvalid),
        (Some(_), Some(_)) => Err(Refusal::TenantInvalid),
    }
}

async fn read_json<T, B>(body: B, expected: &'static str) -> Result<T, Refusal>
where
    T: DeserializeOwned,
    B: Body,
    B::Error: Into<BoxError>,
{
    let bytes = http::read_body(body).await.map_err(Refusal::BodyUnreadable)?;
    // The cause is left out: it can quote the body.
    serde_json::from_slice(&bytes).map_err(|_| Refusal::BodyInvalid(expected))
}

#[cfg(test)]
mod tests;
