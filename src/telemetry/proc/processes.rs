//! The processes that use the CPU most: who it was, and whether one thread of
//! it is the limit. And those that are near their own limit of open files.

use std::{collections::BTreeMap, fs, time::Instant};

use super::{Values, labelled, numbers, plain};
use crate::host::Roots;

/// Processes that are read with every sample.
const MOST_WATCHED: usize = 5;
/// Processes that one scan looks at.
const MOST_SCANNED: usize = 4096;
/// New processes that are looked at between two scans.
const MOST_NEW: usize = 512;
/// Ticks a second in /proc/PID/stat.
const USER_HZ: f64 = 100.0;
/// A process that used less than this share of a core is not worth a series.
const LEAST_SHARE: f64 = 0.05;
/// A process with fewer open files is not asked for its limit,
const FEWEST_FILES: u64 = 32;
/// and one that uses less than this share of it is far from it.
const LEAST_FILES_SHARE: f64 = 0.5;

/// The names of stressor's own processes: the one that leads a run and samples, and the one
/// that forks the workers. The workers have names of their own (`stressor-cpu`).
const ITSELF: [&str; 2] = ["stressor", "stressor-spawn"];
/// Fewer tasks than these, or a smaller share of all, come and go while they are counted.
const LEAST_HIDDEN: f64 = 10.0;
const LEAST_HIDDEN_SHARE: f64 = 0.1;

/// The busiest processes between the last two scans, and those with the most files.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// CPU seconds of every process when it was scanned last.
    before: BTreeMap<u32, (f64, Instant)>,
    at: Option<Instant>,
    /// Whether the last scan looked at all processes that it saw.
    is_complete: bool,
    /// Where the next scan begins, where it cannot look at all.
    turn: usize,
    /// Processes in uninterruptible sleep at the last scan.
    sleeping: Option<f64>,
    /// Number and label of those that are read.
    watched: Vec<(u32, String)>,
    /// Number, label and limit of those whose files are counted.
    holders: Vec<(u32, String, f64)>,
    /// Number and label of our own processes.
    own: Vec<(u32, String)>,
    /// Tasks of the machine, and those of them that cannot be seen from here.
    tasks: Option<(f64, f64)>,
    /// Processes that the last scan did not look at.
    unread: usize,
}

