//! "Did you mean ...?": the allowed name that takes the fewest corrections.

/// The nearest of `names` to what was `given`, the first among equals.
pub(super) fn nearest(given: &str, names: impl IntoIterator<Item = String>) -> String {
    names
        .into_iter()
        .min_by_key(|name| distance(given, name))
        .unwrap_or_default()
}

/// How many characters must be inserted, removed or replaced to turn `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    // `row[j]` is the distance of the part of `a` seen so far to the first `j` characters of `b`.
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_are_counted() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
        let names = ["addresses", "password"].map(String::from);
        assert_eq!(nearest("adress", names), "addresses");
    }
}
