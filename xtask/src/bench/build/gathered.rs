//! What was measured, beside each other where there are several.

use super::super::results::{Bound, Built, Goal};
use super::super::statistics::{Rounds, ratio_between};

pub(super) const WARD: &str = "ward";
pub(super) const BUILDBOT: &str = "Buildbot";

/// What is measured of everybody.
pub(super) const EMPTY: Figure = Figure("request to recorded result, no step", "ms");
pub(super) const TRUE: Figure = Figure("request to recorded result, `true`", "ms");
pub(super) const ONE_AT_A_TIME: Figure = Figure("builds of `true`, 1 executor", "per minute");
pub(super) const EIGHT_AT_A_TIME: Figure = Figure("builds of `true`, 8 executors", "per minute");
pub(super) const RESIDENT: Figure = Figure("Rss of the server after a round", "MB");

/// A figure's name, and what it is counted in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Figure(pub(super) &'static str, pub(super) &'static str);

/// What one round of one contestant brings.
pub(super) type Samples = Vec<(Figure, Vec<f64>)>;

struct Cell {
    figure: Figure,
    by: &'static str,
    rounds: Rounds,
}

/// Everything that was measured, in the order in which it was first measured.
#[derive(Default)]
pub(super) struct Gathered(Vec<Cell>);

impl Gathered {
    /// Adds what a round brought.
    pub(super) fn add(&mut self, by: &'static str, samples: Samples) {
        for (figure, samples) in samples {
            let found = self
                .0
                .iter_mut()
                .find(|cell| cell.figure == figure && cell.by == by);
            if let Some(cell) = found {
                cell.rounds.push(samples);
                continue;
            }
            let mut rounds = Rounds::default();
            rounds.push(samples);
            self.0.push(Cell { figure, by, rounds });
        }
    }

    /// A goal for ward, by the median of all samples.
    pub(super) fn goal(&self, figure: Figure, bound: Bound) -> Goal {
        let cell = self
            .0
            .iter()
            .find(|cell| cell.figure == figure && cell.by == WARD);
        Goal {
            what: format!("{}, {}", figure.0, figure.1),
            value: cell
                .and_then(|cell| cell.rounds.summary())
                .map(|figures| figures.p50),
            bound,
        }
    }

    /// A row for each, those of one figure below each other, ward first.
    pub(super) fn rows(&self) -> Vec<Built> {
        let mut figures: Vec<Figure> = Vec::new();
        for by in [WARD, BUILDBOT] {
            for cell in self.0.iter().filter(|cell| cell.by == by) {
                if !figures.contains(&cell.figure) {
                    figures.push(cell.figure);
                }
            }
        }
        figures
            .into_iter()
            .flat_map(|figure| [WARD, BUILDBOT].map(|by| (figure, by)))
            .filter_map(|(figure, by)| self.row(figure, by))
            .collect()
    }

    fn row(&self, figure: Figure, by: &'static str) -> Option<Built> {
        let alike: Vec<&Cell> = self.0.iter().filter(|cell| cell.figure == figure).collect();
        let cell = alike.iter().find(|cell| cell.by == by)?;
        let sampled: Vec<(&str, &Rounds)> =
            alike.iter().map(|cell| (cell.by, &cell.rounds)).collect();
        Some(Built {
            what: figure.0,
            unit: figure.1,
            by,
            figures: cell.rounds.summary()?,
            of_ward: ratio_between(&sampled, by, WARD).filter(|_| alike.len() > 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_do_the_same_stand_below_each_other() {
        let mut gathered = Gathered::default();
        for (by, time) in [
            (BUILDBOT, 90.0),
            (WARD, 9.0),
            (WARD, 18.0),
            (BUILDBOT, 180.0),
        ] {
            let mut samples = vec![(TRUE, vec![time])];
            if by == WARD {
                samples.push((RESIDENT, vec![1.0]));
            }
            gathered.add(by, samples);
        }
        let rows = gathered.rows();
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.what, row.by, row.of_ward))
            .collect();
        let expected = [
            (TRUE.0, WARD, Some(1.0)),
            (TRUE.0, BUILDBOT, Some(10.0)),
            (RESIDENT.0, WARD, None),
        ];
        assert_eq!(told, expected);
        assert_eq!(gathered.goal(TRUE, Bound::AtMost(50.0)).value, Some(13.5));
    }

    #[test]
    fn a_goal_of_what_was_not_measured_has_no_value() {
        let gathered = Gathered::default();
        assert_eq!(gathered.goal(EMPTY, Bound::AtMost(50.0)).value, None);
        assert!(gathered.rows().is_empty());
    }
}
