//! `filter_path`: the parts of an answer that a client wants (Elasticsearch reference, "Response
//! filtering"). Dotted paths; `*` is any part of one name, `**` any number of names, a leading `-`
//! leaves out. Elements of arrays are filtered one by one; what becomes empty is left out.

use serde_json::{Map, Value};

/// Paths to keep, and paths to leave out of what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FilterPath {
    kept: Vec<Vec<String>>,
    left_out: Vec<Vec<String>>,
}

impl FilterPath {
    pub(super) fn parse(text: &str) -> Self {
        let mut filter = Self::default();
        for path in text.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            let (names, path) = match path.strip_prefix('-') {
                Some(path) => (&mut filter.left_out, path),
                None => (&mut filter.kept, path),
            };
            names.push(path.split('.').map(str::to_owned).collect());
        }
        filter
    }

    pub(super) fn apply(&self, answer: Value) -> Value {
        let left: Vec<&[String]> = self.left_out.iter().map(Vec::as_slice).collect();
        let answer = if left.is_empty() { answer } else { without(answer, &left) };
        if self.kept.is_empty() {
            return answer;
        }
        let kept: Vec<&[String]> = self.kept.iter().map(Vec::as_slice).collect();
        only(answer, &kept).unwrap_or_else(|| Value::Object(Map::new()))
    }
}

/// What of the paths is left below a member of this name. An empty path: the member itself is meant.
fn below<'a>(paths: &[&'a [String]], name: &str) -> Vec<&'a [String]> {
    let mut rest = vec![];
    for path in paths {
        let Some((first, after)) = path.split_first() else { continue };
        if first == "**" {
            // The name is one of any number of names, or the first after them.
            rest.push(*path);
            if after.is_empty() {
                rest.push(after);
            } else {
                rest.extend(below(&[after], name));
            }
        } else if matches(first, name) {
            rest.push(after);
        }
    }
    rest
}

/// What the paths lead to, or `None`.
fn only(value: Value, paths: &[&[String]]) -> Option<Value> {
    match value {
        Value::Object(members) => {
            let kept: Map<_, _> = members
                .into_iter()
                .filter_map(|(name, value)| {
                    let rest = below(paths, &name);
                    let whole = rest.iter().any(|path| path.is_empty());
                    let value = if whole { Some(value) } else { only(value, &rest) };
                    Some((name, value?))
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(elements) => {
            let kept: Vec<_> = elements.into_iter().filter_map(|e| only(e, paths)).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => None,
    }
}

fn without(value: Value, paths: &[&[String]]) -> Value {
    match value {
        Value::Object(members) => {
            let left = members.into_iter().filter_map(|(name, value)| {
                let rest = below(paths, &name);
                let all = rest.iter().any(|path| path.is_empty());
                (!all).then(|| (name, without(value, &rest)))
            });
            Value::Object(left.collect())
        }
        Value::Array(elements) => {
            Value::Array(elements.into_iter().map(|e| without(e, paths)).collect())
        }
        plain => plain,
    }
}

/// Whether a name is as the pattern has it; `*` is any run of characters, also none.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filtered(paths: &str) -> Value {
        let answer = json!({
            "took": 3,
            "hits": {"total": {"value": 2}, "hits": [{"_id": "a", "_source": {"m": 1}}, {"_id": "b"}]},
            "_shards": {"total": 1},
        });
        FilterPath::parse(paths).apply(answer)
    }

    #[test]
    fn paths_keep_and_leave_out() {
        assert_eq!(filtered("took"), json!({"took": 3}));
        assert_eq!(
            filtered("hits.hits._id"),
            json!({"hits": {"hits": [{"_id": "a"}, {"_id": "b"}]}})
        );
        assert_eq!(
            filtered("hits.hits._source"),
            json!({"hits": {"hits": [{"_source": {"m": 1}}]}})
        );
        assert_eq!(
            filtered("*.total"),
            json!({"hits": {"total": {"value": 2}}, "_shards": {"total": 1}})
        );
        assert_eq!(filtered("**.value"), json!({"hits": {"total": {"value": 2}}}));
        assert_eq!(filtered("**"), filtered(""));
        assert_eq!(filtered("t*k,_sh*"), json!({"took": 3, "_shards": {"total": 1}}));
        assert_eq!(filtered("-hits,-_shards"), json!({"took": 3}));
        assert_eq!(filtered("hits,-hits.hits"), json!({"hits": {"total": {"value": 2}}}));
        assert_eq!(filtered("nothing"), json!({}));
        assert_eq!(filtered("took.deeper"), json!({}));
    }

    #[test]
    fn stars_are_any_run_of_characters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*b*", "abc", true),
            ("a*a", "a", false),
            ("a", "ab", false),
            ("a*b*c", "a1b2c", true),
            ("*ab", "aab", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
