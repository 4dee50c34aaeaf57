//! JSON Lines: one object a line. Finds the lines, with a bound on their length; `object` reads them.

use std::io::{BufRead, Read};

use super::MAX_ROW;
use super::broken::Broken;
use super::object;
use super::row::{BadRow, Parsed};
use super::text::Text;

/// Reader of JSON Lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    begun: bool,
}

impl Lines {
    /// The next row; `None` at the end.
    pub(super) fn next<R: Read>(&mut self, text: &mut Text<R>) -> Result<Option<Parsed>, Broken> {
        loop {
            let number = text.line();
            self.line.clear();
            // A buffer that once held a giant must not keep its size for the rest of the run.
            self.line.shrink_to(super::MAX_CELL);
            let limit = MAX_ROW + 1;
            if text.by_ref().take(limit as u64).read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if self.line.len() == limit && self.line.last() != Some(&b'\n') {
                text.skip_until(b'\n')?;
                return Ok(Some(Parsed { line: number, row: Err(object::oversized(&self.line)) }));
            }
            let line = self.line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            if !self.begun && is_array_of_objects(line) {
                return Err(Broken::line(number, "this is a JSON array, not one object a line")
                    .hint("name the format: `--input-format json`"));
            }
            self.begun = true;
            let row = match object::parse(line) {
                Ok(row) => row,
                Err(error) => Err(Box::new(broken_line(&self.line, line, &error))),
            };
            return Ok(Some(Parsed { line: number, row }));
        }
    }
}

/// Whether a first line is the beginning of the other JSON format, rather than one bad row.
fn is_array_of_objects(line: &[u8]) -> bool {
    line.strip_prefix(b"[").is_some_and(|rest| matches!(rest.trim_ascii_start().first(), None | Some(b'{')))
}

/// Broken JSON is one bad row here: the next line begins afresh.
fn broken_line(whole: &[u8], line: &[u8], error: &serde_json::Error) -> BadRow {
    let indent = whole.len() - whole.trim_ascii_start().len();
    let mut message = object::reason(error);
    if error.is_eof() && matches!(line, b"{" | b"[") {
        message.push_str(" (an object must stand on one line)");
    }
    BadRow { message, column: Some((indent + error.column()) as u64), id: None, raw: object::raw(line) }
}
