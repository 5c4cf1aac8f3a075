//! Elasticsearch's `_bulk`: pairs of lines, an action and its document.
//!
//! Elasticsearch refuses a whole request for one malformed action line, because it cannot know
//! whether the next line is a document. Here only that item is refused: the next line is taken for
//! its document unless it is a well-formed action line itself. After a well-formed action the next
//! line is its document whatever it looks like.

use std::sync::Arc;

use loglake_model::Rejection;

use crate::Block;
use crate::json::{JsonError, Scanner};

/// What an item asks for. Logs are only ever added: `update` and `delete` are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BulkAction {
    Create,
    Index,
    Update,
    Delete,
    /// The action line could not be read.
    Unknown,
}

impl BulkAction {
    /// The key of the item in the answer; Elasticsearch's own for an unknown one is `index`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index | Self::Unknown => "index",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    fn of(name: &str) -> Option<Self> {
        match name {
            "create" => Some(Self::Create),
            "index" => Some(Self::Index),
            "update" => Some(Self::Update),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// One item of the request, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkItem<'b> {
    /// The line of the action, from 1.
    pub line: u64,
    pub action: BulkAction,
    /// `_index`, or the default; absent when there is neither.
    pub index: Option<Arc<str>>,
    /// `_id`, if the action names one.
    pub id: Option<Box<str>>,
    /// The document's bytes, or why the item is refused already.
    pub source: Result<&'b [u8], String>,
}

/// An action line that was read.
#[derive(Clone, Debug)]
struct Action {
    line: u64,
    action: BulkAction,
    index: Option<Arc<str>>,
    id: Option<Box<str>>,
    /// Why the item will be refused, document or not.
    refused: Option<String>,
}

/// Levels of an action line that are looked into.
const DEPTH_MAX: usize = 8;

/// Pairs the lines of a body's blocks, across the blocks' borders.
#[derive(Debug)]
pub struct BulkReader {
    default_index: Option<Arc<str>>,
    /// The last `_index` that was named: most often the next one too.
    last_index: Option<Arc<str>>,
    /// An action that waits for its document.
    waiting: Option<Action>,
}

impl BulkReader {
    /// `default_index`: that of the request's path.
    pub fn new(default_index: Option<&str>) -> Self {
        Self { default_index: default_index.map(Arc::from), last_index: None, waiting: None }
    }

    /// The items whose documents, or refusals, are in `block`. Blocks come in order, from a
    /// [`crate::BodyReader::of_lines`].
    pub fn items<'b>(&mut self, block: &'b Block) -> Vec<BulkItem<'b>> {
        let mut items = vec![];
        // A block's rejected lines lie before its bytes: see `Block`.
        for rejection in &block.rejections {
            items.push(self.rejected_line(rejection));
        }
        let lines = block.bytes.split(|b| *b == b'\n');
        for (line, bytes) in (block.first_line..).zip(lines) {
            let bytes = bytes.trim_ascii_end();
            if !bytes.is_empty() {
                self.line(line, bytes, &mut items);
            }
        }
        items
    }

    /// Says that nothing follows. An action whose document is missing is refused.
    pub fn finish(&mut self) -> Option<BulkItem<'static>> {
        let action = self.waiting.take()?;
        let missing = || "the document's line is missing: the request ends here".to_owned();
        let refused = action.refused.clone().unwrap_or_else(missing);
        Some(action.item(Err(refused)))
    }

    /// A line that was too long to be held.
    fn rejected_line(&mut self, rejection: &Rejection) -> BulkItem<'static> {
        match self.waiting.take() {
            Some(action) => action.item(Err(rejection.reason.clone())),
            None => BulkItem {
                line: rejection.line,
                action: BulkAction::Unknown,
                index: self.default_index.clone(),
                id: None,
                source: Err(format!("malformed action: {}", rejection.reason)),
            },
        }
    }

    fn line<'b>(&mut self, line: u64, bytes: &'b [u8], items: &mut Vec<BulkItem<'b>>) {
        let Some(action) = self.waiting.take() else { return self.begin(line, bytes, items) };
        if action.action != BulkAction::Unknown {
            let source = action.refused.clone().map_or(Ok(bytes), Err);
            return items.push(action.item(source));
        }
        let refused = action.refused.clone().unwrap_or_default();
        items.push(action.item(Err(refused)));
        if self.read_action(line, bytes).action != BulkAction::Unknown {
            self.begin(line, bytes, items);
        }
    }

    /// Takes a line as an action.
    fn begin(&mut self, line: u64, bytes: &[u8], items: &mut Vec<BulkItem<'_>>) {
        let action = self.read_action(line, bytes);
        match action.action {
            BulkAction::Delete => {
                let refused = action.refused.clone().unwrap_or_default();
                items.push(action.item(Err(refused)));
            }
            _ => self.waiting = Some(action),
        }
    }

    fn read_action(&mut self, line: u64, bytes: &[u8]) -> Action {
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => parse_action(text),
            Err(error) => Err(format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1)),
        };
        match parsed {
            Ok(parsed) => Action {
                line,
                action: parsed.action,
                index: self.index(parsed.index),
                id: parsed.id,
                refused: refusal(parsed.action),
            },
            Err(reason) => Action {
                line,
                action: BulkAction::Unknown,
                index: self.default_index.clone(),
                id: None,
                refused: Some(format!("malformed action: {reason}")),
            },
        }
    }

    fn index(&mut self, named: Option<String>) -> Option<Arc<str>> {
        let Some(named) = named else { return self.default_index.clone() };
        if self.last_index.as_deref() != Some(&named) {
            self.last_index = Some(named.into());
        }
        self.last_index.clone()
    }
}

