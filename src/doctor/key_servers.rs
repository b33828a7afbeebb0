//! Whether the key servers can be reached, and agree on the time.

use super::finding::{Finding, Severity};

/// How far apart clocks may be without a word, and without harm, in seconds.
const APART: i64 = 30;
const FAR_APART: i64 = 120;

/// The server that an issuer's keys come from.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyServer {
    /// The issuer.
    pub issuer: String,
    /// What is asked for, without the values of its query.
    pub url: String,
    /// The proxy that it is asked through, without user and password.
    pub proxy: Option<String>,
    /// The result of the request; `None` if none was sent.
    pub answer: Option<Answer>,
}

/// What became of asking: why there are no keys; or by how many seconds the clock here is ahead of
/// the server's, if the server tells.
pub type Answer = Result<Option<i64>, String>;

/// Judges one server.
pub fn judge(server: &KeyServer) -> Finding {
    let (severity, code, found, advice) = match &server.answer {
        None => (
            Severity::NotChecked,
            "keys_not_fetched",
            "no key server was asked".to_owned(),
            "look again without `--offline`",
        ),
        Some(Err(cause)) => (
            Severity::Problem,
            "keys_unavailable",
            format!("failed to fetch the keys: {cause}"),
            "until they can, its tokens are answered with 503, and a process that starts is not ready unless `admin.ready` is `always`: see to the server, the network and `ca_file`",
        ),
        Some(Ok(None)) => (
            Severity::NotChecked,
            "clock_unknown",
            "the keys were fetched; the server sends no time".to_owned(),
            "see by `timedatectl` that the clock is kept by NTP",
        ),
        Some(Ok(Some(ahead))) => clock(*ahead),
    };
    Finding {
        code,
        area: "key servers",
        severity,
        about: about(server),
        found,
        advice,
    }
}

fn about(server: &KeyServer) -> String {
    let KeyServer { issuer, url, proxy, .. } = server;
    let through = proxy.as_ref().map(|proxy| format!(", through the proxy {proxy}"));
    let through = through.unwrap_or_default();
    match issuer == url {
        true => format!("{url}{through}"),
        false => format!("{issuer} from {url}{through}"),
    }
}

fn clock(ahead: i64) -> (Severity, &'static str, String, &'static str) {
    let apart = ahead.saturating_abs();
    if apart <= APART {
        let found = "the keys were fetched; the clocks agree".to_owned();
        return (Severity::Ok, "clock_agrees", found, "");
    }
    let severity = if apart <= FAR_APART {
        Severity::Caution
    } else {
        Severity::Problem
    };
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    (
        severity,
        "clock_skew",
        format!("the clock here is {apart} s {side} the server's"),
        "keep both by NTP: `exp` and `nbf` are as good as the clock",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_reported() {
        use Severity::{Caution, NotChecked, Ok as Fine, Problem};
        for (answer, code, severity) in [
            (None, "keys_not_fetched", NotChecked),
            (Some(Err("it took too long".to_owned())), "keys_unavailable", Problem),
            (Some(Ok(None)), "clock_unknown", NotChecked),
            (Some(Ok(Some(0))), "clock_agrees", Fine),
            (Some(Ok(Some(-30))), "clock_agrees", Fine),
            (Some(Ok(Some(31))), "clock_skew", Caution),
            (Some(Ok(Some(-120))), "clock_skew", Caution),
            (Some(Ok(Some(121))), "clock_skew", Problem),
            (Some(Ok(Some(i64::MIN))), "clock_skew", Problem),
        ] {
            let server = KeyServer {
                issuer: "i".into(),
                url: "u".into(),
                proxy: None,
                answer,
            };
            let finding = judge(&server);
            assert_eq!((finding.code, finding.severity), (code, severity), "{server:?}");
        }
        assert_eq!(clock(-600).2, "the clock here is 600 s behind the server's");
    }
}
