//! Panels in Grafana's classic schema, and where they stand.

#![expect(
    clippy::indexing_slicing,
    reason = "an index into an object of JSON makes the key, and never panics"
)]

use serde_json::{Value, json};

use crate::model::units::Unit;

/// Columns of a dashboard.
const COLUMNS: u32 = 24;

/// A panel without its place.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    body: Value,
    height: u32,
    queries: Vec<(String, String)>,
    instant: bool,
}

impl Panel {
    /// Lines over time.
    pub(super) fn series(title: &str, unit: Unit) -> Self {
        let mut defaults = json!({
            "unit": grafana_unit(unit),
            "min": 0,
            "color": { "mode": "palette-classic" },
            "custom": {
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": 8,
                "showPoints": "never",
                "spanNulls": false
            }
        });
        if unit == Unit::Ratio {
            defaults["max"] = json!(1);
        }
        Self {
            body: json!({
                "type": "timeseries",
                "title": title,
                "fieldConfig": { "defaults": defaults, "overrides": [] },
                "options": {
                    "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
                    "tooltip": { "mode": "multi", "sort": "desc" }
                }
            }),
            height: 8,
            queries: Vec::new(),
            instant: false,
        }
    }

    /// One figure of now.
    pub(super) fn stat(title: &str, query: &str) -> Self {
        Self {
            body: json!({
                "type": "stat",
                "title": title,
                "fieldConfig": { "defaults": {
                    "unit": "short",
                    "color": { "mode": "thresholds" },
                    "thresholds": { "mode": "absolute", "steps": [{ "value": null, "color": "green" }] }
                }, "overrides": [] },
                "options": {
                    "reduceOptions": { "values": false, "calcs": ["lastNotNull"], "fields": "" },
                    "orientation": "auto",
                    "textMode": "auto",
                    "wideLayout": true,
                    "colorMode": "value",
                    "graphMode": "none",
                    "justifyMode": "auto",
                    "showPercentChange": false,
                    "percentChangeColorMode": "standard"
                }
            }),
            height: 4,
            queries: vec![(query.to_owned(), String::new())],
            instant: true,
        }
    }

    /// Stretches of time in which something was there.
    pub(super) fn timeline(title: &str, query: &str, legend: &str) -> Self {
        Self {
            body: json!({
                "type": "state-timeline",
                "title": title,
                "fieldConfig": { "defaults": {
                    "color": { "mode": "thresholds" },
                    "thresholds": { "mode": "absolute", "steps": [{ "value": null, "color": "red" }] },
                    "custom": { "fillOpacity": 80, "lineWidth": 0, "spanNulls": false }
                }, "overrides": [] },
                "options": {
                    "showValue": "never",
                    "rowHeight": 0.8,
                    "mergeValues": true,
                    "alignValue": "left",
                    "legend": { "displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": [] },
                    "tooltip": { "mode": "single", "sort": "none" }
                }
            }),
            height: 8,
            queries: vec![(query.to_owned(), legend.to_owned())],
            instant: false,
        }
    }

    /// Red from one on.
    pub(super) fn alarming(mut self) -> Self {
        if let Some(steps) = self.body.pointer_mut("/fieldConfig/defaults/thresholds/steps")
            && let Some(steps) = steps.as_array_mut()
        {
            steps.push(json!({ "value": 1, "color": "red" }));
        }
        self
    }

    /// In another unit.
    pub(super) fn unit(mut self, unit: Unit) -> Self {
        if let Some(found) = self.body.pointer_mut("/fieldConfig/defaults/unit") {
            *found = json!(grafana_unit(unit));
        }
        self
    }

    /// With one more query.
    pub(super) fn query(mut self, query: &str, legend: &str) -> Self {
        self.queries.push((query.to_owned(), legend.to_owned()));
        self
    }

    fn placed(self, id: u32, x: u32, y: u32, width: u32) -> Value {
        let source = json!({ "type": "prometheus", "uid": "${datasource}" });
        let targets: Vec<Value> = self
            .queries
            .iter()
            .zip('A'..='Z')
            .map(|((query, legend), letter)| {
                json!({
                    "refId": letter.to_string(),
                    "datasource": source,
                    "editorMode": "code",
                    "expr": query,
                    "legendFormat": legend,
                    "instant": self.instant,
                    "range": !self.instant
                })
            })
            .collect();
        let mut body = self.body;
        body["id"] = json!(id);
        body["datasource"] = source.clone();
        body["targets"] = Value::from(targets);
        body["gridPos"] = json!({ "x": x, "y": y, "w": width, "h": self.height });
        body
    }
}

/// Puts panels side by side, and rows below one another.
#[derive(Debug, Default)]
pub(super) struct Grid {
    panels: Vec<Value>,
    x: u32,
    y: u32,
    height: u32,
}

impl Grid {
    /// A heading.
    pub(super) fn row(&mut self, title: &str) {
        self.wrap();
        self.panels.push(json!({
            "type": "row",
            "id": self.panels.len() + 1,
            "title": title,
            "collapsed": false,
            "panels": [],
            "gridPos": { "x": 0, "y": self.y, "w": COLUMNS, "h": 1 }
        }));
        self.y += 1;
    }

    pub(super) fn push(&mut self, width: u32, panel: Panel) {
        if self.x + width > COLUMNS {
            self.wrap();
        }
        self.height = self.height.max(panel.height);
        #[expect(clippy::cast_possible_truncation, reason = "a dashboard has tens of panels")]
        let id = self.panels.len() as u32 + 1;
        self.panels.push(panel.placed(id, self.x, self.y, width));
        self.x += width;
    }

    fn wrap(&mut self) {
        self.y += self.height;
        (self.x, self.height) = (0, 0);
    }

    pub(super) fn panels(self) -> Vec<Value> {
        self.panels
    }
}

/// Grafana's name of a unit.
const fn grafana_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "percentunit",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "Bps",
        Unit::Seconds => "s",
        Unit::PerSecond => "cps",
        _ => "short",
    }
}
