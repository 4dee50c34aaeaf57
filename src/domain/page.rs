//! Consecutive batches of a detached run in one body: the index of the first, then each batch's request behind its length, numbers in
//! network byte order.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::detached::PAGE;

/// A body in the making.
#[derive(Debug)]
pub struct PageWriter(BytesMut);

impl PageWriter {
    /// A body whose first batch will be `first`.
    pub fn new(first: u64) -> Self {
        let mut body = BytesMut::new();
        body.put_u64(first);
        Self(body)
    }

    /// Appends the request of the next batch, which is far below 4 GiB.
    pub fn push(&mut self, request: &[u8]) {
        self.0.put_u32(u32::try_from(request.len()).unwrap_or(u32::MAX));
        self.0.put_slice(request);
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// The body.
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Index and request of each batch in a body; nothing where it is no such body, or one with more batches than a page has.
pub fn read_page(mut body: Bytes) -> Option<Vec<(u64, Bytes)>> {
    let first = body.try_get_u64().ok()?;
    let mut batches = Vec::new();
    while body.has_remaining() {
        let length = body.try_get_u32().ok()? as usize;
        if length > body.len() {
            return None;
        }
        if batches.len() as u64 >= PAGE {
            return None;
        }
        batches.push((first.checked_add(batches.len() as u64)?, body.split_to(length)));
    }
    Some(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_back_under_their_indexes() {
        let mut page = PageWriter::new(63);
        page.push(b"{}");
        page.push(b"\n\x00");
        let body = page.finish();
        let batches = [(63, Bytes::from_static(b"{}")), (64, Bytes::from_static(b"\n\x00"))];
        assert_eq!(read_page(body.clone()).unwrap(), batches);
        assert!(read_page(body.slice(..body.len() - 1)).is_none(), "cut off");
        assert!(read_page(Bytes::from_static(b"{\"a\"")).is_none());
        let mut page = PageWriter::new(64);
        (0..PAGE).for_each(|_| page.push(b""));
        assert_eq!(read_page(page.0.clone().freeze()).unwrap().len(), 64);
        page.push(b"");
        assert!(read_page(page.finish()).is_none(), "more than a page");
        let mut last = PageWriter::new(u64::MAX);
        last.push(b"{}");
        last.push(b"{}");
        assert!(read_page(last.finish()).is_none(), "there is no index behind the last");
    }
}
