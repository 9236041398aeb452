//! Who the nodes are, from where people keep that already: OpenSSH's
//! configuration, and Ansible's inventory as Ansible itself reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::model::text::{self, LONGEST_NAME, short};

/// Includes of ssh's configuration that may stand within one another; its own
/// limit.
const MOST_INCLUDES: usize = 16;

/// A machine of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// What the inventory calls it.
    pub name: String,
    /// Where it is, as far as that is known.
    pub address: Option<String>,
    /// What ssh is told to reach it; `None`: it is only watched.
    pub ssh: Option<String>,
    /// Its `instance` label in Prometheus.
    pub instance: Option<String>,
    /// Groups that it belongs to.
    pub groups: Vec<String>,
}

/// Why an inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// Ansible's program is missing or fails.
    #[error(
        "ansible-inventory -i {inventory} --list: {why}. Where Ansible is not installed, have it write that list on another machine, and give the .json file"
    )]
    Ansible {
        /// The inventory.
        inventory: String,
        /// Why.
        why: String,
    },
    /// The list is none.
    #[error("{inventory} is no list of ansible-inventory: {why}")]
    List {
        /// The inventory.
        inventory: String,
        /// Why.
        why: String,
    },
}

/// The hosts that OpenSSH's configuration names, without patterns. `file`: in
/// place of `~/.ssh/config`.
///
/// # Errors
/// When the file, or one that it includes by name, cannot be read.
pub fn ssh(file: Option<&Path>) -> Result<Vec<Member>, Error> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".ssh");
    let path = file.map_or_else(|| home.join("config"), Path::to_path_buf);
    let mut names = Vec::new();
    read_ssh(&path, &home, 0, &mut names)?;
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names
        .into_iter()
        .map(|name| Member { ssh: Some(name.clone()), name, ..Member::default() })
        .collect())
}

fn read_ssh(path: &Path, home: &Path, depth: usize, names: &mut Vec<String>) -> Result<(), Error> {
    let text =
        fs::read_to_string(path).map_err(|why| Error::File { path: path.to_path_buf(), why })?;
    for line in text.lines() {
        let Some((keyword, rest)) = ssh_line(line) else { continue };
        match keyword.as_str() {
            "host" => names.extend(rest.into_iter().filter(|name| !name.contains(['*', '?', '!']))),
            "include" if depth < MOST_INCLUDES => {
                for pattern in rest {
                    for file in included(&pattern, home) {
                        read_ssh(&file, home, depth + 1, names)?;
                    }
                }
            }
            _ => (),
        }
    }
    Ok(())
}

/// Keyword in lower case, and words, of a line as ssh_config(5) has it.
fn ssh_line(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (keyword, rest) = line.split_at(end);
    if keyword.starts_with('#') {
        return None;
    }
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
    let words = rest.split_whitespace().take_while(|word| !word.starts_with('#'));
    Some((keyword.to_lowercase(), words.map(|word| word.trim_matches('"').to_owned()).collect()))
}

