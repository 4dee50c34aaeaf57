//! How batches and their answers travel and are kept in journals: as JSON, compressed (Zstandard, RFC 8878) where it is long.
//!
//! Whatever enters a cluster is copied a dozen times: into logs, journals and stores, each on two nodes, and merged again and again
//! there. Fifty indicators and their answers have much in common, so a batch shrinks to a fraction, and a batch of three stays what a
//! person can read in Restate's own tools. A reader need not be told which it is: no JSON begins with the frame's magic number.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use zstd::bulk::{Compressor, Decompressor};

/// First bytes of a Zstandard frame.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes from which on JSON is compressed. A single indicator has fewer.
const LONG: usize = if cfg!(fuzzing) { 64 } else { 4 * 1024 };
/// The fastest ordinary level.
const LEVEL: i32 = 1;
/// Most bytes that a body may unfold to, whatever it says of itself: a node takes no larger request, and no answer comes near it.
pub const LARGEST: usize = if cfg!(fuzzing) { 64 * 1024 } else { 32 * 1024 * 1024 };

/// Writes `value`.
///
/// # Errors
/// When it is no JSON: a map with keys that are no text, or a number that is none.
pub fn encode(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(value).map(|json| pack(&json))
}

/// Reads what [`encode`] wrote, or plain JSON.
///
/// # Errors
/// When it is neither, or unfolds to more than 32 MiB.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_str(&text(body)?)
}

/// The JSON itself, for a reader that borrows from it.
///
/// # Errors
/// As [`decode`], before any JSON is looked at.
pub fn text(body: &[u8]) -> serde_json::Result<Cow<'_, str>> {
    // UTF-8 is checked as a whole: text by text takes longer.
    match unpack(body).map_err(serde_json::Error::io)? {
        Cow::Borrowed(json) => {
            std::str::from_utf8(json).map(Cow::Borrowed).map_err(serde_json::Error::custom)
        }
        Cow::Owned(json) => String::from_utf8(json).map(Cow::Owned).map_err(serde_json::Error::custom),
    }
}

/// Compresses a text where it is long.
pub fn pack(text: &[u8]) -> Vec<u8> {
    if text.len() < LONG {
        return text.to_vec();
    }
    // Fails only for want of memory; the text itself is then as good as its short form.
    let mut short = compress(text).unwrap_or_else(|_| text.to_vec());
    // It was given room for the worst case, ten times of what it takes.
    short.shrink_to_fit();
    short
}

/// The text that was packed.
///
/// # Errors
/// When it is damaged, or has more than 32 MiB.
pub fn unpack(body: &[u8]) -> io::Result<Cow<'_, [u8]>> {
    if body.starts_with(&MAGIC) { decompress(body).map(Cow::Owned) } else { Ok(Cow::Borrowed(body)) }
}

// Each thread keeps what it compresses with, 1.4 MiB for texts of a mebibyte and more (Zstandard 1.5.7): to make it anew asks the processor
// what it can do, and on a virtual machine that question goes to the host.
thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn compress(text: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(LEVEL)?),
        };
        compressor.compress(text)
    })
}

fn decompress(body: &[u8]) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new()?),
        };
        decompressor.decompress(body, LARGEST)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_stays_readable_and_what_is_long_gets_short() {
        let short = vec!["GDP"; 10];
        assert_eq!(encode(&short).unwrap(), serde_json::to_vec(&short).unwrap());
        let long = vec!["Exports of goods and services"; 1_000];
        let body = encode(&long).unwrap();
        assert!(body.len() < 1_000, "{} bytes", body.len());
        assert_eq!(decode::<Vec<String>>(&body).unwrap(), long);
        assert_eq!(decode::<Vec<String>>(&serde_json::to_vec(&long).unwrap()).unwrap(), long);
    }

    #[test]
    fn a_damaged_body_is_an_error_and_spoils_no_other() {
        let long = vec!["Exports of goods and services"; 1_000];
        let body = encode(&long).unwrap();
        assert!(decode::<Vec<String>>(&body[..body.len() - 1]).is_err());
        assert!(decode::<Vec<String>>(&MAGIC).is_err());
        assert!(decode::<Vec<String>>(b"nonsense").is_err());
        assert_eq!(decode::<Vec<String>>(&body).unwrap(), long);
    }

    #[test]
    fn a_body_that_unfolds_without_end_is_refused() {
        let bomb = zstd::bulk::compress(&vec![b' '; LARGEST + 1], LEVEL).unwrap();
        assert!(bomb.len() < 64 * 1024);
        assert!(unpack(&bomb).is_err());
    }
}
