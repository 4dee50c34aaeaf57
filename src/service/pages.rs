//! `BatchPage`: keeps some batches of a detached run, each under its index, until the run submits them or is cancelled.
//!
//! Pages and not single batches, because handing over is what takes long: one call brings many. State is read lazily, so that
//! submitting one batch moves that batch alone.

use bytes::Bytes;
use restate_sdk::context::RequestTarget;
use restate_sdk::prelude::*;

use super::batch::batch as submits;
use super::callers::Callers;
use super::payload::{Raw, Short};
use crate::domain::detached::{PAGE, Release};
use crate::domain::page::read_page;
use crate::restate::names::{BATCH_PAGE, BATCH_PAGE_PUT, BATCH_RUN, BATCH_WORKFLOW};
use crate::restate::secret::Call;

/// The request is not one that this object understands.
const MALFORMED: u16 = 400;

pub(super) struct BatchPage {
    pub(super) callers: Callers,
}

#[restate_sdk::object(
    name = "BatchPage",
    client_visibility = "pub(super)",
    lazy_state,
    journal_retention = "0s",
    idempotency_retention = "0s",
    invocation_retry_policy(
        initial_interval = "50ms",
        factor = 2.0,
        max_interval = "1s",
        max_attempts = 100000,
        on_max_attempts = "kill"
    )
)]
impl BatchPage {
    /// Keeps batches. Doing so again changes nothing.
    #[handler]
    #[expect(clippy::unused_async, reason = "handlers are async, whether they wait or not")]
    async fn put(&self, ctx: ObjectContext<'_>, body: Raw) -> HandlerResult<()> {
        let call = Call { service: BATCH_PAGE, key: ctx.key(), handler: BATCH_PAGE_PUT };
        let body = self.callers.bytes(ctx.headers(), call, body)?;
        let batches = read_page(body)
            .ok_or_else(|| TerminalError::new_with_code(MALFORMED, "no batches behind an index"))?;
        for (index, batch) in batches {
            ctx.set(&index.to_string(), batch);
        }
        Ok(())
    }

    /// Submits batches, each when it is due, and forgets them.
    #[handler(ingress_private = true)]
    async fn release(
        &self,
        ctx: ObjectContext<'_>,
        Short(releases): Short<Vec<Release>>,
    ) -> HandlerResult<()> {
        let run_id = ctx.key().rsplit_once('.').map_or_else(|| ctx.key(), |(run_id, _)| run_id);
        for Release { batch: index, delay } in releases {
            let slot = index.to_string();
            let Some(batch) = ctx.get::<Bytes>(&slot).await? else {
                tracing::error!(page = ctx.key(), index, "a batch of a detached run is not there");
                continue;
            };
            let key = format!("{run_id}.{index}");
            let signature = self.callers.signature(submits(&key), &batch);
            let target = RequestTarget::workflow(BATCH_WORKFLOW, key, BATCH_RUN);
            let request = ctx.request::<Bytes, ()>(target, batch);
            match signature {
                Some((name, value)) => request.header(name, value).send_after(delay),
                None => request.send_after(delay),
            };
            ctx.clear(&slot);
        }
        Ok(())
    }

    /// Forgets its batches from index `from` on.
    #[handler(ingress_private = true)]
    #[expect(clippy::unused_async, reason = "handlers are async, whether they wait or not")]
    async fn discard(&self, ctx: ObjectContext<'_>, Json(from): Json<u64>) -> HandlerResult<()> {
        let page: u64 =
            ctx.key().rsplit_once('.').and_then(|(_, page)| page.parse().ok()).unwrap_or_default();
        for index in from.max(page * PAGE)..(page + 1) * PAGE {
            ctx.clear(&index.to_string());
        }
        Ok(())
    }
}
