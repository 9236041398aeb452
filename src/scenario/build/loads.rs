//! From the table of a load to its plan.

pub(super) mod http;

use std::ops::Range;

use super::super::{
    check::number,
    diagnostic::Diagnostic,
    keys::load_kind,
    plan::{
        Amount, Arrival, Bandwidth, CpuMethod, DiskWork, Engine, FilesWork, Fsync, GroupPlan, Held,
        HoldWork, Holding, IoClass, LoadPlan, MemoryWork, NetWork, Pattern, Rate, Scheduler,
        Target, Work, Workers,
    },
    tree::{Node, Table, Value},
};
use crate::model::units;

/// The load with its `of` replaced by `value`.
pub(super) fn at_level(load: &LoadPlan, of: &str, value: f64) -> Result<LoadPlan, String> {
    let mut load = load.clone();
    match (of, &mut load.work) {
        ("workers", _) => load.workers = Workers::Count(whole(value)),
        ("load", Work::Cpu { load, .. }) => *load = value / 100.0,
        (
            "rate",
            Work::Cpu { rate, .. }
            | Work::Sync { rate }
            | Work::Switch { rate, .. }
            | Work::Fork { rate }
            | Work::Files(FilesWork { rate, .. })
            | Work::Net(NetWork { rate, .. })
            | Work::Hold(HoldWork { rate, .. })
            | Work::Disk(DiskWork { rate, .. }),
        ) => *rate = Some(value),
        ("rate", Work::Http(work)) => {
            let constant = Arrival { rate: Rate::Constant(value), poisson: false };
            *work.arrival.get_or_insert(constant).rate.base_mut() = value;
        }
        ("depth", Work::Http(work)) => work.connections = whole(value),
        ("depth", Work::Disk(work)) => work.depth = whole(value),
        (of, work) => {
            return Err(format!("a {} load has no `{of}` that a ramp could raise", work.kind()));
        }
    }
    Ok(load)
}

/// A checked number as a count.
fn whole(value: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 65,536")]
    let count = value.round() as u32;
    count
}

pub(super) fn load_plan(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<LoadPlan> {
    let table = node.table()?;
    let kind = table.text("kind")?;
    load_kind(&kind)?;
    let default_workers = if kind == "cpu" { Workers::PerCore(1.0) } else { Workers::Count(1) };
    let workers = match table.get("workers").map(|node| &node.value) {
        None => default_workers,
        Some(Value::Integer(count)) => Workers::Count(u32::try_from(*count).ok()?),
        Some(Value::Text(text)) => Workers::parse(text)?,
        Some(_) => return None,
    };
    let cores = match table.get("cores").map(|node| &node.value) {
        Some(Value::List(items)) => items
            .iter()
            .filter_map(|item| number(&item.value))
            .map(|core| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked: 0 to 1023"
                )]
                let core = core as usize;
                core
            })
            .collect(),
        _ => Vec::new(),
    };
    let work = match kind.as_str() {
        "cpu" => Work::Cpu {
            method: table
                .text("method")
                .map_or(Some(CpuMethod::Sqrt), |text| CpuMethod::parse(&text))?,
            load: table.number("load").unwrap_or(100.0) / 100.0,
            rate: {
                exclude(table, "rate", &["load"], diagnostics);
                table.number("rate")
            },
        },
        "memory" => Work::Memory(memory(node, table, diagnostics)?),
        "sync" => Work::Sync { rate: table.number("rate") },
        "switch" => Work::Switch {
            rate: table.number("rate"),
            futex: table.text("via").as_deref() == Some("futex"),
        },
        "fork" => Work::Fork { rate: table.number("rate") },
        "disk" => Work::Disk(disk(node, table, diagnostics)?),
        "http" => Work::Http(Box::new(http::http(node, table, diagnostics)?)),
        "net" => Work::Net(net(node, table, diagnostics)),
        "files" => Work::Files(FilesWork {
            count: table.count("count").unwrap_or(1),
            file_size: table.size("file_size").unwrap_or(0),
            directory: table.path("directory"),
            rate: table.number("rate"),
        }),
        kind => Work::Hold(HoldWork {
            what: Held::ALL.into_iter().find(|held| held.name() == kind)?,
            count: table.count("count")?,
            rate: table.number("rate"),
        }),
    };
    #[expect(clippy::cast_possible_truncation, reason = "checked: -20 to 19")]
    let nice = table.number("nice").map(|nice| nice as i32);
    let scheduler = table
        .text("scheduler")
        .and_then(|text| Scheduler::ALL.into_iter().find(|scheduler| scheduler.name() == text));
    let io_class = table
        .text("io_class")
        .and_then(|text| IoClass::ALL.into_iter().find(|class| class.name() == text));
    Some(LoadPlan {
        nodes: table.text("nodes"),
        workers,
        cores,
        nice,
        scheduler: scheduler.unwrap_or_default(),
        io_class,
        cgroup: table.get("cgroup").and_then(Node::table).map(|limits| GroupPlan {
            cpu: limits.number("cpu"),
            memory: limits.size("memory"),
            processes: limits.count("processes"),
            read_bytes: limits.size("read_bytes"),
            write_bytes: limits.size("write_bytes"),
        }),
        work,
    })
}

