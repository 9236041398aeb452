//! The generic half of validation: every value against the table of keys.

use std::ops::Range;

use regex_lite::Regex;

use super::{
    diagnostic::{Diagnostic, MOST_WORKED_OUT, nearest},
    keys::{Key, Kind, LOAD_COMMON, LOADS, load_kind},
    tree::{Node, Table, Value},
};
use crate::model::{
    catalogue,
    stats::Stat,
    text::{LONGEST_NAME, short},
    units::{self, DURATION_UNITS, SIZE_UNITS},
};

/// Report every unknown key, missing key, wrong type and impossible value
/// below `node`, which should be a table with `keys`.
pub(super) fn check(node: &Node, keys: &[Key], diagnostics: &mut Vec<Diagnostic>) {
    let Value::Table(table) = &node.value else {
        diagnostics.push(wrong_type(node, "a table"));
        return;
    };
    check_table(table, &node.span, &keys.iter().collect::<Vec<_>>(), diagnostics);
}

fn check_table(
    table: &Table,
    span: &Range<usize>,
    keys: &[&Key],
    diagnostics: &mut Vec<Diagnostic>,
) {
    for entry in &table.entries {
        if let Some(key) = keys.iter().find(|key| key.name == entry.key) {
            check_value(&entry.node, key, diagnostics);
            continue;
        }
        let mut diagnostic = Diagnostic::new(
            entry.key_span.clone(),
            format!("unknown key `{}`", short(&entry.key, LONGEST_NAME)),
        );
        if diagnostics.len() >= MOST_WORKED_OUT {
            diagnostics.push(diagnostic);
            continue;
        }
        if let Some(near) = nearest(&entry.key, keys.iter().map(|key| key.name)) {
            diagnostic = diagnostic.hint(format!("did you mean `{near}`?"));
        }
        diagnostics.push(diagnostic.allowed(joined(keys.iter().map(|key| key.name))));
    }
    for key in keys.iter().filter(|key| key.required && table.get(key.name).is_none()) {
        diagnostics.push(
            Diagnostic::new(span.clone(), format!("key `{}` is missing", key.name)).hint(key.doc),
        );
    }
}

