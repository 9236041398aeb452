//! What is compared with whom.

use super::{
    Figure,
    measure::{
        Beside, after, at, c_program, file, group_cpu_percent, lines_ms, our_group_cpu_percent,
        ours, parent, shell, start_ms, stop_ms, stress_ng, unevenness, usage,
    },
};

/// What a row must reach.
#[derive(Debug, Clone, Copy)]
pub(super) enum Better {
    /// Ours by theirs is at least this.
    Ratio(f64),
    /// Ours is at most this.
    AtMost(f64),
}

/// One comparison.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) peer: &'static str,
    /// The peer's command line.
    pub(super) command: String,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) ours: Box<dyn Fn() -> Figure>,
    pub(super) theirs: Box<dyn Fn() -> Figure>,
}

fn row(
    what: impl Into<String>,
    (peer, command): (&'static str, impl Into<String>),
    (unit, better): (&'static str, Better),
    ours: impl Fn() -> Figure + 'static,
    theirs: impl Fn() -> Figure + 'static,
) -> Row {
    Row {
        what: what.into(),
        peer,
        command: command.into(),
        unit,
        better,
        ours: Box::new(ours),
        theirs: Box::new(theirs),
    }
}

const GIB: f64 = 1_073_741_824.0;
const FULL_S: f64 = 10.0;

pub(super) fn all() -> Vec<Row> {
    let mut rows = cpu();
    rows.extend(memory());
    rows.extend(disk());
    rows.extend(network());
    rows.extend(process());
    rows
}

/// What `stress -c` does all day: rand(3), as its square root is optimised away.
const RAND: &str = "#include <stdio.h>\n#include <stdlib.h>\n#include <time.h>\nint main(void){struct timespec t;unsigned long n=0,s=0;do{for(int i=0;i<1000000;i++)s+=rand();n+=1000000;clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&t);}while(t.tv_sec<2);volatile unsigned long k=s;(void)k;printf(\"%f\\n\",n/(t.tv_sec+t.tv_nsec/1e9));}";
const MEMSET: &str = "#include <stdio.h>\n#include <string.h>\n#include <sys/mman.h>\n#include <time.h>\nint main(void){size_t n=512UL<<20;char*p=mmap(0,n,3,34,-1,0);memset(p,1,n);struct timespec a,b;double e;long k=0;clock_gettime(CLOCK_MONOTONIC,&a);do{memset(p,k&255,n);__asm__ volatile(\"\"::\"r\"(p):\"memory\");k++;clock_gettime(CLOCK_MONOTONIC,&b);e=b.tv_sec-a.tv_sec+(b.tv_nsec-a.tv_nsec)/1e9;}while(e<2);printf(\"%f\\n\",k*0.5/e);}";
/// What `stress -i` does all day.
const SYNC: &str = "#include <stdio.h>\n#include <time.h>\n#include <unistd.h>\nint main(void){struct timespec a,b;double e;long k=0;clock_gettime(CLOCK_MONOTONIC,&a);do{sync();k++;clock_gettime(CLOCK_MONOTONIC,&b);e=b.tv_sec-a.tv_sec+(b.tv_nsec-a.tv_nsec)/1e9;}while(e<3);printf(\"%f\\n\",k/e);}";
/// Multiply-adds of doubles per second at the most: the clock, measured by a
/// chain of multiplications (3 cycles each), times the lanes of two FMA units.
const PEAK: &str = "#include <stdio.h>\n#include <string.h>\n#include <time.h>\nint main(void){struct timespec a,b;unsigned long x=3;long n=300000000;clock_gettime(CLOCK_MONOTONIC,&a);for(long i=0;i<n;i++)__asm__ volatile(\"imul %0,%0\":\"+r\"(x));clock_gettime(CLOCK_MONOTONIC,&b);double hz=3.0*n/(b.tv_sec-a.tv_sec+(b.tv_nsec-a.tv_nsec)/1e9);char m[256]=\"\",l[256];FILE*f=fopen(\"/proc/cpuinfo\",\"r\");int fam=0;while(fgets(l,256,f))if(sscanf(l,\"cpu family : %d\",&fam)==1)break;(void)m;/* 512-bit units: two on family 26 (Zen 5), two halves on family 25 (Zen 4) */int lanes=fam==26?16:8;printf(\"%f\\n\",hz*lanes);}";

fn cpu() -> Vec<Row> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut rows = vec![
        row(
            "all cores at 100 %: CPU time of its own cgroup",
            ("stress -c", format!("stress -c {cores} -t 60, for {FULL_S} s of them")),
            ("%", Better::Ratio(1.0)),
            || our_group_cpu_percent("kind = \"cpu\"", FULL_S),
            move || {
                let mut stress = std::process::Command::new("stress");
                group_cpu_percent(stress.args(["-c", &cores.to_string(), "-t", "60"]), FULL_S)
            },
        ),
        row(
            "square roots per CPU second",
            ("the loop of stress -c", "rand(3) in C, -O2"),
            ("M/s", Better::Ratio(2.0)),
            || {
                let done = ours("kind = \"cpu\"\nworkers = 1", 2.0)?;
                Ok(at(&done, "/operations_per_s")? * 2.0 / at(&done, "/cpu_s")? / 1e6)
            },
            || Ok(c_program("rand", RAND)? / 1e6),
        ),
        row(
            "vector multiply-adds per second",
            ("the core's peak", "clock by a chain of imul, times lanes of the FMA units"),
            ("G/s", Better::Ratio(0.85)),
            || {
                let done = ours("kind = \"cpu\"\nworkers = 1\nmethod = \"vector\"", 2.0)?;
                Ok(at(&done, "/operations_per_s")? / 1e9)
            },
            || Ok(c_program("peak", PEAK)? / 1e9),
        ),
    ];
    for load in [5.0, 25.0, 37.0, 50.0, 75.0, 95.0] {
        let command = format!("--cpu {cores} --cpu-load {load} -t {FULL_S}");
        rows.push(row(
            format!("load {load} %: error over 10 s"),
            ("stress-ng", format!("stress-ng {command}")),
            ("points", Better::AtMost(0.3)),
            move || {
                let done = ours(&format!("kind = \"cpu\"\nload = {load}"), FULL_S)?;
                Ok((at(&done, "/achieved")? * 100.0 - load).abs())
            },
            move || {
                let busy = stress_ng(&command, "cpu", 2)?;
                Ok((busy / FULL_S / cores as f64 * 100.0 - load).abs())
            },
        ));
    }
    for load in [5, 37] {
        rows.push(row(
            format!("load {load} %: deviation over 100 ms"),
            ("stress-ng", format!("stress-ng --cpu {cores} --cpu-load {load}")),
            ("points", Better::AtMost(1.0)),
            move || {
                let running = Beside::ours(&format!("kind = \"cpu\"\nload = {load}"), 12.0)?;
                Ok(unevenness(&running, "stressor-cpu", 50))
            },
            move || {
                let running =
                    Beside::start(&format!("stress-ng --cpu {cores} --cpu-load {load} -t 12"))?;
                Ok(unevenness(&running, "stress-ng-cpu", 50))
            },
        ));
    }
    rows.push(row(
        "load 37 % against a hog a core: error",
        ("stress-ng", format!("stress-ng --cpu {cores} --cpu-load 37 beside stress -c {cores}")),
        ("points", Better::AtMost(1.0)),
        move || {
            let _hogs = Beside::start(&format!("stress -c {cores}"))?;
            let done = ours("kind = \"cpu\"\nload = 37", FULL_S)?;
            Ok((at(&done, "/achieved")? * 100.0 - 37.0).abs())
        },
        move || {
            let _hogs = Beside::start(&format!("stress -c {cores}"))?;
            let busy = stress_ng(&format!("--cpu {cores} --cpu-load 37 -t {FULL_S}"), "cpu", 2)?;
            Ok((busy / FULL_S / cores as f64 * 100.0 - 37.0).abs())
        },
    ));
    rows
}

fn memory() -> Vec<Row> {
    let bandwidth = |way: &'static str| {
        move || {
            let load =
                format!("kind = \"memory\"\nworkers = 1\nsize = \"512M\"\nbandwidth = \"{way}\"");
            Ok(at(&ours(&load, 2.0)?, "/bytes_per_s")? / GIB)
        }
    };
    let churn = |extra: &'static str| {
        move || {
            let load =
                format!("kind = \"memory\"\nworkers = 1\nsize = \"256M\"\nkeep = false\n{extra}");
            let done = ours(&load, 3.0)?;
            Ok(at(&done, "/bytes_per_s")? * 3.0 / at(&done, "/cpu_s")? / GIB)
        }
    };
    let stress_vm = || {
        let (cpu, faults) = usage("stress --vm 1 --vm-bytes 256M -t 3")?;
        Ok(faults * 4096.0 / cpu / GIB)
    };
    vec![
        row(
            "pages faulted in per CPU second",
            ("stress --vm", "stress --vm 1 --vm-bytes 256M -t 3"),
            ("GiB/s", Better::Ratio(1.0)),
            churn(""),
            stress_vm,
        ),
        row(
            "memory mapped, touched and freed per CPU second",
            ("stress-ng --vm", "stress-ng --vm 1 --vm-bytes 256M --vm-method write64 -t 3"),
            ("GiB/s", Better::Ratio(1.0)),
            churn(""),
            || {
                // One bogo operation is one MiB. Its count of faults says less:
                // it first reads pages in, which only maps the zero page.
                let arguments = "--vm 1 --vm-bytes 256M --vm-method write64 -t 3";
                let (bogo, user, system) = (
                    stress_ng(arguments, "vm", 0)?,
                    stress_ng(arguments, "vm", 2)?,
                    stress_ng(arguments, "vm", 3)?,
                );
                Ok(bogo / (user + system) / 1024.0)
            },
        ),
        row(
            "the same in huge pages",
            ("stress --vm", "stress --vm 1 --vm-bytes 256M -t 3"),
            ("GiB/s", Better::Ratio(1.3)),
            churn("huge_pages = true"),
            stress_vm,
        ),
        row(
            "memory writes",
            (
                "stress-ng write64",
                "stress-ng --vm 1 --vm-bytes 512M --vm-method write64 --vm-keep -t 3",
            ),
            ("GiB/s", Better::Ratio(2.0)),
            bandwidth("write"),
            || {
                let bogo = stress_ng(
                    "--vm 1 --vm-bytes 512M --vm-method write64 --vm-keep -t 3",
                    "vm",
                    4,
                )?;
                // One bogo operation is one MiB.
                Ok(bogo / 1024.0)
            },
        ),
        row(
            "memory writes, against memset",
            ("memset(3)", "512 MiB in C, -O2"),
            ("GiB/s", Better::Ratio(0.95)),
            bandwidth("write"),
            || c_program("memset", MEMSET),
        ),
        row(
            "memory triad",
            ("stress-ng --stream", "stress-ng --stream 1 -t 8"),
            ("GiB/s", Better::Ratio(1.0)),
            bandwidth("triad"),
            || {
                let text = shell("stress-ng --stream 1 --metrics -t 8 2>&1")?;
                Ok(after(&text, "memory rate: ")? * 1e6 / GIB)
            },
        ),
    ]
}

