//! `BatchReports`: gathers what the batches of a detached run report and passes it on together. The run itself lets in one caller at
//! a time, and a caller for each batch would keep it from submitting in time.

use std::time::Duration;

use restate_sdk::prelude::*;

use super::clock;
use super::detached::DetachedRunClient;
use crate::domain::detached::Report;
use crate::throttle::shared_clock::Reading;

/// Objects that gather for one run: as many reports are taken at once.
pub(super) const GATHERERS: u64 = 4;
/// How long to gather.
const GATHERED_FOR: Duration = Duration::from_millis(500);
/// What was scheduled longer ago than this is not coming any more.
const OVERDUE_MS: u64 = 2_000;
/// State: when what there is was last scheduled to be passed on, in milliseconds since 1970.
const SCHEDULED: &str = "scheduled";
/// State: what was reported and not passed on.
const REPORTS: &str = "reports";

pub(super) struct BatchReports;

#[restate_sdk::object(
    name = "BatchReports",
    client_visibility = "pub(super)",
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
    async fn add(&self, ctx: ObjectContext<'_>, Json(report): Json<Report>) -> HandlerResult<()> {
        let Reading { date, .. } = clock::read(&ctx).await?;
        let Json(mut reports) = ctx.get::<Json<Vec<Report>>>(REPORTS).await?.unwrap_or_default();
        let scheduled = ctx.get::<u64>(SCHEDULED).await?.filter(|_| !reports.is_empty());
        // What was scheduled may have been cancelled. Passed on twice, a report counts once.
        if scheduled.is_none_or(|at| at.abs_diff(date) > OVERDUE_MS) {
            ctx.object_client::<BatchReportsClient>(ctx.key()).pass_on().send_after(GATHERED_FOR);
            ctx.set(SCHEDULED, date);
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
            ctx.object_client::<DetachedRunClient>(run_id).finished(Json(reports)).send();
            ctx.clear(REPORTS);
        }
        Ok(())
    }
}
