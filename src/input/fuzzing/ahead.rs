//! Stands in for reading ahead in fuzz targets: the same bytes and digests without a thread, which would take most of the time.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// A reader that digests what passes through it.
pub(super) struct Ahead {
    source: Box<dyn Read + Send>,
    hasher: Sha256,
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ahead")
    }
}

impl Ahead {
    /// Reads `source` from here on and adds its bytes to `hasher`.
    #[expect(clippy::unnecessary_wraps, reason = "as with a thread, which may not be had")]
    pub(super) fn new(source: impl Read + Send + 'static, hasher: Sha256) -> io::Result<Self> {
        Ok(Self { source: Box::new(source), hasher })
    }

    /// The digest of what was read so far.
    pub(super) fn into_hasher(self) -> Sha256 {
        self.hasher
    }
}

impl Read for Ahead {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(target)?;
        self.hasher.update(&target[..length]);
        Ok(length)
    }
}
