//! The arithmetic, and that a limit is never passed.

use fastrand::Rng;

use super::*;

const PRICE: PerMillion = PerMillion { input: 2.0, cached: 0.1, written: Some(2.5), output: 10.0 };

fn paid(rows: u64, cost: f64) -> (u64, Usage) {
    (rows, Usage { requests: rows, cost_usd: Some(cost), ..Usage::default() })
}

fn settle(account: &mut Account, (rows, usage): (u64, Usage)) {
    account.settle(rows, &Done { rows, free: 0, cancelled: 0, usage: &usage });
}

#[test]
fn tokens_have_prices_and_none_costs_more_than_the_dearest() {
    let tokens = Tokens { input: 1_000, cached: 600, written: 300, output: 50 };
    let cost = PRICE.cost(tokens);
    assert!((cost - 0.001_51).abs() < 1e-12, "{cost}");
    assert!(cost <= PRICE.most(1_000, 50));
    let unwritten = PerMillion { written: None, ..PRICE };
    assert!((unwritten.most(1_000, 50) - 0.002_5).abs() < 1e-12);
}

#[test]
fn what_is_under_way_counts_as_the_most_it_can_cost() {
    let mut account = Account::new(Some(1.0), 0.01);
    assert!(account.take(60) && account.take(40));
    assert!(!account.take(1));
    // Half as dear as it could have been.
    settle(&mut account, paid(100, 0.5));
    assert!(account.take(50) && !account.take(1));
    settle(&mut account, paid(50, 0.499));
    assert!(account.is_idle() && !account.take(1), "a row can cost 0.01, and 0.001 is left");
    assert!(
        account.excess(1).unwrap().contains("0.9990 USD are spent, and the next row can cost 0.0100 USD")
    );
    account.allow(1.01);
    assert!(account.take(1));
}

#[test]
fn what_costs_nothing_lowers_nothing_either() {
    let mut account = Account::new(Some(0.05), 0.01);
    // One that was paid for, and four that failed before anybody charged for them.
    assert!(account.take(5));
    let usage = Usage { requests: 5, cost_usd: Some(0.009), ..Usage::default() };
    account.settle(5, &Done { rows: 5, free: 0, cancelled: 0, usage: &usage });
    assert!(account.take(4) && !account.take(1));
    let free = Usage::default();
    account.settle(4, &Done { rows: 4, free: 4, cancelled: 0, usage: &free });
    assert!(account.take(4) && !account.take(1));
}

#[test]
fn what_nobody_knows_counts_as_the_most() {
    let usage = Usage { requests: 10, ..Usage::default() };
    let mut untold = Account::new(Some(1.0), 0.01);
    untold.settle(10, &Done { rows: 12, free: 2, cancelled: 0, usage: &usage });
    let mut cancelled = Account::new(Some(1.0), 0.01);
    cancelled.settle(10, &Done { rows: 10, free: 0, cancelled: 10, usage: &Usage::default() });
    let mut lost = Account::new(Some(1.0), 0.01);
    let usage = Usage { requests: 10, cost_usd: Some(0.04), unsettled_usd: Some(0.06), ..Usage::default() };
    lost.settle(10, &Done { rows: 10, free: 0, cancelled: 0, usage: &usage });
    for account in [untold, cancelled, lost] {
        assert!((account.reserved(0) - 0.1).abs() < 1e-12, "{account:?}");
    }
}

#[test]
fn without_a_limit_everything_fits() {
    assert!(Account::new(None, 1.0).take(u64::MAX / 2));
}

#[test]
fn an_account_of_an_earlier_version_is_read() {
    let json = r#"{"most":0.5,"expected":0.01,"spent":0.1,"paid":7,"under_way":20}"#;
    let mut account: Account = serde_json::from_str(json).unwrap();
    assert!(account.take(20) && !account.take(1));
    assert_eq!(serde_json::from_str::<Account>(&serde_json::to_string(&account).unwrap()).unwrap(), account);
}

/// A row as a service asks about it, and what the provider charges.
struct Row {
    /// By what the service knows.
    known: f64,
    unsettled: f64,
}