impl Action {
    fn item<'b>(self, source: Result<&'b [u8], String>) -> BulkItem<'b> {
        BulkItem { line: self.line, action: self.action, index: self.index, id: self.id, source }
    }
}

fn refusal(action: BulkAction) -> Option<String> {
    match action {
        BulkAction::Create | BulkAction::Index => None,
        other => Some(format!("`{}` is not possible: records are only ever added", other.as_str())),
    }
}

struct ParsedAction {
    action: BulkAction,
    index: Option<String>,
    id: Option<Box<str>>,
}

/// Reads `{"<action>":{"_index":"…","_id":"…", …}}`; other members are passed over.
fn parse_action(line: &str) -> Result<ParsedAction, String> {
    let mut scanner = Scanner::new(line, DEPTH_MAX);
    let text = |error: JsonError| error.to_string();
    scanner.begin_object(1).map_err(text)?;
    let mut first = true;
    let Some(name) = scanner.next_key(&mut first).map_err(text)? else {
        return Err("it names no action".to_owned());
    };
    let name = name.value();
    let action = BulkAction::of(&name).ok_or_else(|| format!("unknown action `{name}`"))?;
    let mut parsed = ParsedAction { action, index: None, id: None };
    read_parameters(&mut scanner, &mut parsed)?;
    if scanner.next_key(&mut first).map_err(text)?.is_some() {
        return Err("more than one action".to_owned());
    }
    scanner.end().map_err(text)?;
    Ok(parsed)
}

fn read_parameters(scanner: &mut Scanner<'_>, parsed: &mut ParsedAction) -> Result<(), String> {
    let text = |error: JsonError| error.to_string();
    scanner.begin_object(2).map_err(text)?;
    let mut first = true;
    while let Some(key) = scanner.next_key(&mut first).map_err(text)? {
        let key = key.value();
        match (&*key, scanner.peek()) {
            ("_index", Some(b'"')) => {
                parsed.index = Some(scanner.string().map_err(text)?.value().into_owned());
            }
            ("_id", Some(b'"')) => {
                parsed.id = Some(scanner.string().map_err(text)?.value().into());
            }
            ("_id", Some(b'-' | b'0'..=b'9')) => {
                parsed.id = Some(scanner.number().map_err(text)?.text.into());
            }
            (_, Some(b'n')) => drop(scanner.raw_value(2).map_err(text)?),
            ("_index" | "_id", _) => return Err(format!("`{key}` is not a string")),
            _ => drop(scanner.raw_value(2).map_err(text)?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BodyReader, Encoding};
    use loglake_model::Limits;

    /// Each item as `line action index id source-or-refusal`.
    fn items(body: &str, limits: &Limits) -> Vec<String> {
        let mut reader = BodyReader::of_lines(Encoding::Identity, limits);
        reader.push(body.as_bytes());
        reader.finish();
        let mut bulk = BulkReader::new(Some("std"));
        let mut shown = vec![];
        let show = |item: BulkItem<'_>| {
            let source = match item.source {
                Ok(source) => String::from_utf8_lossy(source).into_owned(),
                Err(refused) => format!("! {refused}"),
            };
            let (index, id) = (item.index.unwrap_or_default(), item.id.unwrap_or_default());
            format!("{} {} {index} {id} {source}", item.line, item.action.as_str())
        };
        while let Some(block) = reader.next_block().unwrap() {
            shown.extend(bulk.items(&block).into_iter().map(show));
        }
        shown.extend(bulk.finish().map(show));
        shown
    }

    #[test]
    fn items_come_in_order_with_their_documents() {
        let body = concat!(
            "{\"create\":{\"_index\":\"a\",\"_id\":\"x1\"}}\n{\"m\":1}\n\n",
            "{\"index\":{}}\r\n\r\n{\"create\":{}}\r\n",
            "{\"delete\":{\"_id\":7}}\n",
            "{\"update\":{\"_id\":\"8\",\"routing\":null}}\n{\"doc\":{}}\n",
            "{\"index\":{\"_index\":\"a\"}}\n{\"cut\":",
        );
        assert_eq!(
            items(body, &Limits::default()),
            [
                "1 create a x1 {\"m\":1}",
                "4 index std  {\"create\":{}}",
                "7 delete std 7 ! `delete` is not possible: records are only ever added",
                "8 update std 8 ! `update` is not possible: records are only ever added",
                "10 index a  {\"cut\":",
            ]
        );
    }

    #[test]
    fn a_malformed_action_is_one_refused_item_and_its_neighbours_stand() {
        let body = concat!(
            "{\"index\":{}}\n{\"m\":1}\n",
            "{\"index\":}\n{\"m\":2}\n",
            "{\"upsert\":{}}\n{\"index\":{}}\n{\"m\":3}\n",
            "[]\n{\"delete\":{}}\n",
            "{\"create\":{}}\n",
        );
        assert_eq!(
            items(body, &Limits::default()),
            [
                "1 index std  {\"m\":1}",
                "3 index std  ! malformed action: invalid JSON at byte 10: expected an object, found `}`",
                "5 index std  ! malformed action: unknown action `upsert`",
                "6 index std  {\"m\":3}",
                "8 index std  ! malformed action: invalid JSON at byte 1: expected an object, found `[`",
                "9 delete std  ! `delete` is not possible: records are only ever added",
                "10 create std  ! the document's line is missing: the request ends here",
            ]
        );
    }
}