/// Where a key stands, or its load when it is absent.
fn span(node: &Node, table: &Table, key: &str) -> Range<usize> {
    table.get(key).map_or_else(|| node.span.clone(), |node| node.span.clone())
}

/// Report every key of `others` that stands beside `key`, with which it makes
/// no sense.
fn exclude(table: &Table, key: &str, others: &[&str], diagnostics: &mut Vec<Diagnostic>) {
    if table.get(key).is_none() {
        return;
    }
    for other in others {
        if let Some(node) = table.get(other) {
            diagnostics.push(
                Diagnostic::new(
                    node.span.clone(),
                    format!("`{other}` has no meaning beside `{key}`"),
                )
                .hint("keep one of them"),
            );
        }
    }
}

fn memory(node: &Node, table: &Table, diagnostics: &mut Vec<Diagnostic>) -> Option<MemoryWork> {
    let keep = table.flag("keep").unwrap_or(true);
    exclude(table, "bandwidth", &["stride", "keep", "pause", "hang", "growth"], diagnostics);
    if !keep {
        for key in ["hang", "growth"] {
            if table.get(key).is_some() {
                diagnostics.push(
                    Diagnostic::new(
                        span(node, table, key),
                        format!("`{key}` has no meaning for memory that is freed each time"),
                    )
                    .hint("leave `keep = false` out"),
                );
            }
        }
    }
    Some(MemoryWork {
        size: table.get("size").and_then(amount)?,
        stride: table.size("stride").unwrap_or(4096),
        holding: match (keep, table.flag("hang")) {
            (false, _) => Holding::Free,
            (true, Some(true)) => Holding::Hang,
            (true, _) => Holding::Again,
        },
        pause: table.duration("pause").unwrap_or_default(),
        growth: table.size("growth"),
        huge_pages: table.flag("huge_pages").unwrap_or(false),
        lock: table.flag("lock").unwrap_or(false),
        bandwidth: table
            .text("bandwidth")
            .and_then(|text| Bandwidth::ALL.into_iter().find(|bandwidth| bandwidth.name() == text)),
        rate_bytes: table.size("rate_bytes"),
    })
}

fn disk(node: &Node, table: &Table, diagnostics: &mut Vec<Diagnostic>) -> Option<DiskWork> {
    let random = table.text("access").as_deref() == Some("random");
    let block_size = table.size("block_size").unwrap_or(if random { 4096 } else { 1 << 20 });
    let mut file_size = table.size("file_size").unwrap_or(256 << 20);
    let direct = table.flag("direct").unwrap_or(false);
    let span = |key: &str| span(node, table, key);
    if block_size > 1 << 30 {
        diagnostics.push(
            Diagnostic::new(span("block_size"), "`block_size` is above 1 GiB").allowed("1 to 1G"),
        );
        return None;
    }
    if direct && !block_size.is_multiple_of(512) {
        diagnostics.push(
            Diagnostic::new(span("block_size"), "direct I/O needs whole sectors")
                .allowed("a multiple of 512; of 4K on most disks"),
        );
    }
    if file_size < block_size {
        diagnostics.push(
            Diagnostic::new(span("file_size"), "`file_size` is smaller than one block")
                .allowed(format!("{} or more", units::show_bytes(block_size as f64))),
        );
    }
    file_size -= file_size % block_size.max(1);
    let fsync = match table.get("fsync").map(|node| &node.value) {
        Some(Value::Integer(every)) => Fsync::Every(u64::try_from(*every).ok()?),
        Some(Value::Text(text)) if text == "end" => Fsync::End,
        _ => Fsync::Never,
    };
    let reads = match table.text("operation").as_deref() {
        Some("read") => 1.0,
        Some("mixed") => table.number("reads").unwrap_or(50.0) / 100.0,
        _ => 0.0,
    };
    if table.get("reads").is_some() && table.text("operation").as_deref() != Some("mixed") {
        diagnostics.push(
            Diagnostic::new(span("reads"), "`reads` is the share of a mixed load")
                .hint("add `operation = \"mixed\"`"),
        );
    }
    let work = DiskWork {
        reads,
        random,
        block_size,
        file_size,
        direct,
        fsync,
        directory: table.path("directory"),
        file: table.path("file"),
        rate: table.number("rate"),
        rate_bytes: table.size("rate_bytes"),
        depth: table.number("depth").map_or(1, whole),
        engine: table
            .text("engine")
            .and_then(|text| Engine::ALL.into_iter().find(|engine| engine.name() == text))
            .unwrap_or(Engine::Auto),
        verify: table.flag("verify").unwrap_or(false),
    };
    check_disk(&work, table, span, diagnostics);
    Some(work)
}

