//! `classify [run] INPUT…`: the main job.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ulid::Ulid;

use super::preflight::{self, Wanted};
use super::up::up;
use super::{block_on, load_taxonomy, print, signals, target};
use crate::cli::run::RunArgs;
use crate::cli::{Global, command_meant_by};
use crate::domain::batch::RunOptions;
use crate::engine::{Engine, Finished, LARGEST_BODY, rehearse};
use crate::error::{ExitStatus, Failure, Result};
use crate::input::{self, Checked, Source, Summary};
use crate::output::{Destination, FinishedFiles, Format, Sink, default_failures, default_results};
use crate::report::{self, Frame, RunReport};
use crate::shutdown::Level;
use crate::text::{count, duration, grouped};
use crate::throttle::Pace;
use crate::ui::Ui;
use crate::ui::progress::Progress;

/// How long the first Ctrl-C waits for what is in flight.
const GRACE: Duration = Duration::from_secs(30);
/// How much longer text can get in a request: every character escaped as `\u001f`.
const LARGEST_GROWTH: usize = 6;
/// What the names of columns add to a row in a request, at most.
const NAMES: usize = 1024;

pub(super) fn run(global: &Global, args: &RunArgs, ui: Ui) -> Result<ExitStatus> {
    let taxonomy = load_taxonomy(args.taxonomy.as_deref())?;
    let places = Places::new(args)?;
    let sources: Vec<Source> = args.input.iter().cloned().map(Source::from).collect();
    let options = input::Options { format: args.input_format, skip_invalid: args.skip_invalid };
    let checked = input::check(&sources, &options).map_err(|failure| or_a_command(failure, &args.input))?;
    let summary = checked.summary().clone();
    describe_input(&args.input, &summary, ui);

    let fields: Vec<String> = taxonomy.fields().iter().map(|field| field.name.clone()).collect();
    let sink = Sink::create(&places.results, places.format, &fields, places.failures.clone())?;
    let run_id = Ulid::generate().to_string();
    let options = RunOptions {
        provider: args.provider.clone(),
        taxonomy: taxonomy.digest().to_owned(),
        nonce: args.force.then(|| run_id.clone()),
    };
    let pace = pace(global, args)?;
    check_sizes(&checked, &pace, &options)?;
    block_on(async {
        let stop_command = if args.up { up(global, args, ui).await? } else { None };
        let nodes = target::ingress(global, &args.cluster, &args.ingress)?;
        let stop = signals::listen()?;
        preflight::check(&nodes, &Wanted { provider: &args.provider, taxonomy: &taxonomy }, ui).await?;
        describe_plan(&pace, &args.provider, indicators(&summary), ui);

        let mut progress = Progress::new(ui, indicators(&summary), nodes.len(), pace.total);
        let engine = Engine { run_id: run_id.clone(), options, pace, nodes, grace: GRACE };
        let rows = checked.rows();
        let finished = engine.run(rows, indicators(&summary), sink, &mut progress, stop.clone()).await?;
        progress.finish();
        // Asked to stop just as the last row landed: nothing was interrupted.
        let interrupted = stop.level() > Level::Run && finished.stats.pending() > 0;
        let frame = |files: FinishedFiles| Frame {
            run_id,
            input: report::Input {
                files: summary.files,
                rows: summary.rows,
                invalid: summary.invalid,
                duplicates: summary.duplicates,
            },
            target_rpm: pace.total,
            output: files.results,
            failures: files.failures,
            interrupted,
        };
        let status = conclude(finished, frame, args.json, ui)?;
        if let Some(command) = stop_command {
            ui.note(&format!("next       {command}"));
        }
        Ok(status)
    })
}

