//! Messages that point at the place in the file.

use std::{fmt::Write as _, ops::Range};

use crate::model::text::{LONGEST_MESSAGE, LONGEST_NAME, replaced, short, short_lines};

/// Diagnostics that are worked out in full; of a file with more, most are the same.
pub(super) const MOST_WORKED_OUT: usize = 100;
/// Characters of a line that are shown, and of them those before the place.
const LINE_SHOWN: usize = 160;
const BEFORE_SHOWN: usize = 60;
/// Characters of a list of what is allowed.
const ALLOWED_SHOWN: usize = 4000;

/// The scenario's text and, behind it, the texts of `--set`, so that one
/// offset names a place in any of them.
#[derive(Debug)]
pub struct Source {
    /// `(name, text, first offset)` of each part.
    parts: Vec<(String, String, usize)>,
}

impl Source {
    /// A file and the `--set` texts that go with it.
    pub fn new(name: &str, text: &str, overrides: &[String]) -> Self {
        let mut parts = vec![(name.to_owned(), text.to_owned(), 0)];
        let mut offset = text.len() + 1;
        for set in overrides {
            parts.push((format!("--set {set}"), set.clone(), offset));
            offset += set.len() + 1;
        }
        Self { parts }
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        self.parts.first().map_or("", |(_, text, _)| text)
    }

    /// The `--set` texts with their offsets.
    pub fn overrides(&self) -> impl Iterator<Item = (&str, usize)> {
        self.parts.iter().skip(1).map(|(_, text, offset)| (text.as_str(), *offset))
    }

    fn part(&self, offset: usize) -> Option<&(String, String, usize)> {
        self.parts.iter().rev().find(|(_, _, start)| *start <= offset)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where, as offsets into the [`Source`].
    pub span: Range<usize>,
    /// What to write instead, beside the caret.
    pub hint: Option<String>,
    /// What is allowed there.
    pub allowed: Option<String>,
}

impl Diagnostic {
    /// A message at a place.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), span, hint: None, allowed: None }
    }

    /// With a hint beside the caret.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what is allowed.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// The message with file, line, column, the line's text and a caret.
    pub fn render(&self, source: &Source) -> String {
        let mut out = format!("error: {}", short_lines(&self.message, LONGEST_MESSAGE));
        let Some((name, text, offset)) = source.part(self.span.start) else { return out };
        let start = (self.span.start - offset).min(text.len());
        let line_start = text.get(..start).and_then(|head| head.rfind('\n')).map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or("").lines().next().unwrap_or("");
        let (name, line) = (without_secrets(name), without_secrets(line));
        let name = short(&name, LONGEST_NAME);
        let number = text.get(..line_start).unwrap_or("").matches('\n').count() + 1;
        let before = text.get(line_start..start).unwrap_or("");
        let column = before.chars().count() + 1;
        let marked = text
            .get(start..self.span.end.saturating_sub(*offset).clamp(start, text.len()))
            .unwrap_or("")
            .lines()
            .next()
            .unwrap_or("");
        let carets = "^".repeat(marked.chars().take(LINE_SHOWN - BEFORE_SHOWN).count().max(1));
        let skipped = match column - 1 {
            at if at > LINE_SHOWN - BEFORE_SHOWN => at - BEFORE_SHOWN,
            _ => 0,
        };
        let line = window(&line, skipped);
        // A tab before the caret must be as wide as the tab above it.
        let tab_or_blank = |c| if c == '\t' { '\t' } else { ' ' };
        let dots = if skipped > 0 { " " } else { "" };
        let indent: String =
            dots.chars().chain(before.chars().skip(skipped).map(tab_or_blank)).collect();
        let gutter = " ".repeat(number.to_string().len());
        let hint = self
            .hint
            .as_ref()
            .map_or_else(String::new, |hint| format!(" {}", short_lines(hint, LONGEST_MESSAGE)));
        let _ = write!(
            out,
            "\n {gutter}--> {name}:{number}:{column}\n {gutter} |\n {number} | {line}\n {gutter} | {indent}{carets}{hint}"
        );
        if let Some(allowed) = &self.allowed {
            let allowed = short_lines(allowed, ALLOWED_SHOWN);
            let _ = write!(out, "\n {gutter} = allowed: {allowed}");
        }
        out
    }
}

