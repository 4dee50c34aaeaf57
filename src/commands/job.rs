//! A run in its folder, brought to its end or to wherever it gets: what `run`, `runs resume` and `runs retry` have in common.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::batch::RunOptions;
use crate::domain::detached::Progress;
use crate::domain::stats::RunStats;
use crate::engine::{self, Brakes, Engine, Finished, Record};
use crate::error::{ExitStatus, Failure, Result};
use crate::input::Row;
use crate::ledger::{self, Journal, Limits, Line, Opened, RunFolder, Spec};
use crate::output::{self, Destination, Extent, FinishedFiles, Sink};
use crate::report::{self, Frame, RunReport};
use crate::restate::ingress::Ingress;
use crate::shutdown::{Level, Shutdown};
use crate::text;
use crate::throttle::{Pace, Rate};
use crate::ui::Ui;
use crate::ui::progress::Progress as Bars;

use super::collected::HandedOver;
use super::print;

/// How long the first Ctrl-C waits for what is in flight.
const GRACE: Duration = Duration::from_secs(30);

/// Rows of a run, in order.
pub(super) type AllRows = Box<dyn Iterator<Item = Result<Row>> + Send>;

/// Everything that is settled before the first batch leaves.
pub(super) struct Job {
    pub(super) opened: Opened,
    /// What was done before, counted.
    pub(super) stats: RunStats,
    pub(super) sink: Sink,
    pub(super) rows: AllRows,
    pub(super) nodes: Vec<(String, Ingress)>,
    pub(super) pace: Pace,
    pub(super) limits: Limits,
}

/// Opens the files a run writes, before anything is submitted.
pub(super) fn sink(spec: &Spec) -> Result<Sink> {
    let output = &spec.output;
    let results = output.results.clone().map_or(Destination::Stdout, Destination::File);
    Sink::create(&results, output.format, spec.taxonomy.fields.clone(), &output.failures)
}

impl Job {
    /// Runs the job to its end and reports. With `json` the report goes to stdout.
    pub(super) async fn execute(self, stop: Shutdown, json: bool, ui: Ui) -> Result<ExitStatus> {
        self.run(None, stop, json, ui).await
    }

    /// As [`Self::execute`], of a run that was handed over and stands like that: what the cluster has of it is fetched, what it has
    /// forgotten is submitted again.
    pub(super) async fn collect(
        mut self,
        progress: Progress,
        stop: Shutdown,
        json: bool,
        ui: Ui,
    ) -> Result<ExitStatus> {
        self.opened.past.were_sent(progress.released);
        self.run(Some(progress), stop, json, ui).await
    }

    async fn run(
        mut self,
        collects: Option<Progress>,
        stop: Shutdown,
        json: bool,
        ui: Ui,
    ) -> Result<ExitStatus> {
        ui.note(&format!("run        {}", self.opened.folder.spec.run_id));
        self.take_up(ui)?;
        // Held until all is said and done.
        let Opened { folder, past, journal, lock: _lock } = self.opened;
        let sessions = past.sessions;
        let handed_over = collects.as_ref().map(HandedOver::new);
        let record = Record { sink: self.sink, journal, past };
        let engine = Engine {
            run_id: folder.spec.run_id.clone(),
            options: options(&folder.spec, &self.limits),
            pace: self.pace,
            grace: GRACE,
            brakes: Brakes { collects: collects.is_some(), ..brakes(&self.limits) },
            collects,
        };
        let mut progress = Bars::new(ui, self.stats.indicators, self.stats.nodes.len(), self.pace.total);
        let finished =
            engine.run(self.nodes, self.rows, record, self.stats, &mut progress, stop.clone()).await?;
        progress.finish();
        // Asked to stop just as the last row landed: nothing was interrupted.
        let left = handed_over.as_ref().map_or(0, |run| run.never_submitted);
        let interrupted = stop.level() > Level::Run && finished.stats.pending() > left;
        let target_rpm = handed_over.as_ref().map_or(self.pace.total, |run| run.per_minute);
        let end = End { folder: &folder, sessions, target_rpm, interrupted, handed_over };
        end.conclude(finished, json, ui)
    }