/// Files of an Include: relative to `~/.ssh`, with `*` in the last part.
fn included(pattern: &str, home: &Path) -> Vec<PathBuf> {
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => home.parent().unwrap_or(home).join(rest),
        None => home.join(pattern),
    };
    let (Some(folder), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    let Some((before, after)) = name.split_once('*') else { return vec![path] };
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// Where ssh would connect for a name, by its own reading of its configuration.
pub fn ssh_address(name: &str, file: Option<&Path>) -> Option<String> {
    let program = std::env::var_os("STRESSOR_SSH").unwrap_or(OsString::from("ssh"));
    let mut command = Command::new(program);
    if let Some(file) = file {
        command.arg("-F").arg(file);
    }
    let output = command.args(["-G", "--", name]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("hostname ").map(str::to_owned))
}

/// The hosts of an Ansible inventory: any that `ansible-inventory` reads, or what
/// it has listed into a `.json` file.
///
/// # Errors
/// When it cannot be read.
pub fn ansible(inventory: &str) -> Result<Vec<Member>, Error> {
    let path = Path::new(inventory);
    if path.extension().is_some_and(|extension| extension == "json") {
        let text = fs::read_to_string(path)
            .map_err(|why| Error::File { path: path.to_path_buf(), why })?;
        return ansible_list(inventory, &text);
    }
    let fails = |why: String| Error::Ansible { inventory: inventory.to_owned(), why };
    let output = Command::new("ansible-inventory")
        .args(["-i", inventory, "--list"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fails(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() {
        return Err(fails(if said.is_empty() { output.status.to_string() } else { said }));
    }
    let members = ansible_list(inventory, &String::from_utf8_lossy(&output.stdout))?;
    // It warns of what it cannot read, and lists nothing.
    if members.is_empty() && !said.is_empty() {
        return Err(fails(said));
    }
    Ok(members)
}

/// Steps from group to group that are followed in one list: ten thousand groups within ten
/// others each need a hundredth of it.
const MOST_STEPS: usize = 10_000_000;
/// Hosts of one list; more than a run can talk to.
const MOST_HOSTS: usize = 100_000;

/// The hosts of a list that `ansible-inventory --list` wrote.
///
/// # Errors
/// When it is none, has names that no host can have, or is of a size that no fleet has.
pub fn ansible_list(inventory: &str, text: &str) -> Result<Vec<Member>, Error> {
    let no_list = |why: String| Error::List { inventory: inventory.to_owned(), why };
    let list: BTreeMap<String, Value> =
        serde_json::from_str(text).map_err(|error| no_list(error.to_string()))?;
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut left = MOST_STEPS;
    for group in list.keys().filter(|name| *name != "_meta") {
        let hosts = hosts_of(group, &list, &mut left)
            .ok_or_else(|| no_list("its groups are nested too deeply".to_owned()))?;
        for host in hosts {
            groups.entry(host).or_default().insert(group);
        }
    }
    if groups.len() > MOST_HOSTS {
        return Err(no_list(format!("it has {} hosts, {MOST_HOSTS} at most", groups.len())));
    }
    let variables = list.get("_meta").and_then(|meta| meta.get("hostvars"));
    groups
        .into_iter()
        .map(|(name, groups)| {
            let of = |key: &str| {
                let value = variables.and_then(|all| all.get(name)?.get(key))?;
                value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|n| n.to_string()))
            };
            let address = of("ansible_host").unwrap_or_else(|| name.to_owned());
            let local = of("ansible_connection").is_some_and(|how| how == "local");
            let (user, port) = (of("ansible_user"), of("ansible_port"));
            let words = [Some(name), Some(&address), user.as_deref(), port.as_deref()];
            if let Some(bad) = words.into_iter().flatten().find(|word| !is_word(word)) {
                let bad = short(bad, LONGEST_NAME);
                return Err(no_list(format!("{bad:?} is no name, address, user or port")));
            }
            let at = match (user, port) {
                (Some(user), Some(port)) => format!("ssh://{user}@{address}:{port}"),
                (None, Some(port)) => format!("ssh://{address}:{port}"),
                (Some(user), None) => format!("{user}@{address}"),
                (None, None) => address.clone(),
            };
            Ok(Member {
                ssh: (!local).then_some(at),
                address: Some(address),
                instance: None,
                groups: groups.into_iter().map(str::to_owned).collect(),
                name: name.to_owned(),
            })
        })
        .collect()
}

/// Whether a text can be one word of a command: no option, nothing invisible, no blanks.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.len() <= LONGEST_NAME
        && !text.contains(char::is_whitespace)
        && text::is_visible(text)
}

/// The hosts of a group and of the groups in it, each group once: Ansible allows no loops,
/// but a file may have one all the same. `None` when no steps are left.
fn hosts_of<'a>(
    group: &'a str,
    all: &'a BTreeMap<String, Value>,
    left: &mut usize,
) -> Option<BTreeSet<&'a str>> {
    let texts = |content: &'a Value, key: &str| {
        let items = content.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str)
    };
    let (mut hosts, mut seen, mut open) = (BTreeSet::new(), BTreeSet::from([group]), vec![group]);
    while let Some(group) = open.pop() {
        let Some(content) = all.get(group) else { continue };
        for host in texts(content, "hosts") {
            *left = left.checked_sub(1)?;
            hosts.insert(host);
        }
        for child in texts(content, "children") {
            *left = left.checked_sub(1)?;
            if seen.insert(child) {
                open.push(child);
            }
        }
    }
    Some(hosts)
}

