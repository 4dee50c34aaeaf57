//! `DetachedRun`: one virtual object per run that was handed over to the cluster, which submits its batches at the run's
//! rate and counts what comes of them.
//!
//! Owns the object and what it sends; what it decides is `run`'s. Where the batches are is `pages`'.

#[cfg(fuzzing)]
pub mod fuzzing;
mod run;

use restate_sdk::prelude::*;

use super::callers::Callers;
use super::clock;
use super::pages::BatchPageClient;
use super::payload::{Raw, Short};
use crate::domain::detached::{Changes, PAGE, Plan, Progress, Report};
use crate::restate::names::{
    DETACHED_RUN, DETACHED_RUN_BEGIN, DETACHED_RUN_FINISHED, DETACHED_RUN_GIVE_UP, Order,
};
use crate::restate::secret::Call;
use run::{Run, Step};

/// State: the run.
const RUN: &str = "run";
/// No such run; it never began.
const UNKNOWN: u16 = 404;
/// The run is not one for which that makes sense.
const CONFLICT: u16 = 409;

pub(super) struct DetachedRun {
    pub(super) callers: Callers,
}

// What is sent here must arrive: a step that is lost stops the run, a count that is lost leaves it unfinished for ever.
#[restate_sdk::object(
    name = "DetachedRun",
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
impl DetachedRun {
    /// Begins the run. All its pages are there; saying it again is harmless.
    #[handler]
    async fn begin(&self, ctx: ObjectContext<'_>, body: Raw) -> HandlerResult<Json<Progress>> {
        let plan: Plan = self.callers.read(ctx.headers(), of_run(ctx.key(), DETACHED_RUN_BEGIN), body)?;
        if let Some(Json(run)) = ctx.get::<Json<Run>>(RUN).await? {
            let Plan { indicators, batch_size, .. } = run.progress().plan;
            if (indicators, batch_size) != (plan.indicators, plan.batch_size) {
                return Err(TerminalError::new_with_code(CONFLICT, "another run has this id").into());
            }
            return Ok(Json(run.progress().clone()));
        }
        let run = Run::new(plan, clock::read(&ctx).await?.date);
        this(&ctx).step(Json(run.epoch())).send();
        Ok(save(&ctx, run))
    }

    /// Gives up a run that has not begun, wherever its hand-over ended: what there is of it is thrown away. Saying it again is harmless.
    #[handler]
    async fn give_up(&self, ctx: ObjectContext<'_>, body: Raw) -> HandlerResult<Json<Progress>> {
        let plan: Plan = self.callers.read(ctx.headers(), of_run(ctx.key(), DETACHED_RUN_GIVE_UP), body)?;
        let mut run = match ctx.get::<Json<Run>>(RUN).await? {
            Some(Json(run)) => run,
            None => Run::new(plan, clock::read(&ctx).await?.date),
        };
        run.cancel();
        this(&ctx).step(Json(run.epoch())).send();
        Ok(save(&ctx, run))
    }

    /// Submits what is due, and sees to it that it will do so again.
    #[handler(ingress_private = true)]
    async fn step(&self, ctx: ObjectContext<'_>, Json(epoch): Json<u64>) -> HandlerResult<()> {
        let mut run = load(&ctx).await?;
        if run.epoch() != epoch {
            return Ok(());
        }
        let now = clock::shared(&ctx).await?;
        let Step { releases, discards, again } = run.step(now);
        let together = run.progress().plan.batches_together();
        for some in releases.chunk_by(|one, next| one.batch / PAGE == next.batch / PAGE) {
            for some in some.chunks(together) {
                page(&ctx, some[0].batch / PAGE).release(Short(some.to_vec())).send();
            }
        }
        for number in discards {
            page(&ctx, number).discard(Json(run.progress().released)).send();
        }
        if let Some(delay) = again {
            this(&ctx).step(Json(epoch)).send_after(delay);
        }
        end(&ctx, &mut run).await?;
        save(&ctx, run);
        Ok(())
    }

