//! What the ingress of a node is asked about detached runs: keep batches, begin, act, tell.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::Error;
use super::id::InvocationId;
use super::ingress::Ingress;
use super::names::{
    BATCH_PAGE, BATCH_PAGE_PUT, DETACHED_RUN, DETACHED_RUN_BEGIN, DETACHED_RUN_FINISHED,
    DETACHED_RUN_GIVE_UP, Order,
};
use crate::domain::detached::{Plan, Progress, Report};

/// What a request is known by, however often it is sent.
const KEY: &str = "idempotency-key";

impl Ingress {
    /// Keeps batches of a detached run in the cluster; `body` is as [`BATCH_PAGE_PUT`] says. Doing so again changes nothing.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn put_batches(
        &self,
        run_id: &str,
        page: u64,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(), Error> {
        let url = self.object_url(BATCH_PAGE, &format!("{run_id}.{page}"), BATCH_PAGE_PUT);
        let request = self.http.post(&url).header("content-type", "application/octet-stream").body(body);
        self.tell(&url, request, timeout).await
    }

    /// Begins a detached run of which all batches are in the cluster. Doing so again changes nothing.
    ///
    /// # Errors
    /// As [`Ingress::lease`]; [`Error::is_conflict`] where another run has this id.
    pub async fn begin_run(&self, run_id: &str, plan: &Plan, timeout: Duration) -> Result<Progress, Error> {
        let url = self.object_url(DETACHED_RUN, run_id, DETACHED_RUN_BEGIN);
        self.call(&url, self.http.post(&url).header(KEY, DETACHED_RUN_BEGIN).json(plan), timeout).await
    }

    /// Gives up a run that has not begun, and has the cluster forget its batches. Doing so again changes nothing.
    ///
    /// # Errors
    /// As [`Ingress::lease`]; [`Error::is_conflict`] where another run has this id.
    pub async fn give_up_run(&self, run_id: &str, plan: &Plan, timeout: Duration) -> Result<Progress, Error> {
        let url = self.object_url(DETACHED_RUN, run_id, DETACHED_RUN_GIVE_UP);
        let request = self.http.post(&url).header(KEY, DETACHED_RUN_GIVE_UP).json(plan);
        self.call(&url, request, timeout).await
    }

    /// Asks or orders something of a detached run; any of it may be said again. What nobody answers yet is one invocation, however often and
    /// through whichever node it is said: without a service each would otherwise stay.
    ///
    /// # Errors
    /// As [`Ingress::lease`]; [`Error::is_unknown_run`], and [`Error::is_conflict`] where the run is not one for which that makes sense.
    pub async fn detached_run(
        &self,
        run_id: &str,
        order: Order,
        timeout: Duration,
    ) -> Result<Progress, Error> {
        self.order_run(run_id, order, order.handler(), timeout).await
    }

    /// As [`Self::detached_run`], by a name of its own: [`Self::order_id`] finds it by that.
    ///
    /// # Errors
    /// As [`Self::detached_run`].
    pub async fn order_run(
        &self,
        run_id: &str,
        order: Order,
        key: &str,
        timeout: Duration,
    ) -> Result<Progress, Error> {
        let url = self.object_url(DETACHED_RUN, run_id, order.handler());
        let request = self.http.post(&url).header(KEY, key);
        let request = if let Order::Resume(changes) = order { request.json(&changes) } else { request };
        self.call(&url, request, timeout).await
    }

    /// The invocation that carries out what was ordered under `key`, whether it ever arrived or not: computed, not looked for.
    ///
    /// # Errors
    /// When the node gave no answer, or one that names no invocation.
    pub async fn order_id(
        &self,
        run_id: &str,
        order: Order,
        key: &str,
        timeout: Duration,
    ) -> Result<InvocationId, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            invocation_id: InvocationId,
        }
        let url = format!("{}/restate/lookup", self.url());
        let target = serde_json::json!({
            "target": "idempotentInvocation", "service": DETACHED_RUN, "key": run_id,
            "handler": order.handler(), "idempotencyKey": key,
        });
        let answer: Answer = self.call(&url, self.http.post(&url).json(&target), timeout).await?;
        Ok(answer.invocation_id)
    }

    /// Tells a detached run what came of one of its batches, which could not say so itself. Doing so again changes nothing.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn report_batch(&self, run_id: &str, report: &Report, timeout: Duration) -> Result<(), Error> {
        let url = self.object_url(DETACHED_RUN, run_id, DETACHED_RUN_FINISHED);
        self.tell(&url, self.http.post(&url).json(&[report]), timeout).await
    }
}