/// The part of a line that is shown, with what was left out as dots.
fn window(line: &str, skipped: usize) -> String {
    let mut rest = line.chars().skip(skipped);
    let shown: String = rest.by_ref().take(LINE_SHOWN).collect();
    let before = if skipped > 0 { "…" } else { "" };
    let after = if rest.next().is_some() { "…" } else { "" };
    format!("{before}{}{after}", replaced(&shown))
}

/// A text without what may be secret in it, since errors end up in logs: the user
/// and password of every URL are starred out, and what follows `headers =` is left
/// out.
fn without_secrets(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = match text.find("headers") {
        Some(at) if is_key(text, at, "headers") => text.get(..at).unwrap_or(""),
        _ => text,
    };
    let hidden = if rest.len() < text.len() { "headers = …" } else { "" };
    while let Some((before, after)) = rest.split_once("://") {
        let authority = after.split(['/', '"', '\'', ' ']).next().unwrap_or("");
        let secret = authority.rfind('@').map_or("", |at| authority.get(..at).unwrap_or(""));
        shown.push_str(before);
        shown.push_str("://");
        shown.extend(secret.chars().map(|_| '*'));
        rest = after.get(secret.len()..).unwrap_or("");
    }
    shown + rest + hidden
}

/// Whether the word at this place is a key with a value behind it.
fn is_key(text: &str, at: usize, word: &str) -> bool {
    let before = text.get(..at).and_then(|head| head.chars().next_back());
    let after = text.get(at + word.len()..).unwrap_or("").trim_start();
    before.is_none_or(|c| !c.is_alphanumeric() && c != '_') && after.starts_with('=')
}

/// The candidate most like `text`, if one is like it at all.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a name at such length, and likeness costs its square.
    if text.len() > 100 {
        return None;
    }
    // A slip of the fingers is a letter or two (Damerau); a half-remembered
    // name begins alike (Jaro and Winkler).
    let slips = (text.chars().count() / 4).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let alike = strsim::jaro_winkler(text, candidate);
            let slipped = strsim::damerau_levenshtein(text, candidate) <= slips;
            (if slipped { alike.max(0.9) } else { alike }, candidate)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_word() {
        let source = Source::new("x.toml", "a = 1\n\tbad = 2\n", &[]);
        let text = Diagnostic::new(7..10, "unknown key `bad`").hint("drop it").render(&source);
        assert_eq!(
            text,
            "error: unknown key `bad`\n  --> x.toml:2:2\n   |\n 2 | \tbad = 2\n   | \t^^^ drop it"
        );
    }

    #[test]
    fn of_a_long_line_the_place_is_shown() {
        let text = format!("a = [{}, bad\u{1b}[2J]\n", vec!["1"; 300_000].join(", "));
        let at = text.find("bad").unwrap();
        let shown =
            Diagnostic::new(at..at + 3, "x".repeat(5000)).render(&Source::new("x", &text, &[]));
        assert!(shown.len() < 3000 && !shown.contains('\u{1b}'), "{}", shown.len());
        let lines: Vec<&str> = shown.lines().collect();
        let (line, carets) = (lines[lines.len() - 2], lines[lines.len() - 1]);
        let column = |line: &str, of: &str| line[..line.find(of).unwrap()].chars().count();
        assert_eq!(column(line, "bad"), column(carets, "^^^"), "{shown}");
    }

    #[test]
    fn a_set_is_named_as_the_place() {
        let source = Source::new("x.toml", "a = 1\n", &["b=2".to_owned()]);
        let text = Diagnostic::new(9..10, "no").render(&source);
        assert!(text.contains("--set b=2:1:3"), "{text}");
    }

    #[test]
    fn no_password_of_a_url_is_shown() {
        let shown = without_secrets("a = \"https://u:p@ss@h:1/x\" # http://h/@");
        assert_eq!(shown, "a = \"https://******@h:1/x\" # http://h/@");
    }

    #[test]
    fn no_value_of_a_header_is_shown() {
        for (text, shown) in [
            ("headers = [\"X-A: s3cr3t\"]", "headers = …"),
            ("--set telemetry.headers=X-A", "--set telemetry.headers = …"),
            ("t = { headers=[1] }", "t = { headers = …"),
            ("headers_of = 1", "headers_of = 1"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    #[test]
    fn the_nearest_name_is_found_or_none() {
        assert_eq!(nearest("duratoin", ["name", "duration"]), Some("duration"));
        assert_eq!(nearest("cup", ["memory", "cpu"]), Some("cpu"));
        assert_eq!(nearest("xyz", ["name", "duration"]), None);
    }
}
