//! What the messages of a node say to an attempt of an invocation, beside what the SDK tells the handler. They are looked at on their
//! way to it.
//!
//! * A handler within `ctx.run` hears nothing from Restate: the SDK reads no message meanwhile. Here it hears that it is cancelled.
//! * A handler that is replayed does not see how an earlier attempt has answered, but must answer with the same bytes: the SDK compares
//!   them. Here it finds them, for another version of this program, with another compressor, cannot make them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Length of the head of a message: two bytes of its type, two of flags, four of its length.
const HEAD: usize = 8;
/// Pieces of messages that are looked at before the handler reads them. Few come while it waits for a model.
const UNREAD: usize = 256;
/// A message that brings a signal. `Classifier` waits for none but the one that cancels.
const SIGNAL: [u8; 2] = [0xfb, 0xff];
/// A message with the answer of a handler (`OutputCommandMessage`). A node sends one only to a replay, from the journal.
const OUTPUT: [u8; 2] = [0x04, 0x01];
/// Fields of it: the value that was answered with, and the bytes in a value.
const VALUE: u64 = 14;
const CONTENT: u64 = 1;

tokio::task_local! {
    static ATTEMPT: Arc<Attempt>;
}

/// Cancelled when the invocation is for which the handler runs that asks.
pub(super) fn cancelled() -> CancellationToken {
    ATTEMPT.try_with(|attempt| attempt.cancelled.clone()).unwrap_or_default()
}

/// With what an earlier attempt of the invocation has answered, once the handler has read its journal.
pub(super) fn answered() -> Option<Bytes> {
    ATTEMPT.try_with(|attempt| attempt.answer.get().cloned()).ok().flatten()
}

/// What was seen of one attempt.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    cancelled: CancellationToken,
    answer: OnceLock<Bytes>,
}

impl Attempt {
    /// Lets `poll` ask for what was seen.
    pub(super) fn scope<T>(self: &Arc<Self>, poll: impl FnOnce() -> T) -> T {
        ATTEMPT.sync_scope(Arc::clone(self), poll)
    }
}

/// What a node sends to an invocation, looked at when the SDK reads it: that is before the handler begins.
pub(super) struct Watched<B> {
    body: B,
    messages: Messages,
    attempt: Arc<Attempt>,
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, attempt: Arc<Attempt>) -> Self {
        Self { body, messages: Messages::default(), attempt }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { body, messages, attempt } = &mut *self;
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            messages.look_at(data, attempt);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a node sends to an invocation, after it was looked at.
pub(super) struct Heard<E>(mpsc::Receiver<Result<Frame<Bytes>, E>>);

impl<E> Body for Heard<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.0.poll_recv(cx)
    }
}

/// `body`, which is read as it comes, whether the handler reads or not. Ends with the first error: a connection that broke says the same
/// for ever.
pub(super) fn heard<B>(body: B, attempt: Arc<Attempt>) -> Heard<B::Error>
where
    B: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static,
{
    let (send, frames) = mpsc::channel(UNREAD);
    let mut body = Watched::new(body, attempt);
    tokio::spawn(async move {
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let is_last = frame.is_err();
            if send.send(frame).await.is_err() || is_last {
                return;
            }
        }
    });
    Heard(frames)
}

/// Messages of Restate's service protocol, as they arrive in pieces.
#[derive(Debug, Default)]
struct Messages {
    head: [u8; HEAD],
    read: usize,
    /// Bytes of the message that are still to come.
    left: usize,
    /// What there is of an answer.
    output: Option<Vec<u8>>,
}

impl Messages {
    /// Tells `attempt` what is in the messages of which `piece` is the next part.
    fn look_at(&mut self, mut piece: &[u8], attempt: &Attempt) {
        while !piece.is_empty() {
            let wanted = if self.left > 0 { self.left } else { HEAD - self.read };
            let (taken, rest) = piece.split_at(wanted.min(piece.len()));
            piece = rest;
            if self.left > 0 {
                self.left -= taken.len();
                if let Some(output) = &mut self.output {
                    output.extend_from_slice(taken);
                }
            } else {
                self.head[self.read..self.read + taken.len()].copy_from_slice(taken);
                self.read += taken.len();
                if self.read < HEAD {
                    return;
                }
                self.read = 0;
                let [kind_high, kind_low, _, _, length @ ..] = self.head;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                match [kind_high, kind_low] {
                    SIGNAL => attempt.cancelled.cancel(),
                    OUTPUT => self.output = Some(Vec::new()),
                    _ => {}
                }
            }
            if self.left == 0
                && let Some(output) = self.output.take()
                && let Some(value) = field(&output, VALUE).and_then(|value| field(value, CONTENT))
            {
                attempt.answer.get_or_init(|| Bytes::copy_from_slice(value));
            }
        }
    }
}

