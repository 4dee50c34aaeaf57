//! `serve --register`: who is registered before, and after.
//!
//! A cluster calls one service, the one that was registered last. Another one that runs would stand by idle from then on, and a registration
//! that outlives its process leaves the cluster without a service although one is there.

use std::net::SocketAddr;
use std::time::Duration;

use super::home;
use crate::cli::Global;
use crate::cli::serve::ServeArgs;
use crate::cluster::{self, Folder, State};
use crate::error::{Failure, Result};
use crate::restate::endpoint;
use crate::shutdown::{Level, Shutdown};
use crate::ui::Ui;

/// Patience with one question to a service.
const ASK: Duration = Duration::from_secs(2);
/// How long the nodes may take to know the service.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How long they may take at the end of this one: whoever ended it waits.
const GIVE_BACK: Duration = Duration::from_secs(10);

/// A cluster in which the service shall be registered.
pub(super) struct Registration {
    folder: Folder,
    /// Where another service listens that is registered, and answers.
    other: Option<String>,
    /// Where this one listens, as the nodes call it.
    uri: Option<String>,
}

impl Registration {
    /// Looks who is registered, if this service is to be. That is done before it listens itself: what answers then is another one.
    pub(super) async fn look(global: &Global, args: &ServeArgs) -> Result<Option<Self>> {
        if !args.register {
            let what = "`--replace` says what `--register` may do, and that is not there";
            return if args.replace { Err(Failure::usage(what)) } else { Ok(None) };
        }
        let folder = Folder::new(&home::folder(global)?, &args.cluster)?;
        cluster::adopt(&folder).await?;
        let other = match State::load(&folder)? {
            Some(state) => alive(&state).await,
            None => None,
        };
        Ok(Some(Self { folder, other, uri: None }))
    }

    /// Registers the service that listens at `address`; not where another one serves the cluster, unless it is to be replaced.
    pub(super) async fn register(
        &mut self,
        args: &ServeArgs,
        address: SocketAddr,
        shutdown: Shutdown,
        ui: Ui,
    ) -> Result<()> {
        let uri = cluster::uri_for_nodes(&self.folder, address).await?;
        if let Some(other) = self.other.as_ref().filter(|_| !args.replace) {
            return Err(Failure::usage(format!("another service is registered, and answers: {other}"))
                .hint("stop that one first; work that goes on there goes on here then")
                .hint("or put this one in its place while it runs: add `--replace`"));
        }
        let registered = tokio::select! {
            registered = cluster::register(&self.folder, Some(&uri), TIMEOUT, &|_| {}) => registered?,
            () = shutdown.at_least(Level::Drain) => return Ok(()),
        };
        self.uri = Some(registered.uri);
        ui.note(&format!("service    registered, callable through {}", registered.nodes.join(", ")));
        if let Some(other) = &self.other {
            ui.note(&format!("service    in place of {other}, which gets it back when this one ends before"));
        }
        Ok(())
    }

    /// Registers the service again that was there before, if it still answers and nobody else was registered meanwhile.
    pub(super) async fn give_back(self, ui: Ui) {
        let (Some(other), Some(uri)) = (self.other, self.uri) else { return };
        let Ok(Some(state)) = State::load(&self.folder) else { return };
        let registered = cluster::registered_uri(&state).await;
        if registered.as_deref() != Some(uri.trim_end_matches('/')) || !answers(&state, &other).await {
            return;
        }
        match cluster::register(&self.folder, Some(&other), GIVE_BACK, &|_| {}).await {
            Ok(_) => ui.note(&format!("service    {other} is registered again")),
            Err(failure) => ui.warn(&format!(
                "{other} runs and is not registered any more ({}): `classify cluster register {other}`",
                failure.message()
            )),
        }
    }
}

/// Where a service that answers is registered.
async fn alive(state: &State) -> Option<String> {
    let uri = cluster::registered_uri(state).await?;
    answers(state, &uri).await.then_some(uri)
}

async fn answers(state: &State, uri: &str) -> bool {
    match cluster::service_place(state).await {
        Ok(place) => endpoint::health(&place.as_seen_here(uri), ASK).await.is_ok(),
        Err(_) => false,
    }
}
