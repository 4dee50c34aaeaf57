//! [`domain::payload`](crate::domain::payload) in the SDK's terms.

use bytes::Bytes;
use restate_sdk::serde::{Deserialize, InputMetadata, OutputMetadata, PayloadMetadata, Serialize};
use serde::de::DeserializeOwned;

use crate::domain::payload;

/// What a handler takes or gives, as JSON that is compressed where it is long.
pub(super) struct Payload<T>(pub(super) T);

impl<T: serde::Serialize> Serialize for Payload<T> {
    type Error = serde_json::Error;

    fn serialize(&self) -> Result<Bytes, Self::Error> {
        payload::encode(&self.0).map(Bytes::from)
    }
}

impl<T: DeserializeOwned> Deserialize for Payload<T> {
    type Error = serde_json::Error;

    fn deserialize(body: &mut Bytes) -> Result<Self, Self::Error> {
        payload::decode(body).map(Self)
    }
}

impl<T> PayloadMetadata for Payload<T> {
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
