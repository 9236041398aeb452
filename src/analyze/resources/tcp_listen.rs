//! Accept queues of listening sockets.

use super::{BLANK, Counts, Resource, errors};

pub(super) static RESOURCE: Resource = Resource {
    name: "tcp-listen",
    title: "an accept queue",
    errors: &[errors(
        "tcp_listen_overflows",
        0.1,
        Counts::Alone,
        "any overflow (pmie network.listenoverflows), one in ten seconds",
    )],
    follows: &[super::Relation {
        root: "cpu",
        when: None,
        why: "a server without CPU time cannot accept",
    }],
    blind: "overflows of accept queues were not sampled",
    advice: "accept faster, or raise the backlog and net.core.somaxconn",
    ..BLANK
};
