//! What the cluster holds of our work, by SQL over `sys_invocation`. Owns the queries and the meaning of states.
//! Reads nothing but our own services' invocations; what is done to them is [`super::admin`]'s.

mod at_work;
mod invocation;
mod selection;
mod status;

pub use at_work::at_work;
pub use invocation::{Invocation, State};
pub use selection::{ErrorClass, Selection, UnknownErrorClass};
pub use status::{PausedModel, Queue, ServiceCounts};

use super::names::SERVICES;

/// SQL that holds for our services' invocations and for no other.
fn ours() -> String {
    format!("target_service_name IN ('{}')", SERVICES.join("', '"))
}
