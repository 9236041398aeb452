//! `stressor fleet` and `stressor agent`.

use anyhow::anyhow;

use super::{
    args::{Access, FleetCommand},
    exit::{Exit, Failure},
    nodes, output,
};
use crate::{
    fleet::{remote, transport::Transport},
    model::text::{LONGEST_MESSAGE, short_lines},
    run::agent::{self, End},
};

pub(super) fn fleet(command: &FleetCommand) -> Result<Exit, Failure> {
    let FleetCommand::Clean { scenario: path, set, nodes } = command;
    let (_, plan) = nodes::read(path, set, &Access::default(), nodes)?;
    let mut errors = Vec::new();
    for node in &plan.nodes {
        let Some(way) = &node.way else { continue };
        match remote::clean(&node.name, &Transport::from(way)) {
            Ok(said) => output::text(&format!(
                "{}: {}\n",
                node.name,
                short_lines(said.trim(), LONGEST_MESSAGE)
            )),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Failed, anyhow!(errors.join("\n"))))
}

pub(super) fn agent() -> Exit {
    match agent::serve() {
        End::Over => Exit::Done,
        End::Alone => Exit::Failed,
        End::Refused => Exit::Refused,
    }
}
