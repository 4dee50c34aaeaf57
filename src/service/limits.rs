//! `ModelLimits`: one virtual object per provider and model, which leases that model's budget to every process that calls
//! it. Restate lets one lease in at a time and keeps the state; the arithmetic is `throttle::budget`'s.

use restate_sdk::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::callers::Callers;
use super::clock;
use super::payload::Raw;
use crate::restate::names::{
    LeaseRequest, MODEL_LIMITS, MODEL_LIMITS_LEASE, MODEL_LIMITS_SET, MODEL_LIMITS_SHOW, ModelLimits as Shown,
};
use crate::restate::secret::Call;
use crate::throttle::budget::{Budget, Lease, Limits};

/// State: grants and pace.
const BUDGET: &str = "budget";
/// State: limits set by a person, who overrules what processes were started with.
const SET: &str = "set";
/// State: limits the process that asked last was started with.
const GIVEN: &str = "given";

pub(super) struct ModelLimits {
    /// Limits this process was started with, the same for every model.
    pub(super) own: Limits,
    pub(super) callers: Callers,
}

// A lease is worthless a second after it was asked for: nothing of it is kept, and it is not tried for long.
#[restate_sdk::object(
    name = "ModelLimits",
    client_visibility = "pub(super)",
    journal_retention = "0s",
    idempotency_retention = "0s",
    invocation_retry_policy(
        initial_interval = "50ms",
        factor = 2.0,
        max_interval = "1s",
        max_attempts = 5,
        on_max_attempts = "kill"
    )
)]
impl ModelLimits {
    /// Grants a process what the limits allow.
    #[handler]
    async fn lease(&self, ctx: ObjectContext<'_>, body: Raw) -> HandlerResult<Json<Lease>> {
        let call = of_model(ctx.key(), MODEL_LIMITS_LEASE);
        let request: LeaseRequest = self.callers.read(ctx.headers(), call, body)?;
        let now = clock::shared(&ctx).await?;
        let set: Option<Limits> = read(ctx.get(SET).await?);
        let given: Option<Limits> = read(ctx.get(GIVEN).await?);
        if given.as_ref() != Some(&request.limits) {
            ctx.set(GIVEN, Json(request.limits));
        }
        let mut budget = read(ctx.get(BUDGET).await?).unwrap_or_else(|| Budget::new(now));
        let lease = budget.lease(&in_force(set, request.limits), &request.ask, now);
        ctx.set(BUDGET, Json(budget));
        Ok(Json(lease))
    }

    /// The limits, and how much of them is used.
    #[handler]
    async fn show(&self, ctx: SharedObjectContext<'_>) -> HandlerResult<Json<Shown>> {
        self.callers.admit(ctx.headers(), of_model(ctx.key(), MODEL_LIMITS_SHOW))?;
        let now = clock::seen(&ctx).await?;
        let set: Option<Limits> = read(ctx.get(SET).await?);
        let given: Option<Limits> = read(ctx.get(GIVEN).await?);
        let budget: Option<Budget> = read(ctx.get(BUDGET).await?);
        Ok(Json(Shown {
            // Before anybody has asked: what the first one will ask with.
            limits: in_force(set, given.unwrap_or(self.own)),
            set_by_hand: set.is_some(),
            set: set.unwrap_or_default(),
            usage: budget.map(|budget| budget.usage(now)),
        }))
    }

    /// Overrules those of the limits that are named, from the next lease on, and leaves the others as they are; with `null`, overrules
    /// none any more. A pause that the provider asked for is over: whoever sets limits wants to go on.
    #[handler]
    async fn set(&self, ctx: ObjectContext<'_>, body: Raw) -> HandlerResult<()> {
        let call = of_model(ctx.key(), MODEL_LIMITS_SET);
        let limits: Option<Limits> = self.callers.read(ctx.headers(), call, body)?;
        match limits {
            Some(limits) => {
                let before: Option<Limits> = read(ctx.get(SET).await?);
                ctx.set(SET, Json(in_force(Some(limits), before.unwrap_or_default())));
            }
            None => ctx.clear(SET),
        }
        if let Some(mut budget) = read::<Budget>(ctx.get(BUDGET).await?) {
            budget.open();
            ctx.set(BUDGET, Json(budget));
        }
        Ok(())
    }
}

fn of_model<'a>(model: &'a str, handler: &'a str) -> Call<'a> {
    Call { service: MODEL_LIMITS, key: model, handler }
}

/// Each limit that was set by hand, and the others as they were given.
fn in_force(set: Option<Limits>, given: Limits) -> Limits {
    let set = set.unwrap_or_default();
    Limits {
        requests: set.requests.or(given.requests),
        tokens: set.tokens.or(given.tokens),
        concurrency: set.concurrency.or(given.concurrency),
    }
}

/// What is stored, in a form this version still understands; otherwise as good as nothing. A budget that is forgotten
/// costs a minute's accuracy, one that cannot be read would stop the model for ever.
fn read<T: DeserializeOwned + Serialize>(stored: Option<Json<serde_json::Value>>) -> Option<T> {
    serde_json::from_value(stored?.0).ok()
}
