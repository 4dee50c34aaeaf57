//! [`domain::payload`](crate::domain::payload) in the SDK's terms.
//!
//! A replay must send the same bytes as the attempt before, and may be made by a later version of this program, with another compressor.
//! So what a handler sends is never compressed anew: it is JSON as it stands ([`Plain`]), or has in it the very bytes that the
//! handler was given ([`Enclosed`]). What handlers answer with is compressed ([`Payload`]), once: where an earlier attempt has answered,
//! its bytes are given again.

use bytes::{BufMut as _, Bytes, BytesMut};
use restate_sdk::serde::{Deserialize, InputMetadata, OutputMetadata, PayloadMetadata, Serialize};
use serde::de::{DeserializeOwned, Error as _};

use super::attempt;
use crate::domain::payload;

/// What a handler answers with, as JSON that is compressed where it is long. Where an earlier attempt's answer stands in the journal, it is
/// that one, byte by byte, whatever compressed it.
pub(super) struct Payload<T>(pub(super) T);

impl<T: serde::Serialize> Serialize for Payload<T> {
    type Error = serde_json::Error;

    fn serialize(&self) -> Result<Bytes, Self::Error> {
        attempt::answered().map_or_else(|| payload::encode(&self.0).map(Bytes::from), Ok)
    }
}

impl<T: DeserializeOwned> Deserialize for Payload<T> {
    type Error = serde_json::Error;

    fn deserialize(body: &mut Bytes) -> Result<Self, Self::Error> {
        payload::decode(body).map(Self)
    }
}

/// What a handler sends to another one, as JSON.
pub(super) struct Plain<T>(pub(super) T);

impl<T: serde::Serialize> Serialize for Plain<T> {
    type Error = serde_json::Error;

    fn serialize(&self) -> Result<Bytes, Self::Error> {
        serde_json::to_vec(&self.0).map(Bytes::from)
    }
}

impl<T: DeserializeOwned> Deserialize for Plain<T> {
    type Error = serde_json::Error;

    fn deserialize(body: &mut Bytes) -> Result<Self, Self::Error> {
        payload::decode(body).map(Self)
    }
}

/// A list of something short, or one of it, as JSON. Its memory is some ten times as long at worst.
pub(super) struct Short<T>(pub(super) T);

/// Most bytes of [`Short`]: reports of some ten thousand batches.
pub(super) const SHORT: usize = 4 * 1024 * 1024;

impl<T: serde::Serialize> Serialize for Short<T> {
    type Error = serde_json::Error;

    fn serialize(&self) -> Result<Bytes, Self::Error> {
        serde_json::to_vec(&self.0).map(Bytes::from)
    }
}

impl<T: DeserializeOwned> Deserialize for Short<T> {
    type Error = serde_json::Error;

    fn deserialize(body: &mut Bytes) -> Result<Self, Self::Error> {
        if body.len() > SHORT {
            return Err(serde_json::Error::custom(format!("more than {SHORT} bytes")));
        }
        serde_json::from_slice(body).map(Self)
    }
}

impl<T> PayloadMetadata for Short<T> {}

/// A body as it came, to be read when it is known who sent it.
pub(super) struct Raw(pub(super) Bytes);

impl Serialize for Raw {
    type Error = serde_json::Error;

    fn serialize(&self) -> Result<Bytes, Self::Error> {
        Ok(self.0.clone())
    }
}

impl Deserialize for Raw {
    type Error = serde_json::Error;

    fn deserialize(body: &mut Bytes) -> Result<Self, Self::Error> {
        Ok(Self(std::mem::take(body)))
    }
}

impl PayloadMetadata for Raw {
    fn json_schema() -> Option<serde_json::Value> {
        None
    }

    fn input_metadata() -> InputMetadata {
        Plain::<()>::input_metadata()
    }

    fn output_metadata() -> OutputMetadata {
        Plain::<()>::output_metadata()
    }
}

/// With what [`Enclosed`] begins, and no JSON does.
pub(super) const ENCLOSED: u8 = 1;
/// Bytes before the letter.
const HEAD: usize = 5;

/// A letter and what is enclosed with it: [`ENCLOSED`], the letter's length in four bytes with the lowest first, the letter as JSON, and the
/// rest as it is.
pub(super) struct Enclosed<T> {
    pub(super) letter: T,
    pub(super) body: Bytes,
}

impl<T: serde::Serialize> Serialize for Enclosed<T> {
    type Error = serde_json::Error;

    fn serialize(&self) -> Result<Bytes, Self::Error> {
        let letter = serde_json::to_vec(&self.letter)?;
        let length = u32::try_from(letter.len()).map_err(serde_json::Error::custom)?;
        let mut all = BytesMut::with_capacity(HEAD + letter.len() + self.body.len());
        all.put_u8(ENCLOSED);
        all.put_u32_le(length);
        all.put_slice(&letter);
        all.put_slice(&self.body);
        Ok(all.freeze())
    }
}

impl<T: DeserializeOwned> Deserialize for Enclosed<T> {
    type Error = serde_json::Error;

    fn deserialize(body: &mut Bytes) -> Result<Self, Self::Error> {
        let short = || serde_json::Error::custom("shorter than it says");
        let length = body.get(1..HEAD).and_then(|length| length.try_into().ok());
        let length = length.map(u32::from_le_bytes).ok_or_else(short)?;
        let end =
            usize::try_from(length).ok().and_then(|length| length.checked_add(HEAD)).ok_or_else(short)?;
        let letter = serde_json::from_slice(body.get(HEAD..end).ok_or_else(short)?)?;
        let body = body.slice(end..);
        Ok(Self { letter, body })
    }
}

/// Bodies are bytes, whatever is in them.
macro_rules! are_bytes {
    ($($body:ident),*) => {$(
        impl<T> PayloadMetadata for $body<T> {
            fn json_schema() -> Option<serde_json::Value> {
                None
            }

            fn input_metadata() -> InputMetadata {
                InputMetadata { accept_content_type: "*/*", is_required: true }
            }

            fn output_metadata() -> OutputMetadata {
                OutputMetadata { content_type: "application/octet-stream", set_content_type_if_empty: false }
            }
        }
    )*};
}

are_bytes!(Payload, Plain, Enclosed);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_be_short_is_refused_when_it_is_long() {
        let list = vec!["inv_1"; 3];
        let mut body = Short(&list).serialize().unwrap();
        assert_eq!(body, serde_json::to_vec(&list).unwrap());
        assert_eq!(Short::<Vec<String>>::deserialize(&mut body).unwrap().0, list);
        let mut long = Bytes::from(format!("[{}0]", "0,".repeat(SHORT / 2)));
        assert!(Short::<Vec<u8>>::deserialize(&mut long).is_err());
    }

    #[test]
    fn what_is_enclosed_stays_as_it_was() {
        let body = Bytes::from_static(b"\x28\xb5\x2f\xfd compressed by whomever");
        let sent = Enclosed { letter: "hello", body: body.clone() }.serialize().unwrap();
        assert_eq!(&sent[..12], b"\x01\x07\0\0\0\"hello\"");
        let got = Enclosed::<String>::deserialize(&mut sent.clone()).unwrap();
        assert_eq!((got.letter.as_str(), got.body), ("hello", body));
        for end in [0, 4, 11] {
            assert!(Enclosed::<String>::deserialize(&mut sent.slice(..end)).is_err(), "{end} bytes");
        }
        assert!(Enclosed::<String>::deserialize(&mut Bytes::from_static(&[0xff; 8])).is_err());
    }
}
