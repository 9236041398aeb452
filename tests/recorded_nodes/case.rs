//! What a case is: recorded machines, how they are asked about, and what is right.

use serde_json::Value;

use crate::openmetrics::Host;

/// The window that most cases ask about, in seconds from the first sample.
pub(crate) const WINDOW: (f64, f64) = (120.0, 1200.0);

/// Something that a text must say, all of it in one sentence or note.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    /// One of these words, in any case.
    words: &'static [&'static str],
    /// And one of these, where there are any.
    more: &'static [&'static str],
    /// And a clock time between these seconds from the first sample.
    time: Option<(f64, f64)>,
    /// And a percentage between these.
    percent: Option<(f64, f64)>,
}

impl Fact {
    pub(crate) const fn any(words: &'static [&'static str]) -> Self {
        Self { words, more: &[], time: None, percent: None }
    }

    pub(crate) const fn and(self, more: &'static [&'static str]) -> Self {
        Self { more, ..self }
    }

    /// Within a minute of this second, the minute that holds it included.
    pub(crate) const fn near(self, second: f64) -> Self {
        Self { time: Some((second - 75.0, second + 75.0)), ..self }
    }

    pub(crate) const fn percent(self, from: f64, to: f64) -> Self {
        Self { percent: Some((from, to)), ..self }
    }

    fn is_in(&self, text: &str) -> bool {
        let lower = text.to_lowercase();
        let has =
            |words: &[&str]| words.is_empty() || words.iter().any(|word| lower.contains(word));
        has(self.words)
            && has(self.more)
            && self.time.is_none_or(|(from, to)| clocks(text).any(|t| from <= t && t <= to))
            && self.percent.is_none_or(|(from, to)| percents(text).any(|p| from <= p && p <= to))
    }

    /// Whether one of the texts says it.
    pub(crate) fn is_said(&self, texts: &[String]) -> bool {
        texts.iter().any(|text| self.is_in(text))
    }

    /// What was looked for, for people.
    pub(crate) fn shown(&self) -> String {
        let mut text = self.words.join("|");
        if !self.more.is_empty() {
            text.push_str(&format!(" and {}", self.more.join("|")));
        }
        if let Some((from, to)) = self.time {
            let clock = |s: f64| {
                format!("{:02.0}:{:02.0}", 9.0 + (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor())
            };
            text.push_str(&format!(" at {} to {}", clock(from), clock(to)));
        }
        if let Some((from, to)) = self.percent {
            text.push_str(&format!(" with {from} to {to} %"));
        }
        text
    }
}

/// The clock times `09:10` and `09:10:15` of a text, in seconds from 09:00.
fn clocks(text: &str) -> impl Iterator<Item = f64> + '_ {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(4)).filter_map(move |at| {
        let number = |from: usize| text.get(from..from + 2)?.parse::<u32>().ok();
        let is_colon = |at: usize| bytes.get(at) == Some(&b':');
        let starts = at == 0 || !bytes.get(at - 1)?.is_ascii_digit() && !is_colon(at - 1);
        if !starts || !is_colon(at + 2) {
            return None;
        }
        let (hour, minute) = (number(at)?, number(at + 3)?);
        let second = if is_colon(at + 5) { number(at + 6)? } else { 0 };
        Some(f64::from(hour) * 3600.0 + f64::from(minute * 60 + second) - 9.0 * 3600.0)
    })
}

/// The numbers before a `%`.
fn percents(text: &str) -> impl Iterator<Item = f64> + '_ {
    text.match_indices('%').filter_map(|(at, _)| {
        let before = text.get(..at)?.trim_end_matches([' ', '\u{a0}', '\u{202f}']);
        let from = before.rfind(|c: char| !c.is_ascii_digit() && c != '.').map_or(0, |i| {
            i + before.get(i..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
        });
        before.get(from..)?.parse().ok()
    })
}

