//! A machine that exists only in its counters, and runs on it.

use std::collections::BTreeMap;

use crate::model::{
    catalogue::SIGNALS,
    run::{
        HostFacts, Manifest, NodeData, NodeRecord, PhaseRecord, RUN_SCHEMA, Run, SourceKind, State,
        WorkerInterval,
    },
    series::{Key, RawSet, SignalSet, Snapshot},
    time::Timestamp,
};

pub(super) const SECOND: i64 = 1000;
pub(super) const BASELINE_S: i64 = 10;
pub(super) const LOAD_S: i64 = 20;

/// A machine as its counters show it: two cores, 16 GiB, one disk, one link.
/// Each field is a level per second; a closure of the second changes it.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) busy: [f64; 2],
    pub(super) iowait: f64,
    pub(super) steal: f64,
    pub(super) psi_cpu: f64,
    pub(super) psi_io: f64,
    pub(super) psi_memory: f64,
    pub(super) running: f64,
    pub(super) load1: f64,
    pub(super) available_gib: f64,
    pub(super) free_gib: f64,
    pub(super) disk_busy: f64,
    pub(super) disk_queue: f64,
    pub(super) disk_mib: f64,
    pub(super) link_share: f64,
    pub(super) filesystem: f64,
    pub(super) oom_kills: f64,
    pub(super) cgroup_memory: Option<f64>,
    pub(super) cgroup_ooms: f64,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            busy: [0.02, 0.02],
            iowait: 0.0,
            steal: 0.0,
            psi_cpu: 0.0,
            psi_io: 0.0,
            psi_memory: 0.0,
            running: 1.0,
            load1: 0.1,
            available_gib: 14.0,
            free_gib: 10.0,
            disk_busy: 0.01,
            disk_queue: 0.01,
            disk_mib: 0.1,
            link_share: 0.01,
            filesystem: 0.5,
            oom_kills: 0.0,
            cgroup_memory: None,
            cgroup_ooms: 0.0,
        }
    }
}

pub(super) const GIB: f64 = 1_073_741_824.0;

const KILLS: &str = "stressor_cgroup_oom_kills_total{cgroup=\"/a\"}";

/// Counters that rise as the machine says.
#[derive(Default)]
pub(super) struct Counters(std::collections::BTreeMap<String, f64>);

impl Counters {
    fn add(&mut self, key: &str, amount: f64) {
        *self.0.entry(key.to_owned()).or_default() += amount;
    }

    pub(super) fn second(&mut self, machine: &Machine) {
        for (cpu, busy) in machine.busy.iter().enumerate() {
            let mut mode = |mode: &str, share: f64| {
                self.add(
                    &format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"{mode}\"}}"),
                    share,
                );
            };
            mode("user", *busy);
            mode("iowait", machine.iowait);
            mode("steal", machine.steal);
            mode("idle", (1.0 - busy - machine.iowait - machine.steal).max(0.0));
        }
        self.add("node_pressure_cpu_waiting_seconds_total", machine.psi_cpu);
        self.add("node_pressure_io_waiting_seconds_total", machine.psi_io);
        self.add("node_pressure_memory_waiting_seconds_total", machine.psi_memory);
        self.add("node_disk_io_time_seconds_total{device=\"sda\"}", machine.disk_busy);
        self.add("node_disk_io_time_weighted_seconds_total{device=\"sda\"}", machine.disk_queue);
        self.add("node_disk_read_bytes_total{device=\"sda\"}", 0.0);
        self.add("node_disk_written_bytes_total{device=\"sda\"}", machine.disk_mib * 1_048_576.0);
        self.add("node_network_transmit_bytes_total{device=\"eth0\"}", machine.link_share * 125e6);
        self.add("node_network_transmit_drop_total{device=\"eth0\"}", 0.0);
        self.add("node_vmstat_oom_kill", machine.oom_kills);
        if machine.cgroup_memory.is_some() || self.0.contains_key(KILLS) {
            self.add(KILLS, machine.cgroup_ooms);
        }
    }

    pub(super) fn snapshot(&self, t: Timestamp, machine: &Machine) -> Snapshot {
        let mut values: Vec<(Key, f64)> =
            self.0.iter().map(|(key, v)| (Key::parse(key).unwrap(), *v)).collect();
        let mut gauge = |key: &str, v: f64| values.push((Key::parse(key).unwrap(), v));
        gauge("node_procs_running", machine.running);
        gauge("node_load1", machine.load1);
        gauge("node_memory_MemTotal_bytes", 16.0 * GIB);
        gauge("node_memory_MemFree_bytes", machine.free_gib * GIB);
        gauge("node_memory_MemAvailable_bytes", machine.available_gib * GIB);
        gauge("node_network_speed_bytes{device=\"eth0\"}", 125e6);
        gauge("node_network_iface_id{device=\"eth0\"}", 2.0);
        gauge("node_network_iface_link{device=\"eth0\"}", 2.0);
        let mount = "{device=\"/dev/sda\",fstype=\"ext4\",mountpoint=\"/\"}";
        gauge(&format!("node_filesystem_size_bytes{mount}"), 100.0 * GIB);
        gauge(
            &format!("node_filesystem_avail_bytes{mount}"),
            (1.0 - machine.filesystem) * 100.0 * GIB,
        );
        if let Some(share) = machine.cgroup_memory {
            gauge("stressor_cgroup_memory_limit_bytes{cgroup=\"/a\"}", GIB);
            gauge("stressor_cgroup_memory_usage_bytes{cgroup=\"/a\"}", share * GIB);
            gauge("stressor_cgroup_memory_working_bytes{cgroup=\"/a\"}", share * GIB);
        }
        Snapshot { t, values }
    }
}

