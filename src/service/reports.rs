//! `BatchReports`: gathers what the batches of a detached run report and passes it on together. The run itself lets in one caller at
//! a time, and a caller for each batch would keep it from submitting in time.

use std::time::Duration;

use bytes::Bytes;
use restate_sdk::prelude::*;

use super::callers::Callers;
use super::clock;
use super::detached::{DetachedRunClient, of_run};
use super::payload::{Raw, Short};
use crate::domain::detached::Report;
use crate::restate::names::DETACHED_RUN_FINISHED;
use crate::throttle::shared_clock::Reading;

/// Objects that gather for one run: as many reports are taken at once.
pub(super) const GATHERERS: u64 = 4;
/// How long to gather.
const GATHERED_FOR: Duration = Duration::from_millis(500);
/// What was to be passed on longer ago than this was cancelled, in milliseconds.
const OVERDUE: u64 = 2_000;
/// State: since when something is known to wait, in milliseconds since 1970. The first report need not read a clock.
const SINCE: &str = "since";
/// State: what was reported and not passed on.
const REPORTS: &str = "reports";

pub(super) struct BatchReports {
    pub(super) callers: Callers,
}

#[restate_sdk::object(
    name = "BatchReports",
    client_visibility = "pub(super)",
    ingress_private = true,
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
impl BatchReports {
    /// Takes a report.
    #[handler]
    async fn add(&self, ctx: ObjectContext<'_>, Short(report): Short<Report>) -> HandlerResult<()> {
        let Json(mut reports) = ctx.get::<Json<Vec<Report>>>(REPORTS).await?.unwrap_or_default();
        if reports.is_empty() {
            ctx.object_client::<BatchReportsClient>(ctx.key()).pass_on().send_after(GATHERED_FOR);
            ctx.clear(SINCE);
        } else {
            see_to_it(&ctx).await?;
        }
        reports.push(report);
        ctx.set(REPORTS, Json(reports));
        Ok(())
    }

    /// Passes on what there is.
    #[handler]
    async fn pass_on(&self, ctx: ObjectContext<'_>) -> HandlerResult<()> {
        if let Some(Json(reports)) = ctx.get::<Json<Vec<Report>>>(REPORTS).await? {
            let run_id = ctx.key().rsplit_once('.').map_or_else(|| ctx.key(), |(run_id, _)| run_id);
            let body = Bytes::from(
                serde_json::to_vec(&reports).map_err(|error| TerminalError::new(error.to_string()))?,
            );
            let signature = self.callers.signature(of_run(run_id, DETACHED_RUN_FINISHED), &body);
            let request = ctx.object_client::<DetachedRunClient>(run_id).finished(Raw(body));
            match signature {
                Some((name, value)) => request.header(name, value).send(),
                None => request.send(),
            };
            ctx.clear(REPORTS);
        }
        Ok(())
    }
}

/// Has what waits passed on if nobody comes for it: what was scheduled may have been cancelled. Passed on twice, a report counts once.
async fn see_to_it(ctx: &ObjectContext<'_>) -> Result<(), TerminalError> {
    let Reading { date, .. } = clock::read(ctx).await?;
    match ctx.get::<u64>(SINCE).await? {
        // A date may be set at any time.
        Some(since) if since.abs_diff(date) <= OVERDUE => {}
        Some(_) => {
            ctx.object_client::<BatchReportsClient>(ctx.key()).pass_on().send();
            ctx.set(SINCE, date);
        }
        None => ctx.set(SINCE, date),
    }
    Ok(())
}
