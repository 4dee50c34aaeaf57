//! What the cluster has forgotten of a run that was handed over: it is paid for again when its results are collected, from what
//! the run may still cost and at the run's own rate.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::courier::Courier;
use super::feed::Prepared;
use super::pool::{Verdict, verdict};
use super::purse::{Charge, NotPaid, Purse};
use crate::domain::batch::BatchRequest;
use crate::domain::fingerprint::fingerprint;
use crate::domain::method::RULES;
use crate::domain::payload;
use crate::restate::Error;
use crate::restate::ingress::{Ingress, Output};
use crate::restate::names::CLASSIFIER_CLASSIFY;
use crate::shutdown::Level;

/// Patience with one question.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Courier {
    /// Waits until `batch` may be submitted. What the cluster has of it costs nothing and need not wait; returns what has to be
    /// paid for again.
    pub(super) async fn admit(
        &self,
        batch: &Prepared,
        node: &mut usize,
        purse: &Arc<Purse>,
    ) -> Result<Option<Charge>, NotPaid> {
        let key = &batch.key;
        let output = |node: Ingress| async move { node.batch_output(key, TIMEOUT).await }.boxed();
        if self.ask(node, output).await.is_none_or(|output| output != Output::Unknown) {
            return Ok(None);
        }
        let rows = self.unanswered(batch, node).await;
        let charge = if rows > 0 {
            tokio::select! {
                charge = purse.charge(rows) => Some(charge.ok_or(NotPaid)?),
                () = self.shutdown.at_least(Level::Drain) => return Err(NotPaid),
            }
        } else {
            None
        };
        *node = self.turn(batch).await.ok_or(NotPaid)?;
        Ok(charge)
    }

    /// How many rows of `batch` a model has to be asked about. With `hybrid` some of them may turn out to cost nothing.
    async fn unanswered(&self, batch: &Prepared, node: &mut usize) -> u32 {
        let Ok(BatchRequest { options, indicators }) = payload::decode(&batch.body) else { return 0 };
        if options.method.provider == RULES {
            return 0;
        }
        let mut rows = 0;
        for indicator in &indicators {
            let key = &fingerprint(indicator, &options);
            let known = |node: Ingress| {
                async move { node.has_answer(CLASSIFIER_CLASSIFY, key, TIMEOUT).await }.boxed()
            };
            if self.ask(node, known).await != Some(true) {
                rows += 1;
            }
        }
        rows
    }

    /// Asks one node after the other until one answers; `None` where none would.
    async fn ask<'a, T>(
        &self,
        node: &mut usize,
        ask: impl Fn(Ingress) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Option<T> {
        loop {
            match ask(self.pool.nodes()[*node].ingress.clone()).await {
                Ok(answer) => return Some(answer),
                Err(error) if verdict(&error) == Verdict::Hopeless => return None,
                Err(error) => {
                    self.fault(*node, &error).await;
                    *node = self.pool.any_up().await;
                }
            }
        }
    }
}
