//! One exchange through whichever node answers, for those who have no rotation: a call now and then, in no hurry.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::pool::{Verdict, verdict};
use crate::restate::Error;
use crate::restate::ingress::Ingress;

/// Pause after all nodes have failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks the nodes in turns, beginning with the `turn`th, until one answers: each once at least, and then again for as long as `patience`
/// lasts. What no node would answer otherwise is not asked again.
pub(super) async fn on_any<T>(
    nodes: &[Ingress],
    turn: usize,
    patience: Duration,
    ask: impl AsyncFn(&Ingress) -> Result<T, Error>,
) -> Result<T, Error> {
    let deadline = Instant::now() + patience;
    let mut attempt = 0;
    loop {
        let node = &nodes[(turn + attempt) % nodes.len()];
        attempt += 1;
        match ask(node).await {
            Err(error) if verdict(&error) == Verdict::OtherNode => {
                tracing::debug!(node = node.url(), %error, "exchange failed");
                if attempt % nodes.len() == 0 {
                    if Instant::now() >= deadline {
                        return Err(error);
                    }
                    sleep(PAUSE).await;
                }
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use reqwest::StatusCode;

    use super::*;
    use crate::restate::Origin;

    fn failure(code: u16, origin: Origin) -> Error {
        let (url, message) = Default::default();
        Error::Status { url, status: StatusCode::from_u16(code).unwrap(), origin, message }
    }

    /// Which nodes were asked, and whether one answered: the `succeeds`th time, if not all end in `failure`.
    async fn asked(patience: Duration, succeeds: usize, failure: impl Fn() -> Error) -> (Vec<String>, bool) {
        let nodes = ["a", "b", "c"].map(|name| Ingress::new(format!("http://{name}")).unwrap());
        let asked = RefCell::new(Vec::new());
        let ask = async |node: &Ingress| {
            asked.borrow_mut().push(node.url().trim_start_matches("http://").to_owned());
            if asked.borrow().len() == succeeds { Ok(()) } else { Err(failure()) }
        };
        let answered = on_any(&nodes, 1, patience, ask).await.is_ok();
        (asked.into_inner(), answered)
    }

    #[tokio::test(start_paused = true)]
    async fn every_node_is_asked_before_patience_counts() {
        let busy = || failure(503, Origin::Node);
        let nodes = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(asked(Duration::ZERO, 3, busy).await, (nodes("b c a"), true));
        assert_eq!(asked(Duration::ZERO, 4, busy).await, (nodes("b c a"), false));
        assert_eq!(asked(Duration::from_secs(1), 5, busy).await, (nodes("b c a b c"), true));
        let over = || failure(409, Origin::Invocation);
        assert_eq!(asked(Duration::from_secs(1), 2, over).await, (nodes("b"), false));
    }
}
