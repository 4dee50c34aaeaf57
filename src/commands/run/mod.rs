//! `classify [run] INPUT…`: the main job.

mod describe;
mod estimate;
mod places;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ulid::Ulid;

use super::preflight::{self, Wanted};
use super::up::up;
use super::{block_on, load_taxonomy, print, signals, target};
use crate::cli::run::RunArgs;
use crate::cli::{Global, command_meant_by};
use crate::cluster::DEFAULT_NODES;
use crate::domain::batch::RunOptions;
use crate::engine::{Brakes, Engine, Finished, LARGEST_BODY, rehearse};
use crate::error::{ExitStatus, Failure, Result};
use crate::input::{self, Checked, Source, Summary};
use crate::output::{FinishedFiles, Sink};
use crate::report::{self, Frame, RunReport};
use crate::restate::ingress::Ingress;
use crate::shutdown::{Level, Shutdown};
use crate::taxonomy::Taxonomy;
use crate::throttle::Pace;
use crate::ui::Ui;
use crate::ui::progress::Progress;
use places::Places;

/// How long the first Ctrl-C waits for what is in flight.
const GRACE: Duration = Duration::from_secs(30);
/// How much longer text can get in a request: every character escaped as `\u001f`.
const LARGEST_GROWTH: usize = 6;
/// What the names of columns add to a row in a request, at most.
const NAMES: usize = 1024;

/// Everything that is settled before anything is started or submitted.
struct Job {
    engine: Engine,
    checked: Checked,
    sink: Sink,
}

pub(super) fn run(global: &Global, args: &RunArgs, ui: Ui) -> Result<ExitStatus> {
    let taxonomy = load_taxonomy(args.taxonomy.as_deref())?;
    if args.plan {
        return block_on(show_plan(global, args, &taxonomy, ui));
    }
    let job = plan(global, args, &taxonomy, ui)?;
    block_on(async {
        let stop = signals::listen()?;
        let ready = prepare(global, args, &taxonomy, ui);
        let (nodes, stop_command) = tokio::select! {
            ready = ready => ready?,
            () = stop.at_least(Level::Drain) => return Err(interrupted_early()),
        };
        describe::plan(&job.engine.pace, &args.provider, job.checked.summary().distinct_rows(), ui);
        let status = execute(job, nodes, stop, args.json, ui).await?;
        if let Some(command) = stop_command {
            ui.note(&format!("next       {command}"));
        }
        Ok(status)
    })
}

/// Checks input and output and works out the pace. Nothing is running yet, and nothing was touched if this fails.
fn plan(global: &Global, args: &RunArgs, taxonomy: &Taxonomy, ui: Ui) -> Result<Job> {
    let method = args.method()?;
    let places = Places::new(args)?;
    let checked = read(args, ui)?;

    let fields: Vec<String> = taxonomy.fields().iter().map(|field| field.name.clone()).collect();
    let sink = Sink::create(&places.results, places.format, fields, &places.failures)?;
    let run_id = Ulid::generate().to_string();
    let options = RunOptions {
        method,
        taxonomy: taxonomy.digest().to_owned(),
        nonce: args.force.then(|| run_id.clone()),
        detached: false,
    };
    let pace = pace(global, args)?;
    let expected_cost_usd = match args.max_cost {
        Some(_) => expected_cost(args, &options, taxonomy, &checked, &pace)?,
        None => 0.0,
    };
    let brakes = Brakes { max_failures: args.max_failures, max_cost_usd: args.max_cost, expected_cost_usd };
    check_sizes(&checked, &pace, &options)?;
    Ok(Job { engine: Engine { run_id, options, pace, grace: GRACE, brakes }, checked, sink })
}

/// Reads and checks the whole input.
fn read(args: &RunArgs, ui: Ui) -> Result<Checked> {
    let sources: Vec<Source> = args.input.iter().cloned().map(Source::from).collect();
    let options = input::Options { format: args.input_format, skip_invalid: args.skip_invalid };
    let checked = input::check(&sources, &options).map_err(|failure| or_a_command(failure, &args.input))?;
    describe::input(&args.input, checked.summary(), ui);
    Ok(checked)
}

/// `--plan`: nothing is started, sent or written.
async fn show_plan(global: &Global, args: &RunArgs, taxonomy: &Taxonomy, ui: Ui) -> Result<ExitStatus> {
    let method = args.method()?;
    let checked = read(args, ui)?;
    let options = RunOptions { method, taxonomy: taxonomy.digest().to_owned(), nonce: None, detached: false };
    let nodes = target::ingress(global, &args.cluster, &args.ingress).unwrap_or_default();
    let nodes: Vec<Ingress> = nodes.into_iter().map(|(_, node)| node).collect();
    let known = if args.force { &[][..] } else { &nodes[..] };
    let estimate =
        estimate::estimate(args, &options, taxonomy, &checked, &pace(global, args)?, known).await?;
    let text = if args.json {
        serde_json::to_string_pretty(&estimate).map_err(anyhow::Error::from)?
    } else {
        estimate::text(&estimate, &options.method)
    };
    print(&text, ui)?;
    Ok(ExitStatus::Success)
}

