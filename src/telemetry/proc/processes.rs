//! The processes that use the CPU most: who it was, and whether one thread of
//! it is the limit. And those that are near their own limit of open files.

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
/// A process with fewer open files is not asked for its limit,
const FEWEST_FILES: u64 = 32;
/// and one that uses less than this share of it is far from it.
const LEAST_FILES_SHARE: f64 = 0.5;

/// The busiest processes between the last two scans, and those with the most files.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// CPU seconds of every process at the last scan.
    before: BTreeMap<u32, f64>,
    at: Option<std::time::Instant>,
    /// Processes in uninterruptible sleep at the last scan.
    sleeping: Option<f64>,
    /// Number and label of those that are read.
    watched: Vec<(u32, String)>,
    /// Number, label and limit of those whose files are counted.
    holders: Vec<(u32, String, f64)>,
}

impl Processes {
    /// Find the busiest since the last call, and who holds many files.
    pub(super) fn scan(&mut self, roots: &Roots) {
        let seconds = self.at.map(|then| then.elapsed().as_secs_f64());
        self.at = Some(std::time::Instant::now());
        let mut now = BTreeMap::new();
        let mut busiest: Vec<(f64, u32, String)> = Vec::new();
        let mut holders: Vec<(f64, u32, String, f64)> = Vec::new();
        let mut sleeping = 0.0;
        let entries = fs::read_dir(&roots.proc).into_iter().flatten().flatten();
        for entry in entries.take(MOST_SCANNED) {
            let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let Some((name, state, used)) = read_with_state(roots, number) else { continue };
            sleeping += if state == 'D' { 1.0 } else { 0.0 };
            let grown = used - self.before.get(&number).copied().unwrap_or(0.0);
            now.insert(number, used);
            if let Some(open) = open_files(roots, number).filter(|open| *open >= FEWEST_FILES)
                && let Some(limit) = limit_of_files(roots, number)
                && open as f64 >= LEAST_FILES_SHARE * limit
            {
                holders.push((open as f64 / limit, number, format!("{name}[{number}]"), limit));
            }
            if seconds.is_some_and(|seconds| grown / seconds.max(0.1) >= LEAST_SHARE) {
                busiest.push((grown, number, format!("{name}[{number}]")));
            }
        }
        busiest.sort_by(|a, b| b.0.total_cmp(&a.0));
        busiest.truncate(MOST_WATCHED);
        self.watched = busiest.into_iter().map(|(_, number, label)| (number, label)).collect();
        holders.sort_by(|a, b| b.0.total_cmp(&a.0));
        holders.truncate(MOST_WATCHED);
        let kept = holders.into_iter().map(|(_, number, label, limit)| (number, label, limit));
        self.holders = kept.collect();
        self.sleeping = (!now.is_empty()).then_some(sleeping);
        self.before = now;
    }

    /// Watch also who began and got busy since the last scan: a load that comes
    /// between two of them is seen from its next sample on.
    pub(super) fn scan_new(&mut self, roots: &Roots) {
        let Some(seconds) = self.at.map(|then| then.elapsed().as_secs_f64()) else { return };
        let entries = fs::read_dir(&roots.proc).into_iter().flatten().flatten();
        for entry in entries.take(MOST_SCANNED) {
            let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            if self.before.contains_key(&number) || self.watched.len() >= MOST_WATCHED {
                continue;
            }
            let Some((name, used)) = read(roots, number) else { continue };
            if used / seconds.max(0.1) >= LEAST_SHARE {
                self.watched.push((number, format!("{name}[{number}]")));
                // All that it used, it used since the last scan.
                self.before.insert(number, 0.0);
            }
        }
    }

