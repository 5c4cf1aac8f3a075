//! Patterns of `LIKE`.

use loglake_format::index::Needle;

/// What a text must hold to be like a pattern. After an escape nothing is known of the next
/// character, so that the parts around it stand alone.
pub(super) fn parts(pattern: &str, escape: Option<char>) -> Vec<Needle> {
    let escape = escape.unwrap_or('\\');
    if !pattern.contains(['%', '_', escape]) {
        return vec![Needle::part(pattern, true, true)];
    }
    let mut needles = vec![];
    let mut begins = true;
    let mut part = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == escape {
            characters.next();
        } else if character != '%' && character != '_' {
            part.push(character);
            continue;
        }
        needles.push(Needle::part(&part, begins, false));
        part.clear();
        begins = false;
    }
    needles.push(Needle::part(&part, begins, true));
    needles.retain(Needle::narrows_words);
    needles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_between_wildcards() {
        let part = Needle::part;
        assert_eq!(parts("%xception%", None), [part("xception", false, false)]);
        assert_eq!(
            parts("GET %/api/v2_", None),
            [part("GET ", true, false), part("/api/v2", false, false)]
        );
        assert_eq!(parts("%end", None), [part("end", false, true)]);
        assert_eq!(parts("whole words", None), [part("whole words", true, true)]);
        assert_eq!(parts("%", None), []);
    }

    #[test]
    fn an_escape_parts_and_hides_what_follows() {
        let part = Needle::part;
        assert_eq!(
            parts(r"%cache\_misses", None),
            [part("cache", false, false), part("misses", false, true)]
        );
        assert_eq!(
            parts("cache!%hits%", Some('!')),
            [part("cache", true, false), part("hits", false, false)]
        );
    }
}