#[expect(clippy::too_many_lines, reason = "one arm a kind of value, each a line or three")]
fn check_value(node: &Node, key: &Key, diagnostics: &mut Vec<Diagnostic>) {
    let name = key.name;
    let mut say = |diagnostic: Diagnostic| diagnostics.push(diagnostic);
    let at = || node.span.clone();
    match (key.kind, &node.value) {
        (Kind::Text, Value::Text(_)) | (Kind::Flag, Value::Flag(_)) => (),
        (Kind::Path, Value::Text(text)) => {
            if text.is_empty() {
                say(Diagnostic::new(at(), format!("`{name}` is empty")).allowed("a path"));
            }
        }
        (Kind::Name, Value::Text(text)) => {
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if text.is_empty() || !text.chars().all(good) || text.starts_with('.') {
                say(Diagnostic::new(at(), format!("{text:?} cannot be a name"))
                    .allowed("letters, digits, `-`, `_` and `.`, not starting with `.`"));
            }
        }
        (Kind::Duration(low, high), Value::Text(text)) => match units::parse_duration(text) {
            Ok(value) if (low..=high).contains(&value.as_secs_f64()) => (),
            Ok(_) => say(Diagnostic::new(at(), format!("`{name}` is out of range"))
                .allowed(format!("{} to {}", show_seconds(low), show_seconds(high)))),
            Err(error) => say(Diagnostic::new(at(), format!("`{name}`: {error}"))
                .allowed(format!("a duration such as 10s, 1m30s, 250ms (units {DURATION_UNITS})"))),
        },
        (Kind::Size(percent), Value::Text(text)) => {
            if let Err(diagnostic) = size(text, percent, name, at()) {
                say(diagnostic);
            }
        }
        (Kind::Size(_), Value::Integer(bytes)) => {
            if *bytes <= 0 {
                say(Diagnostic::new(at(), format!("`{name}` must be above 0"))
                    .allowed("bytes, 1 or more"));
            }
        }
        (Kind::Integer(low, high), Value::Integer(value)) => {
            if !(low..=high).contains(value) {
                say(out_of_range(node, name, low as f64, high as f64));
            }
        }
        (Kind::Number(low, high), Value::Integer(_) | Value::Float(_)) => {
            let value = number(&node.value).unwrap_or(f64::NAN);
            if !(low..=high).contains(&value) {
                say(out_of_range(node, name, low, high));
            }
        }
        (Kind::Choice(words), Value::Text(text)) => {
            if !words.contains(&text.as_str()) {
                say(unknown_word(node, name, text, words));
            }
        }
        (Kind::Workers, Value::Integer(value)) => {
            if !(1..=65_536).contains(value) {
                say(out_of_range(node, name, 1.0, 65_536.0));
            }
        }
        (Kind::Workers, Value::Text(text)) => {
            if super::plan::Workers::parse(text).is_none() {
                say(Diagnostic::new(at(), format!("`{name}` does not understand {text:?}"))
                    .allowed("a number from 1, \"per-core\", or a multiple such as \"2x-cores\""));
            }
        }
        (Kind::Cores, Value::List(items)) => {
            for item in items {
                if !matches!(item.value, Value::Integer(0..=1023)) {
                    say(Diagnostic::new(
                        item.span.clone(),
                        format!("`{name}` holds something that is no core"),
                    )
                    .allowed("core numbers, 0 to 1023"));
                }
            }
            if items.is_empty() {
                say(Diagnostic::new(at(), format!("`{name}` is empty"))
                    .allowed("at least one core number"));
            }
        }
        (Kind::Numbers, Value::List(items)) => {
            for item in items {
                if !number(&item.value).is_some_and(|v| v >= 0.0 && v.is_finite()) {
                    say(Diagnostic::new(
                        item.span.clone(),
                        format!("`{name}` holds something that is no level"),
                    )
                    .allowed("numbers, 0 or more"));
                }
            }
            if items.is_empty() {
                say(Diagnostic::new(at(), format!("`{name}` is empty"))
                    .allowed("at least one number"));
            }
        }
        (Kind::LoadUrl, Value::Text(text)) => {
            if super::plan::Url::parse(text).is_none() {
                let mut wrong = Diagnostic::new(at(), format!("`{name}` cannot be loaded"));
                if text.contains('@') {
                    wrong = wrong.hint(
                        "a user and password belong into `header_file`: a scenario is copied into the run",
                    );
                }
                say(wrong.allowed("http://host:port/path?query or https://…, without a user"));
            }
        }
        (Kind::Address, Value::Text(text)) => {
            if super::plan::Target::parse(text).is_none() {
                say(Diagnostic::new(at(), format!("`{name}` does not understand {text:?}"))
                    .allowed("host:port, such as 127.0.0.1:5201 or [::1]:5201"));
            }
        }
        (Kind::Texts, Value::List(items)) => {
            for item in items {
                if !matches!(item.value, Value::Text(_)) {
                    say(Diagnostic::new(
                        item.span.clone(),
                        format!("`{name}` holds something that is no string"),
                    )
                    .allowed("strings"));
                }
            }
        }
        (Kind::Signal, Value::Text(text)) => {
            let names = catalogue::names();
            if !names.contains(&text.as_str()) {
                say(unknown_word(node, name, text, &names));
            }
        }
        (Kind::Pattern, Value::Text(text)) => {
            if let Err(error) = Regex::new(text) {
                say(Diagnostic::new(at(), format!("`{name}` is no regular expression: {error}"))
                    .allowed("a regular expression that matches a whole name, such as client-.*"));
            }
        }
        (Kind::Stat, Value::Text(text)) => {
            if Stat::parse(text).is_none() {
                say(Diagnostic::new(at(), format!("`{name}` does not know {text:?}"))
                    .allowed(Stat::ALLOWED));
            }
        }
        (Kind::Url, Value::Text(text)) => {
            if let Some(diagnostic) = url(text, name, at()) {
                say(diagnostic);
            }
        }
        (Kind::Fsync, Value::Text(text)) => {
            if !["never", "end"].contains(&text.as_str()) {
                say(Diagnostic::new(at(), format!("`{name}` does not know {text:?}"))
                    .allowed("\"never\", \"end\", or a number of writes"));
            }
        }
        (Kind::Fsync, Value::Integer(value)) => {
            if *value < 1 {
                say(Diagnostic::new(at(), format!("`{name}` must be 1 or more"))
                    .allowed("\"never\", \"end\", or a number of writes"));
            }
        }
        (Kind::Table(keys), Value::Table(_)) => check(node, keys, diagnostics),
        (Kind::Tables(keys), Value::List(items)) => {
            for item in items {
                check(item, keys, diagnostics);
            }
        }
        (Kind::Loads, Value::List(items)) => {
            for item in items {
                check_load(item, diagnostics);
            }
        }
        (kind, _) => say(wrong_type(node, expected(kind)).named(name)),
    }
}

fn check_load(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Value::Table(table) = &node.value else {
        diagnostics.push(wrong_type(node, "a table"));
        return;
    };
    let kind = match table.get("kind").map(|kind| &kind.value) {
        Some(Value::Text(kind)) => load_kind(kind),
        _ => None,
    };
    // Without a known kind, any kind's keys are taken as known: the kind is
    // what is wrong.
    let own: Vec<&Key> = kind.map_or_else(
        || LOADS.iter().flat_map(|kind| kind.keys).collect(),
        |kind| kind.keys.iter().collect(),
    );
    let mut keys: Vec<&Key> = LOAD_COMMON.iter().collect();
    for key in own {
        if !keys.iter().any(|known| known.name == key.name) {
            // A key that is required by one kind is not required by an unknown one.
            keys.push(key);
        }
    }
    if kind.is_none() {
        keys.retain(|key| !key.required || key.name == "kind");
        keys.extend(
            LOADS
                .iter()
                .flat_map(|kind| kind.keys)
                .filter(|key| key.required)
                .filter(|key| table.get(key.name).is_some()),
        );
    }
    check_table(table, &node.span, &keys, diagnostics);
}

