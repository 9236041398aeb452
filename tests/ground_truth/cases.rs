//! The labelled set. Every label is a limit that the case installs, written
//! before anything ran; every positive has a negative at about half its limit.

use crate::{
    case::{
        AT_LIMIT, Case, FULL,
        Half::{Score, Tune},
        NONE, SATURATED, UNSEEN, is, negative, positive,
    },
    lab::Part::{Disk, Fs, Io, Memory, Pair, Quota, Shaper, Shm, Swap, SwapDisk, Tasks},
};

const CPU: &[&str] = &["cpu"];
const CORE: &[&str] = &["cpu-core"];
const AFFINITY: &[&str] = &["cpu-affinity"];
const QUOTA: &[&str] = &["cpu-quota"];
const LIMIT: &[&str] = &["memory-limit"];
const DISK: &[&str] = &["disk"];
const IO: &[&str] = &["io-limit"];
const NETWORK: &[&str] = &["network"];

/// Reads of 4 KiB from the lab's disk or file.
macro_rules! fio {
    ($words:literal) => {
        concat!("exec fio --name=x --time_based --runtime=120 --size=200M --direct=1 --output=/dev/null ", $words)
    };
}
macro_rules! iperf {
    ($words:literal) => {
        concat!(
            "ip netns exec c iperf3 -s >/dev/null & sleep 0.3; exec iperf3 -c 10.99.0.2 -t 120 ",
            $words
        )
    };
}
/// The loop disk allows 300 reads a second.
const SLOW: &[crate::lab::Part] = &[Disk("read_iops", 300)];
const THROTTLED: &[crate::lab::Part] = &[Io("read_iops", 300)];
const SHAPED: &[crate::lab::Part] = &[Pair, Shaper("rate 50mbit burst 32kb latency 50ms")];
/// 95 of 96 MiB.
const GROUP_IS_FULL: &str = "cd ${LIMIT%/*}; [ $(cat memory.usage_in_bytes 2>/dev/null || cat memory.current) -ge 99614720 ]";
/// 990 of 1,000.
const PORTS_ARE_USED: &str =
    "ip netns exec c awk '/^TCP:/ {exit !($3 + $7 >= 990)}' /proc/net/sockstat";
const LAID_DOWN: &str = "dd if=/dev/urandom of=$DIR/data bs=1M count=200 oflag=direct status=none";

