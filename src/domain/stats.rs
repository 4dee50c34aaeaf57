//! The counts of a run. One owner applies every event; totals reconcile by construction.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::event::{Reception, Recorded, RunEvent, Trouble};
use super::money::Done;
use super::outcome::{FailureClass, Usage};
use super::remarks::Remarks;

/// Length of the window a rate is judged by.
const WINDOW: Duration = Duration::from_mins(1);
/// How late a submission may be told.
const LATE: Duration = Duration::from_secs(30);
/// Longest batch the histogram tells apart, in milliseconds; longer ones count as this.
const LONGEST_MS: u64 = 24 * 3_600 * 1_000;

/// Everything counted in a run.
#[derive(Debug)]
pub struct RunStats {
    /// Indicators of the run: every row but merged duplicates.
    pub indicators: u64,
    /// With labels, on disk.
    pub succeeded: u64,
    /// Of these, answered by an earlier call.
    pub reused: u64,
    /// Without labels, on disk, by class; rejected rows are `invalid_input`.
    pub failed: BTreeMap<FailureClass, u64>,
    /// Taken over from the run whose failures this one retries.
    pub carried: u64,
    /// Of these, rows that were cancelled.
    carried_cancelled: u64,
    /// Accepted by a node.
    pub submitted: u64,
    /// Of these, in batches that the cluster knew from an earlier process of the run.
    pub recovered: u64,
    /// Of these, in batches that it had forgotten.
    pub forgotten: u64,
    /// What was bought.
    pub usage: Usage,
    /// Indicators for which no model had to be asked (`hybrid`).
    pub spared: u64,
    /// Columns that were cut, and what failures said.
    pub remarks: Remarks,
    /// Most indicators submitted within any window of 60 s.
    pub max_60s_window: u64,
    /// Per node, in the order of the nodes.
    pub nodes: Vec<NodeStats>,
    /// Why nothing moves, while nothing moves.
    pub trouble: Option<Trouble>,
    /// What is spent and reserved while that holds batches back; in US dollars.
    pub held_usd: Option<f64>,
    /// When the first and the last batch were submitted.
    pub submitting: Option<(Duration, Duration)>,
    /// Submissions of the recent past in the order of time.
    recent: VecDeque<(Duration, u64)>,
}

/// What is counted per node.
#[derive(Debug)]
pub struct NodeStats {
    /// The node's name.
    pub name: String,
    /// Its ingress URL.
    pub url: String,
    /// Batches it accepted.
    pub batches: u64,
    /// Indicators it accepted.
    pub indicators: u64,
    /// Indicators whose result it delivered, with and without labels.
    pub succeeded: u64,
    /// Indicators that came back without labels.
    pub failed: u64,
    /// Failed exchanges.
    pub errors: u64,
    /// Whether it is in the rotation.
    pub up: bool,
    latency_ms: Histogram<u32>,
}

impl NodeStats {
    /// Counts for a node nothing was sent to yet.
    pub fn new(name: String, url: String) -> Self {
        // Two significant digits are enough for a person, and cost a few kB.
        let latency_ms =
            Histogram::new_with_max(LONGEST_MS, 2).unwrap_or_else(|_| unreachable!("valid bounds"));
        let (batches, indicators, succeeded, failed, errors) = (0, 0, 0, 0, 0);
        Self { name, url, batches, indicators, succeeded, failed, errors, up: true, latency_ms }
    }

    /// Mean time from submission to result, in milliseconds; `None` before the first result.
    pub fn mean_ms(&self) -> Option<f64> {
        (!self.latency_ms.is_empty()).then(|| self.latency_ms.mean())
    }

    /// 95th percentile of the time from submission to result, in milliseconds; `None` before the first result.
    pub fn p95_ms(&self) -> Option<u64> {
        (!self.latency_ms.is_empty()).then(|| self.latency_ms.value_at_quantile(0.95))
    }
}

impl RunStats {
    /// Counts for a run over `indicators` indicators that has not begun.
    pub fn new(indicators: u64, nodes: Vec<NodeStats>) -> Self {
        Self {
            indicators,
            succeeded: 0,
            reused: 0,
            failed: BTreeMap::new(),
            carried: 0,
            carried_cancelled: 0,
            submitted: 0,
            recovered: 0,
            forgotten: 0,
            usage: Usage::default(),
            spared: 0,
            remarks: Remarks::default(),
            max_60s_window: 0,
            nodes,
            trouble: None,
            held_usd: None,
            submitting: None,
            recent: VecDeque::new(),
        }
    }

