//! The bytes of one source, read and digested on a thread of their own: neither the disk nor SHA-256 keeps whoever takes rows out of
//! them waiting. Knows nothing of text or rows.

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};

/// Bytes read at once.
const BLOCK: usize = 128 * 1024;
/// Blocks that may be ahead: a slow disk and a slow row even out, and half a mebibyte is all it takes.
const BLOCKS: usize = 4;

/// A reader whose source is read ahead. Its thread ends with the source, or when this is dropped.
#[derive(Debug)]
pub(super) struct Ahead {
    blocks: Receiver<io::Result<Block>>,
    /// Where blocks that were used go back to.
    used: SyncSender<Vec<u8>>,
    bytes: Vec<u8>,
    start: usize,
    hasher: Sha256,
}

/// Some bytes, none at the end, and the digest of all up to and including them.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    hasher: Sha256,
}

impl Ahead {
    /// Reads `source` from here on and adds its bytes to `hasher`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn new(source: impl Read + Send + 'static, hasher: Sha256) -> io::Result<Self> {
        let (filled, blocks) = sync_channel(BLOCKS);
        let (used, empty) = sync_channel(BLOCKS + 2);
        let digest = hasher.clone();
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read(source, hasher, &filled, &empty))?;
        Ok(Self { blocks, used, bytes: Vec::new(), start: 0, hasher: digest })
    }

    /// The digest of what was read so far; of everything, once the end has been seen.
    pub(super) fn into_hasher(self) -> Sha256 {
        self.hasher
    }
}

/// Reads to the end, to the first failure, or until nobody takes any more.
fn read(
    mut source: impl Read,
    mut hasher: Sha256,
    filled: &SyncSender<io::Result<Block>>,
    empty: &Receiver<Vec<u8>>,
) {
    loop {
        let mut bytes = empty.try_recv().unwrap_or_default();
        bytes.resize(BLOCK, 0);
        let block = match source.read(&mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                hasher.update(&bytes);
                Ok(Block { bytes, hasher: hasher.clone() })
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let last = block.as_ref().map_or(true, |block| block.bytes.is_empty());
        if filled.send(block).is_err() || last {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.start == self.bytes.len() {
            let died = |_| io::Error::other("the thread that reads the input died");
            let Block { bytes, hasher } = self.blocks.recv().map_err(died)??;
            let used = std::mem::replace(&mut self.bytes, bytes);
            (self.start, self.hasher) = (0, hasher);
            // Nobody needs it once the end was read.
            let _ended = self.used.try_send(used);
        }
        let rest = &self.bytes[self.start..];
        let length = rest.len().min(target.len());
        target[..length].copy_from_slice(&rest[..length]);
        self.start += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::RecvTimeoutError;
    use std::time::Duration;

    use super::*;

    /// Hands out so many bytes, then fails or ends.
    struct Source {
        left: usize,
        fails: bool,
    }

    impl Read for Source {
        fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            if self.left == 0 && self.fails {
                return Err(io::Error::other("the disk"));
            }
            let length = self.left.min(target.len()).min(1_000);
            target[..length].fill(b'x');
            self.left -= length;
            Ok(length)
        }
    }

    fn ahead(left: usize, fails: bool) -> Ahead {
        Ahead::new(Source { left, fails }, Sha256::new()).unwrap()
    }

    #[test]
    fn all_bytes_come_in_order_and_are_digested() {
        let mut all = Vec::new();
        let mut reader = ahead(1_234_567, false);
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, vec![b'x'; 1_234_567]);
        assert_eq!(reader.into_hasher().finalize(), Sha256::digest(&all));
    }

    #[test]
    fn a_failure_comes_after_what_was_read_before_it() {
        let mut all = Vec::new();
        let error = ahead(12_345, true).read_to_end(&mut all).unwrap_err();
        assert_eq!((all.len(), error.to_string()), (12_345, "the disk".to_owned()));
    }

    #[test]
    fn a_thread_that_died_is_not_taken_for_the_end() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("of this test")
            }
        }
        assert!(Ahead::new(Broken, Sha256::new()).unwrap().read(&mut [0]).is_err());
    }

    #[test]
    fn the_thread_ends_when_nobody_reads_on() {
        struct Watched {
            _open: SyncSender<()>,
        }
        impl Read for Watched {
            fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
                Ok(target.len())
            }
        }
        let (open, closed) = sync_channel::<()>(0);
        let mut reader = Ahead::new(Watched { _open: open }, Sha256::new()).unwrap();
        reader.read_exact(&mut [0; 10]).unwrap();
        drop(reader);
        // The source was dropped with the thread.
        assert_eq!(closed.recv_timeout(Duration::from_secs(10)), Err(RecvTimeoutError::Disconnected));
    }
}