impl Processes {
    /// Find the busiest since the last call, and who holds many files.
    pub(super) fn scan(&mut self, roots: &Roots) {
        let last = self.at.replace(Instant::now());
        let numbers = process_numbers(roots);
        let mut now = BTreeMap::new();
        let mut busiest: Vec<(f64, u32, String)> = Vec::new();
        let mut holders: Vec<(f64, u32, String, f64)> = Vec::new();
        let mut sleeping = 0.0;
        let mut threads = 0.0;
        self.own.clear();
        let first = if numbers.len() > MOST_SCANNED { self.turn % numbers.len() } else { 0 };
        for number in numbers.iter().cycle().skip(first).take(numbers.len().min(MOST_SCANNED)) {
            let number = *number;
            let Some(process) = read(roots, number) else { continue };
            let at = Instant::now();
            threads += process.threads;
            sleeping += if process.state == 'D' { 1.0 } else { 0.0 };
            now.insert(number, (process.used, at));
            let label = format!("{}[{number}]", process.name);
            if process.is_ours(number) {
                if process.is_of_this_run(number) {
                    self.own.push((number, label));
                }
                continue;
            }
            if let Some(open) = open_files(roots, number).filter(|open| *open >= FEWEST_FILES)
                && let Some(limit) = limit_of_files(roots, number)
                && open as f64 >= LEAST_FILES_SHARE * limit
            {
                holders.push((open as f64 / limit, number, label.clone(), limit));
            }
            let (used, since) = match (self.before.get(&number), last) {
                (Some((used, since)), _) => (*used, *since),
                // It began since the last scan.
                (None, Some(last)) if self.is_complete => (0.0, last),
                _ => continue,
            };
            let cores = (process.used - used) / at.duration_since(since).as_secs_f64().max(0.1);
            if cores >= LEAST_SHARE {
                busiest.push((cores, number, label));
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
        self.unread = numbers.len().saturating_sub(MOST_SCANNED);
        self.is_complete = self.unread == 0;
        self.turn = first + MOST_SCANNED;
        self.tasks = all_tasks(roots).filter(|_| self.is_complete).map(|all| {
            let hidden = all - threads;
            let is_many = hidden >= LEAST_HIDDEN.max(LEAST_HIDDEN_SHARE * all);
            (all, if is_many { hidden } else { 0.0 })
        });
        // What was not looked at this time is known from before.
        for number in numbers {
            if let Some(old) = self.before.get(&number) {
                now.entry(number).or_insert(*old);
            }
        }
        self.before = now;
    }

    /// Watch also who began and got busy since the last scan: a load that comes
    /// between two of them is seen from its next sample on.
    pub(super) fn scan_new(&mut self, roots: &Roots) {
        let Some(since) = self.at else { return };
        let highest = self.before.keys().next_back().copied().unwrap_or(0);
        let mut numbers = process_numbers(roots);
        // Where not all were looked at, those with a higher number are new.
        numbers
            .retain(|one| !self.before.contains_key(one) && (self.is_complete || *one > highest));
        for number in numbers.into_iter().rev().take(MOST_NEW) {
            if self.watched.len() >= MOST_WATCHED {
                return;
            }
            let Some(process) = read(roots, number) else { continue };
            if !process.is_ours(number)
                && process.used / since.elapsed().as_secs_f64().max(0.1) >= LEAST_SHARE
            {
                self.watched.push((number, format!("{}[{number}]", process.name)));
                // All that it used, it used since the last scan.
                self.before.insert(number, (0.0, since));
            }
        }
    }

    /// Read them.
    pub(super) fn sample(&self, roots: &Roots, values: &mut Values) {
        if let Some(sleeping) = self.sleeping {
            labelled(values, "node_processes_state", ("state", "D"), sleeping);
        }
        let cpu_times = [
            (&self.watched, "stressor_process_cpu_seconds_total"),
            (&self.own, "stressor_own_cpu_seconds_total"),
        ];
        for (processes, name) in cpu_times {
            for (number, label) in processes {
                if let Some(process) = read(roots, *number) {
                    labelled(values, name, ("process", label), process.used);
                }
            }
        }
        for (number, label, limit) in &self.holders {
            if let Some(open) = open_files(roots, *number) {
                let process = ("process", label.as_str());
                labelled(values, "stressor_process_open_fds", process, open as f64);
                labelled(values, "stressor_process_max_fds", process, *limit);
            }
        }
        if let Some((all, hidden)) = self.tasks {
            plain(values, "stressor_tasks", all);
            plain(values, "stressor_tasks_hidden", hidden);
        }
        if self.at.is_some() && !self.before.is_empty() {
            plain(values, "stressor_processes_unread", self.unread as f64);
        }
    }
}

/// The processes that can be seen, in the order of their numbers.
fn process_numbers(roots: &Roots) -> Vec<u32> {
    let entries = fs::read_dir(&roots.proc).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// How many tasks the kernel counts on the whole machine, in whatever namespace:
/// the second half of the fourth word of /proc/loadavg.
fn all_tasks(roots: &Roots) -> Option<f64> {
    let text = roots.proc_text("loadavg")?;
    text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
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

/// What /proc/PID/stat says of a process.
#[derive(Debug, PartialEq)]
struct Process {
    name: String,
    parent: Option<u32>,
    /// `R`, `S`, `D` …
    state: char,
    /// CPU seconds.
    used: f64,
    threads: f64,
}

impl Process {
    /// Whether it is stressor itself, of this run or of another.
    fn is_ours(&self, number: u32) -> bool {
        number == std::process::id() || ITSELF.contains(&self.name.as_str())
    }

    /// Whether it leads this run or forks its workers.
    fn is_of_this_run(&self, number: u32) -> bool {
        let itself = std::process::id();
        number == itself || (self.is_ours(number) && self.parent == Some(itself))
    }
}

fn read(roots: &Roots, number: u32) -> Option<Process> {
    let text = roots.proc_text(format!("{number}/stat"))?;
    // The name may contain spaces and brackets.
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields = numbers(rest);
    // After the state: fields 4, 14, 15 and 20 of the whole.
    let parent = rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok());
    let (user, system) = (fields.get(11)?, fields.get(12)?);
    let state = rest.trim_start().chars().next()?;
    let threads = fields.get(17).copied().unwrap_or(1.0);
    Some(Process { name: name.to_owned(), parent, state, used: (user + system) / USER_HZ, threads })
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
        let process = read(&roots, 7).unwrap();
        assert_eq!((process.name.as_str(), process.used), ("a) (b", 2.0));
    }

    /// Write the files of a process with this many threads.
    fn write(roots: &Roots, number: u32, name: &str, parent: u32, ticks: u32, threads: u32) {
        let its = roots.proc.join(number.to_string());
        fs::create_dir_all(&its).unwrap();
        let stat = format!(
            "{number} ({name}) R {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 0 0\n"
        );
        fs::write(its.join("stat"), stat).unwrap();
    }

    fn value(processes: &Processes, roots: &Roots, key: &str) -> Option<f64> {
        let mut values = Values::new();
        processes.sample(roots, &mut values);
        values.into_iter().find(|(one, _)| one.to_string() == key).map(|(_, value)| value)
    }

    #[test]
    fn stressor_itself_is_no_busy_process_and_its_cost_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let itself = std::process::id();
        let mut processes = Processes::default();
        for ticks in [0, 100_000] {
            write(&roots, itself, "whatever", 1, ticks, 3);
            write(&roots, itself + 1, "stressor-spawn", itself, ticks, 1);
            write(&roots, itself + 2, "stressor", 1, ticks, 1);
            write(&roots, itself + 3, "stressor-cpu", itself + 1, ticks, 1);
            processes.scan(&roots);
        }
        let watched: Vec<u32> = processes.watched.iter().map(|(number, _)| *number).collect();
        assert_eq!(watched, [itself + 3], "a worker is a load, and counts");
        let own: Vec<u32> = processes.own.iter().map(|(number, _)| *number).collect();
        assert_eq!(own, [itself, itself + 1]);
        let key = format!("stressor_own_cpu_seconds_total{{process=\"whatever[{itself}]\"}}");
        assert_eq!(value(&processes, &roots, &key), Some(1000.0));
    }

    #[test]
    fn tasks_that_cannot_be_seen_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        write(&roots, 7, "a", 1, 0, 40);
        let mut processes = Processes::default();
        let mut hidden = |loadavg: &str| {
            fs::write(roots.proc.join("loadavg"), loadavg).unwrap();
            processes.scan(&roots);
            value(&processes, &roots, "stressor_tasks_hidden")
        };
        assert_eq!(hidden("0.1 0.1 0.1 2/140 99\n"), Some(100.0));
        // A few that came since they were listed are not hidden.
        assert_eq!(hidden("0.1 0.1 0.1 2/45 99\n"), Some(0.0));
        assert_eq!(hidden("nonsense\n"), None);
    }

    #[test]
    fn of_too_many_processes_each_is_looked_at_in_its_turn_and_the_rest_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let count = u32::try_from(MOST_SCANNED).unwrap() + 500;
        let busy = 10_000_000 + count - 1;
        for number in 10_000_000..10_000_000 + count {
            write(&roots, number, "a", 1, 0, 1);
        }
        let mut processes = Processes::default();
        let mut was_watched = false;
        for scan in 1..=4 {
            write(&roots, busy, "a", 1, scan * 100_000, 1);
            processes.scan(&roots);
            was_watched |= processes.watched.iter().any(|(number, _)| *number == busy);
        }
        assert!(was_watched, "the last of them is seen, too");
        assert_eq!(processes.watched.len(), 1);
        assert_eq!(value(&processes, &roots, "stressor_processes_unread"), Some(500.0));
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
