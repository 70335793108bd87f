//! What was measured, as tables and as ratios.

use serde::Serialize;

use super::super::statistics::{Rounds, Summary, median, quantile, ratio_between};
use super::super::table::{Table, figure};
use super::contestants::{FLOOR, SUPERVISOR};

/// A thing that is measured; the tables come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Quantity {
    Start,
    Resident,
    Proportional,
    Processes,
    Switches,
    IdleTime,
    Status,
    Restart,
    Stop,
    BlockSpeed,
    BlockTime,
    LineSpeed,
    LineTime,
}

impl Quantity {
    const fn title(self) -> &'static str {
        match self {
            Self::Start => "START of the supervisor until the last program runs, ms",
            Self::Resident => "MEMORY of all supervising processes, resident, MB",
            Self::Proportional => "MEMORY of all supervising processes, proportional, MB",
            Self::Processes => "PROCESSES that supervise",
            Self::Switches => "IDLE: times that a supervising process is woken, per second",
            Self::IdleTime => "IDLE: CPU time, ms per second",
            Self::Status => "STATUS of all programs, a command from start to exit, ms",
            Self::Restart => "RESTART: SIGKILL of a program until it runs again, ms",
            Self::Stop => "STOP ALL: the command until the last program is gone, ms",
            Self::BlockSpeed => "LOG of writers who write blocks, MB/s",
            Self::BlockTime => "LOG of writers who write blocks, CPU s/GB without the writers",
            Self::LineSpeed => "LOG of writers who write line by line, MB/s",
            Self::LineTime => "LOG of writers who write line by line, CPU s/GB without the writers",
        }
    }

    /// Whether less of it is better.
    const fn is_a_cost(self) -> bool {
        match self {
            Self::BlockSpeed | Self::LineSpeed => false,
            Self::Start
            | Self::Resident
            | Self::Proportional
            | Self::Processes
            | Self::Switches
            | Self::IdleTime
            | Self::Status
            | Self::Restart
            | Self::Stop
            | Self::BlockTime
            | Self::LineTime => true,
        }
    }
}

/// One quantity of one contestant with so many programs.
struct Cell {
    quantity: Quantity,
    programs: u32,
    name: &'static str,
    rounds: Rounds,
    samples: Vec<f64>,
}

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Gathered {
    cells: Vec<Cell>,
}

impl Gathered {
    /// Adds what a round brought.
    pub(super) fn add(
        &mut self,
        quantity: Quantity,
        programs: u32,
        name: &'static str,
        samples: Vec<f64>,
    ) {
        let is_it = |cell: &&mut Cell| {
            (cell.quantity, cell.programs, cell.name) == (quantity, programs, name)
        };
        if let Some(cell) = self.cells.iter_mut().find(is_it) {
            cell.samples.extend(&samples);
            cell.rounds.push(samples);
            return;
        }
        let mut rounds = Rounds::default();
        rounds.push(samples.clone());
        self.cells.push(Cell {
            quantity,
            programs,
            name,
            rounds,
            samples,
        });
    }

    /// The ratio of two contestants, within each round.
    pub(super) fn ratio(
        &self,
        quantity: Quantity,
        programs: u32,
        ours: &str,
        theirs: &str,
    ) -> Option<f64> {
        let alike: Vec<(&str, &Rounds)> = self
            .cells
            .iter()
            .filter(|cell| cell.quantity == quantity && cell.programs == programs)
            .map(|cell| (cell.name, &cell.rounds))
            .collect();
        ratio_between(&alike, ours, theirs)
    }

    /// The median of all samples.
    pub(super) fn median(&self, quantity: Quantity, programs: u32, name: &str) -> Option<f64> {
        self.cells
            .iter()
            .find(|cell| (cell.quantity, cell.programs, cell.name) == (quantity, programs, name))
            .and_then(|cell| median(&cell.samples))
    }

