//! Where results and failures of a run go, and what must not be written over.

use std::path::{Path, PathBuf};

use crate::cli::run::RunArgs;
use crate::error::{Failure, Result};
use crate::output::{Destination, Format, behind_links, default_failures, default_results, partial_of};

/// Where results and failures go.
pub(super) struct Places {
    pub(super) results: Destination,
    pub(super) format: Format,
    pub(super) failures: PathBuf,
}

impl Places {
    pub(super) fn new(args: &RunArgs) -> Result<Self> {
        let files = args.input.iter().map(PathBuf::as_path).filter(|path| *path != Path::new("-"));
        let first_file = files.clone().next();
        let chosen = args.output.clone().unwrap_or_else(|| default_results(first_file));
        let to_stdout = chosen.as_os_str() == "-";
        if to_stdout && args.json {
            return Err(Failure::usage("`--output -` and `--json` both want stdout")
                .hint("write the results to a file"));
        }
        if to_stdout && args.ordered {
            return Err(Failure::usage("`--ordered` needs a file: rows go to stdout as they land")
                .hint("write the results to a file"));
        }
        if to_stdout && args.detach {
            return Err(Failure::usage("`--detach` needs a file: nobody will be there to read stdout")
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
            if let Some(input) = files
                .clone()
                .find(|input| same_file(input, written) || same_file(input, &partial_of(written)))
            {
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
        Ok(Self { results, format, failures })
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

/// The real path of a file, or of a file to be made in its folder, or behind a link.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = &behind_links(path).ok()?;
    path.canonicalize().ok().or_else(|| {
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    })
}