/// The field with this number in a message of Protocol Buffers whose fields all have a length, as those of an answer have.
fn field(mut message: &[u8], number: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let length = usize::try_from(varint(&mut message)?).ok()?;
        let (value, rest) = message.split_at_checked(length)?;
        match (tag >> 3, tag & 7) {
            (_, 2) if tag >> 3 == number => return Some(value),
            (_, 2) => message = rest,
            _ => return None,
        }
    }
    None
}

/// A number of Protocol Buffers: seven bits a byte, the lowest first.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = kind.to_be_bytes().to_vec();
        message.extend([0, 0]);
        message.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body);
        message
    }

    /// What would be heads of signals and answers if it were heads.
    fn noise(length: usize) -> Vec<u8> {
        [0xfb, 0xff, 0x04, 0x01].into_iter().cycle().take(length).collect()
    }

    /// What is seen of messages that arrive in pieces of this size.
    fn seen(all: &[u8], size: usize) -> (bool, Option<Bytes>) {
        let (mut messages, attempt) = (Messages::default(), Attempt::default());
        all.chunks(size).for_each(|piece| messages.look_at(piece, &attempt));
        (attempt.cancelled.is_cancelled(), attempt.answer.get().cloned())
    }

    #[test]
    fn a_signal_is_found_wherever_its_message_is_cut() {
        let (start, completion) = (message(0x0000, &noise(40)), message(0x8011, &noise(9)));
        let signal = message(0xfbff, &noise(4));
        let without = [&*start, &completion, &message(0xfffe, &[]), &completion].concat();
        let with = [&*start, &completion, &signal, &completion].concat();
        for size in 1..=with.len() {
            assert_eq!((seen(&without, size).0, seen(&with, size).0), (false, true), "in pieces of {size}");
        }
    }

    #[test]
    fn an_answer_is_found_wherever_its_message_is_cut() {
        let answer = noise(300);
        // A value of 303 bytes: two of its field's tag and length, and one more where the length has two.
        let value = [&[0x0a, 0xac, 0x02][..], &answer].concat();
        let named = [&[0x62, 2, b'o', b'k', 0x72, 0xaf, 0x02][..], &value].concat();
        let (start, call) = (message(0x0000, &noise(40)), message(0x040d, &noise(20)));
        let all = [&*start, &call, &message(0x0401, &named), &call].concat();
        for size in 1..=all.len() {
            assert_eq!(seen(&all, size), (false, Some(Bytes::from(answer.clone()))), "in pieces of {size}");
        }
        assert_eq!(seen(&[start, call].concat(), 7), (false, None));
    }

    #[test]
    fn an_answer_that_is_none_is_not_taken_for_one() {
        // Nothing, an empty value, a failure, a field without a length, one that is cut off, a number without end.
        let endless = [0xff; 20];
        let bodies: [&[u8]; 6] = [&[], &[0x72, 0], &[0x7a, 1, 8], &[8, 1, 0x72, 0], &[0x72, 9, 1], &endless];
        for body in bodies {
            assert_eq!(seen(&message(0x0401, body), 64).1, None, "{body:?}");
        }
    }

    /// What is left of a request when its connection broke: the same error, as often as one asks.
    struct Broken;

    impl Body for Broken {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(Some(Err("the connection broke")))
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_says_so_once() {
        let mut heard = heard(Broken, Arc::default());
        let mut next =
            async || poll_fn(|cx| Pin::new(&mut heard).poll_frame(cx)).await.map(|frame| frame.is_err());
        assert_eq!((next().await, next().await), (Some(true), None));
    }

    #[test]
    fn outside_of_an_attempt_nothing_was_seen() {
        assert!(!cancelled().is_cancelled());
        assert_eq!(answered(), None);
        let attempt = Arc::new(Attempt::default());
        attempt.answer.set(Bytes::from_static(b"before")).unwrap();
        assert_eq!(attempt.scope(answered).as_deref(), Some(&b"before"[..]));
    }
}
