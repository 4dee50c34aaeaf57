//! `queue status --watch` ends with Ctrl-C, whatever it is at.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::running::wait_for;
use crate::support::Folder;

const PATIENCE: Duration = Duration::from_secs(20);

/// A node with an empty queue, which stops to answer when it is told to.
#[derive(Default)]
struct Node {
    silent: AtomicBool,
    /// Questions that get no answer.
    unanswered: AtomicUsize,
}

impl Node {
    /// Listens; returns its URL.
    fn start(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let node = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let node = Arc::clone(&node);
                std::thread::spawn(move || node.answer(stream));
            }
        });
        format!("http://{address}")
    }

    /// Answers one question after the other until the other end hangs up.
    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if !reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                    return;
                }
                let line = line.trim().to_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            if self.silent.load(Ordering::SeqCst) {
                self.unanswered.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let body = r#"{"rows":[]}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}",
                body.len()
            );
            let _hung_up = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
        }
    }
}

/// Watches `node`, which stops to answer when `shown` holds of what was printed, and sends Ctrl-C then; returns how the watch ended
/// and what it said.
fn interrupted(shown: fn(&str) -> bool) -> (Option<i32>, String) {
    let folder = Folder::new();
    let node = Arc::new(Node::default());
    let url = node.start();
    let mut command =
        folder.command(&[], &["queue", "status", "--watch", "--interval", "1", "--admin", &url]);
    let create = |name| File::create(folder.path(name)).unwrap();
    command.stdout(create("out")).stderr(create("err"));
    node.silent.store(shown(""), Ordering::SeqCst);
    let mut watch = command.spawn().unwrap();
    let printed = || fs::read_to_string(folder.path("out")).unwrap();
    wait_for("what shall be shown", PATIENCE, || shown(&printed()));
    node.silent.store(true, Ordering::SeqCst);
    wait_for("a question without an answer", PATIENCE, || node.unanswered.load(Ordering::SeqCst) > 0);
    kill(Pid::from_raw(watch.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let mut status = None;
    wait_for("the watch to end", Duration::from_secs(5), || {
        status = watch.try_wait().unwrap();
        status.is_some()
    });
    let status = status.unwrap();
    assert_eq!(status.signal(), None);
    (status.code(), fs::read_to_string(folder.path("err")).unwrap())
}

#[test]
fn ctrl_c_ends_a_watch_also_while_it_looks() {
    assert_eq!(interrupted(|printed| printed.contains("ClassifyBatch")), (Some(0), String::new()));
}

#[test]
fn ctrl_c_before_anything_was_seen_is_an_interruption() {
    let said = "error: interrupted before a node answered\n";
    assert_eq!(interrupted(|_| true), (Some(130), said.to_owned()));
}