    /// Indicators without labels.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Indicators that are on disk, with or without labels.
    pub fn finished(&self) -> u64 {
        self.succeeded + self.failures()
    }

    /// As the account of the run counts it: nobody pays for rows that are no indicators, or were classified before.
    pub fn done(&self) -> Done<'_> {
        let count = |class| self.failed.get(&class).copied().unwrap_or_default();
        let free = self.carried + self.reused + self.spared + count(FailureClass::InvalidInput);
        let cancelled = count(FailureClass::Cancelled).saturating_sub(self.carried_cancelled);
        Done { rows: self.finished(), free, cancelled, usage: &self.usage }
    }

    /// Indicators that are neither.
    pub fn pending(&self) -> u64 {
        self.indicators.saturating_sub(self.finished())
    }

    /// Counts rows that an earlier run has classified, or failed to.
    pub fn carry(&mut self, succeeded: u64, failed: &BTreeMap<FailureClass, u64>) {
        self.succeeded += succeeded;
        for (class, number) in failed {
            *self.failed.entry(*class).or_default() += number;
        }
        self.carried += succeeded + failed.values().sum::<u64>();
        self.carried_cancelled += failed.get(&FailureClass::Cancelled).copied().unwrap_or_default();
    }

    /// Back to the beginning: nothing that was counted is there any more.
    pub fn forget(&mut self) {
        let nodes =
            self.nodes.iter().map(|node| NodeStats::new(node.name.clone(), node.url.clone())).collect();
        *self = Self::new(self.indicators, nodes);
    }

    /// Counts what happened.
    pub fn apply(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Submitted { node, reception, indicators, at } => {
                self.submitted += indicators;
                match reception {
                    Reception::New => {}
                    Reception::Known => self.recovered += indicators,
                    Reception::Forgotten => self.forgotten += indicators,
                }
                self.nodes[*node].batches += 1;
                self.nodes[*node].indicators += indicators;
                self.slide(*at, *indicators);
            }
            RunEvent::NodeFault { node, .. } => self.nodes[*node].errors += 1,
            RunEvent::NodeDown { node, .. } => self.nodes[*node].up = false,
            RunEvent::NodeUp { node } => self.nodes[*node].up = true,
            RunEvent::Held { reserved_usd } => self.held_usd = *reserved_usd,
            RunEvent::Trouble(trouble) => self.trouble.clone_from(trouble),
            RunEvent::Recorded(recorded) => self.record(recorded),
            RunEvent::Spent(usage) => self.usage.add(usage),
            RunEvent::Rejected => self.reject(1),
        }
    }

    /// Counts rows that are no indicators.
    pub fn reject(&mut self, rows: u64) {
        if rows > 0 {
            *self.failed.entry(FailureClass::InvalidInput).or_default() += rows;
        }
    }

    fn record(&mut self, recorded: &Recorded) {
        let node = &mut self.nodes[recorded.node];
        let failed: u64 = recorded.failed.values().sum();
        node.succeeded += recorded.succeeded;
        node.failed += failed;
        let ms = u64::try_from(recorded.took.as_millis()).unwrap_or(u64::MAX);
        node.latency_ms.saturating_record(ms.clamp(1, LONGEST_MS));
        self.succeeded += recorded.succeeded;
        self.reused += recorded.reused;
        for (class, number) in &recorded.failed {
            *self.failed.entry(*class).or_default() += number;
        }
        self.usage.add(&recorded.usage);
        self.spared += recorded.spared;
        self.remarks.add(&recorded.remarks);
    }

    /// Counts a submission in the windows it belongs to. Those of concurrent batches may be told up to a request's
    /// timeout late, so the recent past is kept in order and a little longer than a window.
    fn slide(&mut self, at: Duration, indicators: u64) {
        let (first, last) = self.submitting.unwrap_or((at, at));
        self.submitting = Some((first.min(at), last.max(at)));
        let place = self.recent.partition_point(|(earlier, _)| *earlier <= at);
        self.recent.insert(place, (at, indicators));
        while self.recent.front().is_some_and(|(oldest, _)| last.saturating_sub(*oldest) >= WINDOW + LATE) {
            self.recent.pop_front();
        }
        // The windows that end with this submission or with a later one, of which there are few.
        for end in self.recent.iter().rev().take_while(|(end, _)| *end >= at).map(|(end, _)| *end) {
            let within = |(start, _): &&(Duration, u64)| *start <= end && end.saturating_sub(*start) < WINDOW;
            let sum = self.recent.iter().filter(within).map(|(_, number)| number).sum();
            self.max_60s_window = self.max_60s_window.max(sum);
        }
    }
}

