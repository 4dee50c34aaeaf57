//! What can be said of moments at which something arrived. Pure.

/// Moments in seconds, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrivals(Vec<f64>);

impl Arrivals {
    pub(crate) fn new(mut moments: Vec<f64>) -> Self {
        moments.sort_unstable_by(f64::total_cmp);
        Self(moments)
    }

    pub(crate) fn number(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// Most of them within any `length` seconds.
    pub(crate) fn fullest(&self, length: f64) -> usize {
        let (mut first, mut most) = (0, 0);
        for (index, last) in self.0.iter().enumerate() {
            while last - self.0[first] >= length {
                first += 1;
            }
            most = most.max(index + 1 - first);
        }
        most
    }

    /// Those from one moment to another, that one left out.
    pub(crate) fn between(&self, from: f64, until: f64) -> Self {
        Self(self.0.iter().copied().filter(|at| (from..until).contains(at)).collect())
    }

    /// How many came per minute: the slope of the line through all of them by least squares, which does not care whether
    /// the first and the last came with a batch or alone.
    pub(crate) fn per_minute(&self) -> f64 {
        let number = float(self.0.len());
        let mean_time = self.0.iter().sum::<f64>() / number;
        let mean_place = (number - 1.0) / 2.0;
        let (mut together, mut alone) = (0.0, 0.0);
        for (place, at) in self.0.iter().enumerate() {
            together += (at - mean_time) * (float(place) - mean_place);
            alone += (at - mean_time) * (at - mean_time);
        }
        together / alone * 60.0
    }
}

/// The value below which such a share of `values` is.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a slice")]
    let place = (float(values.len().saturating_sub(1)) * share).round() as usize;
    values.get(place).copied().unwrap_or_default()
}

pub(crate) fn float(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
