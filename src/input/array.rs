//! A JSON array, element by element. Finds where elements begin and end without holding more than one of them;
//! `object` reads them. Damage to the array itself breaks the file: behind it no row can be trusted.

use std::io::{BufRead, Read};

use memchr::memchr2;

use super::MAX_ROW;
use super::broken::Broken;
use super::cut::{Cut, Kind, Piece};
use super::object;
use super::row::Parsed;
use super::text::Text;

/// Reader of a JSON array.
#[derive(Debug, Default)]
pub(super) struct Array {
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Start,
    First,
    AfterElement,
    Done,
}

/// Where the scan of one element stands.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Array {
    /// The next row, its JSON appended to `rows`; `None` at the end.
    pub(super) fn next<R: Read>(
        &mut self,
        text: &mut Text<R>,
        rows: &mut Vec<u8>,
    ) -> Result<Option<Cut>, Broken> {
        if !self.advance(text)? {
            return Ok(None);
        }
        let (start, position) = (rows.len(), text.position());
        if self.read_element(text, rows)? {
            return Ok(Some(Cut::Piece(Piece { position, range: start..rows.len(), kind: Kind::Element })));
        }
        let row = Err(object::oversized(&rows[start..]));
        rows.truncate(start);
        Ok(Some(Cut::Parsed(Parsed { line: position.0, row })))
    }

    /// Whether the array has been opened.
    pub(super) fn begun(&self) -> bool {
        self.state != State::Start
    }

    /// Goes to the next element; false at the end of the file.
    fn advance<R: Read>(&mut self, text: &mut Text<R>) -> Result<bool, Broken> {
        if self.state == State::Start {
            match text.skip_blank()? {
                None => return Ok(false),
                Some(b'[') => text.consume(1),
                Some(byte) => return Err(not_an_array(text.position(), byte)),
            }
            self.state = State::First;
        }
        let next = text.skip_blank()?;
        match (self.state, next) {
            (State::Done, None) => return Ok(false),
            (State::Done, Some(_)) => {
                return Err(Broken::at(text.position(), "text after the end of the array"));
            }
            (_, None) => return Self::cut_off(text),
            (_, Some(b']')) => {
                text.consume(1);
                self.state = State::Done;
                return self.advance(text);
            }
            (State::AfterElement, Some(b',')) => {
                text.consume(1);
                if matches!(text.skip_blank()?, Some(b']' | b',')) {
                    return Err(Broken::at(text.position(), "not valid JSON: expected an element after `,`"));
                }
                return if text.skip_blank()?.is_some() { Ok(true) } else { Self::cut_off(text) };
            }
            (State::AfterElement, Some(_)) => {
                return Err(Broken::at(text.position(), "not valid JSON: expected `,` or `]`"));
            }
            _ => {}
        }
        Ok(true)
    }

    fn cut_off<R: Read>(text: &Text<R>) -> Result<bool, Broken> {
        Err(Broken::at(text.position(), "the array is never closed: the file seems to be cut off"))
    }

    /// Appends one element to `rows`; false when it is too long, and then the rest of it is skipped.
    fn read_element<R: Read>(&mut self, text: &mut Text<R>, rows: &mut Vec<u8>) -> Result<bool, Broken> {
        self.state = State::AfterElement;
        let (start, mut scan, mut fits) = (rows.len(), Scan::default(), true);
        loop {
            let chunk = text.fill_buf()?;
            if chunk.is_empty() {
                return Self::cut_off(text);
            }
            let end = scan.end(chunk);
            let taken = end.unwrap_or(chunk.len());
            fits &= rows.len() - start + taken <= MAX_ROW;
            if fits {
                rows.extend_from_slice(&chunk[..taken]);
            }
            text.consume(taken);
            if end.is_some() {
                return Ok(fits);
            }
        }
    }
}

impl Scan {
    /// Where in this chunk the element ends. Brackets are only counted: whether they match is for the parser.
    fn end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut index = 0;
        while let Some(&byte) = chunk.get(index) {
            if self.quoted {
                index += self.text(&chunk[index..]);
                continue;
            }
            match byte {
                b'"' => self.quoted = true,
                b'{' | b'[' => self.depth += 1,
                // Before the depth is looked at: a bare value ends where the array does.
                b',' | b']' if self.depth == 0 => return Some(index),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(index + 1);
                    }
                }
                _ => {}
            }
            index += 1;
        }
        None
    }

    /// Goes on within quotes, and says how far: up to and including their end, or an escape, or all of the chunk.
    fn text(&mut self, chunk: &[u8]) -> usize {
        if std::mem::take(&mut self.escaped) {
            return 1;
        }
        // Most of a table is text, so this is where the speed is.
        let Some(index) = memchr2(b'"', b'\\', chunk) else { return chunk.len() };
        self.escaped = chunk[index] == b'\\';
        self.quoted = self.escaped;
        index + 1
    }
}

fn not_an_array(position: (u64, u64), byte: u8) -> Broken {
    match byte {
        b'{' => Broken::at(position, "expected an array of objects, found an object")
            .hint("one object a line? name the format: `--input-format jsonl`")
            .hint("an array inside an object? take it out, for instance with `jq .data`"),
        _ => Broken::at(position, "expected an array of objects")
            .hint("another format? name it: `--input-format csv|json|jsonl`"),
    }
}
