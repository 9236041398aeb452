//! C21: accelerators, by dcgm-exporter's series.

use crate::{
    case::Case,
    openmetrics::{Course, Host},
};

const IDLE: &[&str] = &["none"];

struct Gpu {
    util: Course,
    used_mib: Course,
    power_w: f64,
    power_violation: f64,
    thermal_violation: f64,
    temperature: f64,
}

impl Gpu {
    fn idle() -> Self {
        Self {
            util: Course::Fixed(3.0),
            used_mib: Course::Fixed(4000.0),
            power_w: 75.0,
            power_violation: 0.0,
            thermal_violation: 0.0,
            temperature: 35.0,
        }
    }
}

/// An exporter with eight of them, of which the one at `place` is not idle (all, for
/// a place of eight).
fn dcgm(node: &str, address: &str, place: usize, gpu: &Gpu) -> Host {
    const TOTAL: f64 = 81_559.0;
    let idle = Gpu::idle();
    (0..8).fold(Host::exporter(address, "dcgm"), |host, number: usize| {
        let one = if place == 8 || place == number { gpu } else { &idle };
        let (number, device, uuid) =
            (number.to_string(), format!("nvidia{number}"), format!("GPU-0000-{number}"));
        let labels = [
            ("gpu", number.as_str()),
            ("UUID", &uuid),
            ("device", &device),
            ("modelName", "NVIDIA H100 80GB HBM3"),
            ("Hostname", node),
        ];
        let free = match &one.used_mib {
            Course::Ramp((t0, v0), (t1, v1)) => Course::Ramp((*t0, TOTAL - v0), (*t1, TOTAL - v1)),
            other => Course::Fixed(TOTAL - other.at(0.0)),
        };
        host.gauge("DCGM_FI_DEV_GPU_UTIL", &labels, one.util.clone())
            .gauge(
                "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
                &labels,
                Course::Scaled(Box::new(one.util.clone()), 0.0098),
            )
            .gauge("DCGM_FI_DEV_FB_USED", &labels, one.used_mib.clone())
            .gauge("DCGM_FI_DEV_FB_FREE", &labels, free)
            .gauge("DCGM_FI_DEV_POWER_USAGE", &labels, one.power_w)
            .gauge("DCGM_FI_DEV_POWER_MGMT_LIMIT", &labels, 700.0)
            .gauge("DCGM_FI_DEV_GPU_TEMP", &labels, one.temperature)
            .counter("DCGM_FI_DEV_POWER_VIOLATION", &labels, one.power_violation)
            .counter("DCGM_FI_DEV_THERMAL_VIOLATION", &labels, one.thermal_violation)
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let node = |instance: &str, name: &str| {
        Host::new(instance, name).cores(8).busy(0.15).memory(512.0, 400.0)
    };
    let begins = |to: f64| Course::step(3.0, 300.0, to);
    let busy = || Gpu { util: begins(99.0), power_w: 480.0, temperature: 62.0, ..Gpu::idle() };
    let case = |name: &'static str,
                number: usize,
                place: usize,
                gpu: Gpu,
                right: &'static [&'static str]| {
        Case::new("C21", name, node(&format!("10.10.0.{number}:9100"), name), right).with(dcgm(
            name,
            &format!("10.10.0.{number}:9400"),
            place,
            &gpu,
        ))
    };
    vec![
        case("gpu-busy", 1, 8, busy(), &["gpu"]).never(&["none", "cpu"]),
        case(
            "gpu-half",
            2,
            8,
            Gpu {
                util: Course::Fixed(48.0),
                used_mib: Course::Fixed(39_000.0),
                power_w: 300.0,
                temperature: 50.0,
                ..Gpu::idle()
            },
            IDLE,
        )
        .never(&["gpu", "gpu-memory", "gpu-power", "gpu-thermal"]),
        case("gpu-one-of-eight", 3, 3, busy(), &["gpu"]).never(&["cpu"]).device("3"),
        case(
            "gpu-memory",
            4,
            8,
            Gpu {
                used_mib: Course::Ramp((0.0, 20_000.0), (600.0, 81_300.0)),
                util: Course::Fixed(60.0),
                ..Gpu::idle()
            },
            &["gpu-memory"],
        )
        .never(&["none", "gpu saturated"]),
        // A framework takes all memory when it starts, and then rests.
        case(
            "gpu-memory-reserved",
            5,
            8,
            Gpu { used_mib: Course::Fixed(79_800.0), ..Gpu::idle() },
            IDLE,
        )
        .or_possibly(&["gpu-memory"])
        .never(&["gpu saturated", "gpu full"]),
        case(
            "gpu-power",
            6,
            8,
            Gpu { power_w: 699.0, power_violation: 6e8, ..busy() },
            &["gpu-power", "gpu"],
        )
        .never(&["none", "gpu-thermal"]),
        case(
            "gpu-thermal",
            7,
            8,
            Gpu { thermal_violation: 5e8, temperature: 92.0, ..busy() },
            &["gpu-thermal", "gpu"],
        )
        .never(&["none", "gpu-power"]),
        Case::new("C21", "gpu-unmeasured", node("10.10.0.8:9100", "gpu-unmeasured"), IDLE)
            .unobserved(&["gpu"])
            .never(&["gpu"]),
        // Another node's accelerators are not this one's.
        Case::new("C21", "gpu-elsewhere", node("10.10.0.9:9100", "gpu-none"), IDLE)
            .with(dcgm("gpu-far", "10.10.0.99:9400", 8, &busy()))
            .never(&["gpu"]),
    ]
}
