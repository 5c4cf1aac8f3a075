//! The system views: SQL over the facts, one file each in `sql/views`.

/// A system view in the schema `lake`.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub name: &'static str,
    /// Its text as it is in the file: a comment that says what it shows, then one query.
    pub sql: &'static str,
}

impl View {
    /// What the view shows: the comment at the top of its file.
    pub fn about(&self) -> String {
        let lines = self.sql.lines().map_while(|line| line.strip_prefix("--"));
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

macro_rules! view {
    ($name:literal) => {
        View { name: $name, sql: include_str!(concat!("../../../sql/views/", $name, ".sql")) }
    };
}

/// All of them, in the order of their names.
pub const VIEWS: &[View] = &[
    view!("columns"),
    view!("files"),
    view!("kafka"),
    view!("members"),
    view!("partitions"),
    view!("queries"),
    view!("segments"),
    view!("tables"),
    view!("watermarks"),
    view!("writers"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_view_and_says_what_it_shows() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sql/views");
        let files = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let views: Vec<_> = VIEWS.iter().map(|view| format!("{}.sql", view.name)).collect();
        assert_eq!(names, views);
        for view in VIEWS {
            assert!(view.about().len() > 20, "{} says nothing", view.name);
        }
    }
}
