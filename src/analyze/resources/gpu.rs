//! The multiprocessors of a GPU.

use super::{BLANK, Condition, Counts, Relation, Resource, errors, utilization};

const RESIDENT: &str = "a kernel was on the GPU all the time. It may use one multiprocessor of a hundred (NVIDIA, DCGM: only SM_ACTIVE counts them), so this makes a limit possible, not likely";

pub(super) static RESOURCE: Resource = Resource {
    name: "gpu",
    title: "GPU {device}",
    means: "All multiprocessors of a GPU have work all the time. Without the profiling metrics only this is known: some kernel was there.",
    usual: "kernels that fill the GPU: training, large batches",
    utilization: &[
        utilization(
            "gpu_sm_active",
            SM_FULL,
            0.80,
            "every multiprocessor has work; near from where NVIDIA calls a GPU effectively used, 80 % (DCGM, profiling metrics)",
        ),
        utilization("gpu_busy", 0.95, 0.95, RESIDENT).when(&[Condition::Unseen("gpu_sm_active")]),
        utilization("gpu_engine_active", 0.95, 0.95, RESIDENT)
            .when(&[Condition::Unseen("gpu_sm_active")]),
    ],
    errors: &[errors(
        "gpu_xid",
        1.0,
        Counts::Never,
        "the number of the last error, which may be old; shown",
    )],
    follows: &[
        Relation {
            between: same,
            ..Relation::always(
                "gpu-power",
                "its clock is lowered for power, so the same work takes longer",
            )
        },
        Relation {
            between: same,
            ..Relation::always(
                "gpu-thermal",
                "its clock is lowered for heat, so the same work takes longer",
            )
        },
    ],
    blind: "the GPU was not sampled (dcgm-exporter in the same Prometheus)",
    advice: "a faster or a second GPU, or less work for each item; profile the kernels first, a GPU that is busy may still be used badly",
    ..BLANK
};

/// From here on all multiprocessors count as in use.
const SM_FULL: f64 = 0.95;

/// Whether both are of one GPU.
pub(super) fn same(one: Option<&str>, other: Option<&str>) -> bool {
    one == other
}