/// The members as `[[node]]` of a scenario.
pub fn as_toml(members: &[Member], source: &str) -> String {
    // A JSON string is a TOML string.
    let quoted = |text: &str| Value::from(text).to_string();
    let mut text = format!("\n# From {}.\n", source.replace('\n', " "));
    for member in members {
        text += &format!("[[node]]\nname = {}\n", quoted(&member.name));
        if let Some(instance) = &member.instance {
            text += &format!("instance = {}\n", quoted(instance));
        }
        if let Some(ssh) = &member.ssh {
            text += &format!("ssh = {}\n", quoted(ssh));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_ssh_are_those_without_patterns() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let more = write("more.conf", "Host=db-1 # the old one\n\tHostName 10.0.0.9\n");
        write("other.txt", "Host never\n");
        let pattern = more.display().to_string().replace("more.conf", "*.conf");
        let main = write(
            "config",
            &format!(
                "# Host commented\nInclude {pattern}\nHost client-1 \"client-2\" !x web-*\n  User u\nHost *\nhost client-1\n"
            ),
        );
        let names: Vec<String> =
            ssh(Some(&main)).unwrap().into_iter().map(|member| member.name).collect();
        assert_eq!(names, ["db-1", "client-1", "client-2"]);
        assert!(ssh(Some(&folder.path().join("none"))).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn a_list_of_ansible_has_hosts_groups_and_ways() {
        let list = r#"{"_meta": {"hostvars": {
            "a": {"ansible_host": "10.0.0.1", "ansible_user": "ubuntu"},
            "b": {"ansible_port": 2222}, "here": {"ansible_connection": "local"}}},
            "all": {"children": ["ungrouped", "clients"]},
            "clients": {"hosts": ["a", "b"]}, "ungrouped": {"hosts": ["here"]}}"#;
        let members = ansible_list("x", list).unwrap();
        let all: Vec<_> = members
            .iter()
            .map(|one| (one.name.as_str(), one.ssh.as_deref(), one.groups.join(" ")))
            .collect();
        assert_eq!(
            all,
            [
                ("a", Some("ubuntu@10.0.0.1"), "all clients".to_owned()),
                ("b", Some("ssh://b:2222"), "all clients".to_owned()),
                ("here", None, "all ungrouped".to_owned()),
            ]
        );
        assert!(ansible_list("x", "[]").is_err());
    }

    #[test]
    fn groups_in_a_ring_have_an_end() {
        let ring = r#"{"a": {"hosts": ["h"], "children": ["b", "c"]}, "b": {"children": ["a", "c"]},
            "c": {"children": ["a", "b", "c"]}}"#;
        let members = ansible_list("x", ring).unwrap();
        assert_eq!(members[0].groups.join(" "), "a b c");
        // A chain in which each group is within all that come before it.
        let chain: Vec<String> = (0..20_000)
            .map(|n| format!(r#""g{n}": {{"hosts": ["h{n}"], "children": ["g{}"]}}"#, n + 1))
            .collect();
        let error = ansible_list("x", &format!("{{{}}}", chain.join(","))).unwrap_err();
        assert!(error.to_string().contains("nested"), "{error}");
    }

    #[test]
    fn a_host_is_no_option_and_no_escape() {
        for bad in ["-oProxyCommand=x", "a b", "a\\u001b[2J", "a\\u202eb", ""] {
            let list = format!(r#"{{"all": {{"hosts": ["{bad}"]}}}}"#);
            let error = ansible_list("x", &list).unwrap_err().to_string();
            assert!(!error.contains('\u{1b}') && !error.contains('\u{202e}'), "{error}");
        }
    }

    #[test]
    fn members_are_nodes_of_a_scenario() {
        let member = Member {
            name: "a".into(),
            ssh: Some("u@\"h".into()),
            instance: Some("h:9100".into()),
            ..Member::default()
        };
        let text = format!(
            "name = \"x\"\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n{}",
            as_toml(&[member], "there\n[evil]")
        );
        let plan = crate::scenario::parse("x", &text, &[]).unwrap();
        assert_eq!(plan.nodes[0].way, Some(crate::scenario::plan::Way::Ssh("u@\"h".into())));
        assert_eq!(plan.nodes[0].instance.as_deref(), Some("h:9100"));
    }
}
