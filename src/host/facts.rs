//! What the report says of a machine.

use nix::unistd::gethostname;

use super::{Roots, allowed_cores, cgroup::Groups, memory::meminfo};
use crate::model::run::HostFacts;

/// The node name of this machine, as `uname -n` has it.
pub fn hostname() -> String {
    gethostname()
        .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Read everything. What cannot be read stays empty; what cannot be observed
/// here is listed with its reason.
pub fn read(roots: &Roots) -> HostFacts {
    let groups = Groups::of_self(roots);
    let cpuinfo = roots.proc_text("cpuinfo").unwrap_or_default();
    let stat = roots.proc_text("stat").unwrap_or_default();
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let cores =
        stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    HostFacts {
        hostname: hostname(),
        kernel: roots.proc_text("sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        os: field(&os, "PRETTY_NAME=").trim_matches('"').to_owned(),
        cpu_model: cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
            .unwrap_or_default(),
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        cores_allowed: u32::try_from(allowed_cores().len()).unwrap_or(u32::MAX),
        memory_bytes: roots
            .proc_text("meminfo")
            .and_then(|text| meminfo(&text, "MemTotal"))
            .unwrap_or_default(),
        cgroup: groups.interface.to_owned(),
        limits: groups.in_words(),
        absent: absent(roots),
        vendor: vendor(roots).unwrap_or_default(),
        gpus: gpus(roots),
    }
}

/// Who made the machine, as the firmware's DMI table has it.
pub fn vendor(roots: &Roots) -> Option<String> {
    roots.sys_text("class/dmi/id/sys_vendor").filter(|vendor| !vendor.is_empty())
}

/// GPUs on the PCI bus that compute: display controllers (class 03) of NVIDIA, and 3D
/// controllers and processing accelerators (classes 0302, 0380 and 1200) of AMD and Intel.
/// The graphics chip of a server's console is none.
fn gpus(roots: &Roots) -> u32 {
    let devices = std::fs::read_dir(roots.sys.join("bus/pci/devices"));
    let is_gpu = |name: &std::path::Path| {
        let number = |file: &str| {
            let text = roots.sys_text(name.join(file))?;
            u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
        };
        let (Some(class), Some(vendor)) = (number("class"), number("vendor")) else {
            return false;
        };
        match vendor {
            0x10de => class >> 16 == 0x03,
            0x1002 | 0x8086 => [0x0302, 0x0380, 0x1200].contains(&(class >> 8)),
            _ => false,
        }
    };
    let count = devices.into_iter().flatten().flatten().filter(|one| is_gpu(&one.path())).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn field<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("")
}

fn absent(roots: &Roots) -> Vec<String> {
    let mut absent = Vec::new();
    absent.extend(pressure_absent(roots));
    if roots.proc_text("schedstat").is_none() {
        absent.push("run-queue wait: the kernel has no /proc/schedstat".to_owned());
    }
    absent
}

/// Why pressure cannot be read, if it cannot. A kernel that was booted with psi=0 shows
/// the files and refuses to read or to open them.
fn pressure_absent(roots: &Roots) -> Option<String> {
    let mut refused: Vec<(&str, std::io::Error)> = Vec::new();
    for name in ["cpu", "memory", "io"] {
        let file = roots.proc.join("pressure").join(name);
        if let Err(error) = std::fs::read_to_string(file) {
            refused.push((name, error));
        }
    }
    let (_, error) = refused.first()?;
    let why = match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "the kernel has no /proc/pressure; one with CONFIG_PSI, booted with psi=1, shows waiting"
                .to_owned()
        }
        Some(libc::EOPNOTSUPP) => {
            "the kernel has it switched off; check permissions, container restrictions on /proc/pressure, and that the kernel runs with psi=1".to_owned()
        }
        _ => format!("/proc/pressure cannot be read: {error}; check permissions, container restrictions on /proc/pressure, and that the kernel runs with psi=1"),
    };
    let names: Vec<&str> = refused.iter().map(|(name, _)| *name).collect();
    let of = if names.len() == 3 { String::new() } else { format!(" of {}", names.join(" and ")) };
    Some(format!("pressure (PSI){of}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_cores() {
        let facts = read(&Roots::default());
        assert!(!facts.hostname.is_empty());
        assert!(facts.cores >= 1);
        assert!(facts.memory_bytes > 0);
    }

    #[test]
    fn a_gpu_is_no_graphics_chip_of_a_console() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        for (at, class, vendor) in [
            ("00:02.0", "0x030000", "0x1a03"),
            ("00:03.0", "0x030200", "0x10de"),
            ("00:04.0", "0x020000", "0x10de"),
            ("00:05.0", "0x030000", "0x8086"),
        ] {
            let device = folder.path().join("bus/pci/devices").join(at);
            std::fs::create_dir_all(&device).unwrap();
            std::fs::write(device.join("class"), format!("{class}\n")).unwrap();
            std::fs::write(device.join("vendor"), format!("{vendor}\n")).unwrap();
        }
        assert_eq!(gpus(&roots), 1);
        std::fs::create_dir_all(folder.path().join("class/dmi/id")).unwrap();
        std::fs::write(folder.path().join("class/dmi/id/sys_vendor"), "Amazon EC2\n").unwrap();
        assert_eq!(read(&roots).vendor, "Amazon EC2");
    }

    #[test]
    fn a_machine_without_psi_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        assert!(read(&roots).absent.iter().any(|line| line.contains("PSI")));
    }

    #[test]
    fn pressure_that_refuses_to_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        std::fs::create_dir_all(folder.path().join("pressure/io")).unwrap();
        for name in ["cpu", "memory"] {
            std::fs::write(folder.path().join("pressure").join(name), "some\n").unwrap();
        }
        let absent = read(&roots).absent.join(" ");
        assert!(absent.contains("PSI) of io: /proc/pressure cannot be read"), "{absent}");
    }
}
