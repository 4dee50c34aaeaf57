//! Progress of a run: a bar and a line per node on a terminal, a plain line every 10 s elsewhere.
//!
//! Only listens. What it shows are the counts of the run's owner; it keeps none of its own but the recent past,
//! for the rate.

use std::collections::VecDeque;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Ui;
use super::context::in_context;
use crate::domain::event::{RunEvent, Trouble};
use crate::domain::stats::{NodeStats, RunStats};
use crate::engine::Observer;
use crate::text::{duration, grouped, printable, shorten};

/// The rate shown is that of this much of the recent past.
const RECENT: Duration = Duration::from_secs(20);
/// How often a line is written where no bar can be.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows a run while it goes on.
#[derive(Debug)]
pub struct Progress {
    ui: Ui,
    bars: Option<Bars>,
    recent: Recent,
    next_line: Duration,
    /// Indicators per minute the run aims at.
    target: Option<f64>,
}

#[derive(Debug)]
struct Bars {
    multi: MultiProgress,
    total: ProgressBar,
    nodes: Vec<ProgressBar>,
}

impl Progress {
    /// Progress of a run over `indicators` on `nodes` nodes that aims at `target` indicators per minute.
    pub fn new(ui: Ui, indicators: u64, nodes: usize, target: Option<f64>) -> Self {
        let bars = ui.is_interactive().then(|| Bars::new(indicators, nodes));
        Self { ui, bars, recent: Recent::default(), next_line: LINE_EVERY, target }
    }

    /// Removes the bars; what follows is the report.
    pub fn finish(&self) {
        if let Some(bars) = &self.bars {
            let _terminal_gone = bars.multi.clear();
        }
    }

    /// Writes a line above the bars.
    fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                let _terminal_gone = bars.multi.println(printable(&in_context(line)));
            }
            None => self.ui.note(line),
        }
    }

    fn show(&mut self, stats: &RunStats, elapsed: Duration) {
        let rate = self.recent.rate(stats.finished(), elapsed);
        let left = time_left(stats.pending(), rate, self.target);
        let line = format!(
            "{} / {}   {} %   {rate:.0}/min   {left}{}{}",
            grouped(stats.finished()),
            grouped(stats.indicators),
            stats.finished() * 100 / stats.indicators.max(1),
            match stats.failures() {
                0 => String::new(),
                failed => format!("   {} failed", grouped(failed)),
            },
            bought(stats, elapsed)
        ) + &held(stats);
        if let Some(bars) = &self.bars {
            bars.total.set_position(stats.finished());
            bars.total.set_message(line);
            for (bar, node) in bars.nodes.iter().zip(&stats.nodes) {
                bar.set_message(node_line(node));
            }
        } else if elapsed >= self.next_line {
            self.next_line = elapsed + LINE_EVERY;
            self.ui.note(&format!("progress   {line}"));
        }
    }
}

/// When how many indicators were finished, of late.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(Duration, u64)>);

impl Recent {
    /// Finished indicators per minute over the recent past.
    pub(super) fn rate(&mut self, finished: u64, elapsed: Duration) -> f64 {
        self.0.push_back((elapsed, finished));
        while self.0.len() > 2 && elapsed.saturating_sub(self.0[1].0) >= RECENT {
            self.0.pop_front();
        }
        let (since, before) = self.0[0];
        crate::report::per_minute(finished - before, elapsed.saturating_sub(since))
    }
}

impl Bars {
    fn new(indicators: u64, nodes: usize) -> Self {
        let multi = MultiProgress::new();
        let total = multi.add(ProgressBar::new(indicators).with_style(style("  {bar:30} {msg}")));
        let nodes =
            (0..nodes).map(|_| multi.add(ProgressBar::new_spinner().with_style(style("  {msg}")))).collect();
        Self { multi, total, nodes }
    }
}

pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

impl Observer for Progress {
    fn observe(&mut self, event: &RunEvent, stats: &RunStats, _elapsed: Duration) {
        let name = |node: usize| printable(&stats.nodes[node].name);
        match event {
            RunEvent::NodeDown { node, reason } => {
                let reason = shorten(&printable(reason), 160);
                self.say(&format!("{}   out: {reason}; its batches go to the other nodes", name(*node)));
            }
            RunEvent::NodeUp { node } => self.say(&format!("{}   back", name(*node))),
            RunEvent::Trouble(Some(trouble)) => self.say(&format!(
                "waiting    {}",
                explain(trouble, stats.nodes.len(), Some(stats.nodes.iter().filter(|node| node.up).count()))
            )),
            RunEvent::Trouble(None) => self.say("waiting    over: the cluster answers, the run goes on"),
            RunEvent::Submitted { .. }
            | RunEvent::NodeFault { .. }
            | RunEvent::Held { .. }
            | RunEvent::Spent(_)
            | RunEvent::Recorded(_)
            | RunEvent::Rejected => {}
        }
    }

    fn tick(&mut self, stats: &RunStats, elapsed: Duration) {
        self.show(stats, elapsed);
    }