/// What is right for one node.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// Its node name, or its instance where it has none.
    pub(crate) node: String,
    pub(crate) instance: String,
    /// Its name after another machine took its place, or it was renamed.
    pub(crate) alias: &'static str,
    /// What its name must contain as well, where several have one name.
    pub(crate) marks: &'static [&'static str],
    /// Verdicts that are right: `cpu`, or `cpu full`.
    pub(crate) right: &'static [&'static str],
    /// Verdicts that are acceptable at `possible` and below.
    pub(crate) reserved: &'static [&'static str],
    /// Verdicts that must not be given at any grade.
    pub(crate) never: &'static [&'static str],
    /// The right verdict may not be `likely` either.
    pub(crate) only_possible: bool,
    /// Without these the verdict misleads.
    pub(crate) must: Vec<Fact>,
    /// Without these it is incomplete.
    pub(crate) should: Vec<Fact>,
    /// Words that must not be said of it.
    pub(crate) unsaid: &'static [&'static str],
    /// The device that a right verdict names.
    pub(crate) device: Option<&'static str>,
    /// Resources that must be listed as not observed.
    pub(crate) unobserved: &'static [&'static str],
    /// No more than so many entries of a resource in the ranking.
    pub(crate) ranked: Option<(&'static str, usize)>,
    /// No verdict at all is acceptable where the message says one of these.
    pub(crate) refusal: &'static [&'static str],
    /// And it is as good as a verdict.
    pub(crate) refusal_is_right: bool,
}

impl Check {
    pub(crate) fn of(host: &Host, right: &'static [&'static str]) -> Self {
        Self {
            node: if host.nodename.is_empty() {
                host.instance.clone()
            } else {
                host.nodename.clone()
            },
            instance: host.instance.clone(),
            alias: "",
            marks: &[],
            right,
            reserved: &[],
            never: &[],
            only_possible: false,
            must: Vec::new(),
            should: Vec::new(),
            unsaid: &[],
            device: None,
            unobserved: &[],
            ranked: None,
            refusal: &[],
            refusal_is_right: false,
        }
    }

    /// Whether an entry of a verdict has the node's name, and the marks beside it.
    pub(crate) fn is_called(&self, entry: &Value) -> bool {
        let name = entry["node"].as_str().unwrap_or_default();
        let is = |mine: &str| {
            name.strip_prefix(mine).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
        };
        let same = is(&self.node) || (!self.alias.is_empty() && is(self.alias));
        same && self.marks.iter().all(|mark| name.contains(mark))
    }

    /// Whether an entry of a verdict is of the node's address.
    pub(crate) fn is_at(&self, entry: &Value) -> bool {
        let name = entry["node"].as_str().unwrap_or_default();
        let same =
            name.contains(&self.instance) || entry["instance"].as_str() == Some(&self.instance);
        same && self.marks.iter().all(|mark| name.contains(mark))
    }
}

/// One or more recorded machines, and what is right about them.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The item of the class list: `A1`, `C13`, or `+` for a plain positive.
    pub(crate) item: &'static str,
    pub(crate) hosts: Vec<Host>,
    pub(crate) checks: Vec<Check>,
    pub(crate) window: (f64, f64),
    /// Options beside the window and the node; then it is called alone.
    pub(crate) args: Vec<String>,
    /// `--node` values in place of the instances; then it is called alone.
    pub(crate) nodes: Option<Vec<&'static str>>,
    /// It is asked with `--strict`, and this is the right exit code.
    pub(crate) strict: Option<i32>,
    /// Cases of one kind go into one call.
    pub(crate) kind: &'static str,
}

