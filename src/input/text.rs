//! Bytes of one source as checked UTF-8: byte order mark and position in one place, so that the three formats need not
//! care. Knows nothing of rows.

use std::io::{self, BufRead, Read};

use memchr::{memchr, memchr_iter, memrchr};
use thiserror::Error;

/// Small for fuzz targets: every place of a table meets its end.
const BUFFER: usize = if cfg!(fuzzing) { 61 } else { 128 * 1024 };
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The source is not UTF-8.
#[derive(Debug, Error)]
#[error("not UTF-8: byte 0x{byte:02x} at offset {offset}")]
pub(super) struct NotUtf8 {
    /// Physical line, from 1.
    pub(super) line: u64,
    offset: u64,
    byte: u8,
    beginning: [u8; 4],
}

impl NotUtf8 {
    /// What to do about it, by what the file seems to be.
    pub(super) fn hint(&self) -> &'static str {
        match self.beginning {
            [0x1f, 0x8b, ..] => "it looks like gzip: `zcat FILE | classify --input-format csv|json|jsonl -`",
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it looks like UTF-16: save it as UTF-8",
            [b'P', b'K', 3, 4] => "it looks like a spreadsheet or zip archive: export it as CSV in UTF-8",
            _ => "convert it, for instance with `iconv -f WINDOWS-1252 -t UTF-8`",
        }
    }
}

/// A buffered reader that hands out valid UTF-8 only and knows where it is.
#[derive(Debug)]
pub(super) struct Text<R> {
    source: R,
    buffer: Box<[u8]>,
    /// `buffer[start..valid]` may be handed out; `buffer[valid..filled]` is the beginning of a character.
    start: usize,
    valid: usize,
    filled: usize,
    ended: bool,
    beginning: [u8; 4],
    /// Bytes before `buffer[start]` in the source.
    offset: u64,
    line: u64,
    line_offset: u64,
    /// What ends a line: `\n`, unless a table turns out to be of those where `\r` does it alone.
    line_end: u8,
    /// `\r` so far, until it is known what ends a line.
    returns: Option<u64>,
}

impl<R: Read> Text<R> {
    /// Reads `source` from here on.
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            valid: 0,
            filled: 0,
            ended: false,
            beginning: [0; 4],
            offset: 0,
            line: 1,
            line_offset: 0,
            line_end: b'\n',
            returns: Some(0),
        }
    }

    /// Settles what ends a line by what ended the first record, which was read just now.
    pub(super) fn settle_line_end(&mut self) -> io::Result<()> {
        let last = self.start.checked_sub(1).map(|at| self.buffer[at]);
        let next = self.fill_buf()?.first().copied();
        let returns = self.returns.take().unwrap_or_default();
        if last == Some(b'\r') && next != Some(b'\n') && self.line == 1 {
            self.line_end = b'\r';
            self.line += returns;
            self.line_offset = self.offset;
        }
        Ok(())
    }

    /// Physical line of the next byte, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Line and column (in bytes) of the next byte, from 1.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.line, self.offset - self.line_offset + 1)
    }

    /// Where the bytes came from.
    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// Skips white space as JSON defines it; the byte after it, not consumed.
    pub(super) fn skip_blank(&mut self) -> io::Result<Option<u8>> {
        loop {
            let chunk = self.fill_buf()?;
            let blank = chunk.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            let next = chunk.get(blank).copied();
            let ended = chunk.is_empty();
            self.consume(blank);
            if next.is_some() || ended {
                return Ok(next);
            }
        }
    }

    /// Appends what is left of the line to `line`, its end included, but `limit` bytes at most. How many it were; none at the end.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let mut length = 0;
        loop {
            let chunk = self.fill_buf()?;
            let chunk = &chunk[..chunk.len().min(limit - length)];
            let end = memchr(b'\n', chunk);
            let part = &chunk[..end.map_or(chunk.len(), |end| end + 1)];
            line.extend_from_slice(part);
            let amount = part.len();
            length += amount;
            self.pass(amount);
            if end.is_some() {
                self.line += 1;
                self.line_offset = self.offset;
                return Ok(length);
            }
            if amount == 0 {
                return Ok(length);
            }
        }
    }

    fn pass(&mut self, amount: usize) {
        self.offset += amount as u64;
        self.start += amount;
    }

    fn refill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.valid..self.filled, 0);
        self.filled -= self.valid;
        self.start = 0;
        self.valid = 0;
        // A BOM's first two bytes are an unfinished character, so it is complete whenever anything is valid.
        while self.valid == 0 && !self.ended {
            let read = match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.filled += read;
            self.ended = read == 0;
            if self.offset == 0 {
                let known = self.filled.min(4);
                self.beginning[..known].copy_from_slice(&self.buffer[..known]);
                if self.buffer[..self.filled].starts_with(BOM) {
                    self.buffer.copy_within(BOM.len()..self.filled, 0);
                    self.filled -= BOM.len();
                    self.offset = BOM.len() as u64;
                    self.line_offset = self.offset;
                }
            }
            self.validate()?;
        }
        Ok(())
    }

    /// Line ends in `text`, which begins where nothing has been handed out yet.
    fn lines_in(&self, text: &[u8]) -> u64 {
        let (newlines, returns) = (count(b'\n', text), count(b'\r', text));
        match self.returns {
            // A text without any `\n` has lines all the same.
            Some(before) if newlines == 0 && self.line == 1 => before + returns,
            _ if self.line_end == b'\r' => returns,
            _ => newlines,
        }
    }

    fn validate(&mut self) -> io::Result<()> {
        let Err(error) = std::str::from_utf8(&self.buffer[..self.filled]) else {
            self.valid = self.filled;
            return Ok(());
        };
        self.valid = error.valid_up_to();
        if error.error_len().is_none() && !self.ended {
            return Ok(());
        }
        let good = &self.buffer[..self.valid];
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            NotUtf8 {
                line: self.line + self.lines_in(good),
                offset: self.offset + self.valid as u64,
                byte: self.buffer[self.valid],
                beginning: self.beginning,
            },
        ))
    }
}

