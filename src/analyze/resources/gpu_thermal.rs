//! The heat of a GPU.

use super::{BLANK, Condition, Counts, Resource, saturation};

pub(super) static RESOURCE: Resource = Resource {
    name: "gpu-thermal",
    title: "the thermal limit of GPU {device}",
    means: "A GPU lowers its clock because it or its memory is too hot.",
    usual: "cooling: air flow, a failed fan, a hot aisle",
    saturation: &[
        saturation(
            "gpu_thermal_slowed",
            0.5,
            Counts::Alone,
            "the driver names heat as the reason for a lower clock in four samples of ten (NVML, clocks event reasons: SW and HW thermal slowdown)",
        ),
        saturation(
            "gpu_thermal_violation",
            0.1,
            Counts::Alone,
            "a tenth of the time with a lower clock for heat; only on a hot GPU, as versions of DCGM count it in different units",
        )
        .when(&[Condition::AtLeast("gpu_temperature", 75.0)]),
    ],
    blind: "the reasons for a lower clock of the GPU were not sampled (dcgm-exporter: DCGM_FI_DEV_CLOCKS_EVENT_REASONS, THERMAL_VIOLATION)",
    advice: "better cooling, or a lower power limit",
    ..BLANK
};
