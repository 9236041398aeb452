//! Grafana: whether it is there, and whether it reaches Prometheus.

use std::time::Duration;

use serde_json::Value;

use super::{Dashboards, Finding};

const PATIENCE: Duration = Duration::from_secs(5);
/// The data source that `stack init` provisions.
const SOURCE: &str = "stressor-prometheus";

pub(super) async fn look(grafana: &Dashboards) -> Vec<Finding> {
    let base = grafana.url.trim_end_matches('/');
    let Ok(http) = reqwest::Client::builder().timeout(PATIENCE).build() else {
        return Vec::new();
    };
    let health = match get(&http, &format!("{base}/api/health"), None).await {
        Ok(health) => health,
        Err(why) => {
            return vec![Finding::failed(
                "grafana",
                "health",
                format!("{base}: {why}"),
                "is it running (systemctl status grafana-server), and does its port let you through?",
            )];
        }
    };
    let word = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or("unknown").to_owned()
    };
    let (version, database) = (word(&health, "version"), word(&health, "database"));
    let mut findings = vec![if database == "ok" {
        Finding::ok("grafana", "health", format!("Grafana {version}, database ok"))
    } else {
        Finding::failed(
            "grafana",
            "health",
            format!("Grafana {version}, database {database}"),
            "its log says what is wrong with its database",
        )
    }];
    let Some(token) = grafana.token.as_deref() else {
        findings.push(Finding::warning(
            "grafana",
            "data source",
            "not looked at: that needs a token",
            "make a service account with the role Viewer and give its token by --grafana-token-file",
        ));
        return findings;
    };
    let url = format!("{base}/api/datasources/uid/{SOURCE}/health");
    findings.push(match get(&http, &url, Some(token)).await {
        Ok(answer) if word(&answer, "status").eq_ignore_ascii_case("ok") => {
            Finding::ok("grafana", "data source", word(&answer, "message"))
        }
        Ok(answer) => Finding::failed(
            "grafana",
            "data source",
            word(&answer, "message"),
            "does Prometheus run on the same machine, as the provisioned address has it?",
        ),
        Err(why) => Finding::failed(
            "grafana",
            "data source",
            format!("{SOURCE}: {why}"),
            "copy grafana/provisioning to /etc/grafana and restart Grafana; a 401 or 403 is the token's",
        ),
    });
    findings
}

async fn get(http: &reqwest::Client, url: &str, token: Option<&str>) -> Result<Value, String> {
    let mut request = http.get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(|error| error.without_url().to_string())?;
    let status = response.status();
    let body = response.bytes().await.map_err(|error| error.without_url().to_string())?;
    if !status.is_success() {
        return Err(format!("it answers {status}"));
    }
    serde_json::from_slice(&body).map_err(|_| "what answers is not Grafana (no JSON)".to_owned())
}
