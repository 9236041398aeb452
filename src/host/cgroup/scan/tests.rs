use super::*;

/// A fake hierarchy of version 2 or 1.
struct Tree {
    folder: tempfile::TempDir,
    roots: Roots,
    now: Instant,
    watch: Watch,
}

impl Tree {
    fn new(version: Version) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("self")).unwrap();
        fs::create_dir_all(at("cg")).unwrap();
        let kind = match version {
            Version::V1 => "cgroup cgroup rw,cpu,cpuacct,memory,pids,blkio",
            Version::V2 => "cgroup2 cgroup rw",
        };
        let mount = format!("32 20 0:28 / {} rw - {kind}\n", at("cg").display());
        fs::write(at("self/mountinfo"), mount).unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        Self { folder, roots, now: Instant::now(), watch: Watch::default() }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join("cg").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Let a second pass, look, and tell what is chosen of a controller.
    fn look(&mut self, controller: Controller) -> Vec<String> {
        self.now += Duration::from_secs(1);
        self.watch.look(&self.roots, self.now);
        let chosen = self.watch.chosen(controller).groups;
        chosen.into_iter().map(|group| group.name).collect()
    }

    /// Look until a walk is over and all were probed.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.look(Controller::Cpu);
        }
    }

    /// `count` pods with a wide quota, at rest.
    fn pods(&self, count: usize) {
        for pod in 0..count {
            self.write(&format!("p{pod:04}/cpu.max"), "190000 100000\n");
            self.write(
                &format!("p{pod:04}/cpu.stat"),
                "usage_usec 5\nnr_periods 10\nnr_throttled 0\n",
            );
        }
    }
}

#[test]
fn groups_with_a_limit_are_found_at_any_depth() {
    let mut tree = Tree::new(Version::V2);
    tree.write("a/cpu.max", "max 100000\n");
    tree.write("a/b/cpu.max", "50000 100000\n");
    tree.write("a/b/io.max", "8:0 rbps=max wbps=1024 riops=300 wiops=max\n");
    tree.write("c/memory.high", "1000\n");
    assert_eq!(tree.look(Controller::Cpu), ["/a/b"]);
    assert_eq!(tree.look(Controller::Io), ["/a/b"]);
    assert_eq!(tree.look(Controller::Memory), ["/c"]);
    assert!(tree.look(Controller::Tasks).is_empty());
}

#[test]
fn a_group_that_comes_goes_or_gets_its_limit_later_is_noticed() {
    let mut tree = Tree::new(Version::V2);
    tree.write("a/cpu.max", "50000 100000\n");
    tree.write("late/cpu.max", "max 100000\n");
    assert_eq!(tree.look(Controller::Cpu), ["/a"]);
    tree.write("b/cpu.max", "50000 100000\n");
    tree.write("late/cpu.max", "50000 100000\n");
    tree.settle();
    assert_eq!(tree.look(Controller::Cpu), ["/a", "/b", "/late"]);
    fs::remove_dir_all(tree.folder.path().join("cg/a")).unwrap();
    tree.settle();
    assert_eq!(tree.look(Controller::Cpu), ["/b", "/late"]);
}

#[test]
fn of_many_groups_the_throttled_one_is_read_and_the_others_in_turn() {
    let mut tree = Tree::new(Version::V2);
    tree.pods(100);
    tree.write("p0001/z/hog/cpu.max", "30000 100000\n");
    let throttle = |tree: &Tree, count: usize| {
        let text = format!("usage_usec {}\nnr_periods {count}\nnr_throttled {count}\n", count * 30);
        tree.write("p0001/z/hog/cpu.stat", &text);
    };
    throttle(&tree, 1000);
    tree.look(Controller::Cpu);
    let mut seen = BTreeSet::new();
    for second in 1..100 {
        throttle(&tree, 1000 + 10 * second);
        let names = tree.look(Controller::Cpu);
        assert_eq!(names.len(), MOST_KEPT);
        // The first look has nothing to compare with; the second has.
        assert!(names.iter().any(|name| name == "/p0001/z/hog"), "{second}");
        seen.extend(names);
    }
    assert_eq!(tree.watch.chosen(Controller::Cpu).limited, 101);
    assert_eq!(seen.len(), 101, "each had its turn");
    // It keeps its place for a while, and loses it in the end.
    for _ in 0..200 {
        tree.look(Controller::Cpu);
    }
    let hot = tree
        .watch
        .known
        .values()
        .filter(|known| known.heat(Controller::Cpu).is_some_and(|heat| heat.rank() >= HOT));
    assert_eq!(hot.count(), 0);
}

