//! `cluster logs -f`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::text;
use crate::world::{Guarded, World, send, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

/// `cluster logs -f`, what it has printed, and the file it prints to.
struct Followed {
    process: Guarded,
    file: PathBuf,
}

impl Followed {
    /// Begins with the last line of each log; returns when the first is there.
    fn begin(world: &World, name: &str, args: &[&str]) -> Self {
        let mut command = world.command(&[&["cluster", "logs", "--follow", "-n", "1"], args].concat());
        let file = world.path(name);
        command.stdout(File::create(&file).expect("a file"));
        let followed = Self { process: Guarded(command.spawn().expect("the binary runs")), file };
        wait_for("the first lines of a log", PATIENCE, || followed.printed().contains('\n'));
        followed
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.file).expect("what it printed")
    }

    /// Sends `signal` and waits for the end; returns the exit code.
    fn end(&mut self, signal: Signal) -> Option<i32> {
        let child = &mut self.process.0;
        assert!(matches!(child.try_wait(), Ok(None)), "it ended by itself");
        send(child.id(), signal);
        wait_for("it to end", Duration::from_secs(5), || !matches!(child.try_wait(), Ok(None)));
        child.wait().expect("its status").code()
    }
}

/// Makes the node with this admin API write a line with `word` in it to its log: it cannot reach a service there.
fn make_it_say(admin: &str, word: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = classify::tls::client().build().expect("a client");
    let body = json!({ "uri": format!("http://127.0.0.1:1/{word}") });
    let answer = client.post(format!("{admin}/deployments")).json(&body).send();
    let status = runtime.block_on(answer).expect("an answer").status();
    assert!(!status.is_success(), "nobody listens there: {status}");
}

pub(crate) fn logs_are_followed_until_ctrl_c(world: &mut World) {
    const WORD: &str = "said-after-it-began";
    let status = world.classify(&["cluster", "status", "--json"]).expect_code(0).json();
    let admin = text(&status["nodes"][1]["admin_url"]);
    let mut all = Followed::begin(world, "all.log", &[]);
    let mut one = Followed::begin(world, "one.log", &["restate-2"]);
    let mut other = Followed::begin(world, "other.log", &["3"]);
    assert!([&all, &one, &other].iter().all(|log| !log.printed().contains(WORD)));

    make_it_say(admin, WORD);
    let said = |log: &Followed| log.printed().lines().find(|line| line.contains(WORD)).map(str::to_owned);
    wait_for("the line in the logs", PATIENCE, || said(&all).is_some() && said(&one).is_some());
    // Of several logs each line says whose it is.
    let line = said(&one).expect("it was there");
    assert_eq!(said(&all), Some(format!("restate-2 | {line}")));
    // Another node's log has it not, and follows as well.
    make_it_say(text(&status["nodes"][2]["admin_url"]), "said-by-the-third");
    wait_for("a line in the third log", PATIENCE, || other.printed().contains("said-by-the-third"));
    assert_eq!(said(&other), None);

    assert_eq!(all.end(Signal::SIGINT), Some(0), "Ctrl-C is how it ends");
    assert_eq!(one.end(Signal::SIGINT), Some(0));
    assert_eq!(other.end(Signal::SIGTERM), None, "ended by the signal");
}