    /// Read them.
    pub(super) fn sample(&self, roots: &Roots, values: &mut Values) {
        if let Some(sleeping) = self.sleeping {
            labelled(values, "node_processes_state", ("state", "D"), sleeping);
        }
        for (number, label) in &self.watched {
            if let Some((_, used)) = read(roots, *number) {
                let name = "stressor_process_cpu_seconds_total";
                labelled(values, name, ("process", label), used);
            }
        }
        for (number, label, limit) in &self.holders {
            if let Some(open) = open_files(roots, *number) {
                let process = ("process", label.as_str());
                labelled(values, "stressor_process_open_fds", process, open as f64);
                labelled(values, "stressor_process_max_fds", process, *limit);
            }
        }
    }
}

/// How many files a process has open. Linux tells it as the size of a folder since
/// 6.2; before, and of the processes of others, it is not known.
fn open_files(roots: &Roots, number: u32) -> Option<u64> {
    let folder = fs::metadata(roots.proc.join(format!("{number}/fd"))).ok()?;
    Some(folder.len()).filter(|open| *open > 0)
}

/// How many it may have: its soft limit.
fn limit_of_files(roots: &Roots, number: u32) -> Option<f64> {
    let text = roots.proc_text(format!("{number}/limits"))?;
    let limits = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    limits.split_whitespace().next()?.parse().ok()
}

/// Its name and its CPU seconds.
fn read(roots: &Roots, number: u32) -> Option<(String, f64)> {
    read_with_state(roots, number).map(|(name, _, used)| (name, used))
}

/// Its name, its state (`R`, `S`, `D` …) and its CPU seconds.
fn read_with_state(roots: &Roots, number: u32) -> Option<(String, char, f64)> {
    let text = roots.proc_text(format!("{number}/stat"))?;
    // The name may contain spaces and brackets.
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields = numbers(rest);
    // After the state: fields 14 and 15 of the whole, user and system time.
    let (user, system) = (fields.get(11)?, fields.get(12)?);
    let state = rest.trim_start().chars().next()?;
    Some((name.to_owned(), state, (user + system) / USER_HZ))
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

    #[test]
    fn processes_in_uninterruptible_sleep_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        for (number, state) in [(7, 'D'), (8, 'S'), (9, 'D')] {
            let its = folder.path().join(number.to_string());
            fs::create_dir(&its).unwrap();
            let stat = format!("{number} (a) {state} 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 0\n");
            fs::write(its.join("stat"), stat).unwrap();
        }
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let (mut processes, mut values) = (Processes::default(), Values::new());
        processes.scan(&roots);
        processes.sample(&roots, &mut values);
        assert_eq!(values[0].0.to_string(), "node_processes_state{state=\"D\"}");
        assert_eq!(values[0].1, 2.0);
    }

    #[test]
    fn who_got_busy_between_two_scans_is_watched_from_the_next_sample_on() {
        let folder = tempfile::tempdir().unwrap();
        let process = |number: u32, ticks: u32| {
            let its = folder.path().join(number.to_string());
            fs::create_dir_all(&its).unwrap();
            let stat =
                format!("{number} (p) R 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 0 0 0\n");
            fs::write(its.join("stat"), stat).unwrap();
        };
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let mut processes = Processes::default();
        process(7, 500);
        processes.scan(&roots);
        process(8, 90);
        process(9, 0);
        processes.scan_new(&roots);
        let watched: Vec<u32> = processes.watched.iter().map(|(number, _)| *number).collect();
        assert_eq!(watched, [8]);
        processes.scan_new(&roots);
        assert_eq!(processes.watched.len(), 1);
    }

    #[test]
    fn a_limit_of_files_is_the_soft_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("7")).unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let limits = |soft: &str| {
            let text = format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max processes             95785                95785                processes\n\
                 Max open files            {soft:<21}1048576              files\n"
            );
            fs::write(folder.path().join("7/limits"), text).unwrap();
            limit_of_files(&roots, 7)
        };
        assert_eq!(limits("1024"), Some(1024.0));
        assert_eq!(limits("unlimited"), None);
        assert_eq!(limit_of_files(&roots, 8), None);
    }
}
