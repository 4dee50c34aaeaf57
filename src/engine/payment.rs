//! What has to be paid before a batch leaves: reserved from what the run may still cost. Of a run that was handed over, what the
//! cluster has forgotten is paid for again when its results are collected, at the run's own rate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::courier::Courier;
use super::feed::Prepared;
use super::pool::{Verdict, verdict};
use super::purse::{Charge, NotPaid, Purse};
use crate::domain::batch::BatchRequest;
use crate::domain::event::RunEvent;
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
    /// Waits until what `batch` can cost may be spent, and reserves it.
    pub(super) async fn pay(&self, batch: &Prepared, purse: &Arc<Purse>) -> Result<Charge, NotPaid> {
        let rows = batch.len().get();
        if self.past.is_sent(batch.key.index) {
            return Ok(purse.count_in(rows));
        }
        if let Some(charge) = purse.try_take(rows) {
            self.hold(None).await;
            return Ok(charge);
        }
        self.hold(Some(purse.reserved())).await;
        if let Some(charge) = purse.take(rows).await {
            return Ok(charge);
        }
        // What is known already costs nothing.
        let mut node = self.pool.any_up().await;
        let rows = self.unanswered(batch, &mut node).await;
        purse.take(rows).await.ok_or_else(|| purse.refuse(rows))
    }

    /// Tells how much is reserved while that holds batches back.
    async fn hold(&self, reserved_usd: Option<f64>) {
        if self.holds.swap(reserved_usd.is_some(), Ordering::Relaxed) || reserved_usd.is_some() {
            self.tell(RunEvent::Held { reserved_usd }).await;
        }
    }

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
                charge = purse.take(rows) => Some(charge.ok_or_else(|| purse.refuse(rows))?),
                () = self.shutdown.at_least(Level::Drain) => return Err(NotPaid),
            }
        } else {
            None
        };
        *node = self.turn(batch).await.ok_or(NotPaid)?;
        Ok(charge)
    }

    /// How many rows of `batch` a model has to be asked about. With `hybrid` some of them may turn out to cost nothing.
    pub(super) async fn unanswered(&self, batch: &Prepared, node: &mut usize) -> u32 {
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
