//! How the beginning that all requests share is made known to a provider's prompt cache. Pure, on a clock it is given.
//!
//! OpenAI's models since GPT-5.6 match their cache at breakpoints only, where at least 1,024 tokens precede; without one
//! in the request they set it behind the last message, which differs in every request of ours: each is then written, at
//! 1.25 times the price, and none is read. Earlier models match any common beginning by themselves and refuse
//! breakpoints (<https://developers.openai.com/api/docs/guides/prompt-caching>). Both take a `prompt_cache_key`, under
//! which requests are sent to the same machine as long as there are not more than about 15 a minute. So a busy model
//! needs several keys, and a key more costs one more write.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::domain::fingerprint::hex;

/// The first family whose cache matches at breakpoints.
const BREAKPOINTS_SINCE: (u32, u32) = (5, 6);
/// Requests a minute under one key: less than the 15 there may be, for requests do not arrive evenly.
const EACH_KEY: u64 = 10;
const MINUTE: Duration = Duration::from_mins(1);
/// Bytes of the digest in a key. OpenAI allows 64 characters in all.
const DIGEST_BYTES: usize = 12;

/// Whether OpenAI's model of this name matches its cache at breakpoints: `gpt-5.6-luna`, `gpt-6-sol`,
/// `ft:gpt-6-luna:ours`. A name that does not tell is taken for an earlier model, which refuses breakpoints.
pub(super) fn matches_at_breakpoints(model: &str) -> bool {
    let name = model.strip_prefix("ft:").unwrap_or(model);
    let Some(version) = name.strip_prefix("gpt-").and_then(|rest| rest.split('-').next()) else {
        return false;
    };
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => (major, minor) >= BREAKPOINTS_SINCE,
        _ => false,
    }
}

/// Keys for the requests of one process that begin with the same texts: as many as their rate needs.
#[derive(Debug)]
pub(super) struct Keys {
    stem: String,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    /// When the minute that is being counted began.
    since: Instant,
    before: u64,
    now: u64,
    all: u64,
}

impl Keys {
    /// Keys for requests that begin with `shared`. `process` tells processes apart: each knows its own rate only.
    pub(super) fn new(shared: &str, process: u32, now: Instant) -> Self {
        let digest = hex(&Sha256::digest(shared.as_bytes())[..DIGEST_BYTES]);
        let counted = Counted { since: now, before: 0, now: 0, all: 0 };
        Self { stem: format!("classify-{digest}-{process:08x}"), counted: Mutex::new(counted) }
    }

    /// The key for one more request. Requests go round all keys, so that each key is written early and read from then on.
    pub(super) fn next(&self, now: Instant) -> String {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = counted.count(now);
        format!("{}-{}", self.stem, counted.all % keys)
    }
}

impl Counted {
    /// Counts a request; how many keys there are at this rate.
    fn count(&mut self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.since);
        if passed >= MINUTE {
            self.before = if passed < 2 * MINUTE { self.now } else { 0 };
            self.now = 0;
            self.since = now;
        }
        self.now += 1;
        self.all += 1;
        keys_at(self.before.max(self.now))
    }
}

/// How many keys there are for so many requests in a minute.
pub(super) fn keys_at(requests: u64) -> u64 {
    requests / EACH_KEY + 1
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet, VecDeque};

    use super::*;

    #[test]
    fn the_family_is_read_from_the_name() {
        for new in [
            "gpt-5.6",
            "gpt-5.6-luna",
            "gpt-6-sol",
            "gpt-6.2-sol-2026-10-01",
            "gpt-10-x",
            "ft:gpt-6-luna:us::a",
        ] {
            assert!(matches_at_breakpoints(new), "{new}");
        }
        for old in
            ["gpt-5.5", "gpt-5", "gpt-4o", "gpt-4.1-mini", "o3", "gpt-oss-120b", "our-deployment", "gpt-", ""]
        {
            assert!(!matches_at_breakpoints(old), "{old}");
        }
    }

    /// A provider as its guide describes it: what is more than 15 requests in any minute under one key goes to another
    /// machine, and a machine reads what it has written before.
    #[derive(Default)]
    struct Machines {
        recent: HashMap<String, VecDeque<Duration>>,
        written: HashSet<(String, usize)>,
    }

    impl Machines {
        fn reads(&mut self, key: &str, at: Duration) -> bool {
            let recent = self.recent.entry(key.to_owned()).or_default();
            while recent.front().is_some_and(|earlier| at.saturating_sub(*earlier) >= MINUTE) {
                recent.pop_front();
            }
            recent.push_back(at);
            !self.written.insert((key.to_owned(), (recent.len() - 1) / 15))
        }
    }

    #[test]
    fn from_the_second_minute_on_the_shared_part_is_cached() {
        for rate in [10, 150, 900, 5_000, 30_000_u32] {
            let begin = Instant::now();
            let keys = Keys::new("the same for all", 7, begin);
            let mut machines = Machines::default();
            let (mut read, mut asked, mut missed) = (0_u32, 0_u32, 0_u32);
            for number in 0..rate * 4 {
                let at = MINUTE * number / rate;
                let hit = machines.reads(&keys.next(begin + at), at);
                if at >= MINUTE {
                    asked += 1;
                    read += u32::from(hit);
                } else {
                    missed += u32::from(!hit);
                }
            }
            assert!(f64::from(read) >= 0.95 * f64::from(asked), "{rate} a minute: {read} of {asked}");
            assert!(missed <= rate / 4 + 2, "{rate} a minute: {missed} written in the first");
        }
    }

    #[test]
    fn a_key_is_short_and_says_nothing() {
        let now = Instant::now();
        let key = Keys::new(&"secret ".repeat(9_000), u32::MAX, now).next(now);
        assert!(key.len() <= 64 && !key.contains("secret"), "{key}");
        assert_ne!(key, Keys::new("other", u32::MAX, now).next(now));
    }
}
