//! `classify [run] INPUT…`: the main job.

mod describe;
mod estimate;
mod places;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::claims;
use super::handover;
use super::job::{self, Job};
use super::preflight::{self, Wanted};
use super::up::up;
use super::{block_on, home, load_taxonomy, print, signals, target};
use crate::cli::run::RunArgs;
use crate::cli::{Global, command_meant_by};
use crate::cluster::DEFAULT_NODES;
use crate::domain::batch::{Reads, RunOptions};
use crate::domain::method::{Method, RULES};
use crate::domain::money::PerMillion;
use crate::engine::{LARGEST_BODY, counts, rehearse};
use crate::error::{ExitStatus, Failure, Result};
use crate::input::{self, Checked, Keys, Source};
use crate::ledger::{self, Labels, Limits, Output, Runs, Spec, Speed, Tables, Target};
use crate::llm::{most_each, prompt_version};
use crate::output::{Destination, Sink};
use crate::restate::ingress::Ingress;
use crate::shutdown::{Level, Shutdown};
use crate::taxonomy::Taxonomy;
use crate::throttle::{Answerer, Pace};
use crate::ui::{Ui, context};
use places::Places;

/// How much longer text can get in a request: every character escaped as `\u001f`.
const LARGEST_GROWTH: usize = 6;
/// What the names of columns add to a row in a request, at most.
const NAMES: usize = 1024;

/// Everything that is settled before anything is started or submitted.
struct Draft {
    spec: Spec,
    checked: Checked,
    sink: Sink,
    pace: Pace,
}

pub(super) fn run(global: &Global, args: &RunArgs, ui: Ui) -> Result<ExitStatus> {
    context::set(&args.cluster, args.taxonomy.as_deref());
    let taxonomy = load_taxonomy(args.taxonomy.as_deref())?;
    if args.plan {
        return block_on(show_plan(global, args, &taxonomy, ui));
    }
    let draft = plan(global, args, &taxonomy, ui)?;
    block_on(async {
        let stop = signals::listen()?;
        let runs = Runs::new(&home::folder(global)?);
        let stop_command = unless(&stop, bring_up(global, args, ui)).await?;
        let nodes = target::ingress(global, &args.cluster, &args.ingress)?;
        let (pace, rows) = (draft.pace, draft.checked.summary().distinct_rows());
        let job = begin(draft, runs, nodes, &stop, ui).await?;
        describe::plan(&pace, &args.provider, rows, ui);
        let status = if args.detach {
            handover::hand_over(job, args.json, &stop, ui).await?;
            ExitStatus::Success
        } else {
            job.execute(stop, args.json, ui).await?
        };
        if let Some(command) = stop_command {
            ui.note(&format!("next       {command}"));
        }
        Ok(status)
    })
}

/// Checks input and output and works out the pace. Nothing is running yet, and nothing was touched if this fails.
fn plan(global: &Global, args: &RunArgs, taxonomy: &Taxonomy, ui: Ui) -> Result<Draft> {
    let method = args.method()?;
    let places = Places::new(args)?;
    let keys = Keys::random();
    let checked = read(args, keys, ui)?;

    let runs = Runs::new(&home::folder(global)?);
    let run_id = runs.new_id();
    let nonce = args.force.then(|| run_id.clone());
    let options = options(method, taxonomy, nonce, args.detach);
    let limits = limits(args, &options.method, taxonomy)?;
    let pace = pace(global, args, &limits)?;
    check_sizes(&checked, &pace, &options)?;
    let spec = Spec {
        version: ledger::VERSION,
        created_at: ledger::now(),
        parent: None,
        rows: ledger::Rows::Tables(tables(args, &checked, keys, &runs.path(&run_id))?),
        run_id,
        options,
        taxonomy: Labels {
            id: taxonomy.id(),
            fields: taxonomy.fields().iter().map(|field| field.name.clone()).collect(),
        },
        pace: Speed { rate: args.rate(), batch_size: pace.batch_size, max_in_flight: pace.max_in_flight },
        limits,
        target: Target { cluster: args.cluster.clone(), ingress: args.ingress.clone() },
        output: Output {
            results: match places.results {
                Destination::Stdout => None,
                Destination::File(path) => Some(absolute(&path)?),
            },
            format: places.format,
            failures: absolute(&places.failures)?,
            ordered_by: args.ordered.then_some(keys),
        },
    };
    claims::refuse_awaited(&runs, &spec.output)?;
    let sink = job::sink(&spec)?;
    Ok(Draft { spec, checked, sink, pace })
}

