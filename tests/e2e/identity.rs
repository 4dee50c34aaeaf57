//! Request identity: a node that signs, a service that answers nobody else. The real binary and the real server, one node.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use classify::restate::admin::Admin;
use reqwest::{Client, StatusCode};

use crate::server::{cache, server};

/// The example key of RFC 8410, section 10.3: public, and so no secret.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
/// Somebody else's.
const OTHER_KEY: &str = "publickeyv1_ChjENKeMvCtRnqG2mrBK1HmPKufgFUc98K8B3ononQvp";
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that does not outlive the test, and what it says.
struct Started {
    child: Child,
    log: PathBuf,
}

impl Started {
    fn new(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    /// Waits for a line that has `word` in it, and returns what begins there up to the next blank or quote.
    async fn says(&self, word: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap();
            if let Some((_, rest)) = log.split_once(word)
                && let Some(end) = rest.find(|c: char| c.is_whitespace() || c == '"')
            {
                return format!("{word}{}", &rest[..end]);
            }
            assert!(Instant::now() < deadline, "no `{word}` in {log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A node with the key, and the port of its admin API.
async fn node(folder: &Path) -> (Started, Admin) {
    let server = server(cache(env!("CARGO_TARGET_TMPDIR"))).await;
    std::fs::write(folder.join("key.pem"), PRIVATE_KEY).unwrap();
    std::fs::write(folder.join("restate.toml"), include_str!("../../restate.toml")).unwrap();
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [fabric, admin, ingress] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    drop(listeners);
    let mut command = Command::new(server);
    command
        .args(["--no-logo", "--config-file", "restate.toml", "--node-name", "signs"])
        .current_dir(folder)
        .env_clear();
    command.envs([
        ("DO_NOT_TRACK", "1".to_owned()),
        ("RESTATE_LISTEN_MODE", "tcp".to_owned()),
        ("RESTATE_BIND_IP", "127.0.0.1".to_owned()),
        ("RESTATE_BIND_PORT", fabric.to_string()),
        ("RESTATE_ADVERTISED_ADDRESS", format!("http://127.0.0.1:{fabric}/")),
        ("RESTATE_ADMIN__BIND_PORT", admin.to_string()),
        ("RESTATE_INGRESS__BIND_PORT", ingress.to_string()),
        ("RESTATE_DEFAULT_REPLICATION", "1".to_owned()),
        ("RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE", "key.pem".to_owned()),
    ]);
    let node = Started::new(&mut command, folder.join("node.log"));
    let admin = Admin::new(format!("http://127.0.0.1:{admin}")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while admin.deployments(Duration::from_secs(1)).await.is_err() {
        assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(&node.log).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (node, admin)
}

/// A service that answers only `key`, and where it listens.
async fn service(folder: &Path, key: &str) -> (Started, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
    command.args(["serve", "--bind", "127.0.0.1:0", "--identity-key", key]).env("CLASSIFY_HOME", folder);
    let service = Started::new(&mut command, folder.join("service.log"));
    let uri = service.says("http://").await;
    (service, uri)
}

pub(crate) async fn only_the_node_with_the_key_may_call_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let (node, admin) = node(folder.path()).await;
    let key = node.says("publickeyv1_").await;

    let (stranger, uri) = service(folder.path(), OTHER_KEY).await;
    let refused = admin.register(&uri, PATIENCE).await.unwrap_err().reason();
    assert!(refused.contains("401"), "{refused}");
    drop(stranger);

    let (_service, uri) = service(folder.path(), &key).await;
    let anybody = Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    for path in ["/health", "/discover", "/invoke/Classifier/info"] {
        let answer = anybody.get(format!("{uri}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    // Discovery is a signed request like any other.
    let services = admin.register(&uri, PATIENCE).await.unwrap().services;
    assert!(services.iter().any(|service| service.name == "Classifier"), "{services:?}");
}

pub(crate) fn what_is_no_key_is_refused() {
    // An unset variable must not switch the check off.
    for wrong in ["", "publickeyv1_", "publickeyv1_0OIl", "AAAA"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
        let ran = command.args(["serve", "--bind", "127.0.0.1:0", "--identity-key", wrong]).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{wrong}: {said}");
        assert!(said.contains("is no identity key"), "{said}");
    }
}
