//! Where native nodes keep snapshots of their partitions, and how they are told.
//!
//! Owns the record of it, what of the user's environment a node gets to reach the store, and how often snapshots are
//! taken. Keys are passed on and never recorded.

use std::ffi::{OsStr, OsString};

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Result};

/// How often a partition's leader takes a snapshot: both must hold, so a busy cluster uploads each partition every five
/// minutes at most, and an idle one nothing. A server that is told this and no destination does not start, so it cannot
/// stand in `restate.toml`; the compose file has the same words, and `tests/checks/restate_toml.rs` compares them.
///
/// A log is trimmed up to the last snapshot, ten minutes after it. Measured with a durable call per indicator, as a model's answers
/// take it (three nodes, 10,903 indicators): 6.3 log records an indicator and 11 kB of log on each node; a snapshot of all partitions
/// 7 MB after two such runs, uploaded in 0.1 s each. Reckoned from this, a node keeps about 0.9 GB of log at 5,000 indicators a
/// minute, and 0.2 GB at 450, with a snapshot every 21 minutes. Batches that the rules answer take a fraction of it.
pub const SCHEDULE: &str = r#"snapshot-interval="5m", snapshot-interval-num-records=10000"#;

/// The variable by which a node is told all of it.
pub(super) const SETTING: &str = "RESTATE_WORKER__SNAPSHOTS";

/// What AWS's own tools read, and the server too. Nodes get it only where there are snapshots to write.
const CREDENTIALS: [&str; 13] = [
    REGION,
    DEFAULT_REGION,
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    PROFILE,
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_CA_BUNDLE",
];
/// Credentials of a container's role: `…_RELATIVE_URI`, `…_FULL_URI`.
const CONTAINER_CREDENTIALS: &str = "AWS_CONTAINER_";
const REGION: &str = "AWS_REGION";
const DEFAULT_REGION: &str = "AWS_DEFAULT_REGION";
const PROFILE: &str = "AWS_PROFILE";
/// Other stores have no regions, but requests are signed for one.
const ANY_REGION: &str = "us-east-1";

/// Where snapshots are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    /// `s3://BUCKET/PREFIX`
    pub destination: String,
    /// Base URL of a store other than Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl Snapshots {
    /// Snapshots at `destination`, in the store at `endpoint` or at Amazon.
    ///
    /// # Errors
    /// When the destination is not `s3://BUCKET[/PREFIX]`, or the endpoint no plain `http` or `https` URL.
    pub fn new(destination: &str, endpoint: Option<&str>) -> Result<Self> {
        let parts = destination.split_once("://");
        let bucket =
            parts.and_then(|(scheme, rest)| (scheme == "s3").then(|| rest.split('/').next()).flatten());
        if bucket.is_none_or(str::is_empty) || !is_plain(destination) {
            return Err(Failure::usage(format!("snapshots cannot be kept at `{destination}`"))
                .detail(
                    "the nodes write them to Amazon S3 or a store that speaks its protocol, not to a folder",
                )
                .hint("name a bucket and a folder in it: `--snapshots s3://BUCKET/PREFIX`")
                .hint(
                    "and, unless it is Amazon's, the store: `--snapshots-endpoint http://127.0.0.1:9000`",
                ));
        }
        if let Some(endpoint) = endpoint {
            check_endpoint(endpoint)?;
        }
        Ok(Self { destination: destination.to_owned(), endpoint: endpoint.map(str::to_owned) })
    }

    /// Everything below `worker.snapshots`, as the server takes it from its environment.
    pub fn setting(&self) -> String {
        let destination = &self.destination;
        let store = self.endpoint.as_ref().map_or_else(String::new, |endpoint| {
            let allow_http = endpoint.starts_with("http://");
            format!(r#", aws-endpoint-url="{endpoint}", aws-allow-http={allow_http}"#)
        });
        format!(r#"{{{SCHEDULE}, destination="{destination}"{store}}}"#)
    }

    /// What a node's environment has more when it writes snapshots; `ours` is this process's.
    pub(super) fn environment(&self, ours: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        // An empty key would be taken for a key.
        let given = ours.iter().filter(|(name, value)| is_credential(name) && !value.is_empty());
        let mut env: Vec<_> = given.cloned().collect();
        let regional = [REGION, DEFAULT_REGION, PROFILE];
        if self.endpoint.is_some() && !env.iter().any(|(name, _)| regional.iter().any(|known| name == known))
        {
            env.push((REGION.into(), ANY_REGION.into()));
        }
        env.push((SETTING.into(), self.setting().into()));
        env
    }
}

/// The server reads a table on one line: nothing in it may end a string.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'{' | b'}' | b'?' | b'#'))
}

fn check_endpoint(endpoint: &str) -> Result<()> {
    let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url.filter(|url| url.host_str().is_some() && is_plain(endpoint)) else {
        return Err(Failure::usage(format!("`{endpoint}` is not the URL of a store"))
            .hint("for example `--snapshots-endpoint http://127.0.0.1:9000`; leave it out for Amazon S3"));
    };
    // It would be recorded, and shown.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::usage("the store's URL holds a user or a password")
            .hint("give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"));
    }
    Ok(())
}

fn is_credential(name: &OsStr) -> bool {
    let known = |name: &str| CREDENTIALS.contains(&name) || name.starts_with(CONTAINER_CREDENTIALS);
    name.to_str().is_some_and(known)
}

/// The compose file has a store, and a variable for another.
pub(super) fn not_for_containers() -> Failure {
    Failure::usage("`--snapshots` is for `--runtime native`: containers have a store of their own")
        .hint("for another one set SNAPSHOTS in `.env`, see `.env.example`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Snapshots {
        Snapshots::new("s3://restate/snapshots", Some("http://127.0.0.1:9000")).unwrap()
    }

    #[test]
    fn only_what_the_server_can_write_to_is_accepted() {
        for good in ["s3://bucket", "s3://bucket/", "s3://my.bucket-1/a/b"] {
            assert!(Snapshots::new(good, None).is_ok(), "{good}");
        }
        for bad in [
            "",
            "bucket",
            "s3://",
            "s3:///x",
            "file:///tmp/x",
            "gs://b/x",
            "az://b",
            "s3://b/\"x",
            "s3://b/ x",
        ] {
            let refused = Snapshots::new(bad, None).unwrap_err();
            assert!(refused.hints()[0].contains("s3://BUCKET/PREFIX"), "{bad}");
        }
        for bad in ["127.0.0.1:9000", "ftp://x", "http://", "http://key:secret@x", "http://x/\"y"] {
            assert!(Snapshots::new("s3://b/x", Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nodes_get_keys_and_a_region() {
        let shell = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x"),
            ("OPENAI_API_KEY", "secret"),
        ];
        let shell: Vec<(OsString, OsString)> = shell.map(|(k, v)| (k.into(), v.into())).to_vec();
        let names = |snapshots: &Snapshots| -> Vec<String> {
            let env = snapshots.environment(&shell);
            env.into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
        };
        let expected = [
            "AWS_ACCESS_KEY_ID",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_REGION",
            "RESTATE_WORKER__SNAPSHOTS",
        ];
        assert_eq!(names(&store()), expected);
        let amazon = Snapshots::new("s3://b/x", None).unwrap();
        assert!(!names(&amazon).contains(&"AWS_REGION".into()), "AWS's own chain knows it");
        assert!(!amazon.setting().contains("aws-"), "{}", amazon.setting());
    }
}