/// The settings of every batch.
fn options(method: Method, taxonomy: &Taxonomy, nonce: Option<String>, detached: bool) -> RunOptions {
    // The rules read no prompt.
    let prompt = if method.provider == RULES { 1 } else { prompt_version(taxonomy) };
    let reads = Some(Reads { prompt, columns: taxonomy.extra_columns().to_vec() });
    RunOptions { method, taxonomy: taxonomy.digest().to_owned(), reads, nonce, detached }
}

impl Draft {
    /// Makes a run of it: from here on there is something to resume.
    fn begin(mut self, runs: &Runs, nodes: Vec<(String, Ingress)>) -> Result<Job> {
        let mut stats = counts(self.spec.indicators(), &nodes);
        let limits = self.spec.limits;
        let fill = |folder: &Path| {
            ledger::write_rows(&folder.join("rows.bin"), self.checked.take_rows())?;
            self.checked.keep_copies(|number, format| ledger::input_file(folder, number, format))
        };
        let opened = runs.create(self.spec, fill, &mut stats)?;
        let (sink, pace) = (self.sink, self.pace);
        Ok(Job { opened, stats, sink, rows: Box::new(self.checked.rows()), nodes, pace, limits })
    }
}

/// What was read, in such a way that it can be read again when this process is gone.
fn tables(args: &RunArgs, checked: &Checked, keys: Keys, folder: &Path) -> Result<Tables> {
    let summary = checked.summary();
    let kept = checked.spooled().enumerate().map(|(number, format)| {
        format.map_or_else(
            || absolute(&args.input[number]),
            |format| absolute(&ledger::input_file(folder, number, format)),
        )
    });
    Ok(Tables {
        sources: kept.collect::<Result<_>>()?,
        names: args.input.iter().map(|path| path.display().to_string()).collect(),
        options: reading(args),
        digest: summary.digest.clone(),
        keys,
        files: summary.files,
        rows: summary.rows,
        invalid: summary.invalid,
        duplicates: summary.duplicates,
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Failure::usage(format!("cannot tell where {} is: {error}", path.display())))
}

fn reading(args: &RunArgs) -> input::Options {
    input::Options { format: args.input_format, skip_invalid: args.skip_invalid }
}

/// Reads and checks the whole input.
fn read(args: &RunArgs, keys: Keys, ui: Ui) -> Result<Checked> {
    let sources: Vec<Source> = args.input.iter().cloned().map(Source::from).collect();
    let checked =
        input::check(&sources, &reading(args), keys).map_err(|failure| or_a_command(failure, &args.input))?;
    describe::input(&args.input, checked.summary(), ui);
    Ok(checked)
}

/// `--plan`: nothing is started, sent or written.
async fn show_plan(global: &Global, args: &RunArgs, taxonomy: &Taxonomy, ui: Ui) -> Result<ExitStatus> {
    let method = args.method()?;
    let checked = read(args, Keys::random(), ui)?;
    let options = options(method, taxonomy, None, false);
    let nodes = target::ingress(global, &args.cluster, &args.ingress).unwrap_or_default();
    let nodes: Vec<Ingress> = nodes.into_iter().map(|(_, node)| node).collect();
    let limits = limits(args, &options.method, taxonomy)?;
    let pace = pace(global, args, &limits)?;
    let estimate = estimate::estimate(args, &options, taxonomy, &checked, &pace, &nodes).await?;
    let text = if args.json {
        serde_json::to_string_pretty(&estimate).map_err(anyhow::Error::from)?
    } else {
        estimate::text(&estimate, &options.method)
    };
    print(&text, ui)?;
    Ok(ExitStatus::Success)
}

/// How fast, over the nodes there are or, with `--up`, will be.
fn pace(global: &Global, args: &RunArgs, limits: &Limits) -> Result<Pace> {
    let nodes = if args.up && !target::is_known(global, &args.cluster)? {
        usize::from(DEFAULT_NODES)
    } else {
        target::ingress(global, &args.cluster, &args.ingress)?.len()
    };
    let nodes = u32::try_from(nodes).ok().and_then(NonZeroU32::new);
    let nodes = nodes.ok_or_else(|| Failure::usage("no node to submit to"))?;
    if let (Some(size), Some(most)) = (args.batch_size, args.max_in_flight)
        && size > most
    {
        // It would travel alone, and be more at once than may be.
        return Err(Failure::usage(format!(
            "a batch of {size} rows (`--batch-size`) is more than may be unfinished at once: {most} (`--max-in-flight`)"
        ))
        .hint(format!("use smaller batches: `--batch-size {most}`")));
    }
    let answerer = Answerer::of(&args.provider);
    let pace = Pace::new(args.rate(), nodes, answerer, args.batch_size, args.max_in_flight);
    if args.batch_size.is_some() || answerer == Answerer::Rules {
        return Ok(pace);
    }
    let size = batch_size(args, limits, pace.batch_size).min(pace.max_in_flight);
    Ok(Pace::new(args.rate(), nodes, answerer, Some(size), args.max_in_flight))
}

/// What ends the run early, and what an indicator can cost: also without `--max-cost`, for a run can get that later.
fn limits(args: &RunArgs, method: &Method, taxonomy: &Taxonomy) -> Result<Limits> {
    let price = estimate::price(args, method)?.map(|price| PerMillion::from(&price));
    if args.max_cost.is_some() && price.is_none() {
        let model = method.model.as_deref().unwrap_or(RULES);
        return Err(Failure::usage(format!(
            "`--max-cost` needs a price, and that of `{model}` is not known"
        ))
        .hint("give one with `--prices FILE`"));
    }
    let most_each = |price| {
        let items = method.items_per_call.unwrap_or(NonZeroUsize::MIN);
        Ok::<_, Failure>(most_each(taxonomy, estimate::provider(method)?, items, method.effort, &price))
    };
    Ok(Limits {
        max_failures: args.max_failures,
        max_cost_usd: args.max_cost,
        expected_cost_usd: price.map(most_each).transpose()?.unwrap_or_default(),
        price,
    })
}

/// Indicators per batch where nobody typed a number: such that a batch fills requests of several indicators, and that the money of
/// `--max-cost` is enough for many.
fn batch_size(args: &RunArgs, limits: &Limits, default: NonZeroU32) -> NonZeroU32 {
    let items = args.items_per_call.and_then(|items| u32::try_from(items.get()).ok()).unwrap_or(1);
    let size = default.get().div_ceil(items).saturating_mul(items);
    limits.affordable(NonZeroU32::new(size).unwrap_or(default))
}

/// Makes the run while the nodes are asked whether they serve it: disk and network take their time at once. What the nodes say decides
/// whether the run stays.
async fn begin(
    draft: Draft,
    runs: Runs,
    nodes: Vec<(String, Ingress)>,
    stop: &Shutdown,
    ui: Ui,
) -> Result<Job> {
    let (options, taxonomy) = (draft.spec.options.clone(), draft.spec.taxonomy.id.clone());
    let making = spawn_blocking({
        let nodes = nodes.clone();
        move || draft.begin(&runs, nodes)
    });
    let wanted = Wanted { options: &options, taxonomy: &taxonomy, can_start: true };
    let (served, made) = tokio::join!(unless(stop, preflight::check(&nodes, &wanted, ui)), making);
    let made = made.map_err(anyhow::Error::from)?;
    match (served, made) {
        (Ok(()), made) => made,
        (Err(refused), made) => {
            if let Ok(job) = made {
                job.opened.discard();
            }
            Err(refused)
        }
    }
}

/// With `--up` whatever is missing is started; the command that undoes it, if anything was.
async fn bring_up(global: &Global, args: &RunArgs, ui: Ui) -> Result<Option<String>> {
    if args.up { up(global, args, ui).await } else { Ok(None) }
}

/// Does `work` unless it is interrupted: nothing was submitted yet.
async fn unless<T>(stop: &Shutdown, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = stop.at_least(Level::Drain) => Err(interrupted_early()),
    }
}

fn interrupted_early() -> Failure {
    Failure::new(ExitStatus::Interrupted, "interrupted before anything was submitted")
        .hint("what `--up` has started runs on; `classify cluster stop` ends it")
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
    rehearse(checked.rows(), options, pace.batch_size)
}
