//! The only place that prints: results to stdout, everything else to stderr,
//! colours only where they are seen.

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Color, Style};

use crate::model::text::{short_lines, visible_lines};

const RED: Style = Style::new().bold().fg_color(Some(Color::Ansi(AnsiColor::Red)));
const YELLOW: Style = Style::new().bold().fg_color(Some(Color::Ansi(AnsiColor::Yellow)));

/// A result, with styles that vanish where the stream is no terminal or
/// `NO_COLOR` is set. A reader that has gone away ends nothing.
///
/// Foreign text in it must have gone through [`visible_lines`]: of escape sequences only
/// colours pass here, and they may be foreign too.
pub(super) fn text(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(only_styled(text).as_bytes());
    let _ = out.flush();
}

/// A text without control characters, colours (`ESC [ … m`) and line ends excepted.
fn only_styled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        let (before, sequence) = rest.split_at(at);
        out.push_str(&visible_lines(before));
        let inner = sequence.get(2..).unwrap_or("");
        let end = inner.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(inner.len());
        let length = if inner.get(end..).is_some_and(|tail| tail.starts_with('m')) {
            out.push_str(sequence.get(..end + 3).unwrap_or(""));
            end + 3
        } else {
            out.push_str("\\u{1b}[");
            2
        };
        rest = sequence.get(length..).unwrap_or("");
    }
    out + &visible_lines(rest)
}

/// A result as it is.
pub(super) fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes);
    let _ = out.flush();
}

/// Characters of one message that are printed at most. Long messages are lists of what
/// is allowed; longer ones repeat what a file or a server said.
const LONGEST: usize = 8000;

/// One line of progress.
pub(super) fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", short_lines(text, LONGEST));
}

/// A warning: what happened, what it means, what to do.
pub(super) fn warning(text: &str) {
    let _ = writeln!(
        anstream::stderr().lock(),
        "{YELLOW}warning:{YELLOW:#} {}",
        short_lines(text, LONGEST)
    );
}

/// An error with its chain of causes, once.
pub(super) fn error(error: &anyhow::Error) {
    let text = short_lines(&format!("{error:#}"), 4 * LONGEST);
    // A scenario's diagnostics begin with the word themselves.
    match text.strip_prefix("error: ") {
        Some(rest) => {
            let rest = rest.replace("\nerror: ", &format!("\n{RED}error:{RED:#} "));
            let _ = writeln!(anstream::stderr().lock(), "{RED}error:{RED:#} {rest}");
        }
        None => {
            let _ = writeln!(anstream::stderr().lock(), "{RED}error:{RED:#} {text}");
        }
    }
}

/// Raw characters to the terminal on stderr.
pub(super) fn terminal(text: &str) {
    let mut err = anstream::stderr().lock();
    let _ = err.write_all(text.as_bytes());
    let _ = err.flush();
}

/// Whether stderr is a terminal on which lines may be drawn over.
pub(super) fn stderr_is_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

/// Columns of the terminal; 100 where there is none.
pub(super) fn columns() -> usize {
    terminal_columns().unwrap_or(100)
}

#[expect(unsafe_code, reason = "asking for a terminal's size is an ioctl")]
fn terminal_columns() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    [libc::STDOUT_FILENO, libc::STDERR_FILENO].into_iter().find_map(|fd| {
        // SAFETY: TIOCGWINSZ fills the struct it is given, which lives here.
        let answer = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) };
        (answer == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_reach_a_terminal() {
        let text = "\x1b[1;31mred\x1b[0m \x1b]52;c;eA==\x07 \x1b[2J\u{9b}H\u{202e}\nnext \x1b[";
        assert_eq!(
            only_styled(text),
            "\x1b[1;31mred\x1b[0m \\u{1b}]52;c;eA==\\u{7} \\u{1b}[2J\\u{9b}H\\u{202e}\nnext \\u{1b}["
        );
    }
}