/// The value of an integer or a float.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

fn size(text: &str, percent: bool, name: &str, span: Range<usize>) -> Result<(), Diagnostic> {
    let allowed = if percent {
        format!("a size such as 128M or 4GiB (units {SIZE_UNITS}), or a percentage such as 60%")
    } else {
        format!("a size such as 128M or 4GiB (units {SIZE_UNITS})")
    };
    if let Some(number) = text.strip_suffix('%') {
        let share: f64 = number.trim().parse().unwrap_or(f64::NAN);
        return match percent {
            true if share > 0.0 && share <= 100.0 => Ok(()),
            true => Err(Diagnostic::new(span, format!("`{name}` is no percentage from 0 to 100"))
                .allowed(allowed)),
            false => {
                Err(Diagnostic::new(span, format!("`{name}` cannot be a percentage"))
                    .allowed(allowed))
            }
        };
    }
    match units::parse_bytes(text) {
        Ok(0) => Err(Diagnostic::new(span, format!("`{name}` must be above 0")).allowed(allowed)),
        Ok(_) => Ok(()),
        Err(error) => Err(Diagnostic::new(span, format!("`{name}`: {error}")).allowed(allowed)),
    }
}

fn url(text: &str, name: &str, span: Range<usize>) -> Option<Diagnostic> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let allowed = "http://host:port/prefix or https://…";
    match rest {
        None | Some("") => {
            Some(Diagnostic::new(span, format!("`{name}` is no http address")).allowed(allowed))
        }
        Some(rest) if rest.split('/').next().is_some_and(|host| host.contains('@')) => Some(
            Diagnostic::new(span, format!("`{name}` has a user or password in it"))
                .hint("write username and password_file instead: a scenario is copied into the run")
                .allowed(allowed),
        ),
        Some(rest) if rest.contains(['?', '#']) => Some(
            Diagnostic::new(span, format!("`{name}` has a query in it"))
                .hint("only the base address; secrets belong into files")
                .allowed(allowed),
        ),
        Some(_) => None,
    }
}

fn unknown_word(node: &Node, name: &str, text: &str, words: &[&str]) -> Diagnostic {
    let mut diagnostic =
        Diagnostic::new(node.span.clone(), format!("`{name}` does not know {text:?}"));
    if let Some(near) = nearest(text, words.iter().copied()) {
        diagnostic = diagnostic.hint(format!("did you mean {near:?}?"));
    }
    diagnostic.allowed(joined(words.iter().copied()))
}

fn out_of_range(node: &Node, name: &str, low: f64, high: f64) -> Diagnostic {
    Diagnostic::new(node.span.clone(), format!("`{name}` is out of range"))
        .allowed(format!("{low} to {high}"))
}

fn wrong_type(node: &Node, expected: &str) -> Diagnostic {
    Diagnostic::new(node.span.clone(), format!("this is {}", node.value.kind())).allowed(expected)
}

impl Diagnostic {
    fn named(mut self, name: &str) -> Self {
        self.message = format!("`{name}` has the wrong type: {}", self.message);
        self
    }
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn show_seconds(seconds: f64) -> String {
    units::show_duration(std::time::Duration::from_secs_f64(seconds))
}

/// What a kind of value looks like, for messages.
fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Name | Kind::Path => "a string",
        Kind::Duration(..) => "a duration in quotes, such as \"10s\"",
        Kind::Size(_) => "a size such as \"128M\", or an integer of bytes",
        Kind::Integer(..) => "an integer",
        Kind::Number(..) => "a number",
        Kind::Flag => "true or false",
        Kind::Choice(_) => "one of its words, in quotes",
        Kind::Workers => "a number, \"per-core\", or \"2x-cores\"",
        Kind::Cores => "a list of core numbers, such as [0, 1]",
        Kind::Address => "host:port, in quotes",
        Kind::Texts => "a list of strings, such as [\"a\", \"b\"]",
        Kind::Numbers => "a list of numbers, such as [1, 2, 4]",
        Kind::Signal => "a signal's name, in quotes",
        Kind::Pattern => "a regular expression, in quotes",
        Kind::Stat => "a statistic, in quotes: mean, min, max, last, p0 … p100",
        Kind::Url | Kind::LoadUrl => "an address, in quotes",
        Kind::Fsync => "\"never\", \"end\", or a number of writes",
        Kind::Table(_) => "a table",
        Kind::Tables(_) | Kind::Loads => "tables in double brackets, such as [[phase]]",
    }
}
