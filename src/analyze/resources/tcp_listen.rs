//! Accept queues of listening sockets.

use super::{BLANK, Counts, Relation, Resource, errors};

pub(super) static RESOURCE: Resource = Resource {
    name: "tcp-listen",
    title: "an accept queue",
    means: "A listening socket's queue was full, and connections were refused or had to try again.",
    usual: "an application that accepts too slowly, or a short backlog",
    errors: &[
        errors("tcp_listen_overflows", 0.1, Counts::Alone, SOURCE),
        errors("netns_tcp_listen_overflows", 0.1, Counts::Alone, SOURCE),
    ],
    follows: &[
        Relation::always("cpu", "a server without CPU time cannot accept"),
        Relation::always("cpu-quota", "a server without CPU time cannot accept"),
        Relation::always("cpu-affinity", "a server without CPU time cannot accept"),
    ],
    blind: "overflows of accept queues were not sampled",
    advice: "accept faster, or raise the backlog and net.core.somaxconn",
    ..BLANK
};

const SOURCE: &str = "any overflow (pmie network.listenoverflows), one in ten seconds";
