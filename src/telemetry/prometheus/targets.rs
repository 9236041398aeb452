//! Which of a server's targets are our nodes.

use std::collections::BTreeSet;

use super::{
    client::{Client, Error},
    decode::Answer,
    selector::quoted,
};
use crate::model::time::Timestamp;

/// A node as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The `instance` label.
    pub instance: String,
    /// The `job` label.
    pub job: String,
    /// `uname -n` there; empty where node_exporter does not tell.
    pub nodename: String,
    /// Kernel release there.
    pub release: String,
}

/// Why the nodes could not be found.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The server did not answer.
    #[error(transparent)]
    Server(#[from] Error),
    /// There is no node_exporter.
    #[error("{url} has no node_exporter target{}: is its job scraped?", .job.as_ref().map_or_else(String::new, |job| format!(" with job {job:?}")))]
    NoTargets {
        /// Where.
        url: String,
        /// The job asked for.
        job: Option<String>,
    },
    /// The node is not among them.
    #[error(
        "{wanted} is not among the targets of {url}; there are: {candidates}. Name one with [[node]] name and instance"
    )]
    NotFound {
        /// What was sought.
        wanted: String,
        /// Where.
        url: String,
        /// What there is.
        candidates: String,
    },
    /// One machine is scraped by several jobs.
    #[error(
        "instance {instance} is scraped by several jobs ({jobs}): choose one with [telemetry] job"
    )]
    SeveralJobs {
        /// Which.
        instance: String,
        /// By whom.
        jobs: String,
    },
}

/// The node_exporter targets of a server, now or at a point in time.
///
/// # Errors
/// When it does not answer or has none.
pub async fn candidates(
    client: &Client,
    job: Option<&str>,
    at: Option<Timestamp>,
) -> Result<Vec<Candidate>, Unknown> {
    let selector = job.map_or_else(String::new, |job| format!("{{job=\"{}\"}}", quoted(job)));
    let mut reply = client.query(&format!("node_uname_info{selector}"), at).await?;
    if reply.series.is_empty() {
        // A collector that was turned off, or a recording of a few metrics.
        let named = format!(
            "count by (instance, job, nodename, node) (node_memory_MemTotal_bytes{selector})"
        );
        reply = client.query(&named, at).await?;
    }
    let label = |answer: &Answer, name: &str| answer.labels.get(name).cloned().unwrap_or_default();
    let found: Vec<Candidate> = reply
        .series
        .iter()
        .map(|answer| Candidate {
            instance: label(answer, "instance"),
            job: label(answer, "job"),
            nodename: match label(answer, "nodename") {
                name if name.is_empty() => label(answer, "node"),
                name => name,
            },
            release: label(answer, "release"),
        })
        .collect();
    if found.is_empty() {
        return Err(Unknown::NoTargets {
            url: client.base().to_owned(),
            job: job.map(str::to_owned),
        });
    }
    Ok(found)
}

/// The candidate that is this machine: by its node name, or as the only one.
///
/// # Errors
/// When neither holds; the error lists the candidates.
pub fn this_machine(
    candidates: &[Candidate],
    hostname: &str,
    url: &str,
) -> Result<Candidate, Unknown> {
    let by_name: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.nodename == hostname).collect();
    let instances: BTreeSet<&str> =
        candidates.iter().map(|candidate| candidate.instance.as_str()).collect();
    let chosen = match (by_name.as_slice(), instances.len()) {
        ([first, ..], _) if by_name.iter().all(|other| other.instance == first.instance) => *first,
        ([], 1) => candidates.first().ok_or_else(|| not_found(hostname, url, candidates))?,
        _ => {
            return Err(not_found(&format!("this machine ({hostname})"), url, candidates));
        }
    };
    one_job(candidates, &chosen.instance)?;
    Ok(chosen.clone())
}

/// The candidate that a `[[node]]` means: by its `instance`, else by its name
/// as node name, instance, or host part of the instance.
///
/// # Errors
/// When there is none; the error lists the candidates.
pub fn named(
    candidates: &[Candidate],
    name: &str,
    instance: Option<&str>,
    url: &str,
) -> Result<Candidate, Unknown> {
    let found = candidates.iter().find(|candidate| match instance {
        Some(instance) => candidate.instance == instance,
        None => {
            candidate.nodename == name
                || candidate.instance == name
                || host(&candidate.instance) == name
        }
    });
    let found = found.ok_or_else(|| {
        not_found(
            &format!("node {name:?} ({})", instance.unwrap_or("no instance given")),
            url,
            candidates,
        )
    })?;
    one_job(candidates, &found.instance)?;
    Ok(found.clone())
}

