//! The table of the telemetry.

use super::{
    super::{
        diagnostic::Diagnostic,
        plan::Telemetry,
        telemetry,
        tree::{Node, Table},
    },
    loads,
};
use crate::model::matcher::normalize_matcher;

/// The plan of `[telemetry]`, with what contradicts itself reported.
pub(super) fn telemetry_plan(
    node: &Node,
    table: &Table,
    diagnostics: &mut Vec<Diagnostic>,
) -> Telemetry {
    let default = Telemetry::default();
    let plan = Telemetry {
        prometheus: table.text("prometheus"),
        interval: table.duration("interval").unwrap_or(default.interval),
        job: table.text("job"),
        matchers: read_texts("match", node, table, diagnostics, |text| {
            normalize_matcher(text).map_err(|error| (error.to_string(), "['cluster=\"eu\"']"))
        }),
        username: table.text("username"),
        password_file: table.path("password_file"),
        token_file: table.path("token_file"),
        ca_file: table.path("ca_file"),
        cert_file: table.path("cert_file"),
        key_file: table.path("key_file"),
        headers: loads::http::headers(node, table, diagnostics),
        parameters: read_texts("parameters", node, table, diagnostics, |text| {
            telemetry::read_parameter(text).map_err(|why| (why, "\"name=value\""))
        }),
        timeout: table.duration("timeout").unwrap_or(default.timeout),
    };
    if let (Some(node), true) = (table.get("username"), plan.token_file.is_some()) {
        diagnostics.push(
            Diagnostic::new(node.span.clone(), "username and token_file cannot both be used")
                .hint("keep one: basic authentication or a bearer token"),
        );
    }
    for (one, other) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if let (Some(given), None) = (table.get(one), table.get(other)) {
            diagnostics.push(
                Diagnostic::new(given.span.clone(), format!("`{one}` needs `{other}`"))
                    .hint("one file may hold both: name it twice"),
            );
        }
    }
    plan
}

/// The texts of a key, each as `read` understands it; it says what is wrong and
/// what is allowed.
fn read_texts<T>(
    key: &str,
    node: &Node,
    table: &Table,
    diagnostics: &mut Vec<Diagnostic>,
    read: impl Fn(&str) -> Result<T, (String, &'static str)>,
) -> Vec<T> {
    let at = table.get(key).map_or(&node.span, |given| &given.span);
    let mut all = Vec::new();
    for text in table.texts(key) {
        match read(&text) {
            Ok(one) => all.push(one),
            Err((why, allowed)) => {
                diagnostics.push(Diagnostic::new(at.clone(), why).allowed(allowed));
            }
        }
    }
    all
}
