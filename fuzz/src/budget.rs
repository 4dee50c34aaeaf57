//! A model's budget under processes that ask, send, answer, are refused and die, on clocks that differ and step back.

use arbitrary::{Result, Unstructured};
use classify::throttle::budget::{Amount, Ask, Budget, Lease, Limits};

/// What "per minute" means, in milliseconds.
const WINDOW: u64 = 60_000;
/// How differently two requests may travel, in milliseconds.
const SPREAD: u64 = 150;
/// A process is dead that was silent for so long, in milliseconds.
const HOLDER_LIFE: u64 = 2_500;
/// When the story begins, in milliseconds since 1970.
const START: u64 = 1_795_000_000_000;

/// A request that reaches the provider, in the budget's time and in real time.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: u64,
    really_at: u64,
    tokens: u64,
    /// It never left.
    is_void: bool,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    lease: u64,
    tokens: u64,
    arrival: usize,
}

#[derive(Debug, Default)]
struct Process {
    calls: Vec<Call>,
    /// What the next question tells.
    news: Ask,
    asked: Option<u64>,
}

#[derive(Debug)]
struct World {
    budget: Budget,
    limits: Limits,
    /// The most there ever was; nothing where there once was no limit.
    most: Limits,
    /// Real time, and how much the clock of whoever has the budget is off.
    now: u64,
    skew: i64,
    /// The budget's time: a clock that steps back stands still there.
    time: u64,
    /// The clock was never set forward: real time is as long as the budget's.
    is_true: bool,
    processes: [Process; 3],
    arrivals: Vec<Arrival>,
    shut_until: u64,
    /// How often the budget is still written down and read again.
    rereads: u32,
}

/// Lives through a story drawn from `u`.
pub fn live(u: &mut Unstructured<'_>) -> Result<()> {
    let limits = limits(u)?;
    let mut world = World {
        budget: Budget::new(START),
        limits,
        most: limits,
        now: START,
        skew: 0,
        time: START,
        is_true: true,
        processes: Default::default(),
        arrivals: Vec::new(),
        shut_until: 0,
        rereads: 3,
    };
    for _ in 0..400 {
        if u.is_empty() {
            break;
        }
        world.step(u)?;
    }
    world.windows_hold();
    world.goes_on();
    Ok(())
}

fn limits(u: &mut Unstructured<'_>) -> Result<Limits> {
    let requests = *u.choose(&[None, Some(1), Some(7), Some(60), Some(600), Some(20_000), Some(u64::MAX)])?;
    let tokens = *u.choose(&[None, Some(1), Some(1_000), Some(90_000), Some(u64::MAX)])?;
    let concurrency = *u.choose(&[None, None, Some(1), Some(5), Some(100)])?;
    Ok(Limits { requests, tokens, concurrency })
}

fn larger(one: Limits, other: Limits) -> Limits {
    let larger = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(one, other)| one.max(other));
    Limits {
        requests: larger(one.requests, other.requests),
        tokens: larger(one.tokens, other.tokens),
        concurrency: larger(one.concurrency, other.concurrency),
    }
}

