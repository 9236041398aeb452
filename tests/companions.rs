//! From the answers of a Prometheus to a verdict: series of other exporters than
//! node_exporter, joined to the node that they are of.

use std::collections::BTreeMap;

use stressor::{
    analyze::{
        analyze,
        outcome::{Grade, Kind, Verdict},
    },
    model::{
        run::{
            HostFacts, Manifest, NodeData, NodeRecord, PhaseRecord, RUN_SCHEMA, Run, SourceKind,
            State,
        },
        series::{Point, Signal, SignalSet},
        time::Timestamp,
    },
    telemetry::prometheus::{
        companions::{self, Found, Machine, Machines},
        containers,
        decode::Answer,
    },
};

const SAMPLES: i64 = 72;
const STEP_MS: i64 = 15_000;

fn points(v: f64) -> Vec<Point> {
    (0..=SAMPLES).map(|at| Point { t: Timestamp(at * STEP_MS), v }).collect()
}

fn answer(what: &str, labels: &[(&str, &str)], v: f64) -> Answer {
    let mut all: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    all.insert("stressor_metric".into(), what.into());
    Answer { labels: all, points: points(v) }
}

fn machines() -> Machines {
    Machines::new(vec![Machine {
        key: "10.1.0.30:9100".into(),
        instance: "10.1.0.30:9100".into(),
        names: vec!["kube".into()],
        ..Machine::default()
    }])
}

/// The node of 16 cores at these levels, with what was found beside it.
fn judged(levels: &[(&str, Option<&str>, f64)], found: Vec<Found>) -> Option<Verdict> {
    let mut signals: BTreeMap<String, Vec<Signal>> = BTreeMap::new();
    for (name, device, v) in levels {
        let signal =
            Signal { device: device.map(str::to_owned), points: points(*v), window_s: 60.0 };
        signals.entry((*name).to_owned()).or_default().push(signal);
    }
    for one in found {
        assert_eq!(one.node, "10.1.0.30:9100");
        signals.entry(one.name.to_owned()).or_default().push(one.signal);
    }
    let record = NodeRecord {
        labels: BTreeMap::new(),
        name: "kube".into(),
        instance: Some("10.1.0.30:9100".into()),
        source: SourceKind::Prometheus,
        loaded: false,
        agent: false,
        interval_s: 15.0,
        window_s: 60.0,
        host: HostFacts::default(),
    };
    let end = Timestamp(SAMPLES * STEP_MS);
    let run = Run {
        manifest: Manifest {
            caveats: Vec::new(),
            schema: RUN_SCHEMA,
            id: "run-1".into(),
            tool: "test".into(),
            state: State::Complete,
            recovered: false,
            start: Timestamp(0),
            end: Some(end),
            scenario: "test".into(),
            description: String::new(),
            overrides: vec![],
            phases: vec![PhaseRecord {
                name: "window".into(),
                level: None,
                probe: None,
                start: Timestamp(0),
                steady: None,
                end: Some(end),
                planned_s: end.seconds(),
                loads: vec![],
            }],
            nodes: vec![record.clone()],
            telemetry: vec![],
            tags: BTreeMap::new(),
            notes: vec![],
            stopped: None,
        },
        scenario: String::new(),
        thresholds: vec![],
        nodes: vec![NodeData {
            record,
            signals: SignalSet {
                breaks: Vec::new(),
                signals,
                times: points(0.0).iter().map(|point| point.t).collect(),
                interval_s: 15.0,
            },
            beside: None,
        }],
        workers: vec![],
        events: vec![],
    };
    let node = analyze(&run).nodes.into_iter().next()?;
    node.phases.into_iter().next().map(|phase| phase.verdict)
}

/// A node at 20 % with PSI at 58 %, which no core explains.
const PRESSED: [(&str, Option<&str>, f64); 8] = [
    ("cpu_busy", None, 0.2),
    ("cpu_core_max", None, 0.2),
    ("cpu_psi_some", None, 0.58),
    ("cpu_wait_unexplained", None, 0.38),
    ("memory_used_ratio", None, 0.3),
    ("disk_busy", Some("sda"), 0.01),
    ("disk_queue", Some("sda"), 0.01),
    ("cpu_runnable_per_busy_core", None, 0.3),
];

#[test]
fn a_pod_that_its_quota_holds_back_is_the_verdict() {
    let labels = [
        ("instance", "10.1.0.30:10250"),
        ("job", "kubelet"),
        ("node", "kube"),
        ("namespace", "shop"),
        ("pod", "cart-0"),
        ("container", "app"),
    ];
    let series = [answer("throttled", &labels, 0.9)];
    let chosen = containers::containers(&series, &machines());
    assert!(containers::details_query("", 120.0, &chosen).is_some());
    let found = containers::found(&series, &machines(), &chosen, 120.0);
    for core in [0.2, 0.97] {
        let mut levels = PRESSED;
        levels[1].2 = core;
        levels[3].2 = 0.58 - core;
        let verdict = judged(&levels, found.clone()).unwrap();
        assert_eq!(
            (verdict.resource.as_str(), verdict.device.as_deref(), verdict.kind, verdict.grade),
            ("cpu-quota", Some("shop/cart-0/app"), Kind::Saturated, Grade::Likely),
            "{}",
            verdict.statement
        );
    }
    // Without those series nobody saw a quota.
    let verdict = judged(&PRESSED, vec![]).unwrap();
    assert_eq!((verdict.resource.as_str(), verdict.grade), ("cpu-quota", Grade::Possible));
    let mut levels = PRESSED;
    (levels[1].2, levels[3].2) = (0.97, -0.39);
    let verdict = judged(&levels, vec![]).unwrap();
    assert_eq!(verdict.grade, Grade::Possible, "{}", verdict.statement);
    assert!(verdict.statement.contains("CPU quota"), "{}", verdict.statement);
    assert!(verdict.statement.contains("affinity"), "{}", verdict.statement);
}

#[test]
fn a_gpu_that_is_capped_for_power_is_the_verdict() {
    let gpu = [("gpu", "0"), ("Hostname", "kube"), ("instance", "10.9.0.7:9400")];
    let series = vec![
        answer("DCGM_FI_DEV_GPU_UTIL", &gpu, 100.0),
        answer("DCGM_FI_DEV_POWER_USAGE", &gpu, 399.0),
        answer("DCGM_FI_DEV_POWER_MGMT_LIMIT", &gpu, 400.0),
        answer("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", &gpu, 4.0),
    ];
    let mut levels = PRESSED;
    (levels[2].2, levels[3].2) = (0.02, 0.0);
    let verdict = judged(&levels, companions::found(series, &machines(), 120.0)).unwrap();
    assert_eq!(
        (verdict.resource.as_str(), verdict.device.as_deref(), verdict.grade),
        ("gpu-power", Some("0"), Grade::Likely),
        "{}",
        verdict.statement
    );
    assert_eq!(judged(&levels, vec![]).unwrap().resource, "none");
}
