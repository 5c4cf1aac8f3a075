//! The documentation of the settings, from their doc comments.

use std::fmt::Write;

use serde_json::Value;

use super::Settings;

/// One setting.
pub struct Leaf {
    /// `wal.linger_ms`
    pub name: String,
    pub schema: Value,
    default: Value,
}

impl Leaf {
    /// The variable that sets it: `LOGLAKE_WAL_LINGER_MS`.
    pub fn variable(&self) -> String {
        format!("LOGLAKE_{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// Every setting, in the order of declaration, the sections' ones last.
pub fn leaves() -> Vec<Leaf> {
    let schema = schemars::schema_for!(Settings).to_value();
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let (mut top, mut sections) = (vec![], vec![]);
    for (name, property) in properties(&schema) {
        match section(&schema, property) {
            None => top.push(leaf(name.clone(), property, &defaults[name])),
            Some(inner) => add_section(&schema, name, inner, &defaults[name], &mut sections),
        }
    }
    top.extend(sections);
    top
}

/// The settings of a section, and of the sections in it.
fn add_section(schema: &Value, path: &str, of: &Value, defaults: &Value, leaves: &mut Vec<Leaf>) {
    for (key, property) in properties(of) {
        let name = format!("{path}.{key}");
        match section(schema, property) {
            None => leaves.push(leaf(name, property, &defaults[key])),
            Some(inner) => add_section(schema, &name, inner, &defaults[key], leaves),
        }
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// The schema of a section, which the property refers to.
fn section<'a>(schema: &'a Value, property: &'a Value) -> Option<&'a Value> {
    let reference = property["$ref"].as_str()?;
    schema.pointer(reference.strip_prefix('#')?)
}

fn leaf(name: String, schema: &Value, default: &Value) -> Leaf {
    Leaf { name, schema: schema.clone(), default: default.clone() }
}

/// `docs/configuration.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         Settings come from a TOML file (`--config FILE`), over it environment variables, over them \
         flags. An unknown name or a wrong value stops the start with a message that names it.\n\n\
         | setting | variable | default | |\n|---|---|---|---|\n",
    );
    for leaf in leaves() {
        let description = leaf.schema["description"].as_str().unwrap_or_default();
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        let default = match &leaf.default {
            Value::Null => "none".to_owned(),
            value => format!("`{value}`"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| `{}` | `{}` | {default} | {description} |",
            leaf.name,
            leaf.variable()
        );
    }
    text.push_str("\nIn the file, the part before the last dot is a section:\n\n```toml\n");
    text.push_str("store = \"s3://logs/lake\"\n\n[wal]\nlinger_ms = 50\n```\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_says_what_it_is() {
        let leaves = leaves();
        assert!(leaves.len() > 20 && leaves.len() <= 60, "{} settings", leaves.len());
        for leaf in leaves {
            assert!(leaf.schema["description"].is_string(), "{} has no doc comment", leaf.name);
        }
    }

    #[test]
    fn the_manual_is_what_the_settings_say() {
        let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let manual = std::fs::read_to_string(manual).unwrap();
        assert_eq!(manual, markdown(), "run `make docs`");
    }
}