/// What does not go together in a disk load.
fn check_disk(
    work: &DiskWork,
    table: &Table,
    span: impl Fn(&str) -> Range<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let DiskWork { reads, block_size, file_size, fsync, verify, depth, ref file, .. } = *work;
    if reads >= 1.0 && fsync != Fsync::Never {
        diagnostics.push(
            Diagnostic::new(span("fsync"), "there is nothing to flush when reading")
                .hint("leave `fsync` out, or write"),
        );
    }
    exclude(table, "rate", &["rate_bytes"], diagnostics);
    exclude(table, "file", &["directory"], diagnostics);
    if file.is_some() && reads < 1.0 && table.flag("overwrite") != Some(true) {
        diagnostics.push(
            Diagnostic::new(span("file"), "this load would write over what this file holds")
                .hint("use `operation = \"read\"`, or add `overwrite = true` if it may be lost"),
        );
    }
    if file.is_none() && table.get("overwrite").is_some() {
        diagnostics.push(
            Diagnostic::new(span("overwrite"), "there is no `file` to write over")
                .hint("a scratch file may always be written"),
        );
    }
    if verify && file.is_some() {
        diagnostics.push(
            Diagnostic::new(span("verify"), "only what a worker wrote itself can be verified")
                .hint("leave `file` out, or `verify`"),
        );
    }
    if verify && (!block_size.is_multiple_of(8) || block_size < DiskWork::STAMP_BYTES) {
        diagnostics.push(
            Diagnostic::new(span("block_size"), "the checksum of a block needs room")
                .allowed("a multiple of 8 from 32 on"),
        );
    }
    if verify && file_size / block_size < u64::from(depth) {
        diagnostics.push(
            Diagnostic::new(
                span("file_size"),
                "operations in flight would check blocks that others are writing",
            )
            .hint("with `verify`, the file needs a block for each: use a larger `file_size`"),
        );
    }
}

fn net(node: &Node, table: &Table, diagnostics: &mut Vec<Diagnostic>) -> NetWork {
    let udp = table.text("protocol").as_deref() == Some("udp");
    let pattern = table
        .text("pattern")
        .and_then(|text| Pattern::ALL.into_iter().find(|pattern| pattern.name() == text))
        .unwrap_or(Pattern::Stream);
    if udp && pattern == Pattern::Connect {
        diagnostics.push(
            Diagnostic::new(span(node, table, "pattern"), "UDP makes no connections")
                .hint("leave `protocol` out, or use another pattern"),
        );
    }
    exclude(table, "rate", &["rate_bytes"], diagnostics);
    exclude(
        table,
        "listen",
        &["target", "pattern", "message", "time_wait", "rate", "rate_bytes"],
        diagnostics,
    );
    let message = table.size("message").unwrap_or(match (pattern, udp) {
        (Pattern::Stream, false) => 128 << 10,
        (Pattern::Stream, true) => 1472,
        _ => 64,
    });
    let most = if udp { 65_507 } else { 16 << 20 };
    if message > most {
        diagnostics.push(
            Diagnostic::new(span(node, table, "message"), "`message` is too large")
                .allowed(format!("1 to {most} bytes")),
        );
    }
    let address = |key: &str| table.text(key).and_then(|text| Target::parse(&text));
    NetWork {
        udp,
        pattern,
        message,
        target: address("target"),
        listen: address("listen"),
        time_wait: table.flag("time_wait").unwrap_or(false),
        rate: table.number("rate"),
        rate_bytes: table.size("rate_bytes"),
    }
}

fn amount(node: &Node) -> Option<Amount> {
    match &node.value {
        Value::Integer(bytes) => Some(Amount::Bytes(u64::try_from(*bytes).ok()?)),
        Value::Text(text) => match text.strip_suffix('%') {
            Some(share) => Some(Amount::Available(share.trim().parse::<f64>().ok()? / 100.0)),
            None => Some(Amount::Bytes(units::parse_bytes(text).ok()?)),
        },
        _ => None,
    }
}
