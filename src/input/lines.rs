//! JSON Lines: one object a line. Finds the lines, with a bound on their length; `object` reads them.

use std::io::{BufRead, Read};

use super::MAX_ROW;
use super::broken::Broken;
use super::cut::{Cut, Kind, Piece};
use super::object;
use super::row::Parsed;
use super::text::Text;

/// Reader of JSON Lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: bool,
}

impl Lines {
    /// The next row, its JSON appended to `rows`; `None` at the end.
    pub(super) fn next<R: Read>(
        &mut self,
        text: &mut Text<R>,
        rows: &mut Vec<u8>,
    ) -> Result<Option<Cut>, Broken> {
        let start = rows.len();
        loop {
            rows.truncate(start);
            let number = text.line();
            let limit = MAX_ROW + 1;
            if text.read_line(rows, limit)? == 0 {
                return Ok(None);
            }
            let whole = &rows[start..];
            if whole.len() == limit && whole.last() != Some(&b'\n') {
                let row = Err(object::oversized(whole));
                rows.truncate(start);
                text.skip_until(b'\n')?;
                return Ok(Some(Cut::Parsed(Parsed { line: number, row })));
            }
            let line = whole.trim_ascii();
            if line.is_empty() {
                continue;
            }
            if !self.begun && is_array_of_objects(line) {
                return Err(Broken::line(number, "this is a JSON array, not one object a line")
                    .hint("name the format: `--input-format json`"));
            }
            self.begun = true;
            let indent = whole.len() - whole.trim_ascii_start().len();
            let begin = start + indent;
            let range = begin..begin + line.len();
            let position = (number, indent as u64 + 1);
            return Ok(Some(Cut::Piece(Piece { position, range, kind: Kind::Line })));
        }
    }
}

/// Whether a first line is the beginning of the other JSON format, rather than one bad row.
fn is_array_of_objects(line: &[u8]) -> bool {
    line.strip_prefix(b"[").is_some_and(|rest| matches!(rest.trim_ascii_start().first(), None | Some(b'{')))
}