/// How fast, over the nodes there are or, with `--up`, will be.
fn pace(global: &Global, args: &RunArgs) -> Result<Pace> {
    let nodes = if args.up && !target::is_known(global, &args.cluster)? {
        usize::from(DEFAULT_NODES)
    } else {
        target::ingress(global, &args.cluster, &args.ingress)?.len()
    };
    let nodes = u32::try_from(nodes).ok().and_then(NonZeroU32::new);
    let nodes = nodes.ok_or_else(|| Failure::usage("no node to submit to"))?;
    Ok(Pace::new(args.rate(), nodes, args.batch_size, args.max_in_flight))
}

/// What an indicator is expected to cost, in US dollars.
fn expected_cost(
    args: &RunArgs,
    options: &RunOptions,
    taxonomy: &Taxonomy,
    checked: &Checked,
    pace: &Pace,
) -> Result<f64> {
    let estimate = block_on(estimate::estimate(args, options, taxonomy, checked, pace, &[]))?;
    estimate::expected_cost(&estimate, &options.method)
}

/// Nodes that serve what the run wants; with `--up` made to, and then the command that undoes it.
async fn prepare(
    global: &Global,
    args: &RunArgs,
    taxonomy: &Taxonomy,
    ui: Ui,
) -> Result<(Vec<(String, Ingress)>, Option<String>)> {
    let stop_command = if args.up { up(global, args, ui).await? } else { None };
    let nodes = target::ingress(global, &args.cluster, &args.ingress)?;
    preflight::check(&nodes, &Wanted { method: &args.method()?, taxonomy }, ui).await?;
    Ok((nodes, stop_command))
}

fn interrupted_early() -> Failure {
    Failure::new(ExitStatus::Interrupted, "interrupted before anything was submitted")
        .hint("what `--up` has started runs on; `classify cluster stop` ends it")
}

/// Runs the job to its end and reports.
async fn execute(
    job: Job,
    nodes: Vec<(String, Ingress)>,
    stop: Shutdown,
    json: bool,
    ui: Ui,
) -> Result<ExitStatus> {
    let Job { engine, checked, sink } = job;
    let (run_id, target_rpm) = (engine.run_id.clone(), engine.pace.total);
    let rows = checked.summary().distinct_rows();
    let mut progress = Progress::new(ui, rows, nodes.len(), target_rpm);
    let finished = engine.run(nodes, checked.rows(), rows, sink, &mut progress, stop.clone()).await?;
    progress.finish();
    // Asked to stop just as the last row landed: nothing was interrupted.
    let interrupted = stop.level() > Level::Run && finished.stats.pending() > 0;
    let frame = |files: FinishedFiles| Frame {
        run_id,
        input: counts(checked.summary()),
        target_rpm,
        output: files.results,
        failures: files.failures,
        interrupted,
    };
    conclude(finished, frame, json, ui)
}

fn counts(summary: &Summary) -> report::Input {
    let Summary { files, rows, invalid, duplicates, .. } = *summary;
    report::Input { files, rows, invalid, duplicates }
}

/// An input that does not exist may have been meant as a command.
fn or_a_command(failure: Failure, inputs: &[PathBuf]) -> Failure {
    match inputs.first().filter(|first| !first.exists()).and_then(|first| command_meant_by(first.to_str()?)) {
        Some(name) => failure.hint(format!("did you mean the command `classify {name}`?")),
        None => failure,
    }
}

/// Refuses batches over the server's limit, before anything is submitted. Reads the input once more, but only where
/// its largest row makes that possible.
fn check_sizes(checked: &Checked, pace: &Pace, options: &RunOptions) -> Result<()> {
    let largest_row = checked.summary().largest_row * LARGEST_GROWTH + NAMES;
    if largest_row.saturating_mul(pace.batch_size.get() as usize) <= LARGEST_BODY {
        return Ok(());
    }
    rehearse(checked.rows(), options.clone(), pace.batch_size)
}

/// Puts the files in their places and reports. Whatever went wrong, the counts are told.
fn conclude(
    finished: Finished,
    frame: impl FnOnce(FinishedFiles) -> Frame,
    json: bool,
    ui: Ui,
) -> Result<ExitStatus> {
    let Finished { stats, elapsed, sink, failure } = finished;
    let (files, failure) = if stats.pending() > 0 || failure.is_some() {
        (sink.abandon(), failure)
    } else {
        match sink.finish(stats.failures() > 0) {
            Ok(files) => (files, None),
            Err(error) => {
                let failure = Failure::unexpected(format!("cannot put the results in their place: {error}"));
                (FinishedFiles { results: None, failures: None }, Some(failure))
            }
        }
    };
    let report = RunReport::new(frame(files), &stats, elapsed);
    for line in report::summary(&report) {
        ui.note(&line);
    }
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?;
        print(&text, ui)?;
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    for hint in report::hints(&report) {
        ui.note(&format!("hint: {hint}"));
    }
    Ok(report.status())
}
