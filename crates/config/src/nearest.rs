//! The name that somebody probably meant.

/// The nearest of `names` to `word`, if it is near enough: at most a third of the word's letters
/// are to be changed, added, left out or swapped with their neighbour (the restricted
/// Damerau-Levenshtein distance).
#[must_use]
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    names
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// No word that is compared is longer: the cost is the product of both lengths.
const LONGEST: usize = 64;

fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(LONGEST).collect();
    let b: Vec<char> = b.chars().take(LONGEST).collect();
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let names = ["autostart", "autorestart", "startsecs", "user", "umask"];
        assert_eq!(nearest("autostrat", names), Some("autostart"));
        assert_eq!(nearest("autorestrt", names), Some("autorestart"));
        assert_eq!(nearest("usr", names), Some("user"));
        assert_eq!(nearest("depends_on", names), None);
        assert_eq!(nearest("", names), None);
    }
}
