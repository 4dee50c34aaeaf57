//! Complete results put into the order of the input. Knows of a row only where it stands and which id it has.

use std::borrow::Cow;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};

use serde::Deserialize;

use super::Format;
use super::row::untamed;

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// In the input; rows of unknown ids come last.
    rank: u32,
    /// In the file.
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// Where the rows of `file` stand, in the order of the input; what stands before the first of them (a header) is left out.
/// `ids` are hashes of the ids in that order, `hash` makes one.
///
/// # Errors
/// When the file cannot be read, or is none of ours.
pub(super) fn places(
    file: impl Read + Seek,
    format: Format,
    ids: impl Iterator<Item = io::Result<u64>>,
    hash: impl Fn(&str) -> u64,
) -> io::Result<Vec<Place>> {
    let ranks = Ranks::new(ids)?;
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0))?;
    let mut places = Vec::new();
    match format {
        Format::Jsonl => {
            let (mut start, mut line) = (0, Vec::new());
            loop {
                line.clear();
                let bytes = reader.read_until(b'\n', &mut line)? as u64;
                if bytes == 0 {
                    break;
                }
                let rank = ranks.of(hash(&id_of(&line)?)).unwrap_or(u32::MAX);
                places.push(Place { rank, start, bytes });
                start += bytes;
            }
        }
        Format::Csv => {
            let mut reader = csv::ReaderBuilder::new().from_reader(reader);
            let mut record = csv::StringRecord::new();
            reader.headers()?;
            let mut start = reader.position().byte();
            while reader.read_record(&mut record)? {
                let end = reader.position().byte();
                let cell = record.get(0).unwrap_or_default();
                // An earlier version put an apostrophe in front of ids that begin like formulas.
                let rank = ranks.of(hash(cell)).or_else(|| ranks.of(hash(untamed(cell))));
                places.push(Place { rank: rank.unwrap_or(u32::MAX), start, bytes: end - start });
                start = end;
            }
        }
    }
    places.sort_unstable();
    Ok(places)
}

fn id_of(line: &[u8]) -> io::Result<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Row<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    let row: Row<'_> = serde_json::from_slice(line)?;
    Ok(row.id)
}

/// From the hash of an id to its place in the input.
struct Ranks(Vec<(u64, u32)>);

impl Ranks {
    fn new(ids: impl Iterator<Item = io::Result<u64>>) -> io::Result<Self> {
        let mut ranks = Vec::new();
        for (rank, id) in (0..).zip(ids) {
            ranks.push((id?, rank));
        }
        ranks.sort_unstable();
        Ok(Self(ranks))
    }

    fn of(&self, id: u64) -> Option<u32> {
        let found = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.0[found].1)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn hash(id: &str) -> u64 {
        id.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte))
    }

    fn ordered(text: &str, format: Format, ids: &[&str]) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let places = places(&file, format, ids.iter().map(|id| Ok(hash(id))), hash).unwrap();
        let size = |number: u64| usize::try_from(number).unwrap();
        let row = |place: &Place| text[size(place.start)..][..size(place.bytes)].to_owned();
        places.iter().map(row).collect()
    }

    #[test]
    fn rows_follow_the_input_and_strangers_come_last() {
        let text = "{\"id\":\"b\"}\n{\"id\":\"stranger\"}\n{\"id\":\"\\u0061\",\"x\":1}\n";
        let expected = ["{\"id\":\"\\u0061\",\"x\":1}\n", "{\"id\":\"b\"}\n", "{\"id\":\"stranger\"}\n"];
        assert_eq!(ordered(text, Format::Jsonl, &["a", "missing", "b"]), expected);
    }

    #[test]
    fn cells_with_line_ends_and_tamed_ids_are_whole_rows() {
        let text = "id,name\nb,\"two\nlines\"\n'=a,One\n";
        assert_eq!(ordered(text, Format::Csv, &["=a", "b"]), ["'=a,One\n", "b,\"two\nlines\"\n"]);
        let alike = "id,name\n'=a,Two\n=a,One\n";
        assert_eq!(ordered(alike, Format::Csv, &["=a", "'=a"]), ["=a,One\n", "'=a,Two\n"]);
    }
}
