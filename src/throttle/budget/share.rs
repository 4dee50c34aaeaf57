//! Max-min fairness: how a limit is split among those who want of it. Pure.

/// What one of several gets when small wishes are met in full and the rest is split evenly.
pub(super) fn fair_share(limit: u64, mine: u64, all: impl Iterator<Item = u64>) -> u64 {
    let mut wishes: Vec<u64> = all.collect();
    wishes.sort_unstable();
    let mut left = limit;
    let mut others = u64::try_from(wishes.len()).unwrap_or(u64::MAX);
    for wish in wishes {
        // Rounded up, or a limit below the number of processes would starve them all.
        let even = left.div_ceil(others.max(1));
        if wish >= even {
            return mine.min(even);
        }
        if wish == mine {
            return mine;
        }
        left -= wish;
        others -= 1;
    }
    mine
}