impl<R: Read> BufRead for Text<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.valid {
            self.refill()?;
        }
        Ok(&self.buffer[self.start..self.valid])
    }

    fn consume(&mut self, amount: usize) {
        let end = (self.start + amount).min(self.valid);
        let eaten = &self.buffer[self.start..end];
        let lines = count(self.line_end, eaten);
        if let Some(returns) = &mut self.returns {
            *returns += count(b'\r', eaten);
        }
        if lines > 0 {
            let last = memrchr(self.line_end, eaten).unwrap_or(0);
            self.line += lines;
            self.line_offset = self.offset + last as u64 + 1;
        }
        self.pass(end - self.start);
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let amount = chunk.len().min(target.len());
        target[..amount].copy_from_slice(&chunk[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

fn count(byte: u8, bytes: &[u8]) -> u64 {
    memchr_iter(byte, bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one byte at a time, as a slow pipe would.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            let amount = self.0.len().min(target.len()).min(1);
            target[..amount].copy_from_slice(&self.0[..amount]);
            self.0 = &self.0[amount..];
            Ok(amount)
        }
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Text::new(Trickle(bytes)).read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn characters_may_be_cut_by_the_buffer_and_the_byte_order_mark_is_dropped() {
        assert_eq!(read("\u{feff}aé€😀\n".as_bytes()).unwrap(), "aé€😀\n".as_bytes());
        assert_eq!(read("\u{feff}".as_bytes()).unwrap(), b"");
        assert_eq!(read("a\u{feff}".as_bytes()).unwrap(), "a\u{feff}".as_bytes());
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn bad_bytes_are_located() {
        let locate = |bytes: &[u8]| {
            let error = read(bytes).unwrap_err();
            let bad: &NotUtf8 = error.get_ref().unwrap().downcast_ref().unwrap();
            (bad.line, bad.offset, bad.byte)
        };
        assert_eq!(locate(b"ab\ncd\nM\xfcller"), (3, 7, 0xfc));
        assert_eq!(locate(b"\xef\xbb\xbfab\n\xff"), (2, 6, 0xff));
        assert_eq!(locate(b"ab\xe2\x82"), (1, 2, 0xe2));
        assert_eq!(locate(b"\x1f\x8b\x08"), (1, 1, 0x8b));
    }

    #[test]
    fn a_carriage_return_alone_may_end_lines() {
        let lines = |bytes: &[u8]| {
            let error = read(bytes).unwrap_err();
            error.get_ref().unwrap().downcast_ref::<NotUtf8>().unwrap().line
        };
        assert_eq!((lines(b"a\rb\rM\xfcller"), lines(b"a\r\nb\r\nM\xfc"), lines(b"a\rb\nM\xfc")), (3, 3, 2));
    }

    #[test]
    fn the_position_counts_physical_lines() {
        let mut text = Text::new("\u{feff}ab\n\ncd".as_bytes());
        text.fill_buf().unwrap();
        assert_eq!(text.position(), (1, 1));
        text.consume(5);
        assert_eq!(text.position(), (3, 2));
    }

    #[test]
    fn a_line_is_read_with_its_end_and_up_to_a_limit() {
        let long = "x".repeat(BUFFER + 10);
        let input = format!("ab\n\n{long}\nend");
        let mut text = Text::new(input.as_bytes());
        let mut line = |limit: usize| {
            let mut line = Vec::new();
            let length = text.read_line(&mut line, limit).unwrap();
            assert_eq!(length, line.len());
            (String::from_utf8(line).unwrap(), text.position())
        };
        assert_eq!(line(100), ("ab\n".into(), (2, 1)));
        assert_eq!(line(100), ("\n".into(), (3, 1)));
        assert_eq!(line(4), ("xxxx".into(), (3, 5)));
        assert_eq!(line(usize::MAX), (format!("{}\n", &long[4..]), (4, 1)));
        assert_eq!(line(3), ("end".into(), (4, 4)));
        assert_eq!(line(100), (String::new(), (4, 4)));
    }
}
