//! What a cluster is founded with beside its nodes: the secret that clients sign their calls with, and the key that nodes sign theirs with.
//!
//! Files of their own, for the user alone. A cluster that was founded without them goes on without them: its batches under way would be refused.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tempfile::NamedTempFile;

use super::folder::Folder;
use crate::disk;
use crate::error::{Failure, Result};
use crate::restate::secret::{SECRET_VARIABLE, Secret};

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Makes the secret of a cluster that is being founded. One that is there stays.
pub(super) fn found(folder: &Folder) -> Result<()> {
    let secret = Secret::new_text().ok_or_else(no_random_numbers)?;
    write_new(folder, &folder.secret_file(), &secret)
}

/// Makes the key that the nodes of a cluster that is being founded sign their requests to the service with, so that the service does not
/// work for others who reach its port. Its public part is written first: with the private one the cluster has a key.
pub(super) fn found_identity(folder: &Folder) -> Result<()> {
    let private = folder.identity_file();
    if private.exists() {
        return Ok(());
    }
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_unspecified| no_random_numbers())?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
        .map_err(|error| Failure::unexpected(format!("cannot make a key: {error}")))?;
    let public = folder.identity_key_file();
    // That of a founding which was cut short has no private part any more.
    let _absent = std::fs::remove_file(&public);
    write_new(folder, &public, &format!("publickeyv1_{}", bs58::encode(pair.public_key()).into_string()))?;
    let key = BASE64_STANDARD.encode([&PKCS8[..], &seed].concat());
    write_new(folder, &private, &format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----"))
}

/// What the nodes' requests are signed with, as `serve --identity-key` takes it. A cluster may have none.
///
/// # Errors
/// When the file cannot be read.
pub fn identity_key(folder: &Folder) -> Result<Option<String>> {
    if !folder.identity_file().exists() {
        return Ok(None);
    }
    let path = folder.identity_key_file();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(Some(text.trim().to_owned()))
}

fn no_random_numbers() -> Failure {
    Failure::unexpected("the operating system gives no random numbers")
}

/// Writes a file that is not there yet, whole or not at all, for the user alone, as temporary files are.
fn write_new(folder: &Folder, path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut file = NamedTempFile::new_in(folder.path())?;
        writeln!(file, "{text}")?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        disk::sync_name(path)
    };
    match write() {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Failure::unexpected(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// The secret: what the environment says, else that of the cluster in `folder`, which may have none.
///
/// # Errors
/// When either is no secret, or the file cannot be read.
pub fn secret(folder: Option<&Folder>) -> Result<Option<Arc<Secret>>> {
    let from_environment = std::env::var_os(SECRET_VARIABLE).filter(|text| !text.is_empty());
    let (place, text) = match (from_environment, folder) {
        (Some(text), _) => (SECRET_VARIABLE.to_owned(), text.to_string_lossy().into_owned()),
        (None, None) => return Ok(None),
        (None, Some(folder)) => {
            let Some(text) = text(folder)? else { return Ok(None) };
            (folder.secret_file().display().to_string(), text)
        }
    };
    Secret::read(&text).map(|secret| Some(Arc::new(secret))).ok_or_else(|| {
        Failure::usage(format!("{place} is no secret of a cluster: 64 hexadecimal digits are"))
            .hint("copy the file `secret` in the folder of the cluster, whole")
    })
}

/// The text of the cluster's own.
pub(super) fn text(folder: &Folder) -> Result<Option<String>> {
    let path = folder.secret_file();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_cluster_has_one_secret_for_its_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        std::fs::create_dir_all(folder.path()).unwrap();
        assert!(secret(Some(&folder)).unwrap().is_none());
        found(&folder).unwrap();
        let name = secret(Some(&folder)).unwrap().unwrap().name();
        found(&folder).unwrap();
        assert_eq!(secret(Some(&folder)).unwrap().unwrap().name(), name, "it stays");
        let mode = std::fs::metadata(folder.secret_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        found_identity(&folder).unwrap();
        let key = identity_key(&folder).unwrap().unwrap();
        found_identity(&folder).unwrap();
        assert_eq!(identity_key(&folder).unwrap(), Some(key), "it stays, too");
        std::fs::write(folder.secret_file(), "torn").unwrap();
        let failure = secret(Some(&folder)).unwrap_err();
        assert!(failure.message().contains("64 hexadecimal digits"), "{}", failure.message());
    }
}
