//! Quantiles, and ratios of what was measured side by side.

use serde::Serialize;

/// What is said of a series of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) count: usize,
    pub(super) p10: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
}

impl Summary {
    /// `None` of nothing.
    pub(super) fn of(samples: &[f64]) -> Option<Self> {
        Some(Self {
            count: samples.len(),
            p10: quantile(samples, 0.1)?,
            p50: median(samples)?,
            p90: quantile(samples, 0.9)?,
        })
    }
}

/// The sample nearest to the place `share` (0 to 1) of the sorted series; `None` of nothing.
pub(super) fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

/// The middle of the sorted series, or the mean of the two in the middle; `None` of nothing.
pub(super) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
}

/// The median over the rounds of `ours / theirs`, each pair taken within one round, so that
/// what drifts between rounds (the machine, its other work) cancels out.
pub(super) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .filter(|(_, theirs)| **theirs > 0.0)
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    median(&ratios)
}

/// What was sampled of one contestant, round by round.
#[derive(Debug, Clone, Default)]
pub(super) struct Rounds(Vec<Vec<f64>>);

impl Rounds {
    /// Adds the samples of the next round.
    pub(super) fn push(&mut self, samples: Vec<f64>) {
        self.0.push(samples);
    }

    /// Of all samples; `None` of nothing.
    pub(super) fn summary(&self) -> Option<Summary> {
        Summary::of(&self.0.concat())
    }

    fn medians(&self) -> Vec<f64> {
        self.0.iter().filter_map(|round| median(round)).collect()
    }

    /// As [`ratio`], of the medians of each round.
    pub(super) fn ratio_to(&self, theirs: &Self) -> Option<f64> {
        ratio(&self.medians(), &theirs.medians())
    }
}

/// Contestants by name, with what was sampled of them in the same rounds.
pub(super) type Sampled<'a> = [(&'a str, &'a Rounds)];

/// The ratio between two of them; `None` if one is missing.
pub(super) fn ratio_between(all: &Sampled, ours: &str, theirs: &str) -> Option<f64> {
    let of = |wanted: &str| all.iter().find(|(name, _)| *name == wanted);
    of(ours)?.1.ratio_to(of(theirs)?.1)
}

/// An order that is another one each round, so that no neighbour is always the same.
pub(super) struct Shuffle(u64);

impl Shuffle {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Marsaglia's xorshift64: plenty for an order.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The numbers below `count`, each once.
    pub(super) fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev() {
            let other = (self.next() % (at as u64 + 1)) as usize;
            order.swap(at, other);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn quantiles_are_samples() {
        let samples: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let summary = Summary::of(&samples).unwrap();
        assert_eq!(
            (summary.count, summary.p10, summary.p50, summary.p90),
            (101, 10.0, 50.0, 90.0)
        );
        assert_eq!(Summary::of(&[7.0]).unwrap().p90, 7.0);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // Every round is twice as slow as the one before, for both: the ratio stays.
        assert_eq!(ratio(&[2.0, 4.0, 8.0], &[1.0, 2.0, 4.0]), Some(2.0));
        assert_eq!(ratio(&[1.0, 5.0], &[0.0, 2.0]), Some(2.5));
        assert_eq!(ratio(&[], &[]), None);
    }

    #[test]
    fn a_ratio_between_contestants_is_of_the_medians_of_their_rounds() {
        let of = |rounds: &[&[f64]]| Rounds(rounds.iter().map(|round| round.to_vec()).collect());
        let (ours, theirs) = (of(&[&[30.0], &[60.0]]), of(&[&[20.0], &[1.0, 40.0, 99.0]]));
        let both = [("ours", &ours), ("theirs", &theirs)];
        assert_eq!(ratio_between(&both, "ours", "theirs"), Some(1.5));
        assert_eq!(ratio_between(&both[..1], "ours", "theirs"), None);
        assert_eq!(theirs.summary().map(|summary| summary.count), Some(4));
    }

    #[test]
    fn an_order_has_everyone_once_and_changes() {
        let mut shuffle = Shuffle::seeded(42);
        let orders: Vec<Vec<usize>> = (0..20).map(|_| shuffle.order(6)).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        }
        assert!(orders.iter().any(|order| order != &orders[0]));
        assert!(shuffle.order(0).is_empty());
    }
}
