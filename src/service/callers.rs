//! Who may call the service: clients that know the cluster's secret, and handlers of ours.
//!
//! What only handlers call is private to the cluster (`ingress_private`), and Restate refuses it to everybody else. What clients call looks at
//! the signature before it looks at the body.

use std::sync::Arc;

use bytes::Bytes;
use restate_sdk::prelude::*;
use serde::de::DeserializeOwned;

use super::payload::{Raw, SHORT};
use crate::restate::secret::{Call, SIGNATURE, Secret};

/// The call is not signed, or by another secret.
const UNSIGNED: u16 = 401;
/// The request is not one that the service understands.
const MALFORMED: u16 = 400;

/// Knows the secret, if the cluster has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Callers(Option<Arc<Secret>>);

impl Callers {
    pub(super) fn new(secret: Option<Arc<Secret>>) -> Self {
        Self(secret)
    }

    /// Name of the secret.
    pub(super) fn secret_name(&self) -> Option<String> {
        self.0.as_ref().map(|secret| secret.name())
    }

    /// Refuses a call without a body that is not from a client of the cluster.
    pub(super) fn admit(&self, headers: &HeaderMap, call: Call<'_>) -> Result<(), TerminalError> {
        self.check(headers, call, &[])
    }

    /// The body of a call that is from a client of the cluster.
    pub(super) fn bytes(
        &self,
        headers: &HeaderMap,
        call: Call<'_>,
        Raw(body): Raw,
    ) -> Result<Bytes, TerminalError> {
        self.check(headers, call, &body)?;
        Ok(body)
    }

    /// What the body of such a call says.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        headers: &HeaderMap,
        call: Call<'_>,
        body: Raw,
    ) -> Result<T, TerminalError> {
        let body = self.bytes(headers, call, body)?;
        if body.len() > SHORT {
            return Err(TerminalError::new_with_code(MALFORMED, format!("more than {SHORT} bytes")));
        }
        serde_json::from_slice(&body)
            .map_err(|error| TerminalError::new_with_code(MALFORMED, error.to_string()))
    }

    fn check(&self, headers: &HeaderMap, call: Call<'_>, body: &[u8]) -> Result<(), TerminalError> {
        let Some(secret) = &self.0 else { return Ok(()) };
        let signature = headers.get(SIGNATURE).map(String::as_str).unwrap_or_default();
        if secret.is_signed(call, body, signature) {
            return Ok(());
        }
        let message = "the call is not signed with the cluster's secret (CLASSIFY_CLUSTER_SECRET)";
        Err(TerminalError::new_with_code(UNSIGNED, message))
    }

    /// The header that a handler's own call of what clients call must have.
    pub(super) fn signature(&self, call: Call<'_>, body: &[u8]) -> Option<(String, String)> {
        let secret = self.0.as_ref()?;
        Some((SIGNATURE.to_owned(), secret.sign(call, body)))
    }
}