impl Usage {
    /// Tokens sent and received.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Adds what another classification consumed. A price is known only where it is known for all.
    pub fn add(&mut self, other: &Self) {
        // An indicator that shared its request with others may have tokens without a request.
        if *self == Self::default() {
            *self = *other;
            return;
        }
        if *other == Self::default() {
            return;
        }
        // Numbers from outside: a provider that counts nonsense must not stop a run.
        self.requests = self.requests.saturating_add(other.requests);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.retries = self.retries.zip(other.retries, u64::saturating_add);
        self.cost_usd = self.cost_usd.zip(other.cost_usd).map(|(ours, theirs)| ours + theirs);
        self.unsettled_usd = match (self.unsettled_usd, other.unsettled_usd) {
            (Some(ours), Some(theirs)) => Some(ours + theirs),
            (ours, theirs) => ours.or(theirs),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Retries;

    fn stats(indicators: u64) -> RunStats {
        let nodes = ["a", "b"].map(|name| NodeStats::new(name.into(), format!("http://{name}")));
        RunStats::new(indicators, nodes.into())
    }

    fn recorded(node: usize, succeeded: u64, failed: u64) -> RunEvent {
        RunEvent::Recorded(Recorded {
            node,
            succeeded,
            reused: 0,
            failed: BTreeMap::from([(FailureClass::Provider, failed)]),
            usage: Usage::default(),
            spared: 0,
            hopeless: None,
            remarks: Box::default(),
            took: Duration::from_millis(120),
        })
    }

    #[test]
    fn totals_reconcile_after_every_event() {
        let mut stats = stats(20);
        let submitted =
            RunEvent::Submitted { node: 0, reception: Reception::New, indicators: 10, at: Duration::ZERO };
        for event in [submitted, recorded(0, 7, 3), RunEvent::Rejected, recorded(1, 2, 0)] {
            stats.apply(&event);
            assert_eq!(stats.succeeded + stats.failures() + stats.pending(), 20);
        }
        assert_eq!((stats.succeeded, stats.failures(), stats.pending()), (9, 4, 7));
        assert_eq!((stats.nodes[0].succeeded, stats.nodes[0].failed, stats.nodes[1].succeeded), (7, 3, 2));
        assert_eq!(stats.nodes[1].p95_ms(), Some(120));
    }

    #[test]
    fn the_window_is_sixty_seconds_long() {
        let mut stats = stats(1_000);
        for second in [0, 30, 59, 60, 61, 200] {
            let at = Duration::from_secs(second);
            stats.apply(&RunEvent::Submitted { node: 0, reception: Reception::New, indicators: 10, at });
        }
        // 30, 59, 60 and 61 lie within one minute.
        assert_eq!(stats.max_60s_window, 40);
        assert_eq!(stats.submitting, Some((Duration::ZERO, Duration::from_secs(200))));
    }

    #[test]
    fn a_late_submission_counts_where_it_belongs() {
        let mut stats = stats(1_000);
        for millis in [0, 1_000, 61_500, 59_000] {
            let at = Duration::from_millis(millis);
            stats.apply(&RunEvent::Submitted { node: 0, reception: Reception::New, indicators: 10, at });
        }
        assert_eq!(stats.max_60s_window, 30, "0, 1 and 59 s lie within one minute");
    }

    #[test]
    fn nonsense_from_a_provider_is_no_end() {
        let vast = Usage { requests: 1, input_tokens: u64::MAX, output_tokens: u64::MAX, ..Usage::default() };
        let mut sum = vast;
        sum.add(&vast);
        assert_eq!((sum.requests, sum.input_tokens, sum.output_tokens), (2, u64::MAX, u64::MAX));
        assert_eq!(sum.tokens(), u64::MAX);
        let retries = Retries { timeout: u64::MAX, schema: 1, ..Retries::default() };
        assert_eq!(retries.total(), u64::MAX);
    }

    #[test]
    fn one_unknown_price_makes_the_sum_unknown() {
        let priced = Usage { requests: 1, cost_usd: Some(0.5), ..Usage::default() };
        let unpriced = Usage { requests: 1, ..Usage::default() };
        let mut sum = Usage::default();
        sum.add(&priced);
        sum.add(&Usage::default());
        sum.add(&priced);
        assert_eq!(sum.cost_usd, Some(1.0));
        sum.add(&Usage { requests: 0, input_tokens: 5, cost_usd: Some(0.25), ..Usage::default() });
        assert_eq!((sum.input_tokens, sum.cost_usd), (5, Some(1.25)), "a share of another's request");
        sum.add(&unpriced);
        assert_eq!((sum.requests, sum.cost_usd), (3, None));
    }
}