impl Case {
    /// A machine about which `right` is right.
    pub(crate) fn new(
        item: &'static str,
        name: &'static str,
        host: Host,
        right: &'static [&'static str],
    ) -> Self {
        let checks = vec![Check::of(&host, right)];
        Self {
            name,
            item,
            hosts: vec![host],
            checks,
            window: WINDOW,
            args: Vec::new(),
            nodes: None,
            strict: None,
            kind: "",
        }
    }

    /// Another machine, about which something is right as well.
    pub(crate) fn beside(mut self, host: Host, right: &'static [&'static str]) -> Self {
        self.checks.push(Check::of(&host, right));
        self.hosts.push(host);
        self
    }

    /// Series that belong to no node of their own, or to one that is there.
    pub(crate) fn with(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    fn last(mut self, change: impl FnOnce(&mut Check)) -> Self {
        if let Some(check) = self.checks.last_mut() {
            change(check);
        }
        self
    }

    /// Acceptable at `possible` and below.
    pub(crate) fn or_possibly(self, reserved: &'static [&'static str]) -> Self {
        self.last(|check| check.reserved = reserved)
    }

    pub(crate) fn never(self, never: &'static [&'static str]) -> Self {
        self.last(|check| check.never = never)
    }

    /// Not even the right verdict may be `likely`.
    pub(crate) fn only_possible(self) -> Self {
        self.last(|check| check.only_possible = true)
    }

    pub(crate) fn must_say(self, fact: Fact) -> Self {
        self.last(|check| check.must.push(fact))
    }

    pub(crate) fn should_say(self, fact: Fact) -> Self {
        self.last(|check| check.should.push(fact))
    }

    pub(crate) fn unsaid(self, words: &'static [&'static str]) -> Self {
        self.last(|check| check.unsaid = words)
    }

    pub(crate) fn marks(self, marks: &'static [&'static str]) -> Self {
        self.last(|check| check.marks = marks)
    }

    pub(crate) fn also_called(self, alias: &'static str) -> Self {
        self.last(|check| check.alias = alias)
    }

    pub(crate) fn device(self, device: &'static str) -> Self {
        self.last(|check| check.device = Some(device))
    }

    pub(crate) fn unobserved(self, resources: &'static [&'static str]) -> Self {
        self.last(|check| check.unobserved = resources)
    }

    pub(crate) fn ranked_at_most(self, resource: &'static str, times: usize) -> Self {
        self.last(|check| check.ranked = Some((resource, times)))
    }

    /// An error that says one of these is acceptable, too.
    pub(crate) fn or_refused(self, words: &'static [&'static str]) -> Self {
        self.last(|check| check.refusal = words)
    }

    /// An error that says one of these is as right as a verdict.
    pub(crate) fn or_rightly_refused(self, words: &'static [&'static str]) -> Self {
        self.or_refused(words).last(|check| check.refusal_is_right = true)
    }

    pub(crate) fn window(self, from: f64, to: f64) -> Self {
        Self { window: (from, to), ..self }
    }

    pub(crate) fn args(self, args: &[&str]) -> Self {
        Self { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..self }
    }

    pub(crate) fn nodes(self, nodes: &[&'static str]) -> Self {
        Self { nodes: Some(nodes.to_vec()), ..self }
    }

    pub(crate) fn strict(self, exit: i32) -> Self {
        Self { strict: Some(exit), ..self }
    }

    /// Called together with the cases of this kind only.
    pub(crate) fn kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// Whether it is one of several in a call.
    pub(crate) fn is_grouped(&self) -> bool {
        self.args.is_empty()
            && self.nodes.is_none()
            && self.strict.unwrap_or(0) == 0
            && self.kind != "alone"
    }

    /// The instances that it asks for.
    pub(crate) fn instances(&self) -> Vec<String> {
        let mut all: Vec<String> = self.checks.iter().map(|check| check.instance.clone()).collect();
        all.dedup();
        all
    }
}

/// That facts are found where they are and nowhere else, so that this file is
/// itself tested.
pub(crate) fn check_itself() {
    let says = |fact: &Fact, text: &str| fact.is_said(&[text.to_owned()]);
    let gone = Fact::any(&["vanish"]).near(600.0);
    assert!(says(&gone, "It vanished at 09:10; until then the CPU was saturated."));
    assert!(says(&gone, "vanished at 2025-11-27T09:09:45Z"));
    assert!(!says(&gone, "vanished at 09:12") && !says(&gone, "seen until 09:10"));
    let share = Fact::any(&["missing"]).percent(38.0, 42.0);
    assert!(says(&share, "41.7 % of the window is missing") && says(&share, "missing: 40%"));
    assert!(!says(&share, "4 % is missing") && !says(&share, "missing: 141 %"));
}