#[rustfmt::skip]
pub(crate) static ALL: &[Case] = &[
    // Nothing.
    negative("idle", "idle", Tune, &[], "exec sleep 120"),
    // As many workers as cores: full, and nothing waits. (Two cores.)
    positive("stress-a-core", "cpu-all", Tune, is(CPU, FULL), &[], "exec stress -c $(nproc)"),
    positive("int64-a-core", "cpu-all", Tune, is(CPU, FULL), &[], "exec stress-ng --cpu $(nproc) --cpu-method int64"),
    positive("sysbench-a-core", "cpu-all", Tune, is(CPU, FULL), &[], "exec sysbench cpu --threads=$(nproc) --time=120 run"),
    negative("half-a-core-each", "cpu-all", Tune, &[], "exec stress-ng --cpu $(nproc) --cpu-load 45"),
    // Four workers a core: three of four wait.
    positive("stress-four-a-core", "cpu-queue", Score, is(CPU, SATURATED), &[], "exec stress -c $(($(nproc) * 4))"),
    positive("matrix-four-a-core", "cpu-queue", Score, is(CPU, SATURATED), &[], "exec stress-ng --cpu $(($(nproc) * 4)) --cpu-method matrixprod"),
    positive("sysbench-four-a-core", "cpu-queue", Score, is(CPU, SATURATED), &[], "exec sysbench cpu --threads=$(($(nproc) * 4)) --time=120 run"),
    positive("our-stress-four-a-core", "cpu-queue", Score, is(CPU, SATURATED), &[], "exec $STRESS -c $(($(nproc) * 4))"),
    negative("eight-light", "cpu-queue", Score, &[], "exec stress-ng --cpu $(($(nproc) * 4)) --cpu-load 10"),
    positive("pipes", "cpu-switch", Score, is(CPU, AT_LIMIT), &[], "exec stress-ng --pipe 4"),
    // What else takes all cores.
    positive("niced", "cpu-other", Score, is(CPU, SATURATED), &[], "exec nice -n 19 stress -c $(($(nproc) * 4))"),
    positive("touching", "cpu-other", Score, is(CPU, AT_LIMIT), &[], "exec stress --vm $(($(nproc) * 2)) --vm-bytes 64M"),
    positive("forks", "cpu-other", Score, is(CPU, AT_LIMIT), &[], "exec stress-ng --fork $(($(nproc) * 2))"),
    negative("forks-few", "cpu-other", Score, &[], "while :; do /bin/true; sleep 0.05; done"),
    // One thread.
    positive("one-pinned", "one-core", Tune, is(CORE, FULL), &[], "exec taskset -c 0 stress -c 1"),
    positive("one-free", "one-core", Tune, is(CORE, FULL), &[], "exec stress-ng --cpu 1"),
    negative("half-a-core", "one-core", Tune, &[], "exec taskset -c 0 stress-ng --cpu 1 --cpu-load 45"),
    // Threads that take turns: one core's worth, on whichever cores.
    positive("turns", "one-lock", Tune, is(CORE, FULL), &[], "exec $SELF helper turns 4 0").seen_from_afar_as(is(&["none", "cpu-core"], &["none", "full"])),
    negative("turns-half", "one-lock", Tune, &[], "exec $SELF helper turns 4 5"),
    // Many on one core.
    positive("four-on-core-0", "affinity", Score, is(AFFINITY, SATURATED), &[], "exec taskset -c 0 stress -c 4"),
    positive("eight-on-core-1", "affinity", Score, is(AFFINITY, SATURATED), &[], "exec taskset -c 1 stress-ng --cpu 8"),
    negative("two-light-on-core-1", "affinity", Score, &[], "exec taskset -c 1 stress-ng --cpu 2 --cpu-load 22"),
    // CPU quotas.
    positive("quota-half-core", "quota", Tune, is(QUOTA, SATURATED).on("lab"), &[Quota(0.5)], "exec stress-ng --cpu 2").seen_from_afar_as(is(QUOTA, SATURATED)),
    positive("quota-one-core", "quota", Tune, is(QUOTA, SATURATED).on("lab"), &[Quota(1.0)], "exec stress -c 4").seen_from_afar_as(is(QUOTA, SATURATED)),
    negative("quota-half-used", "quota", Tune, &[Quota(1.0)], "exec stress-ng --cpu 1 --cpu-load 45"),
    negative("quota-on-an-idle-host", "quota", Tune, &[Quota(0.1)], "exec sleep 120"),
    // Traps of the load average and of bursts.
    negative("load-average-50", "load-average", Score, &[], "exec $SELF helper uninterruptible 50"),
    negative("idle-threads-2000", "idle-threads", Score, &[], "exec $SELF helper idle-threads 2000"),
    negative("bursts", "bursts", Score, &[], "exec $SELF helper bursts 8 60 1000"),
    // Memory limits of a cgroup.
    positive("oom-in-cgroup", "memory-limit", Tune, is(LIMIT, SATURATED).on("lab"), &[Memory(128)], "while :; do stress --vm 1 --vm-bytes 400M -t 30; sleep 0.1; done").seen_from_afar_as(is(LIMIT, SATURATED)),
    positive("swap-in-cgroup", "memory-limit", Tune, is(LIMIT, SATURATED).on("lab"), &[Swap, Memory(200)], "exec stress-ng --vm 2 --vm-bytes 320M --vm-keep --vm-method rand-set").seen_from_afar_as(is(LIMIT, SATURATED)),
    positive("slow-swap", "cascade", Score, is(LIMIT, SATURATED).on("lab"), &[Disk("read_bps", 8 << 20), SwapDisk, Memory(200)], "exec stress-ng --vm 1 --vm-bytes 300M --vm-keep --vm-method rand-set").seen_from_afar_as(is(&["memory-limit", "memory"], SATURATED)),
    negative("half-a-memory-limit", "memory-limit", Tune, &[Memory(512)], "exec stress --vm 1 --vm-bytes 220M --vm-hang 120"),
    positive("cache-thrash", "cache-limit", Score, is(LIMIT, SATURATED).on("lab"), &[Memory(96)], "exec fio --name=x --time_based --runtime=120 --filename=data --size=200M --rw=randread --bs=64k --numjobs=4 --ioengine=psync --invalidate=0 --output=/dev/null").after(LAID_DOWN).reached_when(GROUP_IS_FULL).seen_from_afar_as(is(LIMIT, SATURATED)),
    negative("cache-fits", "cache-limit", Score, &[Memory(512)], "exec fio --name=x --time_based --runtime=120 --filename=data --size=200M --rw=randread --bs=64k --rate=20m --ioengine=psync --invalidate=0 --output=/dev/null").after(LAID_DOWN),
    negative("swap-used-and-idle", "swap-idle", Score, &[Swap, Memory(100)], "exec sleep 120").after("stress --vm 1 --vm-bytes 180M --vm-hang 200 >/dev/null 2>&1 & sleep 3; echo 1000000000 > $LIMIT"),
    negative("page-cache-full", "page-cache", Score, &[], "exec fio --name=x --time_based --runtime=120 --filename=data --size=200M --rw=randread --bs=4k --rate_iops=200 --ioengine=psync --output=/dev/null").after("dd if=/dev/urandom of=data bs=1M count=1500 status=none && cat data >/dev/null"),
    // A disk of exactly 300 reads a second.
    positive("disk-async", "disk-iops", Tune, is(DISK, SATURATED).on("$DISK"), SLOW, fio!("--filename=$DISK --rw=randread --bs=4k --ioengine=libaio --iodepth=16")),
    positive("disk-sync", "disk-iops", Tune, is(DISK, SATURATED).on("$DISK"), SLOW, fio!("--filename=$DISK --rw=randread --bs=4k --ioengine=psync --numjobs=8")),
    negative("disk-a-third", "disk-iops", Tune, SLOW, fio!("--filename=$DISK --rw=randread --bs=4k --ioengine=psync --rate_iops=100")),
    positive("disk-bytes", "disk-bytes", Score, is(DISK, SATURATED).on("$DISK"), &[Disk("write_bps", 8 << 20)], fio!("--filename=$DISK --rw=write --bs=64k --ioengine=psync --numjobs=4")),
    positive("disk-bytes-async", "disk-bytes", Score, is(DISK, SATURATED).on("$DISK"), &[Disk("read_bps", 8 << 20)], fio!("--filename=$DISK --rw=read --bs=128k --ioengine=libaio --iodepth=8")),
    negative("disk-bytes-half", "disk-bytes", Score, &[Disk("write_bps", 8 << 20)], fio!("--filename=$DISK --rw=write --bs=64k --ioengine=psync --rate=4m")),
    negative("busy-at-depth-one", "depth-one", Score, &[], fio!("--filename=data --rw=randread --bs=4k --ioengine=psync --rate_iops=1500")).after(LAID_DOWN),
    negative("buffered-writes", "buffered", Score, &[], "while :; do dd if=/dev/zero of=data bs=1M count=40 conv=notrunc status=none; sleep 1; done"),
    // Limits before the real disk.
    positive("io-limit-sync", "io-limit", Score, is(IO, SATURATED).on("lab"), THROTTLED, fio!("--filename=data --rw=randread --bs=4k --ioengine=psync --numjobs=8")).after(LAID_DOWN).seen_from_afar_as(is(IO, SATURATED)),
    positive("io-limit-dd", "io-limit", Score, is(IO, SATURATED).on("lab"), &[Io("write_bps", 8 << 20)], "while :; do dd if=/dev/zero of=data bs=1M count=100 oflag=direct conv=notrunc status=none; done").seen_from_afar_as(is(IO, SATURATED)),
    negative("io-limit-third", "io-limit", Score, THROTTLED, fio!("--filename=data --rw=randread --bs=4k --ioengine=psync --rate_iops=100")).after(LAID_DOWN),
    // Two at once, and in turn.
    positive("cpu-and-disk", "two", Score, is(&["cpu", "disk"], SATURATED), SLOW, "stress -c 8 >/dev/null & exec fio --name=x --time_based --runtime=120 --size=200M --direct=1 --filename=$DISK --rw=randread --bs=4k --ioengine=libaio --iodepth=16 --output=/dev/null"),
    // Space.
    positive("no-space", "space", Tune, is(&["filesystem"], AT_LIMIT).on("$FS"), &[Fs(40, 0)], "while :; do dd if=/dev/zero of=$FS/x bs=1M count=100 status=none || : > $DIR/refused; sleep 0.5; done").reached_when("[ -e $DIR/refused ]"),
    negative("space-half", "space", Tune, &[Fs(40, 0)], "dd if=/dev/zero of=$FS/x bs=1M count=16 status=none; exec sleep 120"),
    positive("no-shm", "shm", Score, is(&["filesystem"], AT_LIMIT).on("$FS"), &[Shm(40)], "while :; do dd if=/dev/zero of=$FS/x bs=1M count=100 status=none; sleep 0.5; done"),
    negative("shm-half", "shm", Score, &[Shm(40)], "dd if=/dev/zero of=$FS/x bs=1M count=18 status=none; exec sleep 120"),
    positive("no-inodes", "inodes", Score, is(&["inodes"], AT_LIMIT).on("$FS"), &[Fs(40, 512)], "i=0; while :; do i=$((i + 1)); : > $FS/$i || sleep 0.2; done"),
    negative("inodes-half", "inodes", Score, &[Fs(40, 512)], "i=0; while [ $i -lt 230 ]; do i=$((i + 1)); : > $FS/$i; done; exec sleep 120"),
    // Links.
    positive("shaper", "shaper", Tune, is(NETWORK, SATURATED).on("a0"), SHAPED, iperf!("-P 4")),
    negative("shaper-half", "shaper", Tune, SHAPED, iperf!("-b 25M")),
    positive("short-queue", "queue-drops", Score, is(NETWORK, SATURATED).on("a0"), &[Pair, Shaper("rate 20mbit burst 5kb limit 6000")], iperf!("-P 4")),
    negative("short-queue-half", "queue-drops", Score, &[Pair, Shaper("rate 20mbit burst 64kb limit 200000")], iperf!("-b 9M -l 1400")),
    positive("veth", "veth", Score, is(&["cpu", "cpu-core"], AT_LIMIT), &[Pair], iperf!("-P 4")),
    negative("veth-light", "veth", Score, &[Pair], iperf!("-b 300M")),
    // Sockets.
    positive("accept-queue", "listen", Tune, is(&["tcp-listen"], SATURATED), &[], "exec $SELF helper listen 1"),
    negative("accept-queue-served", "listen", Tune, &[], "exec $SELF helper listen 0"),
    positive("udp-buffer", "udp", Score, is(&["udp-receive"], SATURATED), &[], "exec $SELF helper udp 1"),
    negative("udp-buffer-read", "udp", Score, &[], "exec $SELF helper udp 0"),
    positive("ports", "ports", Score, is(&["ports"], AT_LIMIT), &[Pair], "ip netns exec c sysctl -qw net.ipv4.ip_local_port_range='20000 20999'; $SELF helper serve & sleep 0.3; exec ip netns exec c $SELF helper connect 10.99.0.1:7000").reached_when(PORTS_ARE_USED).seen_from_afar_as(is(&["none", "unknown", "ports"], &["none", "unknown", "full", "near"])),
    // A process's own limit of open files.
    positive("process-files", "process-files", Tune, is(&["file-descriptors"], FULL), &[], "ulimit -n 256; exec $SELF helper files 256").seen_from_afar_as(UNSEEN),
    negative("process-files-half", "process-files", Tune, &[], "ulimit -n 256; exec $SELF helper files 110"),
    // Tasks, and what no resource explains.
    positive("tasks", "tasks", Score, is(&["pids"], AT_LIMIT).on("lab"), &[Tasks(64)], "i=0; while [ $i -lt 62 ]; do i=$((i + 1)); sleep 120 & done; while :; do sleep 120 & sleep 0.3; done").seen_from_afar_as(UNSEEN),
    negative("tasks-half", "tasks", Score, &[Tasks(64)], "i=0; while [ $i -lt 28 ]; do i=$((i + 1)); sleep 120 & done; wait"),
    // Our own generator, which takes its load away and gives it back: a verdict
    // that follows is confirmed, one that is someone else's is not.
    positive("confirm-cpu", "intervention", Score, is(CPU, SATURATED), &[], "").with_our("kind = 'cpu'\nworkers = '4x-cores'"),
    positive("confirm-vector", "intervention", Score, is(CPU, SATURATED), &[], "").with_our("kind = 'cpu'\nworkers = '2x-cores'\nmethod = 'vector'"),
    positive("confirm-switch", "intervention", Score, is(CPU, AT_LIMIT), &[], "").with_our("kind = 'switch'\nworkers = '2x-cores'"),
    positive("confirm-affinity", "intervention", Score, is(AFFINITY, SATURATED), &[], "").with_our("kind = 'cpu'\nworkers = 4\ncores = [0]"),
    positive("confirm-quota", "intervention", Score, is(QUOTA, SATURATED), &[], "").with_our("kind = 'cpu'\nworkers = 2\n[phase.load.cgroup]\ncpu = 0.5"),
    positive("confirm-io-limit", "intervention", Score, is(IO, SATURATED), &[], "").with_our("kind = 'disk'\nworkers = 4\nfile_size = '64M'\noperation = 'read'\naccess = 'random'\ndirect = true\n[phase.load.cgroup]\nread_bytes = '4M'"),
    positive("confirm-with-foreign", "intervention", Score, is(CPU, SATURATED), &[], "exec stress -c 16").with_our("kind = 'cpu'\nworkers = 1"),
    negative("confirm-half", "intervention", Score, &[], "").with_our("kind = 'cpu'\nload = 40"),
    negative("confirm-quota-half", "intervention", Score, &[], "").with_our("kind = 'cpu'\nworkers = 1\nload = 22\n[phase.load.cgroup]\ncpu = 0.5"),
    Case { label: NONE, ..negative("lock", "application", Score, &[], "exec $SELF helper lock") },
];
