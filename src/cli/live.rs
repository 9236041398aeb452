//! The progress of a run on stderr: drawn over in place on a terminal, plain
//! lines elsewhere.

use crate::{
    cli::output,
    model::{text::visible, units::three_digits},
    run::{Live, Update},
};

/// Seconds between two plain lines where nothing can be drawn over.
const PLAIN_EVERY_S: f64 = 30.0;

/// Shows updates.
#[derive(Debug)]
pub(super) struct Display {
    terminal: bool,
    quiet: bool,
    verbose: bool,
    /// Lines of the drawing that stands on the terminal now.
    drawn: usize,
    last_phase: String,
    last_plain_s: f64,
}

impl Display {
    pub(super) fn new(quiet: bool, verbose: bool) -> Self {
        Self {
            terminal: output::stderr_is_terminal(),
            quiet,
            verbose,
            drawn: 0,
            last_phase: String::new(),
            last_plain_s: 0.0,
        }
    }

    pub(super) fn show(&mut self, update: &Update) {
        match update {
            Update::Warning(text) => {
                self.clear();
                if !self.quiet {
                    output::warning(text);
                }
            }
            Update::Line(text) => {
                self.clear();
                if !self.quiet {
                    output::note(text);
                }
            }
            Update::Live(_) if self.quiet => (),
            Update::Live(live) if self.terminal => self.draw(live),
            Update::Live(live) => self.plain(live),
        }
    }

    /// Take the drawing off the terminal.
    pub(super) fn clear(&mut self) {
        if self.drawn > 0 {
            output::terminal(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    fn draw(&mut self, live: &Live) {
        let width = output::columns().min(100);
        let lines = drawing(live, width);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in &lines {
            text.push_str(&format!("\x1b[2K{line}\n"));
        }
        self.drawn = lines.len();
        output::terminal(&text);
    }

    fn plain(&mut self, live: &Live) {
        let new_phase = live.phase != self.last_phase;
        let every = if self.verbose { 5.0 } else { PLAIN_EVERY_S };
        if !new_phase && live.elapsed_s - self.last_plain_s < every {
            return;
        }
        self.last_phase.clone_from(&live.phase);
        self.last_plain_s = live.elapsed_s;
        let state = busiest(live, 3);
        let achieved = if live.achieved.is_empty() {
            String::new()
        } else {
            format!("; load: {}", live.achieved)
        };
        output::note(&format!(
            "{}: phase {} ({} of {}), {} s left{}{achieved}",
            live.run,
            live.phase,
            live.number,
            live.of,
            live.left_s.round(),
            if state.is_empty() { String::new() } else { format!("; {state}") },
        ));
    }
}

fn busiest(live: &Live, most: usize) -> String {
    live.resources
        .iter()
        .take(most)
        .map(|(name, share)| format!("{name} {} %", three_digits(share * 100.0)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn drawing(live: &Live, width: usize) -> Vec<String> {
    let total = live.elapsed_s + live.left_s;
    let done = if total > 0.0 { live.elapsed_s / total } else { 1.0 };
    let mut lines = vec![
        format!(
            "{}  phase {} ({} of {})  {} s left, {} s in all",
            live.run,
            live.phase,
            live.number,
            live.of,
            live.left_s.round(),
            live.run_left_s.round()
        ),
        format!("{} {:>3.0} %", bar(done, width.saturating_sub(8)), done * 100.0),
    ];
    for (name, share) in live.resources.iter().take(4) {
        let room = width.saturating_sub(28).min(50);
        lines.push(format!("  {name:<16.16} {} {:>5.1} %", bar(*share, room), share * 100.0));
    }
    if live.workers.1 > 0 {
        lines
            .push(format!("  {} of {} workers: {}", live.workers.0, live.workers.1, live.achieved));
    }
    lines.into_iter().map(|line| visible(&line).chars().take(width).collect()).collect()
}

/// Eighths of a block make a short bar precise.
fn bar(share: f64, width: usize) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8 × width")]
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if eighths / 8 < width {
        bar.push(PARTS.get(eighths % 8).copied().unwrap_or(' '));
    }
    let length = bar.chars().count();
    bar.push_str(&"·".repeat(width.saturating_sub(length)));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_width() {
        for share in [0.0, 0.01, 0.5, 0.999, 1.0, 7.0] {
            assert_eq!(bar(share, 20).chars().count(), 20, "{share}");
        }
    }

    #[test]
    fn a_drawing_fits_the_terminal() {
        let live = Live {
            phase: "x".repeat(200),
            resources: vec![("cpu".into(), 0.5)],
            workers: (1, 2),
            ..Live::default()
        };
        assert!(drawing(&live, 60).iter().all(|line| line.chars().count() <= 60));
    }
}
