//! Where tests find the Restate server: downloaded once for all of them.

#![allow(dead_code, reason = "each target uses its own part; `expect` would fail in one that uses all of it")]

use std::path::{Path, PathBuf};

use classify::cluster::server::locate;
use classify::cluster::{Source, Step};

/// The folder of downloads: `$CLASSIFY_CACHE`, or one in `folder`.
pub(crate) fn cache(folder: impl AsRef<Path>) -> PathBuf {
    let named = std::env::var_os("CLASSIFY_CACHE").filter(|path| !path.is_empty());
    named.map_or_else(|| folder.as_ref().join("restate-cache"), PathBuf::from)
}

/// The server that a cluster with this cache runs, downloaded where it is missing.
pub(crate) async fn server(cache: PathBuf) -> PathBuf {
    let source = Source {
        explicit: std::env::var_os("RESTATE_SERVER").filter(|path| !path.is_empty()).map(Into::into),
        path: std::env::var_os("PATH").unwrap_or_default(),
        cache,
    };
    locate(&source, &|_: &Step| {}).await.expect("a server").binary
}
