//! Grants as one flat list of (grains since the one before, requests, tokens). A budget is read and written with every
//! lease, and this is a third of what a map takes.

use std::collections::BTreeMap;

use serde::{Deserialize as _, Deserializer, Serializer};

use super::{Amount, GRAIN};

pub(super) fn serialize<S: Serializer>(
    grants: &BTreeMap<u64, Amount>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut before = 0;
    serializer.collect_seq(grants.iter().flat_map(|(until, amount)| {
        let grain = until / GRAIN;
        [grain - std::mem::replace(&mut before, grain), amount.requests, amount.tokens]
    }))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<u64, Amount>, D::Error> {
    let flat = Vec::<u64>::deserialize(deserializer)?;
    let mut grain = 0;
    let grant = |part: &[u64]| {
        grain += part[0];
        (grain * GRAIN, Amount { requests: part[1], tokens: part[2] })
    };
    Ok(flat.chunks_exact(3).map(grant).collect())
}
