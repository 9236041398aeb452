//! The hot paths: one sample, one decoded answer, one analysis, one report.
//!
//! `cargo bench --bench hot_paths`

#![expect(clippy::indexing_slicing, reason = "a bench stops where it cannot go on")]

use std::{hint::black_box, time::Duration};

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
        series::{RawSet, SignalSet, Snapshot},
        time::Timestamp,
    },
    report::{self, Format},
    telemetry::{proc::Sampler, prometheus::decode},
};

/// An hour of this machine at one sample a second: two real samples, drawn out.
fn hour() -> Vec<Snapshot> {
    let mut sampler = Sampler::new(Roots::default(), Clock::start());
    let first = sampler.sample();
    std::thread::sleep(Duration::from_secs(1));
    let second = sampler.sample();
    (0..3600_i32)
        .map(|step| Snapshot {
            t: Timestamp(i64::from(step) * 1000),
            values: first
                .values
                .iter()
                .zip(&second.values)
                .map(|((key, a), (_, b))| (key.clone(), a + (b - a) * f64::from(step)))
                .collect(),
        })
        .collect()
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
            tags: std::collections::BTreeMap::default(),
            notes: vec![],
            stopped: None,
        },
        scenario: String::new(),
        thresholds: vec![],
        nodes: vec![NodeData {
            record,
            signals: SignalSet { signals, times: raw.times.clone(), interval_s: 1.0 },
            beside: None,
        }],
        workers: vec![],
        events: vec![],
    }
}

/// A thousand nodes of 240 samples, each with what node_exporter gives of this
/// machine.
fn fleet(snapshots: &[Snapshot]) -> Run {
    let mut run = run_of(&snapshots[..240]);
    run.manifest.end = Some(Timestamp(240_000));
    run.manifest.phases[0].end = Some(Timestamp(240_000));
    run.nodes[0].record.loaded = false;
    run.nodes[0].signals.signals.retain(|name, _| {
        stressor::model::catalogue::signal(name).is_some_and(|row| row.in_prometheus)
    });
    let node = run.nodes[0].clone();
    run.nodes = vec![node; 1000];
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
    let snapshots = hour();
    c.bench_function("signals of one hour at 1 s", |b| b.iter(|| black_box(run_of(&snapshots))));
    let run = run_of(&snapshots);
    c.bench_function("analysis of one hour at 1 s", |b| {
        b.iter(|| black_box(analyze::analyze(&run)));
    });
    let many = fleet(&snapshots);
    c.bench_function("analysis of 1,000 nodes of 240 samples", |b| {
        b.iter(|| black_box(analyze::analyze(&many)));
    });
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
