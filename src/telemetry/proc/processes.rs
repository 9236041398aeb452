//! The processes that use the CPU most: who it was, and whether one thread of
//! it is the limit.

use std::{collections::BTreeMap, fs};

use super::{Values, labelled, numbers};
use crate::host::Roots;

/// Processes that are read with every sample.
const MOST_WATCHED: usize = 5;
/// Processes that one scan looks at.
const MOST_SCANNED: usize = 4096;
/// Ticks a second in /proc/PID/stat.
const USER_HZ: f64 = 100.0;
/// A process that used less than this share of a core is not worth a series.
const LEAST_SHARE: f64 = 0.05;

/// The busiest processes between the last two scans.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// CPU seconds of every process at the last scan.
    before: BTreeMap<u32, f64>,
    at: Option<std::time::Instant>,
    /// Number and label of those that are read.
    watched: Vec<(u32, String)>,
}

impl Processes {
    /// Find the busiest since the last call.
    pub(super) fn scan(&mut self, roots: &Roots) {
        let seconds = self.at.map(|then| then.elapsed().as_secs_f64());
        self.at = Some(std::time::Instant::now());
        let mut now = BTreeMap::new();
        let mut busiest: Vec<(f64, u32, String)> = Vec::new();
        let entries = fs::read_dir(&roots.proc).into_iter().flatten().flatten();
        for entry in entries.take(MOST_SCANNED) {
            let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let Some((name, used)) = read(roots, number) else { continue };
            let grown = used - self.before.get(&number).copied().unwrap_or(0.0);
            now.insert(number, used);
            if seconds.is_some_and(|seconds| grown / seconds.max(0.1) >= LEAST_SHARE) {
                busiest.push((grown, number, format!("{name}[{number}]")));
            }
        }
        busiest.sort_by(|a, b| b.0.total_cmp(&a.0));
        busiest.truncate(MOST_WATCHED);
        self.watched = busiest.into_iter().map(|(_, number, label)| (number, label)).collect();
        self.before = now;
    }

    /// Read the busiest.
    pub(super) fn sample(&self, roots: &Roots, values: &mut Values) {
        for (number, label) in &self.watched {
            if let Some((_, used)) = read(roots, *number) {
                let name = "stressor_process_cpu_seconds_total";
                labelled(values, name, ("process", label), used);
            }
        }
    }
}

/// Its name and its CPU seconds.
fn read(roots: &Roots, number: u32) -> Option<(String, f64)> {
    let text = roots.proc_text(format!("{number}/stat"))?;
    // The name may contain spaces and brackets.
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields = numbers(rest);
    // After the state: fields 14 and 15 of the whole, user and system time.
    let (user, system) = (fields.get(11)?, fields.get(12)?);
    Some((name.to_owned(), (user + system) / USER_HZ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("7")).unwrap();
        let stat = "7 (a) (b) R 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 0 0 0\n";
        fs::write(folder.path().join("7/stat"), stat).unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        assert_eq!(read(&roots, 7), Some(("a) (b".to_owned(), 2.0)));
    }
}
