//! The binary an example drives, built as the example itself is.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::server::cache;
use crate::world::Program;

/// Builds it; its cluster is called `cluster`. The nodes listen at ports: chaos cuts the network between them, and rates are compared with
/// those that were published before there were sockets.
pub(crate) fn build(cluster: &'static str) -> io::Result<Program> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--bin", "classify"]).current_dir(root);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    if !command.status()?.success() {
        return Err(io::Error::other("cargo build failed"));
    }
    // target/PROFILE/examples/NAME
    let ours = std::env::current_exe()?;
    let folder = ours.parent().and_then(Path::parent).ok_or_else(|| io::Error::other("no target folder"))?;
    let (classify, cache) = (folder.join("classify"), cache(root.join("target/tmp")));
    Ok(Program { classify, cache, cluster, listen: Some("tcp"), environment: Vec::new() })
}
