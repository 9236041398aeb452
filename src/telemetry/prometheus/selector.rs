//! Selectors of PromQL.

use std::collections::BTreeSet;

use regex_lite::escape;

/// The series of these instances.
pub(super) fn of_instances(instances: &[String]) -> String {
    any_of("instance", instances.iter().map(String::as_str))
}

/// The series of everything that these jobs scrape: a name for each of a
/// thousand nodes would make a query of megabytes.
pub(super) fn of_jobs(jobs: &BTreeSet<&str>) -> String {
    any_of("job", jobs.iter().copied())
}

fn any_of<'a>(label: &str, values: impl Iterator<Item = &'a str>) -> String {
    let list: Vec<String> = values.map(|value| quoted(&escape(value))).collect();
    format!("{label}=~\"{}\"", list.join("|"))
}

/// Ready to stand between double quotes in PromQL.
pub(super) fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_escaped() {
        assert_eq!(
            of_instances(&["10.0.0.1:9100".into()]),
            "instance=~\"10\\\\.0\\\\.0\\\\.1:9100\""
        );
    }
}
