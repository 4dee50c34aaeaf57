//! Clients for a Restate cluster's HTTP APIs: the ingress of a node, and the admin API of a node.
//!
//! Owns URLs, headers, timeouts and what each answer means. Keeps no state about nodes and never retries: which
//! node comes next, and when, is the engine's business.

pub mod address;
pub mod admin;
mod detached;
pub mod endpoint;
mod http;
pub mod id;
pub mod ingress;
pub mod metrics;
pub mod models;
pub mod names;
pub mod queue;
pub mod secret;
pub mod snapshots;
mod withdraw;

pub use http::{Error, Origin};
