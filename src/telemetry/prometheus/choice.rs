//! Which machines the user's names mean. Pure.

use super::{client::Error, machines::Machine};

/// Machines that an error message lists.
const MOST_LISTED: usize = 20;

/// Why the nodes could not be found.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The server did not answer.
    #[error(transparent)]
    Server(#[from] Error),
    /// There is no node_exporter.
    #[error("{url} has no node_exporter series{}{}: is its job scraped, and does the time range have data?", .selector.as_ref().map_or_else(String::new, |selector| format!(" with {selector}")), .when)]
    NoTargets {
        /// Where.
        url: String,
        /// The selector that was asked for.
        selector: Option<String>,
        /// The time range that was asked for, in words.
        when: String,
    },
    /// The node is not among them.
    #[error(
        "{wanted} is not among the targets of {url}; there are: {candidates}. Name one with [[node]] name and instance, or --node"
    )]
    NotFound {
        /// What was sought.
        wanted: String,
        /// Where.
        url: String,
        /// What there is.
        candidates: String,
    },
    /// Several machines have that name.
    #[error(
        "{wanted} means several machines of {url}: {candidates}. Choose one by its instance, or by a label with telemetry.match (--match 'LABEL=\"VALUE\"') or telemetry.job"
    )]
    Ambiguous {
        /// What was sought.
        wanted: String,
        /// Where.
        url: String,
        /// What matches it.
        candidates: String,
    },
}

/// The machine that this program runs on: by its host name, or as the only one.
///
/// # Errors
/// When neither holds; the error lists what there is.
pub fn this_machine<'a>(
    machines: &'a [Machine],
    hostname: &str,
    url: &str,
) -> Result<&'a Machine, Unknown> {
    let by_name: Vec<&Machine> =
        machines.iter().filter(|machine| machine.nodename() == hostname).collect();
    let wanted = format!("this machine ({hostname})");
    match (by_name.as_slice(), machines) {
        ([one], _) => Ok(one),
        ([], [only]) => Ok(only),
        ([], _) => Err(not_found(&wanted, url, machines)),
        _ => Err(ambiguous(&wanted, url, &by_name)),
    }
}

/// The machine that a `[[node]]` means: by its `instance`, else by a name.
///
/// # Errors
/// When there is none, or several; the error lists them.
pub fn named<'a>(
    machines: &'a [Machine],
    name: &str,
    instance: Option<&str>,
    url: &str,
) -> Result<&'a Machine, Unknown> {
    let wanted = format!("node {name:?} ({})", instance.unwrap_or("no instance given"));
    let found: Vec<&Machine> = match instance {
        Some(instance) => machines.iter().filter(|one| one.instance == instance).collect(),
        None => machines.iter().filter(|one| one.is_called(name)).collect(),
    };
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(not_found(&wanted, url, machines)),
        // Of several with one instance, the one that also has the name.
        several => match several.iter().filter(|one| one.name == name).collect::<Vec<_>>()[..] {
            [one] => Ok(one),
            _ => Err(ambiguous(&wanted, url, &found)),
        },
    }
}

/// The machines that one `--node` asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Matched<'a> {
    /// In the order of their names.
    pub machines: Vec<&'a Machine>,
    /// Alternatives of the expression that match no machine.
    pub unmatched: Vec<String>,
}

/// The machines whose name, host name, instance or host this expression matches as a
/// whole. A text that is a name, or no valid expression (an IPv6 host in brackets), is
/// taken literally.
///
/// # Errors
/// When there is none; the error lists what there is.
pub fn matching<'a>(
    machines: &'a [Machine],
    pattern: &str,
    url: &str,
) -> Result<Matched<'a>, Unknown> {
    let called: Vec<&Machine> = machines.iter().filter(|one| one.is_called(pattern)).collect();
    if !called.is_empty() {
        return Ok(Matched { machines: called, unmatched: Vec::new() });
    }
    let of = |pattern: &str| -> Vec<&'a Machine> {
        let Ok(regex) = regex_lite::Regex::new(&format!("^(?:{pattern})$")) else {
            return Vec::new();
        };
        let is_meant = |one: &&Machine| one.names().iter().any(|name| regex.is_match(name));
        machines.iter().filter(is_meant).collect()
    };
    let found = of(pattern);
    if found.is_empty() {
        return Err(not_found(&format!("node {pattern:?}"), url, machines));
    }
    let alternatives = split_alternatives(pattern);
    let unmatched = alternatives
        .into_iter()
        .filter(|one| of(one).is_empty() && !machines.iter().any(|machine| machine.is_called(one)))
        .collect();
    Ok(Matched { machines: found, unmatched })
}

/// The alternatives of a regular expression that are not inside a group or a class, with
/// one group around all of them removed.
fn split_alternatives(pattern: &str) -> Vec<String> {
    let inner = pattern
        .strip_prefix("(?:")
        .or_else(|| pattern.strip_prefix('('))
        .and_then(|rest| rest.strip_suffix(')'))
        .filter(|inner| !inner.contains(['(', ')']));
    let (mut parts, mut depth, mut in_class) = (vec![String::new()], 0_u32, false);
    let mut chars = inner.unwrap_or(pattern).chars();
    while let Some(c) = chars.next() {
        match c {
            '|' if depth == 0 && !in_class => {
                parts.push(String::new());
                continue;
            }
            '(' if !in_class => depth += 1,
            ')' if !in_class => depth = depth.saturating_sub(1),
            '[' => in_class = true,
            ']' => in_class = false,
            _ => (),
        }
        let Some(last) = parts.last_mut() else { continue };
        last.push(c);
        if c == '\\' {
            last.extend(chars.next());
        }
    }
    parts
}

