//! Grafana's provisioning: data source, dashboards, alert rules.

use askama::Template;

use super::{
    artefacts::{Artefact, Error, WRITTEN, promql_duration, quoted},
    rules::ALERTS,
};
use crate::scenario::setup::Setup;

#[derive(Template)]
#[template(path = "datasource.yml", escape = "none")]
struct DataSource<'a> {
    written: &'a str,
    prometheus: &'a str,
    interval: String,
}

#[derive(Template)]
#[template(path = "dashboards.yml", escape = "none")]
struct Provider<'a> {
    written: &'a str,
    dashboards: &'a str,
}

#[derive(Template)]
#[template(path = "alerting.yml", escape = "none")]
struct Alerting<'a> {
    written: &'a str,
    interval: String,
    alerts: Vec<Rule>,
}

struct Rule {
    uid: String,
    title: String,
    expr: String,
    hold: String,
    severity: &'static str,
    summary: String,
    action: String,
}

/// What Grafana needs to find.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// The Prometheus, as seen by it.
    pub(super) prometheus: &'a str,
    /// The folder of the dashboards.
    pub(super) dashboards: &'a str,
}

/// On the monitoring server: Grafana stands on the same machine.
pub(super) const INSTALLED: Places<'_> = Places {
    prometheus: "http://localhost:9090",
    dashboards: "/var/lib/grafana/dashboards/stressor",
};

pub(super) fn artefacts(setup: &Setup, places: Places<'_>) -> Result<Vec<Artefact>, Error> {
    let alerts = ALERTS
        .iter()
        .map(|alert| Rule {
            uid: format!("stressor-{}", alert.name.to_lowercase()),
            title: quoted(alert.name),
            // There is a series where the alert's condition holds, whatever its
            // value.
            expr: quoted(&format!("({}) * 0 + 1", alert.expr(setup))),
            hold: promql_duration(setup.scrape_interval * alert.scrapes),
            severity: alert.severity,
            summary: quoted(&dollar_free(alert.summary)),
            action: quoted(alert.action),
        })
        .collect();
    Ok(vec![
        Artefact::new(
            "grafana/provisioning/datasources/stressor.yaml",
            DataSource {
                written: WRITTEN,
                prometheus: places.prometheus,
                interval: promql_duration(setup.scrape_interval),
            }
            .render()?,
        ),
        Artefact::new(
            "grafana/provisioning/dashboards/stressor.yaml",
            Provider { written: WRITTEN, dashboards: places.dashboards }.render()?,
        ),
        Artefact::new(
            "grafana/provisioning/alerting/stressor.yaml",
            Alerting {
                written: WRITTEN,
                interval: format!("{}s", tens(setup.scrape_interval.as_secs())),
                alerts,
            }
            .render()?,
        ),
    ])
}

/// Grafana evaluates rules every so many times ten seconds, and refuses others.
const fn tens(seconds: u64) -> u64 {
    if seconds == 0 { 10 } else { seconds.div_ceil(10) * 10 }
}

/// Grafana takes `$` in its provisioning files for a variable of the
/// environment; the form with a dot needs none.
fn dollar_free(text: &str) -> String {
    text.replace("{{ $labels.", "{{ .Labels.")
}