#[test]
fn of_many_groups_those_near_their_limit_are_read_whatever_it_is_of() {
    let mut tree = Tree::new(Version::V2);
    for pod in 0..100 {
        let near = if pod == 99 { 90 } else { 10 };
        let at = |file: &str| format!("p{pod:02}/{file}");
        tree.write(&at("memory.max"), "100\n");
        tree.write(&at("memory.current"), &format!("{near}\n"));
        tree.write(&at("memory.events"), "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n");
        tree.write(&at("pids.max"), "100\n");
        tree.write(&at("pids.current"), &format!("{near}\n"));
        tree.write(&at("pids.events"), "max 0\n");
        tree.write(&at("io.max"), "8:0 rbps=max wbps=max riops=100 wiops=max\n");
        tree.write(&at("io.stat"), "8:0 rbytes=0 wbytes=0 rios=0 wios=0\n");
    }
    // What is not reached by one look within its budget is by the next ones.
    let has = |tree: &mut Tree, controller, name: &str| {
        (0..10).any(|_| tree.look(controller).iter().any(|one| one == name))
    };
    tree.look(Controller::Memory);
    assert!(has(&mut tree, Controller::Memory, "/p99"));
    assert!(has(&mut tree, Controller::Tasks, "/p99"));
    // One that reclaims, one that is refused tasks, one whose reads are at their limit.
    tree.write("p98/memory.events", "low 0\nhigh 7\nmax 0\noom 0\noom_kill 0\n");
    tree.write("p97/pids.events", "max 3\n");
    tree.write("p96/io.stat", "8:0 rbytes=0 wbytes=0 rios=100 wios=0\n");
    assert!(has(&mut tree, Controller::Memory, "/p98"));
    assert!(has(&mut tree, Controller::Tasks, "/p97"));
    assert!(has(&mut tree, Controller::Io, "/p96"));
}

#[test]
fn version_1_is_watched_by_the_same_rules() {
    let mut tree = Tree::new(Version::V1);
    for pod in 0..100 {
        tree.write(&format!("p{pod:02}/cpu.cfs_quota_us"), "50000\n");
        tree.write(&format!("p{pod:02}/cpu.cfs_period_us"), "100000\n");
        tree.write(&format!("p{pod:02}/cpu.stat"), "nr_periods 10\nnr_throttled 0\n");
        tree.write(&format!("p{pod:02}/cpuacct.usage"), "1000\n");
    }
    tree.look(Controller::Cpu);
    tree.write("p98/cpu.stat", "nr_periods 20\nnr_throttled 9\n");
    // Near its quota, and not yet held back.
    tree.write("p99/cpu.stat", "nr_periods 20\nnr_throttled 0\n");
    tree.write("p99/cpuacct.usage", "450000000\n");
    tree.settle();
    let names = tree.look(Controller::Cpu);
    assert_eq!(&names[..2], ["/p98", "/p99"]);
}

#[test]
fn groups_that_this_process_is_in_are_always_read() {
    let mut tree = Tree::new(Version::V2);
    tree.pods(100);
    fs::write(tree.folder.path().join("self/cgroup"), "0::/p0090\n").unwrap();
    for _ in 0..20 {
        assert_eq!(tree.look(Controller::Cpu)[0], "/p0090");
    }
}

#[test]
fn two_thousand_groups_cost_less_than_a_hundredth_of_a_core() {
    let mut tree = Tree::new(Version::V2);
    tree.pods(2000);
    tree.look(Controller::Cpu);
    tree.settle();
    let seconds = 30_u32;
    let begun = cpu_time();
    for _ in 0..seconds {
        tree.look(Controller::Cpu);
    }
    let share = cpu_time().saturating_sub(begun).as_secs_f64() / f64::from(seconds);
    assert!(share < 0.01, "{share} of a core at a sample a second");
    assert_eq!(tree.watch.chosen(Controller::Cpu).limited, 2000);
}
