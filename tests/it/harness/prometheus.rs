//! A real Prometheus that scrapes one Sidegate with the rules of `deploy/prometheus`.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use super::{Gateway, Request, eventually, free_port, send};

/// A server with a folder, a port and a process of its own. It is killed when it is dropped.
pub(crate) struct Prometheus {
    _folder: TempDir,
    port: u16,
    child: Child,
}

impl Prometheus {
    /// Starts it, and waits until it has scraped `gateway`, the one replica of the job `gate`.
    pub(crate) fn scraping(gateway: &Gateway) -> Self {
        let folder = tempfile::Builder::new().prefix("sidegate-it-").tempdir().unwrap();
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules.yaml");
        let config = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }}\n\
             rule_files: ['{rules}']\n\
             scrape_configs: [{{ job_name: gate, static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}]\n",
            gateway.admin_port
        );
        let place = folder.path().to_owned();
        let at = |name: &str| place.join(name);
        fs::write(at("prometheus.yml"), config).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("prometheus is missing: .ci/install test");
        let mut server = Self {
            _folder: folder,
            port,
            child,
        };
        eventually("prometheus listens", || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", fs::read_to_string(at("log")).unwrap());
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        eventually("it scrapes", || {
            server.try_get("query?query=up%3D%3D1").is_ok_and(|up| has_number(&up))
        });
        server
    }

    /// What its API says, or why it does not.
    fn try_get(&self, path: &str) -> Result<Value, String> {
        let answer = send(self.port, &Request::get(&format!("/api/v1/{path}")));
        let said: Value = serde_json::from_slice(&answer.body).map_err(|_| answer.text())?;
        match said["status"].as_str() {
            Some("success") => Ok(said["data"].clone()),
            _ => Err(said.to_string()),
        }
    }

    /// As [`Self::try_get`], and it has to.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// What an expression is now. It has to be one.
    pub(crate) fn query(&self, expression: &str) -> Value {
        self.get(&format!("query?query={}", encoded(expression)))
    }

    /// What an expression was each second, from a moment on.
    pub(crate) fn query_since(&self, start: i64, expression: &str) -> Value {
        let (expression, now) = (encoded(expression), super::issuer::now());
        self.get(&format!(
            "query_range?start={start}&end={now}&step=1&query={expression}"
        ))
    }

    /// The values of a label among the series that a selector chooses.
    pub(crate) fn label_values(&self, label: &str, selector: &str) -> Vec<String> {
        let values = self.get(&format!("label/{label}/values?match[]={}", encoded(selector)));
        serde_json::from_value(values).unwrap()
    }

    /// All rules, as it has them.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let groups = self.get("rules");
        let groups = groups["groups"].as_array().unwrap().iter();
        groups
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Whether a result has a number: an empty result and NaN have none.
pub(crate) fn has_number(data: &Value) -> bool {
    let is_number = |point: &Value| point[1].as_str().is_some_and(|value| value != "NaN");
    data["result"].as_array().unwrap().iter().any(|series| {
        let points = series["values"].as_array();
        is_number(&series["value"]) || points.is_some_and(|points| points.iter().any(is_number))
    })
}

/// Whether a result has a number greater than zero.
pub(crate) fn has_positive(data: &Value) -> bool {
    let is_positive = |point: &Value| {
        let number = point[1].as_str().and_then(|value| value.parse::<f64>().ok());
        number.is_some_and(|number| number > 0.0)
    };
    data["result"].as_array().unwrap().iter().any(|series| {
        let points = series["values"].as_array();
        is_positive(&series["value"]) || points.is_some_and(|points| points.iter().any(is_positive))
    })
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
