//! Figures in columns.

/// A table with a title, its columns as wide as they must be.
pub(super) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads; the first column is set flush left.
    pub(super) fn new(title: impl Into<String>, heads: &[&str]) -> Self {
        Self {
            title: title.into(),
            rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()],
        }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text, without an end of line at its end.
    pub(super) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = self.title.clone();
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            text.push_str("\n  ");
            text.push_str(cells.join("  ").trim_end());
        }
        text
    }
}

/// A figure with as many decimals as matter at its size; `–` where there is none.
pub(super) fn figure(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new("TITLE", &["what", "µs"]);
        table.row(vec!["a long name".into(), "7".into()]);
        table.row(vec!["b".into(), "1234".into()]);
        assert_eq!(
            table.text(),
            "TITLE\n  what           µs\n  a long name     7\n  b            1234"
        );
    }

    #[test]
    fn figures_have_the_decimals_that_matter() {
        for (value, text) in [
            (Some(0.456), "0.46"),
            (Some(9.994), "9.99"),
            (Some(12.34), "12.3"),
            (Some(1234.5), "1234"),
            (None, "–"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
