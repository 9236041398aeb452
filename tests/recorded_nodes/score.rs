//! From verdicts to figures: what was right, what was left open, what was wrong and
//! how surely it was said.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use crate::case::Check;

/// What a verdict was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Correct,
    /// The verdict is right, and a fact beside it is not said.
    Incomplete,
    /// It is `unknown`, or a rival at `possible`, or a refusal that says why.
    Honest,
    /// An error where there should be a verdict.
    NoAnswer,
    WrongPossible,
    WrongLikely,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] = [
        Self::Correct,
        Self::Incomplete,
        Self::Honest,
        Self::NoAnswer,
        Self::WrongPossible,
        Self::WrongLikely,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Incomplete => "right, a fact is missing",
            Self::Honest => "honestly possible or unknown",
            Self::NoAnswer => "no answer",
            Self::WrongPossible => "wrong at possible",
            Self::WrongLikely => "WRONG AT LIKELY",
        }
    }

    /// What must never be: wrong, or no answer.
    pub(crate) const fn is_wrong(self) -> bool {
        matches!(self, Self::NoAnswer | Self::WrongPossible | Self::WrongLikely)
    }
}

/// One judged node.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) case: &'static str,
    pub(crate) item: &'static str,
    pub(crate) node: String,
    pub(crate) truth: String,
    pub(crate) never: String,
    pub(crate) said: String,
    pub(crate) grade: String,
    pub(crate) outcome: Outcome,
    pub(crate) why: String,
}

/// What was said of a node, in one of its phases.
struct Said<'a> {
    resource: &'a str,
    device: Option<&'a str>,
    kind: &'a str,
    grade: &'a str,
}

impl<'a> Said<'a> {
    fn of(verdict: &'a Value) -> Self {
        let text = |key: &str| verdict[key].as_str().unwrap_or_default();
        Self {
            resource: text("resource"),
            device: verdict["device"].as_str(),
            kind: text("kind"),
            grade: text("grade"),
        }
    }

    fn is_sure(&self) -> bool {
        ["likely", "confirmed"].contains(&self.grade)
    }

    /// Whether this is one of `cpu` or `cpu full`.
    fn is_one_of(&self, verdicts: &[&str]) -> bool {
        verdicts.iter().any(|one| match one.split_once(' ') {
            Some((resource, kind)) => resource == self.resource && kind == self.kind,
            None => *one == self.resource,
        })
    }

    fn wrong(&self) -> Outcome {
        if self.is_sure() { Outcome::WrongLikely } else { Outcome::WrongPossible }
    }

    fn shown(&self) -> String {
        let device = self.device.map_or_else(String::new, |device| format!(" {device}"));
        let kind = if self.kind == self.resource { "" } else { self.kind };
        format!("{}{device} {kind}", self.resource).trim_end().to_owned()
    }
}

/// The sentences in a part of a verdict, without the sources of thresholds.
fn sentences(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) if text.contains(' ') => out.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| sentences(one, out)),
        Value::Object(map) => {
            map.iter().filter(|(key, _)| *key != "source").for_each(|(_, one)| sentences(one, out));
        }
        _ => {}
    }
}

