//! Connections of a listener: how many there may be, and which has to go when there are too many.
//!
//! A connection with a request under way stays, whatever happens: calls of models take minutes, and nothing crosses the wire meanwhile. Of the
//! others the one goes that has never asked for anything, or has been silent longest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections that there may be in any case.
const LEAST: usize = 16;

/// All connections of a listener.
#[derive(Debug, Clone)]
pub struct Peers(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    most: usize,
    next: u64,
    peers: HashMap<u64, Peer>,
}

#[derive(Debug)]
struct Peer {
    /// Requests under way.
    requests: usize,
    has_asked: bool,
    /// When the last request ended; before the first, when it came.
    silent_since: Instant,
    unwanted: CancellationToken,
}

/// A connection's place. It is given back with the last of its clones.
#[derive(Debug)]
pub struct Place {
    number: u64,
    peers: Peers,
    unwanted: CancellationToken,
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<Place>);

impl Peers {
    /// Room for `most` connections.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Table { most, next: 0, peers: HashMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection, if need be that of another; `None` where all have requests under way.
    pub fn admit(&self) -> Option<Arc<Place>> {
        let mut table = self.lock();
        if table.peers.len() >= table.most && !table.make_room() {
            return None;
        }
        let (number, unwanted) = (table.next, CancellationToken::new());
        table.next += 1;
        let peer =
            Peer { requests: 0, has_asked: false, silent_since: Instant::now(), unwanted: unwanted.clone() };
        table.peers.insert(number, peer);
        drop(table);
        Some(Arc::new(Place { number, peers: self.clone(), unwanted }))
    }

    /// There are too many, whatever was thought: no file descriptor is left. From now on half of them have to do, so that some are left for
    /// other things. Whether any of them went.
    pub fn are_too_many(&self) -> bool {
        let mut table = self.lock();
        let before = table.peers.len();
        table.most = table.most.min((before / 2).max(LEAST));
        while table.peers.len() > table.most && table.make_room() {}
        table.peers.len() < before
    }
}

impl Table {
    fn make_room(&mut self) -> bool {
        let idle = self.peers.iter().filter(|(_, peer)| peer.requests == 0);
        let first = idle.min_by_key(|(number, peer)| (peer.has_asked, peer.silent_since, **number));
        let Some(number) = first.map(|(number, _)| *number) else { return false };
        if let Some(peer) = self.peers.remove(&number) {
            peer.unwanted.cancel();
        }
        true
    }
}

impl Place {
    /// Resolves when the connection has to go.
    pub async fn unwanted(&self) {
        self.unwanted.cancelled().await;
    }

    /// Whether a request has come.
    pub fn has_asked(&self) -> bool {
        self.peers.lock().peers.get(&self.number).is_some_and(|peer| peer.has_asked)
    }

    /// A request comes.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        if let Some(peer) = self.peers.lock().peers.get_mut(&self.number) {
            peer.requests += 1;
            peer.has_asked = true;
        }
        UnderWay(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.peers.lock().peers.remove(&self.number);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(peer) = self.0.peers.lock().peers.get_mut(&self.0.number) {
            peer.requests -= 1;
            peer.silent_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_most_silent_goes_and_who_is_at_work_stays() {
        let peers = Peers::new(3);
        let [works, asked, silent] = [(); 3].map(|()| peers.admit().unwrap());
        let under_way = works.begin();
        drop(asked.begin());
        advance(Duration::from_secs(1)).await;
        let is_out = |place: &Place| place.unwanted.is_cancelled();

        let fourth = peers.admit().unwrap();
        assert!(is_out(&silent) && !is_out(&asked) && !is_out(&works), "who never asked goes first");
        let request = fourth.begin();
        let fifth = peers.admit().unwrap();
        assert!(is_out(&asked), "then who has been silent longest");
        let other = fifth.begin();
        assert!(peers.admit().is_none() && !peers.are_too_many(), "nobody is cut off at work");
        assert!(!is_out(&works) && !is_out(&fourth) && !is_out(&fifth));

        drop(under_way);
        assert!(peers.admit().is_some() && is_out(&works));
        drop((request, other));
    }

    #[test]
    fn without_descriptors_half_of_the_connections_have_to_do() {
        let peers = Peers::new(1_000);
        let mut places: Vec<Arc<Place>> = (0..100).map(|_| peers.admit().unwrap()).collect();
        let works = places[0].begin();
        assert!(peers.are_too_many());
        let left =
            |places: &[Arc<Place>]| places.iter().filter(|place| !place.unwanted.is_cancelled()).count();
        assert_eq!(left(&places), 50);
        places.extend((0..100).map(|_| peers.admit().unwrap()));
        assert_eq!((left(&places), left(&places[..1])), (50, 1), "and no more from then on");
        for _ in 0..9 {
            peers.are_too_many();
        }
        assert_eq!(left(&places), LEAST);
        assert!(!peers.are_too_many());
        drop(works);
    }

    #[test]
    fn a_place_is_given_back_with_its_connection() {
        let peers = Peers::new(1);
        for _ in 0..3 {
            let place = peers.admit().unwrap();
            let under_way = place.begin();
            assert!(peers.admit().is_none() && place.has_asked());
            drop(place);
            assert!(peers.admit().is_none(), "its request goes on");
            drop(under_way);
        }
    }
}
