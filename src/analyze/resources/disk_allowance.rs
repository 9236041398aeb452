//! What a cloud grants an instance and its volumes on storage.

use super::{BLANK, Counts, Resource, level, saturation};

const EXCEEDED: &str = "a quarter of the time, as for a CPU quota (Amazon EBS, detailed performance statistics: time in which the demand exceeded what is provisioned)";

pub(super) static RESOURCE: Resource = Resource {
    name: "disk-allowance",
    title: "the storage allowance of {device}",
    means: "The cloud holds back a volume, or all volumes of an instance, because the operations or bytes per second that are paid for are used up.",
    usual: "a volume with too few provisioned operations or bytes per second, an instance type with less than its volumes have, spent burst credits",
    utilization: &[level(
        "disk_burst_used",
        0.99,
        0.80,
        "all burst credits spent; near from where a fifth is left (Amazon EBS, burst balance)",
    )],
    saturation: &[
        saturation("disk_allowance_volume", 0.25, Counts::Alone, EXCEEDED),
        saturation("disk_allowance_instance", 0.25, Counts::Alone, EXCEEDED),
    ],
    own: Some(("load_disk_bytes", "disk_bytes")),
    blind: "the cloud's storage allowance was not sampled: on EC2 the volumes count it (the EBS CSI driver's node metrics); other clouds do not show it",
    advice: "provision more operations or bytes per second for the volume, or take an instance type with more for all of its volumes",
    ..BLANK
};