/// How fast, over the nodes there are or, with `--up`, will be.
fn pace(global: &Global, args: &RunArgs) -> Result<Pace> {
    let nodes = target::ingress(global, &args.cluster, &args.ingress)?.len();
    let nodes = u32::try_from(nodes).ok().and_then(NonZeroU32::new);
    let nodes = nodes.ok_or_else(|| Failure::usage("no node to submit to"))?;
    Ok(Pace::new(args.rate(), nodes, args.batch_size, args.max_in_flight))
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

/// Where results and failures go.
struct Places {
    results: Destination,
    format: Format,
    failures: Option<PathBuf>,
}

impl Places {
    fn new(args: &RunArgs) -> Result<Self> {
        let files = args.input.iter().map(PathBuf::as_path).filter(|path| *path != Path::new("-"));
        let first_file = files.clone().next();
        let chosen = args.output.clone().unwrap_or_else(|| default_results(first_file));
        let to_stdout = chosen.as_os_str() == "-";
        if to_stdout && args.json {
            return Err(Failure::usage("`--output -` and `--json` both want stdout")
                .hint("write the results to a file"));
        }
        let format = match args.output_format {
            Some(format) => format,
            None if to_stdout => Format::Jsonl,
            None => format_of(&chosen)?,
        };
        let beside = if to_stdout { default_results(first_file) } else { chosen.clone() };
        let failures = args.failures.clone().unwrap_or_else(|| default_failures(&beside));
        for (what, written, flag) in
            [("output", &chosen, "--output"), ("failures file", &failures, "--failures")]
        {
            if let Some(input) = files.clone().find(|input| same_file(input, written)) {
                return Err(Failure::usage(format!(
                    "{what} {} is the input {}",
                    written.display(),
                    input.display()
                ))
                .hint(format!("choose another place with `{flag} FILE`")));
            }
        }
        if same_file(&chosen, &failures) {
            return Err(Failure::usage(format!("results and failures both go to {}", chosen.display()))
                .hint("choose another place with `--failures FILE`"));
        }
        let results = if to_stdout { Destination::Stdout } else { Destination::File(chosen) };
        Ok(Self { results, format, failures: Some(failures) })
    }
}

fn format_of(path: &Path) -> Result<Format> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    extension.parse().map_err(|_| {
        Failure::usage(format!("cannot tell the format of {} from its extension", path.display()))
            .hint("name it with `--output-format jsonl` or `--output-format csv`")
    })
}

/// Whether both paths are one file, by whatever names, be it there already or not.
fn same_file(one: &Path, other: &Path) -> bool {
    one == other || resolved(one).is_some_and(|one| resolved(other).is_some_and(|other| one == other))
}

/// The real path of a file, or of a file to be made in its folder.
fn resolved(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    })
}

/// Indicators of the run: every row but merged duplicates.
fn indicators(summary: &Summary) -> u64 {
    summary.rows - summary.duplicates
}

fn describe_input(inputs: &[PathBuf], summary: &Summary, ui: Ui) {
    summary.warnings.iter().for_each(|warning| ui.warn(warning));
    let names: Vec<String> = inputs.iter().map(|path| path.display().to_string()).collect();
    let mut line = format!(
        "input      {}: {}",
        crate::text::printable(&names.join(", ")),
        count(indicators(summary), "indicator")
    );
    if summary.duplicates > 0 {
        let _infallible = write!(line, ", {} merged", count(summary.duplicates, "duplicate"));
    }
    if summary.invalid > 0 {
        let _infallible = write!(line, ", {} invalid", grouped(summary.invalid));
    }
    ui.note(&line);
}

fn describe_plan(pace: &Pace, provider: &str, indicators: u64, ui: Ui) {
    let speed = match (pace.total, pace.per_node) {
        (Some(total), Some(node)) => format!("{total:.0}/min ({node:.0} a node)"),
        _ => "no rate limit".to_owned(),
    };
    let time =
        pace.duration(indicators).map(|time| format!(", about {}", duration(time))).unwrap_or_default();
    ui.note(&format!("plan       {speed}, batches of {}, provider {provider}{time}", pace.batch_size));
}

/// Puts the files in their places and reports.
fn conclude(
    finished: Finished,
    frame: impl FnOnce(FinishedFiles) -> Frame,
    json: bool,
    ui: Ui,
) -> Result<ExitStatus> {
    let Finished { stats, elapsed, sink, failure } = finished;
    let any_failures = stats.failures() > 0;
    let files = if stats.pending() == 0 { sink.finish(any_failures) } else { sink.abandon(any_failures) };
    let files = files.map_err(|error| Failure::unexpected(format!("cannot finish the results: {error}")))?;
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
