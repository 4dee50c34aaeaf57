//! Whose turn it is. Pure.

/// Strict round robin that passes over nodes which are out.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    next: usize,
}

impl Rotation {
    /// Sets whose turn is next.
    pub(super) fn set(&mut self, next: usize) {
        self.next = next;
    }

    /// The next of `nodes` nodes for which `usable` holds; the turn moves on past it. `None` if there is none.
    pub(super) fn next(&mut self, nodes: usize, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let chosen = (0..nodes).map(|step| (self.next + step) % nodes).find(|node| usable(*node))?;
        self.next = (chosen + 1) % nodes;
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_turn() {
        let mut rotation = Rotation::default();
        let turns: Vec<_> = (0..6).filter_map(|_| rotation.next(3, |_| true)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_node_that_is_out_is_passed_over_and_comes_back() {
        let mut rotation = Rotation::default();
        let without: Vec<_> = (0..4).filter_map(|_| rotation.next(3, |node| node != 1)).collect();
        assert_eq!(without, [0, 2, 0, 2]);
        let with: Vec<_> = (0..3).filter_map(|_| rotation.next(3, |_| true)).collect();
        assert_eq!(with, [0, 1, 2]);
        assert_eq!(rotation.next(3, |_| false), None);
    }
}
