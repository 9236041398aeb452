//! `--match`, `--header` and `--parameter`: what queries carry beside what the
//! scenario says.

use anyhow::anyhow;

use super::{
    args::Access,
    exit::{Exit, Failure},
};
use crate::{
    model::matcher::normalize_matcher,
    scenario::{
        plan::Telemetry,
        telemetry::{HeaderError, read_header, read_parameter, without_header_values},
    },
};

fn usage(text: String) -> Failure {
    Failure::new(Exit::Usage, anyhow!(text))
}

impl Access {
    /// Add to a scenario's telemetry what the command line says.
    pub(super) fn apply(&self, telemetry: &mut Telemetry) -> Result<(), Failure> {
        for text in &self.matchers {
            let matcher =
                normalize_matcher(text).map_err(|error| usage(format!("--match: {error}")))?;
            telemetry.matchers.push(matcher);
        }
        let mut seen = std::collections::BTreeSet::new();
        telemetry.matchers.retain(|one| seen.insert(one.clone()));
        for text in &self.headers {
            let header = read_header(text).map_err(|error| {
                let todo = match error {
                    HeaderError::Secret { .. } => {
                        "write it into a file and name that: --set telemetry.token_file=FILE (a command line is seen by every user)"
                    }
                    _ => "write --header 'Name: value'",
                };
                usage(format!("--header: {error}; {todo}"))
            })?;
            telemetry.headers.push(header);
        }
        for text in &self.parameters {
            let parameter = read_parameter(text).map_err(|why| {
                usage(format!("--parameter: {why}; write --parameter name=value"))
            })?;
            telemetry.parameters.push(parameter);
        }
        Ok(())
    }

    /// The overrides as they are kept with a run: with what this adds, so that the
    /// run tells how its series were chosen, and without the values of headers.
    pub(super) fn kept(&self, overrides: &[String], telemetry: &Telemetry) -> Vec<String> {
        let (_, mut kept) = without_header_values("", overrides);
        if !self.matchers.is_empty() {
            kept.push(list("match", telemetry.matchers.clone()));
        }
        if !self.parameters.is_empty() {
            let all = telemetry.parameters.iter().map(|(name, value)| format!("{name}={value}"));
            kept.push(list("parameters", all.collect()));
        }
        kept
    }
}

/// An override that sets a list of texts.
fn list(key: &str, texts: Vec<String>) -> String {
    let texts = texts.into_iter().map(toml::Value::String).collect();
    format!("telemetry.{key}={}", toml::Value::Array(texts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    const TEXT: &str = "name = \"x\"\n[telemetry]\nmatch = ['a=\"b\"']\nheaders = [\"X-A: s3cr3t\"]\nparameters = [\"dedup=true\"]\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n";

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn the_command_line_adds_to_the_scenario_and_is_kept_without_header_values() {
        let access = Access {
            matchers: texts(&["c = 'd\\'e'", r"{p=`\d`}", "a=\"b\""]),
            headers: texts(&["X-B: s3cr3t"]),
            parameters: texts(&["x=1"]),
        };
        let mut plan = scenario::parse("x", TEXT, &[]).unwrap();
        access.apply(&mut plan.telemetry).unwrap();
        assert_eq!(plan.telemetry.matchers, ["a=\"b\"", "c=\"d'e\"", "p=\"\\\\d\""]);
        assert_eq!(plan.telemetry.headers.len(), 2);
        let set = texts(&["telemetry.headers=[\"X-C: s3cr3t\"]", "telemetry.job=n"]);
        let kept = access.kept(&set, &plan.telemetry);
        assert!(!kept.join("").contains("s3cr3t"), "{kept:?}");
        let again = scenario::parse("x", TEXT, &kept).unwrap().telemetry;
        assert_eq!(again.matchers, plan.telemetry.matchers);
        assert_eq!(again.parameters, plan.telemetry.parameters);
        assert_eq!(again.job.as_deref(), Some("n"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_what_to_do() {
        for (access, todo) in [
            (Access { matchers: texts(&["cluster=eu"]), ..Access::default() }, "'cluster=\"eu\"'"),
            (
                Access { headers: texts(&["Authorization: Basic s3cr3t"]), ..Access::default() },
                "token_file",
            ),
            (Access { headers: texts(&["s3cr3t"]), ..Access::default() }, "'Name: value'"),
            (Access { parameters: texts(&["x"]), ..Access::default() }, "name=value"),
        ] {
            let failure = access.apply(&mut Telemetry::default()).unwrap_err();
            let said = failure.error.to_string();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(said.contains(todo) && !said.contains("s3cr3t"), "{said}");
        }
    }
}
