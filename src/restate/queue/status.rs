//! A look at the queue as a whole: counts per service, and the invocations in trouble.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Invocation, Selection, State, ours};
use crate::restate::Error;
use crate::restate::admin::Admin;
use crate::restate::names::{BATCH_WORKFLOW, CLASSIFIER, MODEL_LIMITS};
use crate::throttle::budget::Budget;
use crate::throttle::shared_clock::SharedClock;

/// Retrying invocations shown at most; their number is always exact.
const SHOWN: usize = 10;

/// Patience with the state of models.
const LOOK: Duration = Duration::from_secs(2);

/// A look at the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Counts per service; a service without work is there with zeros.
    pub services: Vec<ServiceCounts>,
    /// What has been waiting longest for its first attempt.
    pub oldest_waiting: Option<Invocation>,
    /// Invocations that failed and will be tried again, most attempts first; at most 10.
    pub retrying: Vec<Invocation>,
    /// Invocations that Restate gave up on until somebody resumes them; at most 10. Ours are killed instead, so
    /// that anything here was paused by hand.
    pub paused: Vec<Invocation>,
    /// Models that are asked nothing for a while, because their provider wants it so.
    pub paused_models: Vec<PausedModel>,
}

/// A model that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PausedModel {
    /// As `provider/name`.
    pub model: String,
    /// For how long.
    pub seconds: u64,
}

/// Invocations of one service by state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServiceCounts {
    /// The service.
    pub service: String,
    /// Not begun.
    pub waiting: u64,
    /// At work.
    pub running: u64,
    /// Begun, and waiting for others without taking up a slot.
    pub suspended: u64,
    /// Failed, and to be tried again.
    pub retrying: u64,
    /// Stopped until somebody resumes them.
    pub paused: u64,
    /// Completed with a result.
    pub succeeded: u64,
    /// Completed with an error.
    pub failed: u64,
}

impl ServiceCounts {
    fn unfinished(&self) -> u64 {
        self.waiting + self.running + self.suspended + self.retrying
    }
}

#[derive(Debug, Deserialize)]
struct Count {
    target_service_name: String,
    status: String,
    #[serde(default)]
    completion_result: Option<String>,
    n: u64,
}

/// What is kept of a model's limits.
#[derive(Debug, Deserialize)]
struct Kept {
    service_key: String,
    key: String,
    #[serde(default)]
    value_utf8: Option<String>,
}

impl Queue {
    /// Looks at the queue through one node.
    ///
    /// # Errors
    /// When the node does not answer, or cannot reach the leader of a partition.
    pub async fn look(admin: &Admin, timeout: Duration) -> Result<Self, Error> {
        let counts = format!(
            "SELECT target_service_name, status, completion_result, COUNT(*) AS n FROM sys_invocation \
             WHERE {} GROUP BY target_service_name, status, completion_result",
            ours()
        );
        let list = |states: &[State]| Selection { states: Some(states.into()), ..Selection::default() };
        let (waiting, retrying, paused) =
            (list(&[State::Waiting]), list(&[State::Retrying]), list(&[State::Paused]));
        let limits = format!(
            "SELECT service_key, key, value_utf8 FROM state \
             WHERE service_name = '{MODEL_LIMITS}' AND key IN ('budget', 'clock')"
        );
        let (counts, oldest, retrying, paused) = tokio::try_join!(
            admin.query::<Count>(&counts, timeout),
            waiting.fetch(admin, Some(1), timeout),
            retrying.ordered(admin, "retry_count DESC, id", Some(SHOWN), timeout),
            paused.fetch(admin, Some(SHOWN), timeout),
        )?;
        let services = tally(&counts);
        // Batches of detached runs are state, too, and may be many: it is only looked at where it may explain something, and not for long.
        let is_asking =
            services.iter().any(|service| service.service == CLASSIFIER && service.unfinished() > 0);
        let limits = if is_asking {
            admin.query::<Kept>(&limits, timeout.min(LOOK)).await.unwrap_or_default()
        } else {
            Vec::new()
        };
        let date = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        Ok(Self {
            services,
            oldest_waiting: oldest.into_iter().next(),
            retrying,
            paused,
            paused_models: paused_models(&limits, date),
        })
    }
}

