//! Text for messages: a count with its noun.

use std::fmt::Display;

/// `1 row`, `2 rows`, `2 entries`: a count and its noun, which is given in the singular.
pub(crate) fn counted<T: Display + PartialEq + From<u8>>(count: T, noun: &str) -> String {
    if count == T::from(1) {
        return format!("1 {noun}");
    }
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    stem.map_or_else(|| format!("{count} {noun}s"), |stem| format!("{count} {stem}ies"))
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular_and_none_is_plural() {
        assert_eq!(counted(0u64, "row"), "0 rows");
        assert_eq!(counted(1usize, "row"), "1 row");
        assert_eq!(counted(21u32, "bad row"), "21 bad rows");
        assert_eq!(counted(2u64, "entry") + &counted(2u64, "key"), "2 entries2 keys");
    }
}
