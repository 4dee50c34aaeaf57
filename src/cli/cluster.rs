//! `classify cluster …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cluster::{self, DEFAULT_NAME, DEFAULT_NODES, PortChoice, RuntimeChoice};

/// Arguments of `cluster`.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ClusterCommand,
}

/// The verbs of `cluster`.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Start the nodes and wait until they serve; starts again only what is not running
    Start(StartArgs),
    /// Stop the nodes and the service started with them, keeping all data
    Stop(StopArgs),
    /// Stop the cluster and delete all its data
    Clean(CleanArgs),
    /// Show nodes, service and quorum
    #[command(visible_alias = "ps")]
    Status(StatusArgs),
    /// Show what the nodes logged
    Logs(LogsArgs),
    /// Make the service known to the cluster and wait until every node can call it
    Register(RegisterArgs),
    /// Take over a cluster that `docker compose` started, so that `stop` and `clean` act on it
    Adopt(AdoptArgs),
    /// Let a node that lost its data back into the cluster, which has to run and to keep snapshots
    Restore(RestoreArgs),
    /// Write the compose file, for any number of nodes
    Render(RenderArgs),
}

/// Which cluster is meant.
#[derive(Debug, Args)]
pub struct Target {
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, env = "CLASSIFY_CLUSTER")]
    pub name: String,
    /// What runs the nodes; `native` also keeps the command from looking for containers that others started
    #[arg(long, value_enum, default_value_t = Runtime::Auto, env = "CLASSIFY_RUNTIME")]
    pub runtime: Runtime,
}

/// What runs the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// What the cluster has; else containers if they can be had, else processes
    Auto,
    /// Containers
    Docker,
    /// Processes
    Native,
}

impl From<Runtime> for RuntimeChoice {
    fn from(runtime: Runtime) -> Self {
        match runtime {
            Runtime::Auto => Self::Auto,
            Runtime::Docker => Self::Only(cluster::Runtime::Docker),
            Runtime::Native => Self::Only(cluster::Runtime::Native),
        }
    }
}

/// How ports are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ports {
    /// 8080, 28080, 38080 for the ingress, and so on
    Default,
    /// Free ones, kept for the cluster's life
    Auto,
}

impl From<Ports> for PortChoice {
    fn from(ports: Ports) -> Self {
        match ports {
            Ports::Default => Self::Default,
            Ports::Auto => Self::Auto,
        }
    }
}

/// How nodes listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listen {
    /// At sockets that only you can open; at the ports a guard refuses other users and web pages
    Unix,
    /// At the ports, for every user of this machine and every web page that finds them
    Tcp,
}

impl From<Listen> for cluster::Listen {
    fn from(listen: Listen) -> Self {
        match listen {
            Listen::Unix => Self::Unix,
            Listen::Tcp => Self::Tcp,
        }
    }
}

/// Where the Restate server comes from.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The restate-server to run [default: the one on PATH, else downloaded with npm]
    #[arg(long, value_name = "FILE", env = "RESTATE_SERVER")]
    pub restate_server: Option<PathBuf>,
    /// Folder for the downloaded server [default: `cache` in the folder for local state]
    #[arg(long, value_name = "DIR", env = "CLASSIFY_CACHE")]
    pub cache: Option<PathBuf>,
}

/// Arguments of `cluster start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// Number of nodes, 1 to 9 [default: 3, or what the cluster has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: Option<u8>,
    /// How ports are chosen [default: default, or what the cluster has]
    #[arg(long, value_enum)]
    pub ports: Option<Ports>,
    /// How nodes that are processes listen [default: unix where the path of the folder is short enough, or what the
    /// cluster has]
    #[arg(long, value_enum)]
    pub listen: Option<Listen>,
    /// Where the nodes keep snapshots, which let them trim their logs; credentials come from AWS's environment
    /// variables [default: what the cluster has, or nowhere]
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    pub snapshots: Option<String>,
    /// The store that has the bucket, if it is not Amazon's
    #[arg(long, value_name = "URL", requires = "snapshots")]
    pub snapshots_endpoint: Option<String>,
    /// Seconds until the nodes must serve
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    pub timeout: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub server: ServerArgs,
}

/// Arguments of `cluster stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// Seconds after which what still runs is killed
    #[arg(long, value_name = "SECS", default_value_t = 30)]
    pub timeout: u32,
}

/// Arguments of `cluster clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Seconds after which what still runs is killed
    #[arg(long, value_name = "SECS", default_value_t = 30)]
    pub timeout: u32,
}

/// Arguments of `cluster status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `cluster logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// A node (`restate-2` or `2`), `service`, or of containers also `store` [default: all]
    pub node: Option<String>,
    /// Go on until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with this number of lines of each log
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 50)]
    pub lines: usize,
}

/// Arguments of `cluster register`.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// Where the service listens, as seen from the nodes [default: the service started with the cluster, else
    /// <http://127.0.0.1:9080>, for containers <http://host.docker.internal:9080>]
    pub uri: Option<String>,
    /// Seconds until every node must be able to call it
    #[arg(long, value_name = "SECS", default_value_t = 30)]
    pub timeout: u32,
}

/// Arguments of `cluster adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// The compose project, as `docker compose ls --all` shows it
    pub project: String,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, env = "CLASSIFY_CLUSTER")]
    pub name: String,
}

/// Arguments of `cluster restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// The node (`restate-2` or `2`), which was started once without its data
    pub node: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `cluster render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Folder for the file and all it mounts [default: only the compose file, to stdout]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Number of nodes, 1 to 9
    #[arg(long, value_name = "N", default_value_t = DEFAULT_NODES, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: u8,
    /// How ports are chosen
    #[arg(long, value_enum, default_value_t = Ports::Default)]
    pub ports: Ports,
    /// Overwrite files with other content
    #[arg(long, requires = "dir")]
    pub force: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(args: &[&str]) -> Result<ClusterCommand, clap::Error> {
        let cli = Cli::try_parse_from(["classify", "cluster"].iter().chain(args))?;
        match cli.command {
            Some(Command::Cluster(args)) => Ok(args.command),
            _ => unreachable!("`cluster` was typed"),
        }
    }

    #[test]
    fn start_has_defaults_that_leave_an_existing_cluster_alone() {
        let Ok(ClusterCommand::Start(start)) = parse(&["start"]) else { panic!("not parsed") };
        assert_eq!((start.target.name.as_str(), start.nodes, start.ports), ("default", None, None));
        // The runtime is whatever CLASSIFY_RUNTIME says here.
        assert_eq!((start.snapshots, start.timeout), (None, 60));
    }

    #[test]
    fn nonsense_is_refused() {
        let bad: [&[&str]; 7] = [
            &["start", "--snapshots-endpoint", "http://127.0.0.1:9000"],
            &["start", "--nodes", "0"],
            &["start", "--nodes", "10"],
            &["start", "--ports", "8080"],
            &["start", "--timeout", "-1"],
            &["logs", "-n", "x"],
            &["explode"],
        ];
        for args in bad {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn ps_is_status() {
        assert!(matches!(
            parse(&["ps", "--json"]),
            Ok(ClusterCommand::Status(StatusArgs { json: true, .. }))
        ));
    }
}
