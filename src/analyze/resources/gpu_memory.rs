//! The memory of a GPU.

use super::{BLANK, Resource, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "gpu-memory",
    title: "the memory of GPU {device}",
    means: "The memory of a GPU is allocated. Frameworks reserve it ahead of need (TensorFlow, JAX, vLLM), so a full one is not by itself a limit.",
    usual: "a model or batch that fills the memory, or a framework that reserves all of it at its start",
    utilization: &[level(
        "gpu_memory_used_ratio",
        0.98,
        0.90,
        "a fiftieth left; frameworks that reserve memory leave 10 to 25 %",
    )],
    blind: "the GPU's memory was not sampled (dcgm-exporter: DCGM_FI_DEV_FB_USED and FB_FREE)",
    advice: "smaller batches, a smaller or quantized model, or a GPU with more memory; see first whether the framework reserves it",
    ..BLANK
};