/// Models that the budgets among `kept` let ask nothing, at this date in milliseconds.
fn paused_models(kept: &[Kept], date: u64) -> Vec<PausedModel> {
    let value = |model: &str, key: &str| {
        kept.iter().find(|kept| kept.service_key == model && kept.key == key)?.value_utf8.as_deref()
    };
    let budgets = kept.iter().filter(|kept| kept.key == "budget");
    let left = |kept: &Kept| {
        let budget: Budget = serde_json::from_str(kept.value_utf8.as_deref()?).ok()?;
        let clock: Option<SharedClock> =
            value(&kept.service_key, "clock").and_then(|text| serde_json::from_str(text).ok());
        let now = clock.map_or(date, |clock| clock.at(date));
        let seconds = budget.usage(now).shut_for_ms.div_ceil(1_000);
        (seconds > 0).then(|| PausedModel { model: kept.service_key.clone(), seconds })
    };
    budgets.filter_map(left).collect()
}

fn tally(counts: &[Count]) -> Vec<ServiceCounts> {
    let mut services = [BATCH_WORKFLOW, CLASSIFIER]
        .map(|service| ServiceCounts { service: service.to_owned(), ..ServiceCounts::default() });
    for count in counts {
        let Some(service) = services.iter_mut().find(|service| service.service == count.target_service_name)
        else {
            continue;
        };
        *match State::of(&count.status, count.completion_result.as_deref()) {
            State::Waiting => &mut service.waiting,
            State::Running => &mut service.running,
            State::Suspended => &mut service.suspended,
            State::Retrying => &mut service.retrying,
            State::Paused => &mut service.paused,
            State::Succeeded => &mut service.succeeded,
            State::Failed => &mut service.failed,
        } += count.n;
    }
    services.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::budget::{Ask, Limits};
    use crate::throttle::shared_clock::Reading;

    #[test]
    fn a_model_that_its_provider_wants_left_alone_is_named() {
        let mut budget = Budget::new(1_000);
        let ask = Ask { process: "a".into(), pause_ms: 3_600_000, ..Ask::default() };
        budget.lease(&Limits::default(), &ask, 1_000);
        let kept = |key: &str, value: String| Kept {
            service_key: "openai/gpt-5".into(),
            key: key.into(),
            value_utf8: Some(value),
        };
        let mut clock = SharedClock::default();
        clock.read(&Reading { process: "a".into(), running: 0, date: 1_000 });
        let kept = [
            kept("clock", serde_json::to_string(&clock).unwrap()),
            kept("budget", serde_json::to_string(&budget).unwrap()),
        ];
        let expected = PausedModel { model: "openai/gpt-5".into(), seconds: 3_599 };
        assert_eq!(paused_models(&kept, 2_000), [expected]);
        assert_eq!(paused_models(&kept, 3_601_000), []);
    }

    #[test]
    fn completed_is_not_success() {
        let count = |status: &str, completion_result: Option<&str>, n| Count {
            target_service_name: CLASSIFIER.into(),
            status: status.into(),
            completion_result: completion_result.map(Into::into),
            n,
        };
        let counts = [
            count("completed", Some("success"), 7),
            count("completed", Some("failure"), 2),
            count("pending", None, 3),
            count("ready", None, 1),
            count("backing-off", None, 4),
        ];
        let expected = ServiceCounts {
            service: CLASSIFIER.into(),
            waiting: 4,
            retrying: 4,
            succeeded: 7,
            failed: 2,
            ..ServiceCounts::default()
        };
        assert_eq!(tally(&counts)[1], expected);
    }
}
