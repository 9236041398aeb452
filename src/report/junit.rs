//! Gates and verdict as JUnit test cases. Never empty: without gates there is
//! still the case that the run is valid.

use std::fmt::Write as _;

use crate::{analyze::outcome::Analysis, model::text::visible_lines};

pub(super) fn render(analysis: &Analysis) -> Vec<u8> {
    let failed = analysis.thresholds.iter().filter(|gate| !gate.ok).count()
        + usize::from(!analysis.validity.ok);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">\n",
        escaped(&analysis.run),
        analysis.thresholds.len() + 1
    );
    let validity = analysis.validity.notes.join("; ");
    case(&mut text, "run", "the run is valid", analysis.validity.ok, &validity);
    for gate in &analysis.thresholds {
        let name = format!("{} {} on {} in {}", gate.stat, gate.signal, gate.node, gate.phase);
        case(&mut text, "threshold", &name, gate.ok, &gate.text);
    }
    if let Some(overall) = &analysis.overall {
        let _ = writeln!(text, "    <system-out>{}</system-out>", escaped(&overall.statement));
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text.into_bytes()
}

fn case(text: &mut String, class: &str, name: &str, ok: bool, message: &str) {
    let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{}\"", escaped(name));
    if ok {
        text.push_str("/>\n");
    } else {
        let message = escaped(message);
        let _ = writeln!(text, "><failure message=\"{message}\"/></testcase>");
    }
}

/// What XML 1.0 cannot hold becomes visible; what begins markup is named.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in visible_lines(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_xml_can_hold_is_written() {
        assert_eq!(
            escaped("a\u{fffe}\u{ffff}\u{0}\u{202e}<b a=\"x\">&"),
            "a\\u{fffe}\\u{ffff}\\u{0}\\u{202e}&lt;b a=&quot;x&quot;&gt;&amp;"
        );
    }
}
