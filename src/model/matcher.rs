//! One label matcher of PromQL, such as `cluster="eu"`: read in every notation
//! that Prometheus accepts, and written in one. Pure.

/// Why a text is not one label matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not one label matcher: {why}")]
pub struct Error {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// The operators, those first that begin like a shorter one.
const OPERATORS: [&str; 4] = ["=~", "!~", "!=", "="];

/// Read one matcher and write it as `name="value"`: without braces and spaces,
/// the value between double quotes with Go's escapes, as Prometheus prints it.
///
/// # Errors
/// When the text is not a label's name, one of `=`, `!=`, `=~`, `!~`, and a string
/// in double quotes, single quotes or backquotes; when it names the metric; when
/// a regular expression is not one; or when more follows.
pub fn normalize_matcher(text: &str) -> Result<String, Error> {
    read(text).map_err(|why| Error { text: text.to_owned(), why })
}

fn read(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let (name, rest) = label_name(inner.unwrap_or(trimmed).trim())?;
    let rest = rest.trim_start();
    let operator = OPERATORS
        .iter()
        .find(|operator| rest.starts_with(**operator))
        .ok_or("after the label comes one of =, !=, =~, !~")?;
    let rest = rest.get(operator.len()..).unwrap_or("").trim_start();
    if !rest.starts_with(['"', '\'', '`']) {
        return Err(format!(
            "the value needs quotation marks, which a shell removes unless the whole is quoted: '{name}{operator}\"{}\"'",
            rest.trim_matches(['"', '\'']).replace('"', "")
        ));
    }
    let (value, rest) = quoted_string(rest)?;
    if !rest.trim().is_empty() {
        return Err(format!("{:?} follows it; give each matcher by itself", rest.trim()));
    }
    if operator.ends_with('~') {
        check_expression(&value)?;
    }
    Ok(format!("{name}{operator}\"{}\"", escaped(&value)))
}

/// A label's name and what follows it. Prometheus 3 also takes a name in quotes.
fn label_name(text: &str) -> Result<(String, &str), String> {
    if text.starts_with('"') {
        let (name, rest) = quoted_string(text)?;
        return Ok((format!("\"{}\"", escaped(&name)), rest));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match name {
        "" => Err("it begins with no label, such as cluster".to_owned()),
        "__name__" => Err("__name__ selects the metric, which each query does itself".to_owned()),
        _ if name.starts_with(|c: char| c.is_ascii_digit()) => {
            Err("a label does not begin with a digit".to_owned())
        }
        _ => Ok((name.to_owned(), rest)),
    }
}

/// The value of a string of PromQL, and what follows it.
fn quoted_string(text: &str) -> Result<(String, &str), String> {
    let open = || "the string is not closed".to_owned();
    let mut chars = text.chars();
    let quote = chars.next().ok_or_else(open)?;
    if quote == '`' {
        let (value, rest) = chars.as_str().split_once('`').ok_or_else(open)?;
        return Ok((value.to_owned(), rest));
    }
    let mut bytes = Vec::new();
    loop {
        match chars.next().ok_or_else(open)? {
            '\n' => return Err("a line ends within the string".to_owned()),
            '\\' => unescape(&mut chars, &mut bytes)?,
            c if c == quote => break,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    let value = String::from_utf8(bytes).map_err(|_| "the value is not UTF-8".to_owned())?;
    Ok((value, chars.as_str()))
}

/// What stands behind a backslash, as Go reads it.
fn unescape(chars: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Result<(), String> {
    let wrong = |escape: String| format!("the string has an unknown escape \\{escape}");
    let first = chars.next().ok_or_else(|| "the string is not closed".to_owned())?;
    let plain = match first {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        '\\' | '"' | '\'' => u8::try_from(first).ok(),
        _ => None,
    };
    if let Some(byte) = plain {
        bytes.push(byte);
        return Ok(());
    }
    let (radix, digits) = match first {
        'x' => (16, 2),
        'u' => (16, 4),
        'U' => (16, 8),
        '0'..='7' => (8, 3),
        _ => return Err(wrong(first.to_string())),
    };
    let rest = chars.as_str();
    let from = if radix == 8 { first.to_string() } else { String::new() };
    let missing = digits - from.len();
    let digits: String = from.chars().chain(rest.chars().take(missing)).collect();
    let code = u32::from_str_radix(&digits, radix).map_err(|_| wrong(format!("{first}{rest}")))?;
    for _ in 0..missing {
        chars.next().ok_or_else(|| wrong(first.to_string()))?;
    }
    match first {
        'u' | 'U' => {
            let c = char::from_u32(code).ok_or_else(|| wrong(format!("{first}{digits}")))?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => bytes.push(u8::try_from(code).map_err(|_| wrong(digits))?),
    }
    Ok(())
}

/// Ready to stand between double quotes.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// Whether Prometheus would take it. Our own expressions have no classes of
/// Unicode: one that names them is left to the server.
fn check_expression(value: &str) -> Result<(), String> {
    let is_beyond_ours = value.contains("\\p") || value.contains("\\P") || value.contains("[[:");
    match regex_lite::Regex::new(&format!("^(?:{value})$")) {
        Err(error) if !is_beyond_ours => {
            Err(format!("its value is no regular expression: {error}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_written_in_one() {
        for (text, expected) in [
            (r#"cluster="eu""#, r#"cluster="eu""#),
            (r#" cluster = "eu" "#, r#"cluster="eu""#),
            ("cluster='eu'", r#"cluster="eu""#),
            (r"path=`C:\x`", r#"path="C:\\x""#),
            (r#"{cluster!="eu"}"#, r#"cluster!="eu""#),
            (r#"_a1=~"eu|us""#, r#"_a1=~"eu|us""#),
            (r#"a!~"10\\.0\\..*""#, r#"a!~"10\\.0\\..*""#),
            (r"a=~`10\.0\..*`", r#"a=~"10\\.0\\..*""#),
            (r#"a="say \"hi\" \x41\101\u00e9\n""#, r#"a="say \"hi\" AAé\n""#),
            (r#"a="""#, r#"a="""#),
            (r#"a='it"s}'"#, r#"a="it\"s}""#),
            (r#"a=~"\\pL+""#, r#"a=~"\\pL+""#),
            (r#""k8s.cluster"="eu""#, r#""k8s.cluster"="eu""#),
        ] {
            assert_eq!(normalize_matcher(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(normalize_matcher(expected).as_deref(), Ok(expected), "{text} again");
        }
    }

    #[test]
    fn what_is_not_exactly_one_matcher_is_refused() {
        for (text, why) in [
            ("", "no label"),
            ("cluster", "one of ="),
            ("cluster==\"eu\"", "quotation"),
            ("cluster=eu", "'cluster=\"eu\"'"),
            ("cluster=~eu|us", "'cluster=~\"eu|us\"'"),
            ("cluster>\"eu\"", "one of ="),
            ("cluster=\"eu", "not closed"),
            ("cluster=`eu", "not closed"),
            ("cluster=\"eu\\", "not closed"),
            ("cluster=\"e\\q\"", "escape"),
            ("cluster=\"e\\x4\"", "escape"),
            ("cluster=\"\\xff\"", "UTF-8"),
            ("cluster=\"eu\",job=\"node\"", "by itself"),
            ("cluster=\"eu\"} or up{a=\"b\"", "by itself"),
            ("cluster=~\"(\"", "regular expression"),
            ("__name__=\"up\"", "metric"),
            ("1a=\"x\"", "digit"),
            ("clüster=\"x\"", "one of ="),
            ("a=\"x\ny\"", "line"),
        ] {
            let said = normalize_matcher(text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
