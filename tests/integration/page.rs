//! The HTML page in a real browser, with the network off.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::support::{Sandbox, component, machine, scenario};

/// Run Chromium on a page; the document it made of it, what it logged, and the
/// addresses that the page itself asked for. A proxy that is not there stands
/// for the network.
fn browser(sandbox: &Sandbox, page: &Path) -> (String, String, Vec<String>) {
    let chromium = component(&["chromium", "chromium-browser", "google-chrome"]);
    let log = sandbox.path().join("net.json");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            "--proxy-server=http://127.0.0.1:1",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", sandbox.path().join("profile").display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let log = fs::read_to_string(&log).unwrap();
    // Chromium may end before it closes the list.
    let log = if log.trim_end().ends_with("]}") || log.trim_end().ends_with("]\n}") {
        log
    } else {
        format!("{}]}}", log.trim_end().trim_end_matches(','))
    };
    let log: Value = serde_json::from_str(&log).expect("the network log is JSON");
    let requests = log["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| &event["params"])
        // The browser's own requests have no origin; a page's have one.
        .filter(|params| params["initiator"].as_str().is_some_and(|one| one != "not an origin"))
        .filter_map(|params| params["url"].as_str())
        .filter(|url| url.starts_with("http"))
        .map(str::to_owned)
        .collect();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (String::from_utf8_lossy(&output.stdout).into_owned(), said, requests)
}

/// The check below can fail: a page that asks is seen to ask.
#[test]
fn a_request_of_a_page_is_seen() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let page = sandbox
        .write("page.html", "<img src=\"http://example.invalid/x.png\"><script>nothing()</script>");
    let (_, said, requests) = browser(&sandbox, &page);
    assert!(requests.iter().any(|url| url.contains("example.invalid")), "{requests:?}");
    assert!(said.contains("CONSOLE"), "{said}");
}

#[test]
fn the_page_opens_without_network_requests_or_console_errors() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    sandbox.verdict(&scenario("kind = \"cpu\"\nworkers = \"per-core\"", 4.0), &[]);
    let page = sandbox.reports("run-1").join("report.html");
    let text = fs::read_to_string(&page).unwrap();
    for loading in ["http://", "https://", "//cdn", "@import", "url(http", "src="] {
        assert!(!text.contains(loading), "{loading} in the page");
    }
    assert!(text.len() < 300_000, "{} bytes", text.len());
    let (dom, said, requests) = browser(&sandbox, &page);
    assert!(dom.contains("<h1>cpu"), "the verdict is the headline");
    assert!(dom.contains("the CPU was"), "the statement is there");
    assert!(requests.is_empty(), "{requests:?}");
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn the_page_is_readable_with_scripts_off() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    sandbox.verdict(&scenario("kind = \"cpu\"\nworkers = 1\nload = 50", 3.0), &[]);
    let page = sandbox.reports("run-1").join("report.html");
    let whole = fs::read_to_string(&page).unwrap();
    // Everything that is said and drawn is in the file itself.
    let without_scripts: String =
        whole
            .split("<script")
            .enumerate()
            .map(|(at, part)| {
                if at == 0 {
                    part
                } else {
                    part.split_once("</script>").map_or("", |(_, rest)| rest)
                }
            })
            .collect();
    for expected in [
        "<h1>",
        "<path class=\"s0\"",
        "cpu_busy",
        "no resource was near its limit",
        "kind = &#34;cpu&#34;",
    ] {
        assert!(without_scripts.contains(expected), "{expected}");
    }
}
