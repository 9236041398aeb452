//! An intervention: what taking the load away shows.

use std::process::Command;

use crate::support::{Sandbox, Service, component, machine, phase};

fn scenario(workers: &str) -> String {
    format!(
        "name = \"confirm\"\nconfirm = true\nconfirm_hold = \"4s\"\n\
         [telemetry]\ninterval = \"500ms\"\n\
         [[phase]]\nname = \"baseline\"\nduration = \"2s\"\n\
         [[phase]]\nname = \"load\"\nduration = \"4s\"\n\
         [[phase.load]]\nkind = \"cpu\"\nworkers = \"{workers}\"\n"
    )
}

#[test]
fn a_verdict_that_follows_its_load_is_confirmed() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let verdict = sandbox.verdict(&scenario("4x-cores"), &[]);
    let of_load = &phase(&verdict, "load")["verdict"];
    assert_eq!(of_load["resource"], "cpu", "{of_load}");
    assert_eq!(of_load["grade"], "confirmed", "{of_load}");
    let statement = of_load["statement"].as_str().unwrap();
    assert!(statement.contains("Confirmed by intervention"), "{statement}");
    let evidence = of_load["evidence"].as_array().unwrap();
    assert!(evidence.iter().any(|one| one["class"] == "intervention"), "{of_load}");
    // The verdict of the run is that of the load, not of a step of the test.
    assert_eq!(verdict["overall"]["grade"], "confirmed", "{}", verdict["overall"]);
    let phases = verdict["nodes"][0]["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 5);
}

#[test]
fn what_stays_without_the_load_is_someone_elses() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let _foreign = Service::start(Command::new(component(&["stress"])).args(["-c", "16"]));
    let verdict = sandbox.verdict(&scenario("1"), &[]);
    let of_load = &phase(&verdict, "load")["verdict"];
    assert_eq!(of_load["resource"], "cpu", "{of_load}");
    assert_eq!(of_load["cause"], "foreign", "{of_load}");
    assert_ne!(of_load["grade"], "confirmed", "{of_load}");
    let statement = of_load["statement"].as_str().unwrap();
    assert!(statement.contains("stayed at its limit when the load was taken away"), "{statement}");
}