    /// Goes on behind the rows that are there, or begins anew where they are not.
    fn take_up(&mut self, ui: Ui) -> Result<()> {
        let Opened { folder, past, journal, .. } = &mut self.opened;
        let begun = past.sessions > 1;
        if begun && !self.sink.go_on(past.mark).map_err(cannot_write)? {
            let to_stdout = folder.spec.output.results.is_none();
            if to_stdout {
                ui.note("results    to stdout again, from the first row");
            } else {
                ui.warn("rows that were collected are gone, or belong to another run: collecting them again");
            }
            journal.append([Line::Restarted]).map_err(cannot_write)?;
            past.learn(Line::Restarted, &mut self.stats).map_err(Failure::unexpected)?;
        }
        if let ledger::Rows::Failures(retried) = &folder.spec.rows
            && let Some(results) = &folder.spec.output.results
        {
            let left = what_is_retried(folder, retried)?;
            if past.carried {
                return Ok(());
            }
            let kept = folder.kept_file();
            let kept_bytes = std::fs::metadata(&kept).map_err(cannot_write)?.len();
            let carried = self.sink.carry((results, left), (&kept, kept_bytes)).map_err(|error| {
                Failure::unexpected(format!("cannot take over {}: {error}", results.display()))
            })?;
            if !carried {
                return Err(other_results(&folder.spec, results));
            }
            let mark = self.sink.mark().map_err(cannot_write)?;
            let (succeeded, failed) = (retried.succeeded, retried.failed.clone());
            let line = Line::Carried { succeeded, failed, mark };
            journal.append([line.clone()]).map_err(cannot_write)?;
            self.sink.count();
            past.learn(line, &mut self.stats).map_err(Failure::unexpected)?;
        }
        Ok(())
    }
}

/// The results to which the rows of a retry belong, as the run before it left them.
fn what_is_retried(folder: &RunFolder, retried: &ledger::Retried) -> Result<Extent> {
    let Some(parent) = folder.parent() else { return Ok(retried.results) };
    let past = parent.look(&mut RunStats::new(parent.spec.indicators(), Vec::new()))?;
    match past.standing {
        ledger::Standing::Superseded(by) if by != folder.spec.run_id => {
            let id = &parent.spec.run_id;
            Err(Failure::usage(format!("the run {id} was retried already, by {by}"))
                .hint(format!("see it: `classify runs show {by}`")))
        }
        // An earlier version did not write it down.
        _ if retried.results == Extent::default() => Ok(past.mark.results),
        _ => Ok(retried.results),
    }
}

fn other_results(spec: &Spec, results: &Path) -> Failure {
    let parent = spec.parent.as_deref().unwrap_or_default();
    Failure::usage(format!(
        "{} is not what the run {parent} left there: another program or run has replaced or changed it",
        results.display()
    ))
    .hint(format!(
        "put that file back; or give the retry up (`classify runs cancel {}`) and run the command again: \
         rows that are classified already cost nothing",
        spec.run_id
    ))
}

/// What every batch carries: the money is what it is limited to now.
pub(super) fn options(spec: &Spec, limits: &Limits) -> RunOptions {
    let mut options = spec.options.clone();
    options.method.allowance = limits.allowance();
    options
}

