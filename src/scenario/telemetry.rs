//! What requests to a Prometheus carry: headers and parameters as they are
//! written in a scenario or on the command line, and the removal of header values
//! from what is kept of a run.

use std::ops::Range;

use super::{
    diagnostic::Source,
    tree::{self, Node, Value},
};

/// Headers that usually hold a secret, which must not get into a stored run.
const SECRET: [&str; 5] =
    ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"];
/// What stands in a kept run where a value was.
const HIDDEN: &str = "(not kept)";

/// Why a text is not a header. No message repeats the value, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Nothing separates a name from a value.
    #[error("a header has no colon")]
    NoColon,
    /// The name or the value has characters that a header cannot have.
    #[error("{name:?} cannot be a header")]
    Malformed {
        /// The name as given.
        name: String,
    },
    /// Its value is usually secret, and would be kept with the run or be seen in
    /// the list of processes.
    #[error("header {name} usually holds a secret")]
    Secret {
        /// The name as given.
        name: String,
    },
}

/// Read `Name: value`.
///
/// # Errors
/// When it has no such form, or the header is one that usually holds a secret.
pub fn read_header(text: &str) -> Result<(String, String), HeaderError> {
    let (name, value) = text.split_once(':').ok_or(HeaderError::NoColon)?;
    let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) || value.contains(char::is_control) {
        return Err(HeaderError::Malformed { name });
    }
    if SECRET.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(HeaderError::Secret { name });
    }
    Ok((name, value))
}

/// Read `name=value`.
///
/// # Errors
/// When it has no such form; the message says so.
pub fn read_parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err(format!("parameter {text:?} has no name and value")),
    }
}

/// A scenario's text and its overrides as they are kept with a run: the values of
/// `telemetry.headers` are left out, and both still parse.
#[must_use]
pub fn without_header_values(text: &str, overrides: &[String]) -> (String, Vec<String>) {
    let hidden = hide(text, &Source::new("", text, &[]), 0);
    let overrides =
        overrides.iter().map(|set| hide(set, &Source::new("", "", std::slice::from_ref(set)), 1));
    (hidden, overrides.collect())
}

/// One part of a source, whose offsets begin at `from`.
fn hide(text: &str, source: &Source, from: usize) -> String {
    let root = tree::parse(source, &mut Vec::new());
    let headers = root.as_ref().and_then(|root| {
        let telemetry = child(root, "telemetry")?;
        child(telemetry, "headers")
    });
    let mut places: Vec<(Range<usize>, String)> = match headers.map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(place).collect(),
        _ => return text.to_owned(),
    };
    places.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut hidden = text.to_owned();
    for (span, name) in places {
        let span = span.start - from.min(span.start)..span.end - from.min(span.end);
        if hidden.get(span.clone()).is_some() {
            hidden.replace_range(span, &format!("\"{name}: {HIDDEN}\""));
        }
    }
    hidden
}

/// Where a header stands, and its name.
fn place(item: &Node) -> Option<(Range<usize>, String)> {
    let Value::Text(text) = &item.value else { return None };
    // A name has no quotation marks; what has them was refused.
    let name = text.split(':').next().unwrap_or_default().trim().replace(['"', '\\'], "");
    Some((item.span.clone(), name))
}

fn child<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Table(table) => table.get(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_header_is_kept() {
        let text = "name = \"x\"\n[telemetry]\nheaders = [\n  \"X-A: s3cr3t\", # one\n  'X-B: \"s3cr3t\"',\n]\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n";
        let overrides = [
            "telemetry.headers=[\"X-C: s3cr3t\"]".to_owned(),
            "telemetry={headers=[\"X-D: s3cr3t\"], timeout=\"2s\"}".to_owned(),
            "phase.p.duration=2s".to_owned(),
            "telemetry.timeout=3s".to_owned(),
        ];
        assert!(crate::scenario::parse("x", text, &overrides).is_ok());
        let (kept, set) = without_header_values(text, &overrides);
        let all = format!("{kept}{}", set.join("\n"));
        assert!(!all.contains("s3cr3t"), "{all}");
        for name in ["X-A", "X-B", "X-C", "X-D", "# one"] {
            assert!(all.contains(name), "{name}: {all}");
        }
        assert_eq!(set[2..], overrides[2..]);
        let plan = crate::scenario::parse("x", &kept, &set[..1]).unwrap();
        assert_eq!(plan.telemetry.headers, [("X-C".to_owned(), HIDDEN.to_owned())]);
        assert!(crate::scenario::parse("x", &kept, &set).is_ok());
    }

    #[test]
    fn headers_and_parameters_are_read_and_their_values_never_repeated() {
        let read = |text| read_header(text).map_err(|error| error.to_string());
        assert_eq!(read("X-Scope-OrgID:  team-a "), Ok(("X-Scope-OrgID".into(), "team-a".into())));
        for (text, why) in [
            ("s3cr3t", "no colon"),
            ("X A: s3cr3t", "cannot be"),
            (": s3cr3t", "cannot be"),
            ("X-A: s3\ncr3t", "cannot be"),
            ("authorization: Bearer s3cr3t", "usually holds a secret"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why) && !said.contains("cr3t"), "{said}");
        }
        assert_eq!(read_parameter("dedup=a=b"), Ok(("dedup".into(), "a=b".into())));
        assert!(read_parameter("dedup").is_err() && read_parameter("=x").is_err());
    }
}
