//! Progress of a run that the cluster goes on with: a bar on a terminal, a plain line every 10 s elsewhere.

use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

use super::Ui;
use super::context::in_context;
use super::progress::{LINE_EVERY, Recent, explain, style, time_left};
use crate::domain::detached::{Phase, Progress};
use crate::engine::attach::News;
use crate::text::{grouped, printable};

/// Shows such a run, as seen from outside.
#[derive(Debug)]
pub struct Attached {
    ui: Ui,
    bar: Option<ProgressBar>,
    recent: Recent,
    start: Instant,
    next_line: Duration,
}

impl Attached {
    /// Nothing is known of the run yet.
    pub fn new(ui: Ui) -> Self {
        let bar = ui.is_interactive().then(|| ProgressBar::new(0).with_style(style("  {bar:30} {msg}")));
        Self { ui, bar, recent: Recent::default(), start: Instant::now(), next_line: Duration::ZERO }
    }

    /// Shows what there is to tell, of a run on so many nodes.
    pub fn tell(&mut self, news: &News<'_>, nodes: usize) {
        match news {
            News::At(progress) => self.show(progress),
            News::Trouble(Some(trouble)) => {
                self.say(&format!("waiting    {}", explain(trouble, nodes, None)));
            }
            News::Trouble(None) => self.say("waiting    over: the cluster answers, the run goes on"),
        }
    }

    /// Writes a line above the bar.
    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(printable(&in_context(line))),
            None => self.ui.note(line),
        }
    }

    fn show(&mut self, progress: &Progress) {
        let elapsed = self.start.elapsed();
        let line = line(progress, self.recent.rate(progress.tally.rows(), elapsed));
        if let Some(bar) = &self.bar {
            bar.set_length(progress.plan.indicators);
            bar.set_position(progress.tally.rows());
            bar.set_message(line);
        } else if elapsed >= self.next_line {
            self.next_line = elapsed + LINE_EVERY;
            self.ui.note(&format!("progress   {line}"));
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(progress: &Progress, rate: f64) -> String {
    let (done, all) = (progress.tally.rows(), progress.plan.indicators);
    let state = match progress.phase {
        Phase::Running => {
            let left = time_left(progress.pending(), rate, progress.plan.per_minute);
            format!("{rate:.0}/min   {left}")
        }
        Phase::Paused => format!("paused   {} in flight", grouped(progress.in_flight())),
        Phase::Cancelled => format!("cancelled   {} in flight", grouped(progress.in_flight())),
    };
    let failed = match progress.tally.failures() {
        0 => String::new(),
        failed => format!("   {} failed", grouped(failed)),
    };
    let cost = progress.tally.usage.cost_usd.map(|cost| format!("   {cost:.2} USD")).unwrap_or_default();
    format!("{} / {}   {} %   {state}{failed}{cost}", grouped(done), grouped(all), done * 100 / all.max(1))
}
