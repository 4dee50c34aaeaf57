//! What the ingress of a node is asked about detached runs: keep batches, begin, act, tell.

use std::time::Duration;

use bytes::Bytes;

use super::Error;
use super::ingress::Ingress;
use super::names::{
    BATCH_PAGE, BATCH_PAGE_PUT, DETACHED_RUN, DETACHED_RUN_BEGIN, DETACHED_RUN_FINISHED, Order,
};
use crate::domain::detached::{Plan, Progress, Report};

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
        self.call(&url, self.http.post(&url).json(plan), timeout).await
    }

    /// Asks or orders something of a detached run; any of it may be said again.
    ///
    /// # Errors
    /// As [`Ingress::lease`]; [`Error::is_unknown_run`], and [`Error::is_conflict`] where the run is not one for which that makes sense.
    pub async fn detached_run(
        &self,
        run_id: &str,
        order: Order,
        timeout: Duration,
    ) -> Result<Progress, Error> {
        let url = self.object_url(DETACHED_RUN, run_id, order.handler());
        let request = self.http.post(&url);
        let request = if let Order::Resume(changes) = order { request.json(&changes) } else { request };
        self.call(&url, request, timeout).await
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
