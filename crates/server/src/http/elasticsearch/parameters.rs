//! What stands in the URL behind the path.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use url::form_urlencoded;

use super::reply::Refused;

/// Parameters that every route of Elasticsearch takes.
const EVERYWHERE: [&str; 5] = ["pretty", "human", "error_trace", "filter_path", "format"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.uri))
    }
}

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Only those of these names.
    pub(super) fn kept(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        Self(kept.cloned().collect())
    }

    /// One more, which counts from now on.
    pub(super) fn with(mut self, name: &str, value: String) -> Self {
        self.0.push((name.to_owned(), value));
        self
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The last of this name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let of_name = self.0.iter().rev().find(|(given, _)| given == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// The parts of a list, of all parameters of this name.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&str>> {
        let of_name = self.0.iter().filter(|(given, _)| given == name);
        let parts: Vec<Vec<&str>> = of_name
            .map(|(_, value)| value.split(',').map(str::trim).filter(|p| !p.is_empty()).collect())
            .collect();
        (!parts.is_empty()).then(|| parts.concat())
    }

    /// `?name` alone is true.
    ///
    /// # Errors
    /// 400 for anything but true and false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refused> {
        match self.text(name) {
            None => Ok(None),
            Some("" | "true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Refused::argument(format!(
                "Failed to parse value [{other}] as only [true] or [false] are allowed."
            ))),
        }
    }

    /// # Errors
    /// 400 that names what is none of these: a parameter that changes the answer and is passed over
    /// would be a wrong answer.
    pub(super) fn only(&self, path: &str, known: &[&str]) -> Result<(), Refused> {
        let is_known = |name: &str| known.contains(&name) || EVERYWHERE.contains(&name);
        match self.0.iter().find(|(name, _)| !is_known(name)) {
            None => Ok(()),
            Some((name, _)) => Err(Refused::argument(format!(
                "request [{path}] contains unrecognized parameter: [{name}]"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_elasticsearch_reads_them() {
        let uri = "/_search?q=a%20b&pretty&size=5&sort=a,b&sort=c&x=false&y=7x".parse().unwrap();
        let parameters = Parameters::of(&uri);
        assert_eq!(parameters.text("q"), Some("a b"));
        assert_eq!(parameters.flag("pretty").unwrap(), Some(true));
        assert_eq!(parameters.flag("x").unwrap(), Some(false));
        assert_eq!(parameters.flag("missing").unwrap(), None);
        assert!(parameters.flag("q").is_err());
        assert_eq!(parameters.list("sort").unwrap(), ["a", "b", "c"]);
        let refused = parameters.only("/_search", &["q", "size", "sort", "x"]).unwrap_err();
        assert!(refused.reason().ends_with("unrecognized parameter: [y]"), "{refused:?}");
    }
}