    /// Counts batches that are done.
    #[handler]
    async fn finished(&self, ctx: ObjectContext<'_>, body: Raw) -> HandlerResult<()> {
        let call = of_run(ctx.key(), DETACHED_RUN_FINISHED);
        let reports: Vec<Report> = self.callers.read(ctx.headers(), call, body)?;
        let mut run = load(&ctx).await?;
        for report in reports {
            run.finished(report);
        }
        end(&ctx, &mut run).await?;
        save(&ctx, run);
        Ok(())
    }

    /// Submits nothing more for the time being.
    #[handler]
    async fn pause(&self, ctx: ObjectContext<'_>) -> HandlerResult<Json<Progress>> {
        self.admit(ctx.headers(), ctx.key(), Order::Pause)?;
        let mut run = load(&ctx).await?;
        run.pause();
        Ok(save(&ctx, run))
    }

    /// Goes on submitting.
    #[handler]
    async fn resume(&self, ctx: ObjectContext<'_>, body: Raw) -> HandlerResult<Json<Progress>> {
        let call = of_run(ctx.key(), Order::Resume(Changes::default()).handler());
        let changes: Changes = self.callers.read(ctx.headers(), call, body)?;
        let mut run = load(&ctx).await?;
        run.resume(changes).map_err(|reason| TerminalError::new_with_code(CONFLICT, reason))?;
        this(&ctx).step(Json(run.epoch())).send();
        Ok(save(&ctx, run))
    }

    /// Takes a step now, if the run goes on: the next one may have been killed.
    #[handler]
    async fn wake(&self, ctx: ObjectContext<'_>) -> HandlerResult<Json<Progress>> {
        self.admit(ctx.headers(), ctx.key(), Order::Wake)?;
        let mut run = load(&ctx).await?;
        if run.wake() {
            this(&ctx).step(Json(run.epoch())).send();
        }
        Ok(save(&ctx, run))
    }

    /// Submits nothing more, and throws away what was not submitted.
    #[handler]
    async fn cancel(&self, ctx: ObjectContext<'_>) -> HandlerResult<Json<Progress>> {
        self.admit(ctx.headers(), ctx.key(), Order::Cancel)?;
        let mut run = load(&ctx).await?;
        run.cancel();
        this(&ctx).step(Json(run.epoch())).send();
        Ok(save(&ctx, run))
    }

    /// Where the run is.
    #[handler]
    async fn show(&self, ctx: SharedObjectContext<'_>) -> HandlerResult<Json<Progress>> {
        self.admit(ctx.headers(), ctx.key(), Order::Show)?;
        let run = ctx.get::<Json<Run>>(RUN).await?;
        Ok(Json(run.ok_or_else(unknown)?.0.progress().clone()))
    }
}

impl DetachedRun {
    fn admit(&self, headers: &HeaderMap, run_id: &str, order: Order) -> Result<(), TerminalError> {
        self.callers.admit(headers, of_run(run_id, order.handler()))
    }
}

/// A call of the object of this run.
pub(super) fn of_run<'a>(run_id: &'a str, handler: &'a str) -> Call<'a> {
    Call { service: DETACHED_RUN, key: run_id, handler }
}

fn this<'ctx>(ctx: &ObjectContext<'ctx>) -> DetachedRunClient<'ctx> {
    ctx.object_client(ctx.key())
}

fn page<'ctx>(ctx: &ObjectContext<'ctx>, number: u64) -> BatchPageClient<'ctx> {
    ctx.object_client(format!("{}.{number}", ctx.key()))
}

async fn load(ctx: &ObjectContext<'_>) -> Result<Run, TerminalError> {
    Ok(ctx.get::<Json<Run>>(RUN).await?.ok_or_else(unknown)?.0)
}

fn save(ctx: &ObjectContext<'_>, run: Run) -> Json<Progress> {
    let progress = run.progress().clone();
    ctx.set(RUN, Json(run));
    Json(progress)
}

/// Notes when the run ended, if it has.
async fn end(ctx: &ObjectContext<'_>, run: &mut Run) -> Result<(), TerminalError> {
    if run.has_just_ended() {
        run.end(clock::read(ctx).await?.date);
    }
    Ok(())
}

fn unknown() -> TerminalError {
    TerminalError::new_with_code(UNKNOWN, "no such run")
}
