//! What `deploy/` has for Prometheus and Grafana: the rules hold, and each query of rules and
//! dashboard finds what a running Sidegate shows.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, Request, Setup, eventually, free_port,
    gateway::{output, text},
    issuer::{Key, KeyServer, claims, now, token},
    prometheus::{Prometheus, has_number, has_positive},
    redis::Redis,
};

const DASHBOARD: &str = include_str!("../../deploy/grafana/sidegate.json");
const RULES: &str = include_str!("../../deploy/prometheus/rules.yaml");
const CASES: [&str; 2] = [
    include_str!("../../deploy/prometheus/rules.test.yaml"),
    include_str!("../../deploy/prometheus/rules.days.test.yaml"),
];

const WALLET: &str = "
$wallet
prefix: /w
revocation: {}
idempotency: {}
quotas: [{ name: calls, per: tenant, limit: 1000000, window: 1h }]
routes:
  - { path: /trial/*, auth: jwt, roles: [admin], mode: shadow }
  - { path: /*, auth: jwt }
";

const HUB: &str = "
version: 1
service: hub-svc
prefix: /h
upstream: { url: '$upstream' }
jwt: { issuers: [{ issuer: unchecked, audience: unchecked, algorithms: [ES256], keys: { jwks: { url: $keys } } }] }
routes: [{ path: /*, auth: jwt }]
";

/// Neither keys nor a service.
const LOST: &str = "
version: 1
service: lost-svc
prefix: /l
upstream: { url: 'http://127.0.0.1:$nobody' }
jwt: { issuers: [{ issuer: lost, audience: [eventzr-api], algorithms: [ES256], keys: { jwks: { url: 'http://127.0.0.1:$nobody' } } }] }
routes: [{ path: /open, auth: public }, { path: /*, auth: jwt }]
";

/// What fires at once while all is well but for the keys and the service of `lost-svc`, and what would
/// after minutes; all others stay silent.
const FIRES: [&str; 3] = ["SidegateFailsFast", "SidegateFailsSteadily", "SidegateFailsSlowly"];
const WOULD_FIRE: [&str; 3] = ["SidegateKeysGone", "SidegateKeyFetchesFail", "SidegateUpstreamFails"];

/// What is recorded only once there is a past to compare with.
const NOT_YET_RECORDED: [&str; 1] = ["namespace_job_service_reason:sidegate_denials:rate1d"];

fn promtool(arguments: &[&str]) {
    let mut command = Command::new("promtool");
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus"));
    command.args(arguments);
    let said = output(command);
    assert!(said.status.success(), "{arguments:?}: {}", text(&said));
}

#[test]
fn the_rules_hold_in_their_cases() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]);
    promtool(&["test", "rules", "rules.test.yaml", "rules.days.test.yaml"]);
}

#[test]
fn every_alert_has_a_case_and_says_what_to_do_first() {
    for alert in RULES.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        let fires = format!("alertname=\"{name}\"");
        assert!(CASES.iter().any(|cases| cases.contains(&fires)), "{name} has no case");
        for word in ["severity: ", "summary: ", "description: ", "runbook: "] {
            assert!(alert.contains(word), "{name} has no {word}");
        }
    }
}

/// A panel, a variable or an annotation, and what it asks for.
struct Asked {
    by: String,
    expression: String,
    instant: bool,
}

fn asked_by_the_dashboard() -> Vec<Asked> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let asked = |by: &Value, target: &Value| Asked {
        by: by.as_str().unwrap().to_owned(),
        expression: target["expr"].as_str().unwrap().to_owned(),
        instant: target["instant"] == true,
    };
    let mut all = Vec::new();
    for panel in array(&dashboard["panels"]) {
        let targets = array(&panel["targets"]);
        let has_none = panel["type"] == "row" || panel["type"] == "text";
        assert_eq!(targets.is_empty(), has_none, "{panel}");
        assert!(has_none || panel["datasource"]["uid"] == "${datasource}", "{panel}");
        all.extend(targets.iter().map(|target| asked(&panel["title"], target)));
    }
    let annotations = array(&dashboard["annotations"]["list"]);
    all.extend(annotations.iter().map(|each| asked(&each["name"], each)));
    all
}

/// As Grafana does it with everything chosen.
fn filled_in(expression: &str) -> String {
    let expression = ["$job", "$instance", "$service"]
        .iter()
        .fold(expression.to_owned(), |text, name| text.replace(name, ".*"));
    let variables = [
        ("$__rate_interval_ms", "4000"),
        ("$__rate_interval", "4s"),
        ("$__range_s", "3600"),
        ("$__range", "1h"),
    ];
    let expression = variables
        .iter()
        .fold(expression, |text, (name, value)| text.replace(name, value));
    assert!(!expression.contains('$'), "an unknown variable in {expression}");
    expression
}

#[test]
fn panels_have_a_place_and_a_number_of_their_own() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{place:?} is taken: {panel}");
        }
    }
}

fn start(redis: &Redis, keys: &KeyServer) -> Gateway {
    Setup::new()
        .tls()
        .redis(redis)
        .always_ready()
        .set("keys", &keys.url)
        .set("nobody", &free_port().to_string())
        .policy("wallet", WALLET)
        .policy("hub", HUB)
        .policy("lost", LOST)
        .start()
}

/// Requests of all kinds, one after another, until it is enough.
fn load(gateway: &Gateway, key: &Key, enough: &AtomicBool) {
    let (wallet, hub) = (token(json!({})), key.sign(claims(json!({}))));
    let lost = key.sign(claims(json!({ "iss": "lost" })));
    while !enough.load(Ordering::Relaxed) {
        let once = uuid::Uuid::new_v4().to_string();
        for (request, status) in [
            (Request::get("/w/wallets").bearer(&wallet).tenant(), 200),
            (
                Request::post("/w/wallets", "{}")
                    .bearer(&wallet)
                    .tenant()
                    .header("idempotency-key", &once),
                200,
            ),
            (Request::get("/w/trial/x").bearer(&wallet).tenant(), 200),
            (Request::get("/w/wallets"), 401),
            (Request::get("/w/wallets").bearer(&wallet), 400),
            (Request::get("/h/x").bearer(&hub), 200),
            (Request::get("/l/open"), 502),
            (Request::get("/l/x").bearer(&lost), 503),
            (Request::get("/nowhere"), 404),
        ] {
            let answer = gateway.send(&request);
            assert_eq!(answer.status, status, "{request}: {answer:?}");
        }
    }
}

#[test]
fn every_query_finds_what_a_running_sidegate_shows() {
    let (redis, key, began) = (Redis::start(), Key::new("ES256", "1"), now());
    let keys = KeyServer::publishing(&[&key]);
    let gateway = start(&redis, &keys);
    let prometheus = Prometheus::scraping(&gateway);
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| load(&gateway, &key, &enough));
        let _enough = Enough(&enough);
        let path = gateway.path("policies/hub.yaml");
        let changed = fs::read_to_string(&path).unwrap().replace("path: /*", "path: /x");
        fs::write(path, changed).unwrap();
        for asked in asked_by_the_dashboard() {
            let expression = filled_in(&asked.expression);
            eventually(&format!("`{}` has a number: {expression}", asked.by), || {
                has_number(&match asked.instant {
                    true => prometheus.query(&expression),
                    false => prometheus.query_since(began, &expression),
                })
            });
        }
        assert_variables_have_values(&prometheus);
        assert_rules_work(&prometheus);
    });
}

/// Counters whose series are too many to show each at 0 before it counts.
const BORN_WITH_AN_EVENT: [&str; 5] = [
    "sidegate_decisions_total",
    "sidegate_failures_total",
    "sidegate_quota_requests_total",
    "sidegate_idempotency_requests_total",
    "sidegate_fail_open_total",
];

/// What is recorded of them.
const RECORDED_OF_EVENTS: [&str; 6] = [
    "namespace_job_service:sidegate_decisions:rate5m",
    "namespace_job_service:sidegate_errors:rate5m",
    "namespace_job_service:sidegate_errors:increase1h",
    "namespace_job_service:sidegate_errors:increase6h",
    "namespace_job_service:sidegate_upstream_failures:ratio_rate5m",
    "namespace_job_service_reason:sidegate_denials:rate10m",
];

#[test]
fn event_that_happens_once_is_in_every_panel_and_rule_that_counts_it() {
    let (redis, key, began) = (Redis::start(), Key::new("ES256", "1"), now());
    let keys = KeyServer::publishing(&[&key]);
    let gateway = start(&redis, &keys);
    let prometheus = Prometheus::scraping(&gateway);
    // The replica is not new: not all that it counted is new.
    eventually("it was scraped a window ago", || {
        has_number(&prometheus.query("sidegate_build_info offset 4s"))
    });
    let wallet = token(json!({}));
    let once = uuid::Uuid::new_v4().to_string();
    let keyed = Request::post("/w/wallets", "{}").bearer(&wallet).tenant();
    for (request, status) in [
        (Request::get("/w/trial/x").bearer(&wallet).tenant(), 200),
        (keyed.header("idempotency-key", &once), 200),
        (Request::get("/w/wallets"), 401),
        (Request::get("/l/open"), 502),
        (
            Request::get("/l/x").bearer(&key.sign(claims(json!({ "iss": "lost" })))),
            503,
        ),
    ] {
        assert_eq!(gateway.send(&request).status, status, "{request}");
    }
    redis.kill();
    gateway.allowed(&Request::get("/w/wallets").bearer(&wallet).tenant());
    let is_counted = |expression: &str| {
        BORN_WITH_AN_EVENT.iter().any(|name| expression.contains(name)) && expression.contains("increase(")
    };
    let panels = asked_by_the_dashboard();
    let panels: Vec<_> = panels.iter().filter(|asked| is_counted(&asked.expression)).collect();
    assert!(panels.len() > 10, "{} panels", panels.len());
    for asked in panels {
        let expression = filled_in(&asked.expression);
        eventually(&format!("`{}` sees it: {expression}", asked.by), || {
            has_positive(&match asked.instant {
                true => prometheus.query(&expression),
                false => prometheus.query_since(began, &expression),
            })
        });
    }
    for recorded in RECORDED_OF_EVENTS {
        eventually(&format!("{recorded} sees it"), || {
            has_positive(&prometheus.query(&format!("{recorded} > 0")))
        });
    }
}

#[test]
fn counters_that_are_born_with_an_event_are_asked_as_such() {
    let panels = asked_by_the_dashboard();
    let mut asked: Vec<&str> = panels.iter().map(|asked| asked.expression.as_str()).collect();
    asked.extend(RULES.split("expr: ").skip(1));
    for expression in asked {
        let expression = expression.split("\n      - ").next().unwrap();
        for name in BORN_WITH_AN_EVENT {
            for (at, _) in expression.match_indices(&format!("increase({name}")) {
                let before = &expression[..at];
                assert!(
                    before.contains(" offset ") && before.contains(" unless "),
                    "{expression}"
                );
            }
            assert!(!expression.contains(&format!("(rate({name}")), "{expression}");
        }
    }
}

/// Ends the load, however the test ends.
struct Enough<'e>(&'e AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn assert_variables_have_values(prometheus: &Prometheus) {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = filled_in(variable["definition"].as_str().unwrap());
        let inside = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (selector, label) = inside.rsplit_once(", ").unwrap();
        assert!(!prometheus.label_values(label, selector).is_empty(), "{query}");
    }
}

fn assert_rules_work(prometheus: &Prometheus) {
    let state_of = |alert: &str| {
        let rules = prometheus.rules();
        let rule = rules.iter().find(|rule| rule["name"] == alert).unwrap();
        rule["state"].as_str().unwrap().to_owned()
    };
    for alert in FIRES {
        eventually(&format!("{alert} fires"), || state_of(alert) == "firing");
    }
    for rule in prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
        let (name, query) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
        let recorded = (rule["type"] == "recording").then_some(name);
        for metric in metrics_in(query).into_iter().chain(recorded) {
            let is_there = || has_number(&prometheus.query(&format!("count({metric})")));
            if NOT_YET_RECORDED.contains(&metric) {
                assert!(!is_there(), "{metric}");
            } else {
                eventually(&format!("{metric}, of which {name} asks, is there"), is_there);
            }
        }
        if recorded.is_none() && !WOULD_FIRE.contains(&name) {
            assert_eq!(rule["state"] == "firing", FIRES.contains(&name), "{rule}");
        }
    }
    let alerts = prometheus.get("alerts")["alerts"].clone();
    let alerts = alerts.as_array().unwrap().iter();
    for alert in alerts.filter(|alert| alert["labels"]["alertname"] == FIRES[0]) {
        assert_eq!(alert["labels"]["service"], "lost-svc", "{alert}");
        let said = alert["annotations"].to_string();
        assert!(said.contains("lost-svc") && !said.contains("{{"), "{said}");
    }
}

/// The names of Sidegate's metrics, and of what is recorded of them.
fn metrics_in(query: &str) -> Vec<&str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.contains("sidegate_")).collect()
}
