//! Stands in for the parser of CSV in fuzz targets: the same one, used again. To make it takes a hundred times as long as to parse a table.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static IDLE: RefCell<Vec<csv_core::Reader>> = const { RefCell::new(Vec::new()) };
}

/// A parser that is kept for the next table.
#[derive(Debug)]
pub(in super::super) struct Reader(Option<csv_core::Reader>);

impl Reader {
    /// One that has read nothing.
    pub(in super::super) fn new() -> Self {
        let mut reader = IDLE.with_borrow_mut(Vec::pop).unwrap_or_else(csv_core::Reader::new);
        reader.reset();
        Self(Some(reader))
    }
}

impl Deref for Reader {
    type Target = csv_core::Reader;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().unwrap_or_else(|| unreachable!("it goes when this goes"))
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.as_mut().unwrap_or_else(|| unreachable!("it goes when this goes"))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        IDLE.with_borrow_mut(|idle| idle.extend(self.0.take()));
    }
}