/// The candidates whose node name, instance or host this expression matches whole.
/// What is no expression, such as an IPv6 host in brackets, is a name.
///
/// # Errors
/// When there is none; the error lists the candidates.
pub fn matching(
    candidates: &[Candidate],
    pattern: &str,
    url: &str,
) -> Result<Vec<Candidate>, Unknown> {
    if let Ok(one) = named(candidates, pattern, None, url) {
        return Ok(vec![one]);
    }
    let Ok(regex) = regex_lite::Regex::new(&format!("^(?:{pattern})$")) else {
        return Err(not_found(&format!("node {pattern:?}"), url, candidates));
    };
    let is_meant = |one: &Candidate| {
        [one.nodename.as_str(), &one.instance, host(&one.instance)]
            .iter()
            .any(|name| regex.is_match(name))
    };
    let mut found: Vec<Candidate> =
        candidates.iter().filter(|one| is_meant(one)).cloned().collect();
    found.sort_by(|a, b| (&a.nodename, &a.instance).cmp(&(&b.nodename, &b.instance)));
    found.dedup_by(|a, b| a.instance == b.instance);
    for one in &found {
        one_job(candidates, &one.instance)?;
    }
    if found.is_empty() {
        return Err(not_found(&format!("node {pattern:?}"), url, candidates));
    }
    Ok(found)
}

/// The host of an `instance`: without its port, and an IPv6 host without its
/// brackets.
pub fn host(instance: &str) -> &str {
    let host = instance.rsplit_once(':').map_or(instance, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn one_job(candidates: &[Candidate], instance: &str) -> Result<(), Unknown> {
    let jobs: BTreeSet<&str> = candidates
        .iter()
        .filter(|candidate| candidate.instance == instance)
        .map(|candidate| candidate.job.as_str())
        .collect();
    if jobs.len() > 1 {
        let jobs = jobs.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Unknown::SeveralJobs { instance: instance.to_owned(), jobs });
    }
    Ok(())
}

fn not_found(wanted: &str, url: &str, candidates: &[Candidate]) -> Unknown {
    let mut list: Vec<String> = candidates
        .iter()
        .take(20)
        .map(|candidate| format!("{} ({})", candidate.nodename, candidate.instance))
        .collect();
    if candidates.len() > 20 {
        list.push(format!("and {} more", candidates.len() - 20));
    }
    Unknown::NotFound {
        wanted: wanted.to_owned(),
        url: url.to_owned(),
        candidates: list.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(nodename: &str, instance: &str, job: &str) -> Candidate {
        Candidate {
            instance: instance.into(),
            job: job.into(),
            nodename: nodename.into(),
            release: String::new(),
        }
    }

    #[test]
    fn this_machine_is_found_by_name_or_as_the_only_target() {
        let two =
            [candidate("a", "10.0.0.1:9100", "node"), candidate("b", "10.0.0.2:9100", "node")];
        assert_eq!(this_machine(&two, "b", "u").unwrap().instance, "10.0.0.2:9100");
        assert_eq!(this_machine(&two[..1], "z", "u").unwrap().instance, "10.0.0.1:9100");
        let error = this_machine(&two, "z", "u").unwrap_err().to_string();
        assert!(error.contains("a (10.0.0.1:9100), b (10.0.0.2:9100)"), "{error}");
    }

    #[test]
    fn a_machine_of_two_jobs_is_not_guessed() {
        let twice = [candidate("a", "x:9100", "node"), candidate("a", "x:9100", "fast")];
        assert!(matches!(this_machine(&twice, "a", "u"), Err(Unknown::SeveralJobs { .. })));
    }

    #[test]
    fn nodes_are_found_by_an_expression_over_a_whole_name() {
        let all = [
            candidate("client-2", "10.0.0.3:9100", "node"),
            candidate("client-1", "10.0.0.2:9100", "node"),
            candidate("main", "[fd00::1]:9100", "node"),
        ];
        let found = |pattern: &str| -> Vec<String> {
            matching(&all, pattern, "u").unwrap().into_iter().map(|one| one.nodename).collect()
        };
        assert_eq!(found("client-.*"), ["client-1", "client-2"]);
        assert_eq!(found("10[.]0[.]0[.].*"), ["client-1", "client-2"]);
        assert_eq!(found("client-1"), ["client-1"]);
        assert_eq!(found("fd00::1"), ["main"]);
        assert_eq!(found("[fd00::1]:9100"), ["main"]);
        for none in ["client", "db-7", "("] {
            assert!(matching(&all, none, "u").unwrap_err().to_string().contains("client-1"));
        }
        let twice = [all[0].clone(), candidate("client-2", "10.0.0.3:9100", "other")];
        assert!(matching(&twice, "client-.*", "u").is_err());
    }

    #[test]
    fn a_node_is_found_by_instance_or_name() {
        let all = [candidate("a", "10.0.0.1:9100", "node")];
        for (name, instance) in [("x", Some("10.0.0.1:9100")), ("a", None), ("10.0.0.1", None)] {
            assert!(named(&all, name, instance, "u").is_ok(), "{name}");
        }
        assert!(named(&all, "x", None, "u").is_err());
    }
}