    /// A table for each quantity, fewest programs first, and among as many the best first.
    pub(super) fn sides(&self) -> Vec<Side> {
        let mut quantities: Vec<Quantity> = self.cells.iter().map(|cell| cell.quantity).collect();
        quantities.sort();
        quantities.dedup();
        quantities
            .into_iter()
            .map(|quantity| self.side(quantity))
            .collect()
    }

    fn side(&self, quantity: Quantity) -> Side {
        let mut rows: Vec<Row> = self
            .cells
            .iter()
            .filter(|cell| cell.quantity == quantity)
            .filter_map(|cell| {
                let to = |whom| self.ratio(quantity, cell.programs, cell.name, whom);
                Some(Row {
                    programs: cell.programs,
                    name: cell.name,
                    summary: cell.rounds.summary()?,
                    p99: quantile(&cell.samples, 0.99)?,
                    of_floor: to(FLOOR),
                    of_supervisor: to(SUPERVISOR),
                })
            })
            .collect();
        rows.sort_by(|a, b| {
            let dearer = a.summary.p50.total_cmp(&b.summary.p50);
            let worse = if quantity.is_a_cost() {
                dearer
            } else {
                dearer.reverse()
            };
            a.programs.cmp(&b.programs).then(worse)
        });
        Side { quantity, rows }
    }
}

/// All contestants side by side in one quantity.
#[derive(Serialize)]
pub(in super::super) struct Side {
    quantity: Quantity,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    programs: u32,
    name: &'static str,
    #[serde(flatten)]
    summary: Summary,
    p99: f64,
    /// Of the least that has to be done, within each round.
    of_floor: Option<f64>,
    /// Of PyPI supervisor, within each round.
    of_supervisor: Option<f64>,
}

/// The table of one quantity.
pub(in super::super) fn side_table(side: &Side) -> String {
    let heads = [
        "programs, by",
        "p10",
        "p50",
        "p90",
        "p99",
        "× floor",
        "× Supervisor",
    ];
    let mut table = Table::new(side.quantity.title(), &heads);
    for row in &side.rows {
        let summary = row.summary;
        let mut cells = vec![format!("{} {}", row.programs, row.name)];
        cells.extend(
            [
                Some(summary.p10),
                Some(summary.p50),
                Some(summary.p90),
                Some(row.p99),
                row.of_floor,
                row.of_supervisor,
            ]
            .map(figure),
        );
        table.row(cells);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contestants_stand_beside_those_with_as_many_programs() {
        let mut gathered = Gathered::default();
        for (programs, name, time) in [
            (100, SUPERVISOR, 40.0),
            (100, FLOOR, 2.0),
            (100, "ward", 4.0),
            (10, "ward", 1.0),
            (100, "ward", 8.0),
            (100, FLOOR, 4.0),
        ] {
            gathered.add(Quantity::Start, programs, name, vec![time]);
        }
        assert_eq!(
            gathered.ratio(Quantity::Start, 100, "ward", FLOOR),
            Some(2.0)
        );
        assert_eq!(gathered.ratio(Quantity::Start, 10, "ward", FLOOR), None);
        assert_eq!(gathered.median(Quantity::Start, 100, "ward"), Some(6.0));
        let sides = gathered.sides();
        let told: Vec<(u32, &str)> = sides[0]
            .rows
            .iter()
            .map(|row| (row.programs, row.name))
            .collect();
        let ordered = [(10, "ward"), (100, FLOOR), (100, "ward"), (100, SUPERVISOR)];
        assert_eq!(told, ordered);
        assert_eq!(sides[0].rows[2].of_supervisor, Some(0.1));
        assert!(side_table(&sides[0]).contains("100 Supervisor"));
    }

    #[test]
    fn of_speed_more_is_better() {
        let mut gathered = Gathered::default();
        for (name, speed) in [("slow", 10.0), ("fast", 90.0)] {
            gathered.add(Quantity::BlockSpeed, 1, name, vec![speed]);
        }
        assert_eq!(gathered.sides()[0].rows[0].name, "fast");
    }
}
