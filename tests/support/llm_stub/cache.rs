//! Prompt caches, by the rules of the providers' guides (OpenAI: <https://developers.openai.com/api/docs/guides/prompt-caching>;
//! Anthropic: <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>).

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::dialect::{Asked, Dialect};

/// Requests a minute under one key that reach the same machine.
const EACH_KEY: usize = 15;
const MINUTE: Duration = Duration::from_mins(1);
/// OpenAI's least, and that of most of Anthropic's models.
const LEAST: u64 = 1_024;
/// Steps in which OpenAI's models before GPT-5.6 match.
const STEP: u64 = 128;

/// What was written where.
#[derive(Debug, Default)]
pub(super) struct Cache {
    written: HashSet<(usize, String)>,
    recent: HashMap<String, VecDeque<Instant>>,
    /// Requests without a key; each goes to a machine of its own.
    keyless: usize,
}

impl Cache {
    /// Tokens that are read and tokens that are written, of a prompt of `whole` tokens whose system part and schema have `prefix`.
    pub(super) fn look(
        &mut self,
        dialect: Dialect,
        asked: &Asked,
        prefix: u64,
        whole: u64,
        now: Instant,
    ) -> (u64, u64) {
        let machine = self.machine(dialect, asked, now);
        let shared = format!("{}\n{}\n{}", asked.model, asked.system, asked.schema);
        let mut known = |text: &str| !self.written.insert((machine, text.to_owned()));
        match dialect {
            Dialect::Compatible => (if known(&shared) { prefix } else { 0 }, 0),
            Dialect::Anthropic if !asked.breakpoint || prefix < least(&asked.model) => (0, 0),
            Dialect::Anthropic if known(&shared) => (prefix, 0),
            Dialect::Anthropic => (0, prefix),
            Dialect::OpenAi if !has_breakpoints(&asked.model) => {
                let matched = if prefix >= LEAST && known(&shared) { prefix / STEP * STEP } else { 0 };
                (matched, 0)
            }
            Dialect::OpenAi => {
                let (mut cached, mut written) = (0, 0);
                if asked.breakpoint && prefix >= LEAST {
                    if known(&shared) { cached = prefix } else { written = prefix }
                }
                // The one it sets by itself is behind the last message.
                if !asked.explicit && whole >= LEAST {
                    if known(&format!("{shared}\n{}", asked.user)) {
                        return (whole, 0);
                    }
                    written = whole - cached;
                }
                (cached, written)
            }
        }
    }

    /// Which machine a request reaches.
    fn machine(&mut self, dialect: Dialect, asked: &Asked, now: Instant) -> usize {
        if dialect != Dialect::OpenAi {
            return 0;
        }
        let Some(key) = &asked.cache_key else {
            if !has_breakpoints(&asked.model) {
                return 0;
            }
            self.keyless += 1;
            return usize::MAX - self.keyless;
        };
        let recent = self.recent.entry(key.clone()).or_default();
        while recent.front().is_some_and(|earlier| now - *earlier >= MINUTE) {
            recent.pop_front();
        }
        recent.push_back(now);
        // Keys are spread over machines of their own.
        let of_key =
            key.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 1_000_000;
        of_key * 1_000 + (recent.len() - 1) / EACH_KEY
    }
}

/// Whether this model of OpenAI's matches at breakpoints, and only there.
pub(super) fn has_breakpoints(model: &str) -> bool {
    ["gpt-5.6", "gpt-6", "gpt-7"].iter().any(|family| model.starts_with(family))
}

fn least(model: &str) -> u64 {
    if model.starts_with("claude-haiku-4-5") { 4_096 } else { LEAST }
}