/// Judge what a document says of a node. Notes of a call for one node are all of
/// that node; of several, those that name it.
pub(crate) fn judge(
    check: &Check,
    document: &Value,
    is_only: bool,
) -> (Outcome, String, String, String) {
    let all: Vec<&Value> = document["nodes"].as_array().into_iter().flatten().collect();
    let called: Vec<&Value> = all.iter().copied().filter(|one| check.is_called(one)).collect();
    // Two machines with one address are told apart by their names.
    let entries: Vec<&Value> = if called.is_empty() {
        all.into_iter().filter(|one| check.is_at(one)).collect()
    } else {
        called
    };
    if entries.is_empty() {
        return (
            Outcome::WrongLikely,
            "–".to_owned(),
            "–".to_owned(),
            "left out without a word".to_owned(),
        );
    }
    let mut texts = Vec::new();
    for entry in &entries {
        sentences(entry, &mut texts);
    }
    let mut notes = Vec::new();
    sentences(&document["validity"], &mut notes);
    if is_only {
        sentences(&document["overall"], &mut notes);
        sentences(&document["fleet"], &mut notes);
    }
    let names_it =
        |note: &String| is_only || note.contains(&check.node) || note.contains(&check.instance);
    texts.extend(notes.into_iter().filter(names_it));
    let phases: Vec<&Value> =
        entries.iter().flat_map(|entry| entry["phases"].as_array().into_iter().flatten()).collect();
    // Of a window in parts the worst thing counts that was said of one of them, and
    // the right thing need be said of one only.
    let all: Vec<(Outcome, String, Said<'_>)> = phases
        .iter()
        .map(|phase| {
            let said = Said::of(&phase["verdict"]);
            let (outcome, why) = judge_one(check, &said, phase, &texts);
            (outcome, why, said)
        })
        .collect();
    let best = all.iter().min_by_key(|(outcome, ..)| *outcome);
    let clean =
        |said: &Said<'_>| said.is_one_of(&["none", "unknown"]) && !said.is_one_of(check.never);
    let worst = all
        .iter()
        .filter(|(.., said)| phases.len() == 1 || !clean(said))
        .max_by_key(|(outcome, ..)| *outcome)
        .filter(|(outcome, ..)| phases.len() == 1 || outcome.is_wrong());
    let Some((outcome, why, said)) = worst.or(best) else {
        return (Outcome::NoAnswer, "–".to_owned(), "–".to_owned(), "no phase".to_owned());
    };
    (*outcome, said.shown(), said.grade.to_owned(), why.clone())
}

fn judge_one(check: &Check, said: &Said<'_>, phase: &Value, texts: &[String]) -> (Outcome, String) {
    if said.is_one_of(check.never) {
        return (said.wrong(), "must not be said".to_owned());
    }
    if let Some(word) = check
        .unsaid
        .iter()
        .find(|word| texts.iter().any(|text| text.to_lowercase().contains(**word)))
    {
        return (said.wrong(), format!("says {word:?}"));
    }
    if let Some((resource, most)) = check.ranked {
        let times = phase["ranking"].as_array().into_iter().flatten();
        let times = times.filter(|one| one["resource"].as_str() == Some(resource)).count();
        if times > most {
            return (
                said.wrong(),
                format!("{times} entries of {resource}, where there are {most}"),
            );
        }
    }
    let missing = |facts: &[crate::case::Fact]| {
        facts.iter().find(|fact| !fact.is_said(texts)).map(crate::case::Fact::shown)
    };
    if said.is_one_of(check.right) {
        if check.only_possible && said.is_sure() {
            return (Outcome::WrongLikely, "too sure".to_owned());
        }
        if let Some(fact) = missing(&check.must) {
            return (said.wrong(), format!("does not say {fact}"));
        }
        if let Some(device) = check.device
            && !said.device.is_some_and(|named| named.contains(device))
        {
            return (said.wrong(), format!("does not name {device}"));
        }
        let unobserved = |resource: &str| {
            let list = phase.pointer("/verdict/unobserved").and_then(Value::as_array);
            list.into_iter().flatten().any(|one| one["resource"].as_str() == Some(resource))
        };
        if let Some(resource) = check.unobserved.iter().find(|resource| !unobserved(resource)) {
            return (Outcome::Incomplete, format!("does not list {resource} as not measured"));
        }
        return match missing(&check.should) {
            Some(fact) => (Outcome::Incomplete, format!("does not say {fact}")),
            None => (Outcome::Correct, String::new()),
        };
    }
    if said.kind == "unknown" {
        return (Outcome::Honest, String::new());
    }
    if said.is_one_of(check.reserved) {
        return if said.is_sure() {
            (Outcome::WrongLikely, "too sure".to_owned())
        } else {
            (Outcome::Honest, String::new())
        };
    }
    (said.wrong(), String::new())
}

/// Counts of a server: `correct 80 of 100 (80 %)` and so on.
pub(crate) fn counts(judged: &[&Judged]) -> String {
    let all = judged.len().max(1) as f64;
    let mut text = String::new();
    for outcome in Outcome::ALL {
        let count = judged.iter().filter(|one| one.outcome == outcome).count();
        let _ = writeln!(
            text,
            "  {:<30} {count:>4}  {:>5.1} %",
            outcome.name(),
            100.0 * count as f64 / all
        );
    }
    text
}

/// The resource in `cpu saturated`.
fn resource_of(verdict: &str) -> &str {
    verdict.split(' ').next().unwrap_or_default()
}

/// What is true (of several right resources, the one that was said) against what was
/// said, as a table over all causes that occur.
pub(crate) fn matrix(judged: &[&Judged]) -> String {
    let mut cells: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut said_names: Vec<String> = Vec::new();
    let mut truths: Vec<String> = Vec::new();
    for one in judged {
        let said = if one.said == "–" { "(no verdict)" } else { resource_of(&one.said) };
        let right: Vec<&str> = one.truth.split('|').map(resource_of).collect();
        let truth =
            if right.contains(&said) { said } else { right.first().copied().unwrap_or_default() };
        *cells.entry((truth.to_owned(), said.to_owned())).or_default() += 1;
        said_names.push(said.to_owned());
        truths.push(truth.to_owned());
    }
    for list in [&mut said_names, &mut truths] {
        list.sort();
        list.dedup();
    }
    let mut text = format!(
        "| true \\ said | {} |\n|{}\n",
        said_names.join(" | "),
        " --- |".repeat(said_names.len() + 1)
    );
    for truth in &truths {
        let row = said_names.iter().map(|said| {
            let count = cells.get(&(truth.clone(), said.clone()));
            count.map_or_else(String::new, usize::to_string)
        });
        let _ = writeln!(text, "| {truth} | {} |", row.collect::<Vec<_>>().join(" | "));
    }
    text
}

/// Every case in which something must not be said.
pub(crate) fn must_not_say(judged: &[&Judged]) -> String {
    let mut text = String::from(
        "| class | node | must not say | said | grade | |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for one in judged.iter().filter(|one| !one.never.is_empty()) {
        let sign = if one.outcome.is_wrong() { "✗" } else { "✓" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {sign} |",
            one.item, one.case, one.never, one.said, one.grade
        );
    }
    text
}

/// What was not right, a line each.
pub(crate) fn faults(judged: &[&Judged]) -> String {
    let mut text = String::new();
    for one in judged.iter().filter(|one| one.outcome != Outcome::Correct) {
        let _ = writeln!(
            text,
            "{:<28} {:<4} {:<24} {:<26} {:<10} is {} {}",
            one.outcome.name(),
            one.item,
            format!("{} {}", one.case, if one.node == one.case { "" } else { &one.node }),
            one.said,
            one.grade,
            one.truth,
            if one.why.is_empty() { String::new() } else { format!("({})", one.why) },
        );
    }
    text
}
