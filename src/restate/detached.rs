//! What the ingress of a node is asked about detached runs: keep batches, begin, act, tell.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::Error;
use super::id::InvocationId;
use super::ingress::{Body, Ingress, Mode};
use super::names::{
    BATCH_PAGE, BATCH_PAGE_PUT, DETACHED_RUN, DETACHED_RUN_BEGIN, DETACHED_RUN_FINISHED,
    DETACHED_RUN_GIVE_UP, Order,
};
use super::secret::Call;
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
        let key = format!("{run_id}.{page}");
        let call = Call { service: BATCH_PAGE, key: &key, handler: BATCH_PAGE_PUT };
        let (url, request) = self.request(Mode::Call, call, Body::Bytes(body));
        self.tell(&url, request, timeout).await
    }

    /// Begins a detached run of which all batches are in the cluster. Doing so again changes nothing.
    ///
    /// # Errors
    /// As [`Ingress::lease`]; [`Error::is_conflict`] where another run has this id.
    pub async fn begin_run(&self, run_id: &str, plan: &Plan, timeout: Duration) -> Result<Progress, Error> {
        let (url, request) = self.request(Mode::Call, of_run(run_id, DETACHED_RUN_BEGIN), Body::json(plan));
        self.call(&url, request.header(KEY, DETACHED_RUN_BEGIN), timeout).await
    }

    /// Gives up a run that has not begun, and has the cluster forget its batches. Doing so again changes nothing.
    ///
    /// # Errors
    /// As [`Ingress::lease`]; [`Error::is_conflict`] where another run has this id.
    pub async fn give_up_run(&self, run_id: &str, plan: &Plan, timeout: Duration) -> Result<Progress, Error> {
        let (url, request) = self.request(Mode::Call, of_run(run_id, DETACHED_RUN_GIVE_UP), Body::json(plan));
        self.call(&url, request.header(KEY, DETACHED_RUN_GIVE_UP), timeout).await
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
        let body = if let Order::Resume(changes) = order { Body::json(&changes) } else { Body::None };
        let (url, request) = self.request(Mode::Call, of_run(run_id, order.handler()), body);
        self.call(&url, request.header(KEY, key), timeout).await
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
        let target = serde_json::json!({
            "target": "idempotentInvocation", "service": DETACHED_RUN, "key": run_id,
            "handler": order.handler(), "idempotencyKey": key,
        });
        let (url, request) = self.question("lookup", &target);
        let answer: Answer = self.call(&url, request, timeout).await?;
        Ok(answer.invocation_id)
    }

    /// Tells a detached run what came of one of its batches, which could not say so itself. Doing so again changes nothing.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn report_batch(&self, run_id: &str, report: &Report, timeout: Duration) -> Result<(), Error> {
        let call = of_run(run_id, DETACHED_RUN_FINISHED);
        let (url, request) = self.request(Mode::Call, call, Body::json(&[report]));
        self.tell(&url, request, timeout).await
    }
}

fn of_run<'a>(run_id: &'a str, handler: &'a str) -> Call<'a> {
    Call { service: DETACHED_RUN, key: run_id, handler }
}