impl World {
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=15)? {
            0..=2 => self.now += *u.choose(&[1, 20, 99, 100, 250, 1_000])?,
            3 => self.now += *u.choose(&[5_000, 9_999, 10_000, 30_000, 59_000, 60_000, 61_000])?,
            4..=8 => self.ask(u)?,
            9 | 10 => self.answer(u)?,
            11 => {
                let news = &mut u.choose_index(3).map(|place| &mut self.processes[place])?.news;
                match u.int_in_range(0..=2)? {
                    0 => news.refused = true,
                    1 => news.overloaded = true,
                    _ => news.pause_ms = *u.choose(&[1, 900, 7_000, 70_000])?,
                }
            }
            // Killed: what it had to tell is never told, and what it sent has arrived all the same.
            12 => self.processes[u.choose_index(3)?] = Process::default(),
            13 => {
                let skew = *u.choose(&[0, 0, 40, -40, -3_000, 3_000, -120_000, 45_000])?;
                self.is_true &= skew <= self.skew;
                self.skew = skew;
            }
            14 => {
                self.limits = limits(u)?;
                self.most = larger(self.most, self.limits);
            }
            // Not every time: nothing else takes as long.
            _ if self.rereads > 0 => {
                self.rereads -= 1;
                let written = serde_json::to_string(&self.budget).expect("a budget is JSON");
                let read: Budget = serde_json::from_str(&written).expect("it is read again");
                assert_eq!(read, self.budget);
                self.budget = read;
                self.nonsense(u)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn clock(&self) -> u64 {
        self.now.saturating_add_signed(self.skew)
    }

    fn ask(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let place = u.choose_index(3)?;
        let size = *u.choose(&[0, 1, 100, 100, 900, 5_000])?;
        let waiting: Vec<u64> =
            (0..u.int_in_range(0..=30)?).map(|number| size + size / 10 * (number % 3)).collect();
        let ttl_ms = *u.choose(&[250, 250, 250, 0, 1, 99, 2_000, 15_000])?;
        let process = &mut self.processes[place];
        let mut ask = std::mem::take(&mut process.news);
        (ask.process, ask.ttl_ms, ask.waiting) = (place.to_string(), ttl_ms, waiting);
        ask.in_flight = process.calls.len() as u64;

        let clock = self.clock();
        self.time = self.time.max(clock);
        self.shut_until = self.shut_until.max(self.time + ask.pause_ms);
        let lease = self.budget.lease(&self.limits, &ask, clock);
        self.processes[place].asked = Some(self.time);
        self.is_fair(&lease, &ask);

        match u.int_in_range(0..=7)? {
            // The answer was lost, and nobody knows of the lease.
            0 => {}
            // It came too late.
            1 => self.processes[place].news.returned.push((lease.id, lease.granted)),
            _ => {
                for &tokens in
                    ask.waiting.iter().take(usize::try_from(lease.granted.requests).unwrap_or_default())
                {
                    let delay = u.int_in_range(0..=ttl_ms + SPREAD).unwrap_or_default();
                    let (at, really_at) = (self.time + delay, self.now + delay);
                    self.arrivals.push(Arrival { at, really_at, tokens, is_void: false });
                    let arrival = self.arrivals.len() - 1;
                    self.processes[place].calls.push(Call { lease: lease.id, tokens, arrival });
                }
            }
        }
        self.calls_are_few(&lease);
        Ok(())
    }

    /// What holds of every lease.
    fn is_fair(&self, lease: &Lease, ask: &Ask) {
        let Lease { granted, concurrency, ask_again_ms, .. } = *lease;
        let number = usize::try_from(granted.requests).expect("it is not more than were asked for");
        assert!(number <= ask.waiting.len());
        assert_eq!(granted.tokens, ask.waiting[..number].iter().sum::<u64>());
        assert!(ask_again_ms >= 1);
        assert_eq!(concurrency.is_some(), self.limits.concurrency.is_some());
        assert!(concurrency.is_none_or(|cap| granted.requests <= cap.saturating_sub(ask.in_flight)));
        assert!(self.time >= self.shut_until || granted == Amount::default(), "granted while it was shut");
        let usage = self.budget.usage(self.time);
        assert!((0.099..=1.0).contains(&usage.pace) && usage.processes <= 3, "{usage:?}");
    }

    /// Calls at once, of processes that are known to live.
    fn calls_are_few(&self, lease: &Lease) {
        let Some(limit) = self.limits.concurrency.filter(|_| lease.granted.requests > 0) else { return };
        let is_alive = |asked: u64| asked + HOLDER_LIFE > self.time;
        let alive = self.processes.iter().filter(|process| process.asked.is_some_and(is_alive));
        let calls: usize = alive.map(|process| process.calls.len()).sum();
        assert!(calls as u64 <= limit, "{calls} calls at once of {limit}");
    }

    /// A call ends.
    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let process = &mut self.processes[u.choose_index(3)?];
        if process.calls.is_empty() {
            return Ok(());
        }
        let call = process.calls.swap_remove(u.choose_index(process.calls.len())?);
        let arrival = &mut self.arrivals[call.arrival];
        match u.int_in_range(0..=3)? {
            0 => {}
            1 => {
                let unused = call.tokens - call.tokens / 10;
                arrival.tokens -= unused;
                process.news.returned.push((call.lease, Amount { requests: 0, tokens: unused }));
            }
            2 => process.news.overdrawn += call.tokens / 2 + 1,
            _ => {
                (arrival.is_void, arrival.tokens) = (true, 0);
                process.news.returned.push((call.lease, Amount { requests: 1, tokens: call.tokens }));
            }
        }
        Ok(())
    }

    /// Numbers that make no sense do no harm but to the budget itself.
    fn nonsense(&self, u: &mut Unstructured<'_>) -> Result<()> {
        let any = |u: &mut Unstructured<'_>| {
            Ok(match u.int_in_range(0..=3)? {
                0 => u64::MAX,
                1 => u64::MAX / 2,
                2 => 0,
                _ => u.arbitrary()?,
            })
        };
        let mut budget = self.budget.clone();
        for number in 0..u.int_in_range(1..=3)? {
            let ask = Ask {
                process: format!("x{number}"),
                ttl_ms: any(u)?,
                waiting: vec![any(u)?, any(u)?],
                in_flight: any(u)?,
                number: any(u)?,
                queued: any(u)?,
                held: if u.arbitrary()? { Some(any(u)?) } else { None },
                at_hand: Amount { requests: any(u)?, tokens: any(u)? },
                spent: Amount { requests: any(u)?, tokens: any(u)? },
                returned: vec![(any(u)?, Amount { requests: any(u)?, tokens: any(u)? })],
                overdrawn: any(u)?,
                refused: u.arbitrary()?,
                pause_ms: any(u)?,
                overloaded: u.arbitrary()?,
            };
            let now = if u.arbitrary()? { self.clock() } else { any(u)? };
            let _lease = budget.lease(&self.limits, &ask, now);
            let _usage = budget.usage(now);
        }
        let written = serde_json::to_string(&budget).expect("a budget is JSON");
        assert_eq!(serde_json::from_str::<Budget>(&written).expect("it is read again"), budget);
        Ok(())
    }

    /// No 60 seconds of arrivals hold more than the limits.
    fn windows_hold(&self) {
        let mut arrivals: Vec<Arrival> =
            self.arrivals.iter().copied().filter(|arrival| !arrival.is_void).collect();
        self.window_holds(&mut arrivals, |arrival| arrival.at);
        if self.is_true {
            self.window_holds(&mut arrivals, |arrival| arrival.really_at);
        }
    }

    fn window_holds(&self, arrivals: &mut [Arrival], time: impl Fn(&Arrival) -> u64) {
        arrivals.sort_unstable_by_key(&time);
        let (mut first, mut tokens) = (0, 0);
        for (last, arrival) in arrivals.iter().enumerate() {
            tokens += arrival.tokens;
            while time(arrival) - time(&arrivals[first]) >= WINDOW {
                tokens -= arrivals[first].tokens;
                first += 1;
            }
            let number = (last + 1 - first) as u64;
            assert!(self.most.requests.is_none_or(|limit| number <= limit), "{number} requests in a minute");
            // What is larger than the limit passes alone.
            let is_over = self.most.tokens.is_some_and(|limit| tokens > limit);
            let is_alone = || arrivals[first..=last].iter().filter(|arrival| arrival.tokens > 0).count() <= 1;
            assert!(!is_over || is_alone(), "{tokens} tokens in a minute");
        }
    }

    /// Whoever asks when he is told to is served at last.
    fn goes_on(&mut self) {
        let mut time = self.time + HOLDER_LIFE;
        let ask = Ask { process: "last".into(), ttl_ms: 250, waiting: vec![1], ..Ask::default() };
        for _ in 0..1_000 {
            let lease = self.budget.lease(&self.limits, &ask, time);
            if lease.granted.requests > 0 {
                return;
            }
            time += lease.ask_again_ms;
        }
        panic!("nothing was granted until {time}: {:?} {:?}", self.limits, self.budget);
    }
}