fn disk() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, operation, access, block, depth) in [
        ("random 4 KiB reads, depth 32", "read", "random", "4K", 32),
        ("random 4 KiB writes, depth 32", "write", "random", "4K", 32),
        ("sequential 1 MiB reads, depth 8", "read", "sequential", "1M", 8),
        ("sequential 1 MiB writes, depth 8", "write", "sequential", "1M", 8),
    ] {
        let mode = match (operation, access) {
            ("read", "random") => "randread",
            ("write", "random") => "randwrite",
            (operation, _) => operation,
        };
        let command = format!(
            "taskset -c 0 fio --name=peer --filename=disk.tmp --size=512M --rw={mode} --bs={} --direct=1 --ioengine=io_uring --iodepth={depth} --runtime=4 --time_based",
            block.to_lowercase()
        );
        rows.push(row(
            what,
            ("fio", command.clone()),
            ("MiB/s on the device", Better::Ratio(0.98)),
            move || {
                let load = format!(
                    "kind = \"disk\"\noperation = \"{operation}\"\naccess = \"{access}\"\nblock_size = \"{block}\"\ndepth = {depth}\ndirect = true\nfile = \"{}\"\nfile_size = \"512M\"\noverwrite = true\ncores = [0]",
                    file(512 << 20)?.display()
                );
                Ok(at(&ours(&load, 4.0)?, "/device_bytes_per_s")? / 1_048_576.0)
            },
            move || {
                let text = shell(&format!("{command} --output-format=json"))?;
                let start = text.find('{').ok_or("fio printed no JSON")?;
                let mut documents =
                    serde_json::Deserializer::from_str(text.get(start..).unwrap_or("")).into_iter();
                let document: serde_json::Value = documents.next().ok_or("no JSON")??;
                let side = if operation == "read" { "read" } else { "write" };
                Ok(at(&document, &format!("/jobs/0/{side}/bw_bytes"))? / 1_048_576.0)
            },
        ));
    }
    rows.push(row(
        "sync(2) calls per second",
        ("the loop of stress -i", "sync(2) in C, -O2"),
        ("/s", Better::Ratio(1.0)),
        || at(&ours("kind = \"sync\"", 3.0)?, "/operations_per_s"),
        || c_program("sync", SYNC),
    ));
    rows
}

