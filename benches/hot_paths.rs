//! The hot paths: one sample, one decoded answer, one analysis, one report.
//!
//! `cargo bench --bench hot_paths`

#![expect(clippy::indexing_slicing, reason = "a bench stops where it cannot go on")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use stressor::{
    analyze,
    host::{Roots, clock::Clock},
    model::{
        catalogue::SIGNALS,
        run::{
            HostFacts, Manifest, NodeData, NodeRecord, PhaseRecord, RUN_SCHEMA, Run, SourceKind,
            State,
        },
        series::{Key, RawSet, SignalSet, Snapshot},
        time::Timestamp,
    },
    report::{self, Format},
    telemetry::{proc::Sampler, prometheus::decode},
};

/// What a second adds to everything that is counted, of this machine at rest and
/// with all its cores busy, after what was counted before.
struct Seconds {
    before: Snapshot,
    quiet: Vec<f64>,
    busy: Vec<f64>,
}

impl Seconds {
    fn measured() -> Self {
        let mut sampler = Sampler::new(Roots::default(), Clock::start());
        let second = Duration::from_secs(1);
        let before = sampler.sample();
        std::thread::sleep(second);
        let middle = sampler.sample();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    let start = Instant::now();
                    while start.elapsed() < second {}
                });
            }
        });
        let after = sampler.sample();
        let by_key = |snapshot: &Snapshot| -> BTreeMap<Key, f64> {
            snapshot.values.iter().cloned().collect()
        };
        let (middle, after) = (by_key(&middle), by_key(&after));
        let (mut quiet, mut busy) = (Vec::new(), Vec::new());
        for (key, first) in &before.values {
            // A process may be gone by now.
            let then = middle.get(key).copied().unwrap_or(*first);
            let last = after.get(key).copied().unwrap_or(then);
            quiet.push(then - first);
            busy.push(last - then);
        }
        Self { before, quiet, busy }
    }

    /// So many samples, one a second; busy from `step` on. No second is quite like
    /// the one before.
    fn drawn_out(&self, samples: u32, busy_from: u32) -> Vec<Snapshot> {
        let mut values = self.before.values.clone();
        (0..samples)
            .map(|step| {
                let added = if step >= busy_from { &self.busy } else { &self.quiet };
                let more = 0.75 + 0.5 * (f64::from(step) * 0.618).fract();
                for ((_, value), added) in values.iter_mut().zip(added) {
                    *value += added * more;
                }
                Snapshot { t: Timestamp(i64::from(step) * 1000), values: values.clone() }
            })
            .collect()
    }
}

fn run_of(snapshots: &[Snapshot]) -> Run {
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
        host: HostFacts::default(),
    };
    let end = Timestamp(3_600_000);
    Run {
        manifest: Manifest {
            schema: RUN_SCHEMA,
            id: "run-1".into(),
            tool: "bench".into(),
            state: State::Complete,
            recovered: false,
            start: Timestamp(0),
            end: Some(end),
            scenario: "bench".into(),
            description: String::new(),
            overrides: vec![],
            phases: vec![PhaseRecord {
                name: "watch".into(),
                level: None,
                probe: None,
                start: Timestamp(0),
                steady: None,
                end: Some(end),
                planned_s: 3600.0,
                loads: vec![],
            }],
            nodes: vec![record.clone()],
            telemetry: vec![],
            tags: BTreeMap::default(),
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

/// A thousand nodes of 240 samples, each with what node_exporter gives of this
/// machine. Of ten nodes nine have nothing to do, and one has all its cores busy
/// from the middle on, which the analysis has to find out.
fn fleet(seconds: &Seconds) -> Run {
    let node = |busy_from| {
        let mut run = run_of(&seconds.drawn_out(240, busy_from));
        run.nodes[0].record.loaded = false;
        run.nodes[0].signals.signals.retain(|name, _| {
            stressor::model::catalogue::signal(name).is_some_and(|row| row.in_prometheus)
        });
        run
    };
    let mut run = node(240);
    let (quiet, busy) = (run.nodes[0].clone(), node(120).nodes[0].clone());
    run.manifest.end = Some(Timestamp(240_000));
    run.manifest.phases[0].end = Some(Timestamp(240_000));
    run.nodes =
        (0..1000).map(|at| if at % 10 == 0 { busy.clone() } else { quiet.clone() }).collect();
    run
}

/// An answer of `query_range` with 100 series of 720 points, 2.5 MB.
fn answer() -> Vec<u8> {
    let points: Vec<String> = (0..720)
        .map(|step| format!("[{},\"0.{:06}\"]", 1_795_521_853 + step * 5, step * 7919 % 1_000_000))
        .collect();
    let points = points.join(",");
    let series: Vec<String> = (0..100)
        .map(|node| {
            format!("{{\"metric\":{{\"instance\":\"10.0.0.{node}:9100\"}},\"values\":[{points}]}}")
        })
        .collect();
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{}]}}}}",
        series.join(",")
    )
    .into_bytes()
}

fn hot_paths(c: &mut Criterion) {
    let mut sampler = Sampler::new(Roots::default(), Clock::start());
    c.bench_function("one sample of this machine", |b| b.iter(|| black_box(sampler.sample())));
    let seconds = Seconds::measured();
    let snapshots = seconds.drawn_out(3600, 3600);
    c.bench_function("signals of one hour at 1 s", |b| b.iter(|| black_box(run_of(&snapshots))));
    let run = run_of(&snapshots);
    c.bench_function("analysis of one hour at 1 s", |b| {
        b.iter(|| black_box(analyze::analyze(&run)));
    });
    let many = fleet(&seconds);
    c.bench_function("analysis of 1,000 nodes of 240 samples", |b| {
        b.iter(|| black_box(analyze::analyze(&many)));
    });
    // It is a tenth that is to be found.
    let found = analyze::analyze(&many).nodes;
    let found = found.iter().filter(|node| node.phases[0].verdict.resource == "cpu").count();
    assert_eq!(found, 100);
    drop(many);
    let analysis = analyze::analyze(&run);
    for (name, format) in [("page of one hour", Format::Html), ("picture of one hour", Format::Png)]
    {
        c.bench_function(name, |b| b.iter(|| black_box(report::render(&run, &analysis, format))));
    }
    let answer = answer();
    c.bench_function("decoding 100 series of 720 points", |b| {
        b.iter(|| black_box(decode::reply(&answer[..])));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    targets = hot_paths
}
criterion_main!(benches);
