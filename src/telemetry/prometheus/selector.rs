//! Selectors of PromQL.

use std::collections::BTreeSet;

use regex_lite::escape;

use super::machines::{Labels, Machine};
use crate::{model::series::Key, scenario::plan::Telemetry};

/// What every series of the nodes must fulfil, as the user gave it: the matchers inside
/// the braces, without a machine's labels.
pub fn of_telemetry(telemetry: &Telemetry) -> String {
    let job = telemetry.job.as_ref().map(|job| format!("job=\"{}\"", quoted(job)));
    job.into_iter().chain(telemetry.matchers.iter().cloned()).collect::<Vec<_>>().join(",")
}

/// The series of these machines: `base`, their jobs, and where `by_instance` is set their
/// instances. A name for each of a thousand machines would make a query of megabytes, so
/// all machines of some jobs are selected by job alone.
pub(super) fn of_machines(base: &str, machines: &[Machine], by_instance: bool) -> String {
    let values = |label: &'static str| -> BTreeSet<&str> {
        machines.iter().flat_map(|one| &one.targets).map(|target| target.label(label)).collect()
    };
    let mut parts = vec![base.to_owned()];
    let jobs = values("job");
    // An empty alternative stands for series without the label.
    if !jobs.is_empty() && jobs != BTreeSet::from([""]) {
        parts.push(any_of("job", jobs));
    }
    let instances = values("instance");
    if by_instance && !instances.contains("") {
        parts.push(any_of("instance", instances));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(",")
}

fn any_of<'a>(label: &str, values: impl IntoIterator<Item = &'a str>) -> String {
    let list: Vec<String> = values.into_iter().map(|value| quoted(&escape(value))).collect();
    format!("{label}=~\"{}\"", list.join("|"))
}

/// Labels as a selector shows them: `{cluster="eu"}`.
pub(super) fn shown(labels: &Labels) -> String {
    Key { name: String::new(), labels: labels.clone() }.to_string()
}

/// Ready to stand between double quotes in PromQL.
pub(super) fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{
        super::machines::{ScrapeTarget, group_targets},
        *,
    };

    fn machines(labels: &[(&str, &str)]) -> Vec<Machine> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        group_targets(vec![ScrapeTarget { labels, ..ScrapeTarget::default() }])
    }

    #[test]
    fn instances_are_escaped() {
        let one = machines(&[("instance", "10.0.0.1:9100"), ("job", "a\"b")]);
        assert_eq!(
            of_machines("", &one, true),
            "job=~\"a\\\"b\",instance=~\"10\\\\.0\\\\.0\\\\.1:9100\""
        );
        assert_eq!(of_machines("cluster=\"eu\"", &one, false), "cluster=\"eu\",job=~\"a\\\"b\"");
    }

    #[test]
    fn series_without_job_or_instance_are_selected_by_what_they_have() {
        assert_eq!(of_machines("", &machines(&[("instance", "a")]), true), "instance=~\"a\"");
        assert_eq!(of_machines("", &machines(&[("host", "a")]), true), "");
    }
}