/// Ten quiet seconds, then twenty as `machine` says, sampled every second.
pub(super) fn snapshots(machine: &Machine) -> Vec<Snapshot> {
    let (mut counters, quiet) = (Counters::default(), Machine::default());
    (0..=BASELINE_S + LOAD_S)
        .map(|second| {
            let now = if second <= BASELINE_S { &quiet } else { machine };
            if second > 0 {
                counters.second(now);
            } else {
                counters.second(&Machine { busy: [0.0; 2], ..quiet.clone() });
            }
            counters.snapshot(Timestamp(second * SECOND), now)
        })
        .collect()
}

pub(super) fn phase(name: &str, start: i64, end: i64, loaded: bool) -> PhaseRecord {
    PhaseRecord {
        name: name.into(),
        level: None,
        probe: None,
        start: Timestamp(start * SECOND),
        steady: None,
        end: Some(Timestamp(end * SECOND)),
        planned_s: (end - start) as f64,
        loads: if loaded { vec!["load".into()] } else { vec![] },
    }
}

pub(super) fn run_of(snapshots: &[Snapshot]) -> Run {
    let mut raw = RawSet::default();
    for snapshot in snapshots {
        raw.push(snapshot);
    }
    let signals = SIGNALS
        .iter()
        .map(|row| (row.name.to_owned(), row.expr.evaluate(&raw, 1.0)))
        .filter(|(_, signals)| !signals.is_empty())
        .collect();
    let record = NodeRecord {
        name: "local".into(),
        instance: None,
        labels: std::collections::BTreeMap::new(),
        source: SourceKind::Embedded,
        loaded: true,
        agent: false,
        interval_s: 1.0,
        window_s: 1.0,
        host: HostFacts { cores: 2, cores_allowed: 2, ..HostFacts::default() },
    };
    Run {
        manifest: Manifest {
            schema: RUN_SCHEMA,
            id: "run-1".into(),
            tool: "test".into(),
            state: State::Complete,
            recovered: false,
            start: Timestamp(0),
            end: Some(Timestamp((BASELINE_S + LOAD_S) * SECOND)),
            scenario: "test".into(),
            description: String::new(),
            overrides: vec![],
            phases: vec![
                phase("baseline", 0, BASELINE_S, false),
                phase("load", BASELINE_S, BASELINE_S + LOAD_S, true),
            ],
            nodes: vec![record.clone()],
            telemetry: vec![],
            tags: std::collections::BTreeMap::new(),
            notes: vec![],
            caveats: vec![],
            stopped: None,
        },
        scenario: String::new(),
        thresholds: vec![],
        nodes: vec![NodeData {
            record,
            signals: SignalSet {
                signals,
                times: raw.times.clone(),
                interval_s: 1.0,
                breaks: Vec::new(),
            },
            beside: None,
        }],
        workers: vec![],
        events: vec![],
    }
}

/// One worker's interval each second of the load phase.
pub(super) fn working(run: &mut Run, kind: &str, of: impl Fn(&mut WorkerInterval)) {
    for second in BASELINE_S + 1..=BASELINE_S + LOAD_S {
        let mut interval = WorkerInterval {
            t: Timestamp(second * SECOND),
            seconds: 1.0,
            phase: 1,
            node: String::new(),
            worker: 0,
            load: 0,
            setup: false,
            kind: kind.into(),
            requested: None,
            achieved: 1.0,
            unit: "ratio".into(),
            operations: 100,
            bytes: 0,
            errors: 0,
            fault: None,
            cpu_s: 0.0,
            resident: 0,
            device_read: None,
            device_written: None,
            counts: BTreeMap::new(),
            latency: None,
        };
        of(&mut interval);
        run.workers.push(interval);
    }
}
