//! Time that the hypervisor gave to other guests.

use super::{BLANK, Counts, Resource, saturation};

pub(super) static RESOURCE: Resource = Resource {
    name: "cpu-steal",
    title: "the hypervisor",
    means: "The hypervisor gave the time of this machine's cores to others.",
    usual: "an overcommitted host, or spent CPU credits of a burstable instance",
    saturation: &[saturation(
        "cpu_steal",
        0.10,
        Counts::Alone,
        "10 % of time stolen (awesome-prometheus-alerts HostCpuStealNoisyNeighbor)",
    )],
    blind: "steal time was not sampled",
    advice: "the host of this virtual machine is overcommitted or its CPU credits are spent: move it or buy more",
    ..BLANK
};