pub(super) fn brakes(limits: &Limits) -> Brakes {
    Brakes {
        max_failures: limits.max_failures,
        max_cost_usd: limits.max_cost_usd,
        expected_cost_usd: limits.expected_cost_usd,
        collects: false,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape `map_err` wants")]
fn cannot_write(error: std::io::Error) -> Failure {
    Failure::unexpected(format!("cannot write the results: {error}"))
}

/// What the counts do not say about the end of a run.
struct End<'a> {
    folder: &'a RunFolder,
    sessions: u32,
    target_rpm: Option<f64>,
    interrupted: bool,
    /// Where its results were collected from the cluster.
    handed_over: Option<HandedOver>,
}

impl End<'_> {
    /// Puts the files in their places and reports. Whatever went wrong, the counts are told.
    fn conclude(&self, finished: Finished, json: bool, ui: Ui) -> Result<ExitStatus> {
        let Finished { mut stats, elapsed, sink, mut journal, mut failure } = finished;
        let (cancelled, left) =
            self.handed_over.as_ref().map_or((false, 0), |run| (run.cancelled, run.never_submitted));
        let complete = stats.pending() == left && failure.is_none();
        let mut spoiled = sink.is_spoiled();
        // What stands at those places is better than nothing.
        let files = if complete && stats.finished() == 0 && cancelled {
            drop(sink);
            FinishedFiles { results: None, failures: None }
        } else if complete {
            place(self.folder, sink, &mut journal, stats.failures() > 0).unwrap_or_else(|error| {
                spoiled = output::is_spoiled(&error);
                failure = Some(match error.kind() {
                    ErrorKind::BrokenPipe => engine::reader_gone(),
                    _ => Failure::unexpected(format!("cannot put the results in their place: {error}"))
                        .hint(self.go_on()),
                });
                FinishedFiles { results: None, failures: None }
            })
        } else {
            sink.abandon()
        };
        if spoiled {
            // What counted is not there any more. Whoever resumes finds that out, too.
            let _found_out_anyway = journal.append([Line::Restarted]);
            stats.forget();
        }
        let mut report = RunReport::new(self.frame(files), &stats, elapsed);
        if let Some(HandedOver { finished, took, .. }) = self.handed_over {
            report = report.of_detached(finished, took);
        }
        let kept = self.folder.save_report(&report).and_then(|()| {
            if complete && failure.is_none() { finish(self.folder, &mut journal, cancelled) } else { Ok(()) }
        });
        tell(&report, json, ui)?;
        match failure.or_else(|| kept.err()) {
            // Whoever went away wants to hear no more.
            Some(failure) if failure.status() == ExitStatus::ReaderGone => Ok(failure.status()),
            Some(failure) if stats.pending() > left && failure.hints().is_empty() => {
                Err(failure.hint(self.go_on()))
            }
            Some(failure) => Err(failure),
            // Who collected it says so, and what is next.
            None if complete && cancelled => Ok(ExitStatus::SomeFailed),
            None => {
                for hint in report::hints(&report, Some(self.go_on())) {
                    ui.note(&format!("hint: {hint}"));
                }
                Ok(report.status())
            }
        }
    }

    fn go_on(&self) -> String {
        let command = if self.handed_over.is_some() { "attach" } else { "resume" };
        format!("go on: `classify runs {command} {}`", self.folder.spec.run_id)
    }

    fn frame(&self, files: FinishedFiles) -> Frame {
        Frame {
            run_id: self.folder.spec.run_id.clone(),
            input: input(&self.folder.spec),
            target_rpm: self.target_rpm,
            output: files.results,
            failures: files.failures,
            interrupted: self.interrupted,
            sessions: self.sessions,
        }
    }
}

/// What was read, as the report has it.
pub(super) fn input(spec: &Spec) -> report::Input {
    let ledger::Counts { files, rows, invalid, duplicates } = spec.counts();
    report::Input { files, rows, invalid, duplicates }
}

/// Shows a report.
pub(super) fn tell(report: &RunReport, json: bool, ui: Ui) -> Result<()> {
    for line in report::summary(&from_here(report)) {
        ui.note(&line);
    }
    if json {
        let text = serde_json::to_string_pretty(report).map_err(anyhow::Error::from)?;
        print(&text, ui)?;
    }
    Ok(())
}

