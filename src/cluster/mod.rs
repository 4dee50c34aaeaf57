//! A Restate cluster on this machine: its processes, their files, and whether they really serve.
//!
//! Owns everything under `<home>/cluster/<name>/`, and starts and ends the processes recorded there. It never prints:
//! long work reports [`Step`]s to the caller. What Restate's APIs mean is the business of `restate`.

pub mod archived;
mod birth;
pub mod compose;
mod docker;
mod environment;
mod finish;
mod folder;
mod guard;
mod keys;
mod leaders;
mod lock;
pub mod logs;
mod node;
mod plan;
pub mod ports;
mod process;
mod ready;
pub mod register;
pub mod restatectl;
pub mod restore;
pub mod results;
pub mod server;
pub mod service;
pub mod snapshots;
pub mod start;
pub mod state;
pub mod status;
pub mod step;
pub mod stop;
mod users;
mod vacancy;

pub use birth::ProcessId;
pub use docker::{
    ContainerLog, ContainerStatus, Foreign, ServicePlace, adopt, found, logs as container_logs,
    service_place, take_over,
};
pub use folder::{Folder, MOUNTED, canonical};
pub use guard::Listen;
pub use keys::{identity_key, secret};
pub use plan::{RuntimeChoice, StartOptions};
pub use ports::{NodePorts, PortChoice};
pub use register::{register, uri_for_nodes};
pub use results::Started;
pub use server::Source;
pub use service::{ServiceCommand, registered_uri, start_service, stop_service};
pub use snapshots::Snapshots;
pub use start::start;
pub use state::{Runtime, State};
pub use status::status;
pub use step::{Progress, Step};
pub use stop::{clean, stop};

/// The cluster meant when no name is given.
pub const DEFAULT_NAME: &str = "default";
/// Nodes of a new cluster when no number is given: the smallest that survives the loss of one.
pub const DEFAULT_NODES: u8 = 3;
/// The port of `classify serve` unless told otherwise.
pub const DEFAULT_SERVICE_PORT: u16 = 9080;
/// Where `classify serve` listens unless told otherwise.
pub const DEFAULT_SERVICE_URI: &str = "http://127.0.0.1:9080";