    fn draining(&mut self, stats: &RunStats) {
        let delivered: u64 = stats.nodes.iter().map(|node| node.succeeded + node.failed).sum();
        let in_flight = stats.submitted.saturating_sub(delivered);
        self.say(&format!(
            "stopping   nothing more is submitted; waiting for {} in flight (Ctrl-C again to stop at once)",
            grouped(in_flight)
        ));
    }
}

/// What stands still, and what a person can do about it. `up` of `nodes` are in rotation, where that is known.
pub(super) fn explain(trouble: &Trouble, nodes: usize, up: Option<usize>) -> String {
    let rotation = up.map(|up| format!(" ({up} of {nodes} in rotation)")).unwrap_or_default();
    match trouble {
        Trouble::NodesGone => format!(
            "no node answers (0 of {nodes}); the run goes on when the cluster does: `classify cluster start`"
        ),
        Trouble::QuorumLost => format!(
            "quorum lost: nodes answer but cannot write{rotation}; the run goes on when enough \
             nodes are back: `classify cluster start`"
        ),
        Trouble::OtherService { why } => format!(
            "{}; the run goes on when the right service is registered: `classify serve --register`",
            shorten(&printable(why), 300)
        ),
        Trouble::ModelPaused { model, minutes } => format!(
            "{} is paused for {minutes} min, as its provider asked; go on sooner: `classify limits set {0} --reset`",
            printable(model)
        ),
        Trouble::WorkStuck => {
            "cluster and service answer, and no batch finishes; what retries, and why: `classify queue status`".into()
        }
        Trouble::ServiceMissing => {
            "the cluster does not know the service; register it: `classify cluster register`".into()
        }
        Trouble::ServiceSilent => {
            "the service does not answer the cluster; start it: `classify serve` (work is kept and goes on)"
                .into()
        }
    }
}

fn node_line(node: &NodeStats) -> String {
    let state = if node.up { "" } else { "   out" };
    let p95 = node.p95_ms().map(|ms| format!("   p95 {ms} ms")).unwrap_or_default();
    format!(
        "{:<10} {:>7} done   {} failed{p95}{state}",
        printable(&node.name),
        grouped(node.succeeded),
        grouped(node.failed)
    )
}

/// Money and tokens, where any are spent.
fn bought(stats: &RunStats, elapsed: Duration) -> String {
    let usage = &stats.usage;
    if usage.requests == 0 {
        return String::new();
    }
    let tokens = crate::report::per_minute(usage.tokens(), elapsed);
    let cost = usage.cost_usd.map(|cost| {
        #[expect(clippy::cast_precision_loss, reason = "a projection to show")]
        let share = stats.finished() as f64 / stats.indicators.max(1) as f64;
        format!("   {cost:.2} of about {:.2} USD", cost / share.max(f64::MIN_POSITIVE))
    });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number to show")]
    let tokens = grouped(tokens as u64);
    let cached = crate::report::cached_share(usage.cached_tokens, usage.input_tokens);
    format!("{}   {tokens} tokens/min   {cached} % cached", cost.unwrap_or_default())
}

/// Why it is slow, where the money for what is under way has to be known first.
fn held(stats: &RunStats) -> String {
    let held = stats.held_usd.filter(|_| stats.pending() > 0);
    held.map(|usd| format!("   held back by --max-cost: up to {usd:.2} USD are under way"))
        .unwrap_or_default()
}

/// Time until `pending` are finished: at the present rate, but never sooner than the pace allows.
pub(super) fn time_left(pending: u64, rate: f64, target: Option<f64>) -> String {
    let rate = target.map_or(rate, |target| rate.min(target));
    if pending == 0 {
        return "finishing".into();
    }
    if rate <= 0.0 {
        return "time left unknown".into();
    }
    #[expect(clippy::cast_precision_loss, reason = "a number to show")]
    let seconds = pending as f64 / rate * 60.0;
    format!("{} left", duration(Duration::from_secs_f64(seconds.ceil())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_recent_past() {
        let mut recent = Recent::default();
        let mut rate = 0.0;
        for second in 0..=60_u64 {
            // Nothing happens for half a minute, then 10 a second.
            let finished = second.saturating_sub(30) * 10;
            rate = recent.rate(finished, Duration::from_secs(second));
        }
        assert!((rate - 600.0).abs() < 1.0, "{rate}");
    }

    #[test]
    fn the_cached_share_is_shown() {
        let mut stats = RunStats::new(10, Vec::new());
        assert_eq!(bought(&stats, Duration::from_mins(1)), "");
        (stats.usage.requests, stats.usage.input_tokens, stats.usage.cached_tokens) = (1, 1_000, 930);
        assert_eq!(bought(&stats, Duration::from_mins(1)), "   1,000 tokens/min   93 % cached");
    }

    #[test]
    fn the_time_left_never_promises_more_than_the_pace() {
        assert_eq!(time_left(900, 1_800.0, Some(900.0)), "1 min 0 s left");
        assert_eq!(time_left(900, 450.0, Some(900.0)), "2 min 0 s left");
        assert_eq!(time_left(900, 0.0, Some(900.0)), "time left unknown");
        assert_eq!(time_left(0, 0.0, None), "finishing");
    }
}