/// The report with paths as a person in this folder would type them.
pub(super) fn from_here(report: &RunReport) -> RunReport {
    let short = |path: &PathBuf| text::from_here(path);
    let (output, failures) = (report.output.as_ref().map(short), report.failures.as_ref().map(short));
    RunReport { output, failures, ..report.clone() }
}

/// Gives complete files their names. The journal knows which they are before the first gets its own, so that a crash in
/// between leaves nothing to guess.
fn place(
    folder: &RunFolder,
    mut sink: Sink,
    journal: &mut Journal,
    any_failures: bool,
) -> std::io::Result<FinishedFiles> {
    if let Some(keys) = folder.spec.output.ordered_by {
        let rows = folder.rows_file();
        let ids = ledger::read_rows(&rows)?.map(|row| row.map(|row| row.id));
        sink.order(ids, |id| keys.id(id))?;
    }
    let sealed = sink.seal(any_failures)?;
    journal.append([Line::Sealed { mark: sealed.mark }])?;
    journal.sync()?;
    sealed.finish()
}

/// Writes the end into the journal, and into that of the run whose files these were. What was cancelled stays that, with its rows in
/// their places.
fn finish(folder: &RunFolder, journal: &mut Journal, cancelled: bool) -> Result<()> {
    if matches!(folder.spec.rows, ledger::Rows::Failures(_))
        && let Some(parent) = folder.parent()
    {
        parent.supersede(&folder.spec.run_id)?;
    }
    let at = ledger::now();
    let end = if cancelled { Line::Cancelled { at, collected: true } } else { Line::Finished { at } };
    journal.append([end]).map_err(cannot_write)?;
    folder.tidy();
    Ok(())
}

/// Ends a run that was sealed when its process died; nothing where its files are gone. `progress` is that of a run that the cluster went on
/// with.
pub(super) fn settle(
    opened: &mut Opened,
    stats: &RunStats,
    progress: Option<&Progress>,
    json: bool,
    ui: Ui,
) -> Result<Option<ExitStatus>> {
    let spec = &opened.folder.spec;
    let output = &spec.output;
    if !output::settle(output.results.as_deref(), &output.failures, opened.past.mark).map_err(cannot_write)? {
        return Ok(None);
    }
    let mut report = standing_report(&opened.folder, &opened.past, stats);
    if let Some(HandedOver { finished, took, .. }) = progress.map(HandedOver::new) {
        report = report.of_detached(finished, took);
    }
    opened.folder.save_report(&report)?;
    finish(&opened.folder, &mut opened.journal, opened.past.cancelled)?;
    tell(&report, json, ui)?;
    Ok(Some(report.status()))
}

/// The report of a run as its journal has it.
pub(super) fn standing_report(folder: &RunFolder, past: &ledger::Past, stats: &RunStats) -> RunReport {
    let spec = &folder.spec;
    let complete = stats.pending() == 0;
    // Of a cancelled run, too, what there is may be in its place.
    let placed = complete || matches!(past.standing, ledger::Standing::Sealed(_));
    let place = |path: &Path| if placed { path.to_owned() } else { output::partial_of(path) };
    let frame = Frame {
        run_id: spec.run_id.clone(),
        input: input(spec),
        target_rpm: match spec.pace.rate {
            Rate::Unlimited => None,
            Rate::Total(total) => Some(total),
            #[expect(clippy::cast_precision_loss, reason = "a few nodes")]
            Rate::PerNode(share) => Some(share * stats.nodes.len() as f64),
        },
        output: spec.output.results.as_deref().map(place),
        failures: (stats.failures() > 0).then(|| place(&spec.output.failures)),
        // Where somebody is at it, or the cluster, it goes on.
        interrupted: !placed && folder.holder().is_none() && (past.cancelled || !spec.options.detached),
        sessions: past.sessions,
    };
    RunReport::new(frame, stats, past.elapsed)
}
