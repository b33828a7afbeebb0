//! Every way in which auth-svc says no, and the flat JSON body that says it.
//!
//! A refusal never repeats what the client sent, apart from the path.

use hyper::StatusCode;
use hyper::header::{ALLOW, CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use jiff::Timestamp;
use serde::Serialize;

use crate::demo::http::{self, Answer, BodyError};

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body is not the JSON that the endpoint asks for, which is named here.
    BodyInvalid(&'static str),
    BodyUnreadable(BodyError),
    TenantInvalid,
    /// Unknown user, unknown tenant or wrong password: which of them is nobody's business.
    LoginWrong,
    RefreshTokenInvalid,
    NotFound,
    /// The endpoint has only these methods.
    MethodNotAllowed(&'static str),
    /// A token could not be signed.
    Internal,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusalBody<'a> {
    status_code: u16,
    code: &'static str,
    message: String,
    path: &'a str,
    timestamp: String,
}

impl Refusal {
    /// Returns the response to a request for `path`.
    pub(super) fn answer(self, path: &str, now: Timestamp) -> Answer {
        let body = RefusalBody {
            status_code: self.status().as_u16(),
            code: self.code(),
            message: self.message(),
            path,
            timestamp: format!("{now:.3}"),
        };
        let mut answer = http::json_response(self.status(), &body);
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::MethodNotAllowed(allow) => headers.insert(ALLOW, HeaderValue::from_static(allow)),
            // RFC 9110, 15.5.2: a 401 names a scheme.
            Self::LoginWrong | Self::RefreshTokenInvalid => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            _ => None,
        };
        answer
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::BodyUnreadable(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyInvalid(_) | Self::BodyUnreadable(_) | Self::TenantInvalid => StatusCode::BAD_REQUEST,
            Self::LoginWrong | Self::RefreshTokenInvalid => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::BodyUnreadable(BodyError::TooLarge) => "ERR_AUTH_SVC_PAYLOAD_TOO_LARGE",
            Self::BodyInvalid(_) | Self::BodyUnreadable(_) | Self::TenantInvalid => "ERR_AUTH_SVC_BAD_REQUEST",
            Self::LoginWrong | Self::RefreshTokenInvalid => "ERR_AUTH_SVC_UNAUTHORIZED",
            Self::NotFound => "ERR_AUTH_SVC_NOT_FOUND",
            Self::MethodNotAllowed(_) => "ERR_AUTH_SVC_METHOD_NOT_ALLOWED",
            Self::Internal => "ERR_AUTH_SVC_INTERNAL_ERROR",
        }
    }

    fn message(self) -> String {
        match self {
            Self::BodyInvalid(expected) => format!("the body is not {expected}"),
            Self::BodyUnreadable(cause) => cause.to_string(),
            Self::TenantInvalid => "`x-tenant-id` is not one UUID".to_owned(),
            Self::LoginWrong => "the email, the password or the tenant is wrong".to_owned(),
            Self::RefreshTokenInvalid => "the refresh token is unknown, used or expired".to_owned(),
            Self::NotFound => "there is nothing at this path".to_owned(),
            Self::MethodNotAllowed(allow) => format!("this path allows {allow}"),
            Self::Internal => "the token could not be made".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn the_body_is_flat() {
        let now: Timestamp = "2026-02-24T12:00:00.0079Z".parse().unwrap();
        let answer = Refusal::LoginWrong.answer("/auth/v1/login", now);
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        let body = http::read_body(answer.into_body()).await.unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({
                "statusCode": 401,
                "code": "ERR_AUTH_SVC_UNAUTHORIZED",
                "message": "the email, the password or the tenant is wrong",
                "path": "/auth/v1/login",
                "timestamp": "2026-02-24T12:00:00.007Z",
            })
        );
    }

    #[test]
    fn each_status_has_its_code() {
        for (refusal, status, code) in [
            (Refusal::BodyInvalid("x"), 400, "ERR_AUTH_SVC_BAD_REQUEST"),
            (
                Refusal::BodyUnreadable(BodyError::Broken),
                400,
                "ERR_AUTH_SVC_BAD_REQUEST",
            ),
            (
                Refusal::BodyUnreadable(BodyError::TooLarge),
                413,
                "ERR_AUTH_SVC_PAYLOAD_TOO_LARGE",
            ),
            (Refusal::TenantInvalid, 400, "ERR_AUTH_SVC_BAD_REQUEST"),
            (Refusal::LoginWrong, 401, "ERR_AUTH_SVC_UNAUTHORIZED"),
            (Refusal::RefreshTokenInvalid, 401, "ERR_AUTH_SVC_UNAUTHORIZED"),
            (Refusal::NotFound, 404, "ERR_AUTH_SVC_NOT_FOUND"),
            (
                Refusal::MethodNotAllowed("POST"),
                405,
                "ERR_AUTH_SVC_METHOD_NOT_ALLOWED",
            ),
            (Refusal::Internal, 500, "ERR_AUTH_SVC_INTERNAL_ERROR"),
        ] {
            assert_eq!(
                (refusal.status().as_u16(), refusal.code()),
                (status, code),
                "{refusal:?}"
            );
        }
    }
}
