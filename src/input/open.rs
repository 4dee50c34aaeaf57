//! Opening sources, so that each can be read twice: a handle that is kept, read at any place. What has no places
//! (standard input, pipes) is copied to an unlinked temporary file first.

use std::ffi::OsStr;
use std::fs::{File, FileType};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{Format, Options, Source};
use crate::error::{Failure, Result};

/// A source ready to be read any number of times.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    /// Its name in messages: the path as given, or `stdin`.
    pub(super) label: String,
    pub(super) format: Format,
    /// Whether it was copied, being nothing that can be read twice.
    pub(super) spooled: bool,
    content: Arc<Content>,
}

/// Where the bytes of a source are.
#[derive(Debug)]
enum Content {
    File(File),
    /// A fuzz target has no files.
    #[cfg(fuzzing)]
    Memory(Vec<u8>),
}

impl Opened {
    /// A reader from its beginning; any number of them do not disturb each other.
    pub(super) fn reader(&self) -> impl Read + Send + use<> {
        FromStart { content: Arc::clone(&self.content), offset: 0 }
    }

    /// A source that is in memory.
    #[cfg(fuzzing)]
    pub(super) fn in_memory(format: Format, bytes: &[u8]) -> Self {
        let content = Arc::new(Content::Memory(bytes.to_vec()));
        Self { label: "table".to_owned(), format, spooled: false, content }
    }
}

impl Content {
    fn read_at(&self, target: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(target, offset),
            #[cfg(fuzzing)]
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                (&bytes[start..]).read(target)
            }
        }
    }
}

/// A reader with a position of its own, which handles of one file otherwise share.
struct FromStart {
    content: Arc<Content>,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read_at(target, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}

/// Opens all sources before any is read: a mistyped second file should not cost the reading of the first.
pub(super) fn open(sources: &[Source], options: &Options, stdin: &mut dyn Read) -> Result<Vec<Opened>> {
    if sources.is_empty() {
        return Err(Failure::usage("no input").hint("name a file, or `-` for standard input"));
    }
    if sources.iter().filter(|source| **source == Source::Stdin).count() > 1 {
        return Err(Failure::usage("standard input (`-`) can be read only once"));
    }
    let mut waiting = Vec::new();
    for source in sources {
        waiting.push(match source {
            Source::File(path) => Some(open_file(path, options)?),
            Source::Stdin => None,
        });
    }
    waiting
        .into_iter()
        .map(|entry| match entry {
            Some(Entry { label, format: Some(format), file, regular: true }) => {
                Ok(Opened { label, format, spooled: false, content: Arc::new(Content::File(file)) })
            }
            Some(Entry { label, format, mut file, .. }) => spool(label, format, &mut file),
            None => spool("stdin".to_owned(), options.format, &mut *stdin),
        })
        .collect()
}

struct Entry {
    label: String,
    format: Option<Format>,
    file: File,
    regular: bool,
}

fn open_file(path: &Path, options: &Options) -> Result<Entry> {
    let label = path.display().to_string();
    let (file, kind) = match File::open(path).and_then(|file| Ok((file.metadata()?.file_type(), file))) {
        Ok((kind, file)) => (file, kind),
        Err(error) => return Err(cannot_open(&label, &error)),
    };
    if FileType::is_dir(&kind) {
        return Err(Failure::usage(format!("{label}: is a directory"))
            .hint(format!("name the files in it, for instance `{}`", path.join("*.csv").display())));
    }
    let format = options.format.or_else(|| Format::from_path(path));
    if format.is_none() && kind.is_file() {
        let what = match path.extension() {
            Some(extension) => format!("unknown extension `.{}`", extension.display()),
            None => "no extension".to_owned(),
        };
        let hint = match path.extension().and_then(OsStr::to_str) {
            Some("gz") => "decompress it: `zcat FILE | classify --input-format csv|json|jsonl -`",
            _ => "name it: `--input-format csv|json|jsonl`",
        };
        return Err(Failure::usage(format!("{label}: cannot tell the format: {what}")).hint(hint));
    }
    Ok(Entry { label, format, file, regular: kind.is_file() })
}

fn cannot_open(label: &str, error: &io::Error) -> Failure {
    let (reason, hint) = match error.kind() {
        ErrorKind::NotFound => ("no such file".to_owned(), "check the path; `-` reads standard input"),
        ErrorKind::NotADirectory => {
            ("no such file".to_owned(), "a part of the path is a file, not a directory")
        }
        ErrorKind::PermissionDenied => ("permission denied".to_owned(), "check who may read it: `ls -l`"),
        _ => (error.to_string(), "check the path; `-` reads standard input"),
    };
    Failure::usage(format!("cannot open {label}: {reason}")).hint(hint)
}

fn spool(label: String, format: Option<Format>, source: &mut dyn Read) -> Result<Opened> {
    let own = |error: io::Error| {
        Failure::unexpected(format!("cannot copy {label} to a temporary file: {error}"))
            .hint("set `TMPDIR` to a folder with enough space")
    };
    let mut file = tempfile::tempfile().map_err(own)?;
    io::copy(source, &mut file).map_err(own)?;
    let format = match format {
        Some(format) => format,
        None => sniff(&mut file).map_err(own)?.ok_or_else(|| unknown(&label))?,
    };
    Ok(Opened { label, format, spooled: true, content: Arc::new(Content::File(file)) })
}

fn unknown(label: &str) -> Failure {
    Failure::usage(format!("{label}: cannot tell the format"))
        .hint("name it: `--input-format csv|json|jsonl`")
}

/// Empty input has no format and needs none: let the reader say that it is empty.
fn sniff(file: &mut File) -> io::Result<Option<Format>> {
    file.seek(SeekFrom::Start(0))?;
    let mut beginning = Vec::new();
    file.take(4096).read_to_end(&mut beginning)?;
    Ok(if beginning.trim_ascii().is_empty() { Some(Format::Jsonl) } else { Format::sniff(&beginning) })
}
