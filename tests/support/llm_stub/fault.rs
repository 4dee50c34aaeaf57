//! What shall go wrong, and when: by a script, by shares drawn from a seed, or by a limit that is enforced.

use std::time::Duration;

/// How a 429 or 529 says when to come back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RetryAfter {
    /// Not at all.
    Silent,
    /// In seconds.
    Seconds(f64),
    /// As an HTTP date, so many seconds ahead.
    Date(i64),
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// 429.
    RateLimited(RetryAfter),
    /// Any other error status.
    Status(u16),
    /// 529, Anthropic's "overloaded".
    Overloaded,
    /// No answer, ever.
    Hang,
    /// The body comes in ten parts, with this pause before each.
    SlowBody(Duration),
    /// The connection breaks in the middle of the body.
    Disconnect,
    /// 200 with a body that is no JSON.
    MalformedJson,
    /// A reply whose text is no JSON.
    MalformedContent,
    /// A reply that was cut off.
    Truncated,
    /// A refusal.
    Refusal,
    /// A reply without a word.
    Empty,
    /// A reply with a value the schema does not allow.
    OutOfSchema,
    /// A reply with a confidence of 87.
    Percent,
    /// A list without its last answer.
    Missing,
    /// This status and this body.
    Error(u16, &'static str),
    /// The answer in a code fence.
    Fenced,
    /// The answer behind what the model thought.
    Thought,
    /// The answer as a list of parts, of which the first is what the model thought.
    Parts,
    /// Labels in capital letters, with blanks around them.
    Shouted,
    /// No reasoning, and no confidence.
    Bare,
    /// Cut off in the middle of the reasoning.
    CutInReasoning,
}

/// How a compatible server is asked for the form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Takes {
    /// The schema of OpenAI's strict mode.
    #[default]
    Strict,
    /// Any schema; it says that its models are llama.cpp's.
    Bounded,
    /// JSON mode only.
    Json,
}

impl Fault {
    /// Its name among the counters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RateLimited(_) => "rate_limited",
            Self::Status(_) => "status",
            Self::Overloaded => "overloaded",
            Self::Hang => "hang",
            Self::SlowBody(_) => "slow_body",
            Self::Disconnect => "disconnect",
            Self::MalformedJson => "malformed_json",
            Self::MalformedContent => "malformed_content",
            Self::Truncated => "truncated",
            Self::Refusal => "refusal",
            Self::Empty => "empty",
            Self::OutOfSchema => "out_of_schema",
            Self::Percent => "percent",
            Self::Missing => "missing",
            Self::Error(..) => "error",
            Self::Fenced => "fenced",
            Self::Thought => "thought",
            Self::Parts => "parts",
            Self::Shouted => "shouted",
            Self::Bare => "bare",
            Self::CutInReasoning => "cut_in_reasoning",
        }
    }
}

/// What the stub does to requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    script: Vec<Option<Fault>>,
    shares: Vec<(Fault, f64)>,
    seed: u64,
    limit: Option<Limit>,
    latency: Duration,
    takes: Takes,
    about: Option<About>,
    thinks: u64,
}

/// Rows about which requests go wrong: those whose ids begin so, the first `times` that each of them is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub(super) ids: &'static str,
    pub(super) fault: Fault,
    pub(super) times: usize,
}

/// A limit that is enforced with 429.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) window: Duration,
    pub(crate) requests: usize,
}

impl Plan {
    /// All is well.
    pub(crate) fn healthy() -> Self {
        Self::default()
    }

    /// The first requests go wrong in this order; `None` is served, and so is everything after.
    pub(crate) fn script(script: impl IntoIterator<Item = Option<Fault>>) -> Self {
        Self { script: script.into_iter().collect(), ..Self::default() }
    }

    /// Every request goes wrong in this way.
    pub(crate) fn always(fault: Fault) -> Self {
        Self::shares(0, [(fault, 1.0)])
    }

    /// Each request goes wrong with these shares, drawn from `seed` and its place in the order of arrival.
    pub(crate) fn shares(seed: u64, shares: impl IntoIterator<Item = (Fault, f64)>) -> Self {
        Self { shares: shares.into_iter().collect(), seed, ..Self::default() }
    }

    /// Answers 429 beyond so many requests in any `window`.
    pub(crate) fn limited(self, window: Duration, requests: usize) -> Self {
        Self { limit: Some(Limit { window, requests }), ..self }
    }

    /// Takes this long over every answer.
    pub(crate) fn slowed(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// As a compatible server, takes answers' forms in this way.
    pub(crate) fn taking(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    /// A request goes wrong in this way where it is about a row whose id begins with `ids`, the first `times` it is asked about.
    pub(crate) fn about(self, ids: &'static str, fault: Fault, times: usize) -> Self {
        Self { about: Some(About { ids, fault, times }), ..self }
    }

    /// Thinks with so many tokens about each row, as far as there is room.
    pub(crate) fn thinking(self, tokens: u64) -> Self {
        Self { thinks: tokens, ..self }
    }

    pub(super) fn rows(&self) -> Option<About> {
        self.about
    }

    pub(super) fn thinks(&self) -> u64 {
        self.thinks
    }

    pub(super) fn takes(&self) -> Takes {
        self.takes
    }

    pub(super) fn latency(&self) -> Duration {
        self.latency
    }

    pub(super) fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// What happens to the request that arrived as number `index`, from 0.
    pub(super) fn fault(&self, index: usize) -> Option<Fault> {
        if let Some(scripted) = self.script.get(index) {
            return *scripted;
        }
        let mut drawn = draw(self.seed, index as u64);
        for (fault, share) in &self.shares {
            if drawn < *share {
                return Some(*fault);
            }
            drawn -= share;
        }
        None
    }
}

/// A number from 0 to 1, evenly drawn: `SplitMix64` (<https://prng.di.unimi.it/splitmix64.c>).
#[expect(clippy::cast_precision_loss, reason = "53 bits are what a float has")]
fn draw(seed: u64, index: u64) -> f64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