fn ambiguous(wanted: &str, url: &str, machines: &[&Machine]) -> Unknown {
    Unknown::Ambiguous {
        wanted: wanted.to_owned(),
        url: url.to_owned(),
        candidates: listed(machines.iter().copied(), machines.len()),
    }
}

fn not_found(wanted: &str, url: &str, machines: &[Machine]) -> Unknown {
    Unknown::NotFound {
        wanted: wanted.to_owned(),
        url: url.to_owned(),
        candidates: listed(machines.iter(), machines.len()),
    }
}

fn listed<'a>(machines: impl Iterator<Item = &'a Machine>, count: usize) -> String {
    let shown = |machine: &Machine| {
        if machine.name.contains(&machine.instance) || machine.instance.is_empty() {
            machine.name.clone()
        } else {
            format!("{} ({})", machine.name, machine.instance)
        }
    };
    let mut list: Vec<String> = machines.take(MOST_LISTED).map(shown).collect();
    if count > MOST_LISTED {
        list.push(format!("and {} more", count - MOST_LISTED));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{
        super::machines::{ScrapeTarget, group_targets},
        *,
    };

    fn machines(all: &[(&str, &str, &str)]) -> Vec<Machine> {
        let targets = all.iter().map(|(host, instance, job)| ScrapeTarget {
            labels: [("instance", *instance), ("job", *job)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            hosts: [(*host).to_owned()].into(),
            ..ScrapeTarget::default()
        });
        group_targets(targets.collect())
    }

    #[test]
    fn this_machine_is_found_by_name_or_as_the_only_target() {
        let two = machines(&[("a", "10.0.0.1:9100", "node"), ("b", "10.0.0.2:9100", "node")]);
        assert_eq!(this_machine(&two, "b", "u").unwrap().instance, "10.0.0.2:9100");
        assert_eq!(this_machine(&two[..1], "z", "u").unwrap().instance, "10.0.0.1:9100");
        let error = this_machine(&two, "z", "u").unwrap_err().to_string();
        assert!(error.contains("a (10.0.0.1:9100), b (10.0.0.2:9100)"), "{error}");
    }

    #[test]
    fn a_machine_of_two_jobs_is_not_guessed() {
        let twice = machines(&[("a", "x:9100", "node"), ("a", "x:9100", "fast")]);
        for result in [this_machine(&twice, "a", "u"), named(&twice, "a", None, "u")] {
            let error = result.unwrap_err();
            assert!(matches!(error, Unknown::Ambiguous { .. }));
            assert!(error.to_string().contains("job=\"fast\""), "{error}");
        }
        let one = named(&twice, "a (x:9100) {job=\"fast\"}", None, "u").unwrap();
        assert_eq!(one.distinct["job"], "fast");
    }

    #[test]
    fn nodes_are_found_by_an_expression_over_a_whole_name() {
        let all = machines(&[
            ("client-2", "10.0.0.3:9100", "node"),
            ("client-1", "10.0.0.2:9100", "node"),
            ("main", "[fd00::1]:9100", "node"),
        ]);
        let found = |pattern: &str| -> Vec<&str> {
            let matched = matching(&all, pattern, "u").unwrap();
            matched.machines.into_iter().map(|one| one.name.as_str()).collect()
        };
        assert_eq!(found("client-.*"), ["client-1", "client-2"]);
        assert_eq!(found("10[.]0[.]0[.].*"), ["client-1", "client-2"]);
        assert_eq!(found("client-1"), ["client-1"]);
        assert_eq!(found("fd00::1"), ["main"]);
        assert_eq!(found("[fd00::1]:9100"), ["main"]);
        for none in ["client", "db-7", "("] {
            assert!(matching(&all, none, "u").unwrap_err().to_string().contains("client-1"));
        }
    }

    #[test]
    fn an_alternative_without_a_machine_is_reported() {
        let all = machines(&[("a", "1:9100", "node"), ("b", "2:9100", "node")]);
        let unmatched = |pattern| matching(&all, pattern, "u").unwrap().unmatched;
        assert_eq!(unmatched("a|c|b|d"), ["c", "d"]);
        assert_eq!(unmatched("(a|c)"), ["c"]);
        assert_eq!(unmatched("(?:a|c)"), ["c"]);
        assert_eq!(unmatched("[ab|]"), [""; 0]);
        assert_eq!(unmatched("(a|x)(y|)|b"), [""; 0]);
    }

    #[test]
    fn two_machines_of_one_name_are_both_meant() {
        let all = machines(&[("ubuntu", "1:9100", "node"), ("ubuntu", "2:9100", "node")]);
        assert_eq!(matching(&all, "ubuntu", "u").unwrap().machines.len(), 2);
        assert_eq!(matching(&all, "ubuntu (1:9100)", "u").unwrap().machines.len(), 1);
        assert!(named(&all, "ubuntu", None, "u").is_err());
    }

    #[test]
    fn a_node_is_found_by_instance_or_name() {
        let all = machines(&[("a", "10.0.0.1:9100", "node")]);
        for (name, instance) in [("x", Some("10.0.0.1:9100")), ("a", None), ("10.0.0.1", None)] {
            assert!(named(&all, name, instance, "u").is_ok(), "{name}");
        }
        assert!(named(&all, "x", None, "u").is_err());
    }
}
