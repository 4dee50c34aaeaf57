//! The secret of a cluster. Its clients sign every call with it, so that the service does what they ask and nobody else.
//!
//! A signature is HMAC-SHA-256 (RFC 2104) over what is called and the body, in hexadecimal. The secret itself is never sent, because Restate
//! keeps the headers of a call in its logs.

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::domain::fingerprint::hex;

/// Header of a call that has its signature.
pub const SIGNATURE: &str = "x-classify-signature";
/// Has the secret where the cluster's folder is not at hand: in a container, on another machine.
pub const SECRET_VARIABLE: &str = "CLASSIFY_CLUSTER_SECRET";
/// What to do where a call was not signed with the right one.
pub const REMEDY: &str = "name the cluster (`--cluster NAME`), or export CLASSIFY_CLUSTER_SECRET with the text of the file `secret` in its folder";
/// Length of a secret in bytes.
const LENGTH: usize = 32;
/// What is signed to tell one secret from another without telling either.
const NAME: &[u8] = b"classify: name of the secret";

/// What is called: `{service}/{key}/{handler}`, with an empty key where the service has none.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Name of the service.
    pub service: &'a str,
    /// Key of the workflow or the virtual object.
    pub key: &'a str,
    /// Name of the handler.
    pub handler: &'a str,
}

/// What only the cluster's clients and its service know.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The text of a new secret; `None` where the operating system has no random numbers.
    pub fn new_text() -> Option<String> {
        let mut bytes = [0; LENGTH];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(hex(&bytes))
    }

    /// Reads a secret: 64 hexadecimal digits. `None` where it is none.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.len() == 2 * LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        if !digits {
            return None;
        }
        let bytes: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect::<Option<_>>()?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Tells this secret from others, and nothing about it.
    pub fn name(&self) -> String {
        hex(&hmac::sign(&self.0, NAME).as_ref()[..8])
    }

    /// The signature of a call with this body.
    pub fn sign(&self, call: Call<'_>, body: &[u8]) -> String {
        let mut signed = hmac::Context::with_key(&self.0);
        // A length before each part, so that no two calls are the same bytes.
        for part in [call.service, call.key, call.handler] {
            signed.update(&(part.len() as u64).to_be_bytes());
            signed.update(part.as_bytes());
        }
        signed.update(body);
        hex(signed.sign().as_ref())
    }

    /// Whether this is the signature of that call.
    pub fn is_signed(&self, call: Call<'_>, body: &[u8], signature: &str) -> bool {
        // Compared as signatures of each other: how long that takes tells nothing of the right one.
        let expected = hmac::sign(&self.0, self.sign(call, body).as_bytes());
        hmac::verify(&self.0, signature.as_bytes(), expected.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'static> = Call { service: "ModelLimits", key: "openai/a", handler: "set" };

    #[test]
    fn a_signature_is_of_one_call_with_one_body_by_one_secret() {
        let secret = Secret::read(&"0b".repeat(32)).unwrap();
        let signature = secret.sign(CALL, b"{}");
        assert!(secret.is_signed(CALL, b"{}", &signature));
        for (call, body) in [
            (Call { service: "ModelLimit", key: "sopenai/a", ..CALL }, &b"{}"[..]),
            (Call { key: "openai/b", ..CALL }, b"{}"),
            (Call { handler: "lease", ..CALL }, b"{}"),
            (CALL, b"{ }"),
        ] {
            assert!(!secret.is_signed(call, body, &signature), "{call:?}");
        }
        let other = Secret::read(&Secret::new_text().unwrap()).unwrap();
        assert!(!other.is_signed(CALL, b"{}", &signature) && other.name() != secret.name());
        assert!(!secret.is_signed(CALL, b"{}", "") && !secret.is_signed(CALL, b"{}", &signature[..63]));
    }

    /// Computed with Python's `hmac`.
    #[test]
    fn the_signature_is_hmac_sha_256() {
        let secret = Secret::read(&"0b".repeat(32)).unwrap();
        assert_eq!(
            secret.sign(CALL, b"{}"),
            "07cdececad0756d1f9ed3f391def7f03133cf4bc43a2586e7073464d4ff9c2df"
        );
        assert_eq!(secret.name(), "ceab9e8cd04b82c4");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_shown() {
        for text in ["", "0b", &"0g".repeat(32), &"0b".repeat(33), &"ä".repeat(32)] {
            assert!(Secret::read(text).is_none(), "{text}");
        }
        let (one, two) = (Secret::new_text().unwrap(), Secret::new_text().unwrap());
        assert!(one != two && one.len() == 64);
        let secret = Secret::read(&format!("{one}\n")).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
