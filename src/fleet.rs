//! Other machines: how a command is run there and its streams carried
//! (`transport`), what is said over them (`wire`), and a node that is talked to
//! (`remote`). The node's own half is `run::agent`; who the nodes are may come
//! from an `inventory`.

pub mod inventory;
pub mod remote;
pub mod transport;
pub mod wire;
