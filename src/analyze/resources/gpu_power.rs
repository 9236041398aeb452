//! The power limit of a GPU.

use super::{BLANK, Condition, Counts, Resource, saturation, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "gpu-power",
    title: "the power limit of GPU {device}",
    means: "A GPU draws all the power that it may, and lowers its clock.",
    usual: "a power limit below what the work draws, wide tensor operations at full clock",
    utilization: &[utilization(
        "gpu_power_ratio",
        0.98,
        0.90,
        "ceiling: the power limit that is enforced; a fiftieth is the regulation's own swing",
    )],
    saturation: &[
        saturation(
            "gpu_power_capped",
            0.5,
            Counts::Alone,
            "the driver names power as the reason for a lower clock in four samples of ten (NVML, clocks event reasons: SW power cap, HW power brake)",
        ),
        saturation(
            "gpu_power_violation",
            0.1,
            Counts::Alone,
            "a tenth of the time with a lower clock for power; only where the power drawn agrees, as versions of DCGM count it in different units",
        )
        .when(&[Condition::AtLeast("gpu_power_ratio", 0.90)]),
    ],
    blind: "the GPU's power and its limit were not sampled (dcgm-exporter: DCGM_FI_DEV_POWER_USAGE, ENFORCED_POWER_LIMIT, CLOCKS_EVENT_REASONS)",
    advice: "a higher power limit (nvidia-smi -pl) where supply and cooling allow it, or accept it: most work loses less speed than power",
    ..BLANK
};