fn network() -> Vec<Row> {
    const URL: &str = "http://127.0.0.1:27182/";
    let server =
        || Beside::ours("kind = \"http\"\nlisten = \"127.0.0.1:27182\"\ncores = [0]", 30.0);
    let requests = move || {
        let _server = server()?;
        let load = format!("kind = \"http\"\nurl = \"{URL}\"\nconnections = 64\ncores = [1]");
        at(&ours_beside(&load)?, "/operations_per_s")
    };
    let peer = move |command: String| {
        move || {
            let _server = server()?;
            after(&shell(&command)?, "Requests/sec:")
        }
    };
    let wrk = format!("taskset -c 1 wrk -t1 -c64 -d4 {URL}");
    let hey = format!("GOMAXPROCS=1 taskset -c 1 hey -c 64 -z 4s {URL}");
    vec![
        row(
            "one TCP stream over loopback",
            ("iperf3", "iperf3 -c 127.0.0.1 -t 4"),
            ("GiB/s", Better::Ratio(1.0)),
            || Ok(at(&ours("kind = \"net\"", 4.0)?, "/bytes_per_s")? / GIB),
            || {
                let _server = Beside::start("iperf3 -s -1 -p 27183")?;
                let text = shell("iperf3 -c 127.0.0.1 -p 27183 -t 4 -J")?;
                let document: serde_json::Value = serde_json::from_str(&text)?;
                Ok(at(&document, "/end/sum_received/bits_per_second")? / 8.0 / GIB)
            },
        ),
        row(
            "HTTP requests, 64 connections, one core a side",
            ("wrk", wrk.clone()),
            ("/s", Better::Ratio(0.8)),
            requests,
            peer(wrk),
        ),
        row(
            "HTTP requests, against hey",
            ("hey", hey.clone()),
            ("/s", Better::Ratio(2.0)),
            requests,
            peer(hey),
        ),
    ]
}