/// A run, the services that work for it, and the provider.
struct World {
    rng: Rng,
    allowance: Allowance,
    /// Most tokens of a request, in and out, and how much larger the second is.
    request: (u64, u64, u64),
    account: Account,
    /// What is in the journal.
    settled: Vec<(u64, Usage)>,
    /// Batches under way.
    out: Vec<u64>,
    charged: f64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut price = |most: f64| rng.f64() * most;
        let price = PerMillion {
            input: price(5.0),
            cached: price(1.0),
            written: seed.is_multiple_of(3).then(|| price(7.0)),
            output: price(40.0),
        };
        let request = (rng.u64(1..5_000), rng.u64(1..5_000), rng.u64(1..5));
        let usd = price.most(request.0, request.1) + price.most(request.0, request.1 * request.2);
        let most = usd * rng.f64() * 60.0;
        let account = Account::new(Some(most), usd);
        let allowance = Allowance { usd, price };
        Self { rng, allowance, request, account, settled: Vec::new(), out: Vec::new(), charged: 0.0 }
    }

    /// One request: whether it left, and ended in an answer that will do.
    fn ask(&mut self, row: &mut Row, larger: bool) -> bool {
        let price = self.allowance.price;
        let (input, room, more) = self.request;
        let room = if larger { room * more } else { room };
        let most = price.most(input, room);
        if !self.allowance.holds(row.known + row.unsettled + most, 1) {
            return false;
        }
        let input = self.rng.u64(0..=input);
        let cached = self.rng.u64(0..=input);
        let written = self.rng.u64(0..=input - cached);
        let cost = price.cost(Tokens { input, cached, written, output: self.rng.u64(0..=room) });
        match self.rng.u8(0..10) {
            // Refused: nobody charges for it.
            0 | 1 => false,
            // No answer came, and perhaps it is charged.
            2 => {
                self.charged += if self.rng.bool() { cost } else { 0.0 };
                row.unsettled += most;
                false
            }
            kind => {
                self.charged += cost;
                row.known += cost;
                kind > 4
            }
        }
    }

    /// A batch of which all rows are asked about, as often as that is allowed.
    fn answer(&mut self, rows: u64) -> (u64, Usage) {
        let mut sum = Usage { cost_usd: Some(0.0), ..Usage::default() };
        for _ in 0..rows {
            let mut row = Row { known: 0.0, unsettled: 0.0 };
            let mut asked = 0;
            while asked < 8 {
                asked += 1;
                let larger = asked > 1 && self.rng.bool();
                if self.ask(&mut row, larger) {
                    break;
                }
            }
            if self.rng.u8(0..20) == 0 {
                // The service is killed before it could tell: no other asks again.
                row = Row { known: 0.0, unsettled: self.allowance.usd };
            }
            let unsettled_usd = (row.unsettled > 0.0).then_some(row.unsettled);
            sum.add(&Usage { requests: asked, cost_usd: Some(row.known), unsettled_usd, ..Usage::default() });
        }
        (rows, sum)
    }

    fn happens(&mut self) {
        match self.rng.u8(0..12) {
            0..=4 => {
                let rows = self.rng.u64(1..6);
                if self.account.take(rows) {
                    self.out.push(rows);
                }
            }
            5..=9 if !self.out.is_empty() => {
                let place = self.rng.usize(0..self.out.len());
                let rows = self.out.swap_remove(place);
                let done = self.answer(rows);
                settle(&mut self.account, done);
                self.settled.push(done);
            }
            // The client is killed and goes on from its journal.
            10 => {
                let most = self.account.most;
                self.account = Account::new(most, self.allowance.usd);
                for (rows, usage) in &self.settled {
                    self.account.settle(0, &Done { rows: *rows, free: 0, cancelled: 0, usage });
                }
                for rows in &self.out {
                    self.account.count_in(*rows);
                }
            }
            // Somebody cancels a batch: what its rows have cost is never told.
            11 if !self.out.is_empty() && self.rng.u8(0..4) == 0 => {
                let rows = self.out.pop().unwrap();
                let _never_told = self.answer(rows);
                let usage = Usage::default();
                self.account.settle(rows, &Done { rows, free: 0, cancelled: rows, usage: &usage });
                self.settled
                    .push((rows, Usage { unsettled_usd: Some(self.allowance.usd * float(rows)), ..usage }));
            }
            _ => {}
        }
    }
}

/// Whatever prices, failures, lost answers, deaths and orders: the provider never charges more than the limit. `MONEY_CASES` says how
/// many are tried; a million take some seconds.
#[test]
#[expect(clippy::disallowed_methods, reason = "how long to try is the test's business, and no setting")]
fn the_limit_is_never_passed() {
    let cases = std::env::var("MONEY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100_000);
    let first = fastrand::u64(..);
    let mut nearest = 0.0_f64;
    for case in 0..cases {
        let seed = first.wrapping_add(case);
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.happens();
            let most = world.account.most.unwrap();
            assert!(world.charged <= most + 1e-9, "{} of {most} USD, seed {seed}", world.charged);
            nearest = nearest.max(world.charged / most.max(1e-9));
        }
    }
    assert!(nearest > 0.5, "runs that spend nothing prove nothing: {nearest} of the limit");
}
