//! The TOML as typed, every value with its place, `--set` applied.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::diagnostic::{Diagnostic, Source, nearest};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    List(Vec<Node>),
    Table(Table),
}

/// A table; keys in the order of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key with its place, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Flag(_) => "a boolean",
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// Parse the file and apply the overrides. `None` only when nothing could be
/// read; syntax errors are all reported and the rest is kept.
pub(super) fn parse(source: &Source, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let broken = !errors.is_empty();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        diagnostics.push(Diagnostic::new(span, error.message().to_owned()));
    }
    // After a syntax error the rest of the file may be misread; what it says
    // then would send the user to the wrong place.
    if broken {
        return None;
    }
    let span = table.span();
    let mut root = Node { span, value: Value::Table(from_table(table.get_ref(), 0)) };
    apply(&mut root, source, 0, diagnostics);
    Some(root)
}

/// Apply the overrides of a source, without the first few, which the tree has already.
pub(super) fn apply(
    root: &mut Node,
    source: &Source,
    applied: usize,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for (text, offset) in source.overrides().skip(applied) {
        if let Err(diagnostic) = set(root, text, offset) {
            diagnostics.push(diagnostic);
        }
    }
}

fn from_table(table: &DeTable<'_>, offset: usize) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: shifted(&key.span(), offset),
            node: from_value(value, offset),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Table { entries }
}

fn from_value(value: &Spanned<DeValue<'_>>, offset: usize) -> Node {
    let span = shifted(&value.span(), offset);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| Value::Float(f64::INFINITY), Value::Integer),
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| from_value(item, offset)).collect())
        }
        DeValue::Table(table) => Value::Table(from_table(table, offset)),
    };
    Node { span, value }
}

fn shifted(span: &Range<usize>, offset: usize) -> Range<usize> {
    span.start + offset..span.end + offset
}

/// Apply `phase.load.duration=5s`: a path of keys, where an array of tables is
/// entered by an element's `name` or its number from 0.
fn set(root: &mut Node, text: &str, offset: usize) -> Result<(), Diagnostic> {
    let whole = offset..offset + text.len();
    let Some((path, value_text)) = text.split_once('=') else {
        return Err(Diagnostic::new(whole, format!("--set {text:?} has no `=`"))
            .allowed("key=value, such as phase.load.duration=5s"));
    };
    let value_at = offset + path.len() + 1;
    let parsed = DeValue::parse(value_text);
    let value = match &parsed {
        Ok(value) => from_value(value, value_at),
        // `5s` and `per-core` are not TOML, but what people type.
        Err(_) => Node {
            span: value_at..value_at + value_text.len(),
            value: Value::Text(value_text.to_owned()),
        },
    };
    let mut node = root;
    let mut at = offset;
    let parts: Vec<&str> = path.split('.').collect();
    let (last, parents) = parts.split_last().unwrap_or((&"", &[]));
    for part in parents {
        let span = at..at + part.len();
        at += part.len() + 1;
        node = step(node, part, span)?;
    }
    let key_span = at..at + last.len();
    // An array with one element needs no number.
    if matches!(&node.value, Value::List(items) if items.len() == 1)
        && last.parse::<usize>().is_err()
    {
        node = step(node, "0", key_span.clone())?;
    }
    match &mut node.value {
        Value::Table(table) => {
            if let Some(entry) = table.entries.iter_mut().find(|entry| entry.key == *last) {
                entry.node = value;
                entry.key_span = key_span;
            } else {
                table.entries.push(Entry { key: (*last).to_owned(), key_span, node: value });
            }
            Ok(())
        }
        other => Err(Diagnostic::new(
            key_span,
            format!("--set cannot enter {}: name an element first", other.kind()),
        )),
    }
}

fn step<'a>(
    node: &'a mut Node,
    part: &str,
    span: Range<usize>,
) -> Result<&'a mut Node, Diagnostic> {
    match &mut node.value {
        Value::Table(table) => {
            if !table.entries.iter().any(|entry| entry.key == part) {
                // A table that the file leaves out, such as [telemetry].
                table.entries.push(Entry {
                    key: part.to_owned(),
                    key_span: span.clone(),
                    node: Node { span: span.clone(), value: Value::Table(Table::default()) },
                });
            }
            let found = table.entries.iter_mut().find(|entry| entry.key == part);
            found.map(|entry| &mut entry.node).ok_or_else(|| Diagnostic::new(span, "no such key"))
        }
        Value::List(items) => {
            let names: Vec<String> = items.iter().map(name_of).collect();
            let by_number = part.parse::<usize>().ok().filter(|at| *at < items.len());
            let at = names.iter().position(|name| name == part).or(by_number);
            // An array with one element needs no number; the part is then its key.
            match (at, items.as_mut_slice()) {
                (None, [only]) => step(only, part, span),
                (Some(at), items) => {
                    items.get_mut(at).ok_or_else(|| Diagnostic::new(span, "no such element"))
                }
                (None, _) => Err(no_element(part, span, &names)),
            }
        }
        other => Err(Diagnostic::new(span, format!("--set cannot enter {}", other.kind()))),
    }
}

fn no_element(part: &str, span: Range<usize>, names: &[String]) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(span, format!("no element is called {part:?}"));
    if let Some(near) = nearest(part, names.iter().map(String::as_str)) {
        diagnostic = diagnostic.hint(format!("did you mean `{near}`?"));
    }
    diagnostic.allowed(format!("{}, or a number from 0", names.join(", ")))
}

fn name_of(node: &Node) -> String {
    match &node.value {
        Value::Table(table) => match table.get("name").map(|name| &name.value) {
            Some(Value::Text(name)) => name.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}