/// Ours while another of ours runs in the same folder.
fn ours_beside(load: &str) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    super::measure::ours_in(&super::measure::folder().join("client"), load, 4.0)
}

fn process() -> Vec<Row> {
    let start = |workers: u32, most: f64| {
        row(
            format!("{workers} spinning workers: from exec until all run"),
            ("stress", format!("stress -v -c {workers} -t 1, until the last has been forked")),
            ("ms", Better::AtMost(most)),
            move || start_ms(workers),
            move || lines_ms(&format!("stress -v -c {workers} -t 1"), "forked", workers as usize),
        )
    };
    let nobody = || ("no peer", "");
    vec![
        start(64, 30.0),
        start(256, 80.0),
        row(
            "stop of 64 workers, one of them stopped: until the last is gone",
            nobody(),
            ("ms", Better::AtMost(50.0)),
            stop_ms,
            || Ok(50.0),
        ),
        row(
            "the program's own CPU beside 64 workers",
            nobody(),
            ("% of a core", Better::AtMost(1.0)),
            || Ok(parent()?.0),
            || Ok(1.0),
        ),
        row(
            "the program's own memory beside 64 workers",
            nobody(),
            ("MiB", Better::AtMost(30.0)),
            || Ok(parent()?.1),
            || Ok(30.0),
        ),
    ]
}
