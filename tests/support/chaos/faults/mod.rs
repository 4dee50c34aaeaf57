//! What goes wrong, one kind a file: how it comes, how long it stays, how it ends.

mod client;
mod disk;
mod duplicates;
mod files;
mod money;
mod network;
mod nodes;
mod service;

use std::fmt;
use std::str::FromStr;

use super::arena::Arena;
use super::scene::Scene;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The client is killed, up to three times, and its run resumed.
    Client,
    /// The service is killed and started again.
    Service,
    /// The service is ended in an orderly way and started again.
    Restart,
    /// The run is cancelled, and the same is asked again.
    Cancel,
    /// A run with a limit on its cost meets it, and a service that is killed.
    Cap,
    /// A node is killed and started again.
    Node,
    /// Two of three nodes are killed and started again.
    Quorum,
    /// A node is stopped and goes on.
    Pause,
    /// A node is cut off from the others.
    Network,
    /// The disk of the results is full for a while.
    Disk,
    /// Two clients ask for the same rows, in another order and at another time.
    Duplicates,
    /// The client is killed, and its journal ends anywhere.
    Journal,
    /// Another program changes the results while they are written, or when the client is dead.
    Partial,
    /// The client dies, and what was not synced is gone.
    Power,
    /// The client is killed anywhere over rows whose answers are known.
    Resume,
}

impl Fault {
    pub(crate) const ALL: [Self; 15] = [
        Self::Client,
        Self::Service,
        Self::Restart,
        Self::Cancel,
        Self::Cap,
        Self::Node,
        Self::Quorum,
        Self::Pause,
        Self::Network,
        Self::Disk,
        Self::Duplicates,
        Self::Journal,
        Self::Partial,
        Self::Power,
        Self::Resume,
    ];

    /// What to type for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Service => "service",
            Self::Restart => "restart",
            Self::Cancel => "cancel",
            Self::Cap => "cap",
            Self::Node => "node",
            Self::Quorum => "quorum",
            Self::Pause => "pause",
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Duplicates => "duplicates",
            Self::Journal => "journal",
            Self::Partial => "partial",
            Self::Power => "power",
            Self::Resume => "resume",
        }
    }

    /// What happens, for the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Client => "client killed, up to three times, and resumed",
            Self::Service => "service killed, started again after up to 3 s",
            Self::Restart => "service ended by SIGTERM, started again after up to 3 s, up to three times",
            Self::Cancel => "run cancelled, and the same asked again",
            Self::Cap => "limit on the cost, service killed meanwhile, and the same asked again without",
            Self::Node => "one node killed, started again after 1 to 5 s",
            Self::Quorum => "two nodes killed: quorum lost, then back",
            Self::Pause => "one node stopped for 1 to 8 s",
            Self::Network => "one node cut off from the others for 2 to 8 s",
            Self::Disk => "output disk full, then room again",
            Self::Duplicates => "the same rows twice at once, in another order",
            Self::Journal => "client killed, its journal cut at a random byte",
            Self::Partial => {
                "results changed by another program: truncated, appended to, replaced, removed, written over"
            }
            Self::Power => "loss of power: client killed, what was not synced gone",
            Self::Resume => "client killed at one to three random points over known rows: byte by byte",
        }
    }

    /// Why it cannot be had in `arena`, if it cannot.
    pub(super) fn obstacle(self, arena: &Arena) -> Option<String> {
        let isolated = matches!(self, Self::Network | Self::Disk);
        arena.network.as_ref().err().filter(|_| isolated).cloned()
    }

    /// Lets it happen to a client at work.
    pub(super) fn strike(self, scene: &mut Scene<'_>) {
        match self {
            Self::Client => client::strike(scene),
            Self::Service => service::kill(scene),
            Self::Restart => service::restart(scene),
            Self::Cancel => money::cancel(scene),
            Self::Cap => money::cap(scene),
            Self::Node => nodes::one(scene),
            Self::Quorum => nodes::two(scene),
            Self::Pause => nodes::pause(scene),
            Self::Network => network::strike(scene),
            Self::Disk => disk::strike(scene),
            Self::Duplicates => duplicates::strike(scene),
            Self::Journal => files::journal(scene),
            Self::Partial => files::partial(scene),
            Self::Power => files::power(scene),
            Self::Resume => {}
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| format!("no fault `{name}` ({names})"))
    }
}
