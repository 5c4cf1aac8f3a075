//! The items of a block, with places of documents instead of borrows, so that blocks can be worked
//! on side by side.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use axum::http::StatusCode;
use loglake_receive::{Block, BlockBytes, BulkAction, BulkItem, BulkReader};

use super::answer::{Item, Refusal};
use crate::failure::Failure;
use crate::ids::DocumentIds;

/// Indices that one request may name: each may become a table.
const INDICES_MAX: usize = 1_000;
/// Actions of one request: its answer has an item for each.
const ITEMS_MAX: usize = 200_000;

/// Pairs actions with documents, block after block.
pub(super) struct Planner {
    reader: BulkReader,
    indices: HashSet<Arc<str>>,
    items_left: usize,
}

/// The items of one block.
pub(super) struct Plan {
    bytes: BlockBytes,
    items: Vec<PlannedItem>,
}

struct PlannedItem {
    action: BulkAction,
    index: Option<Arc<str>>,
    id: Option<Box<str>>,
    /// Where in the block the document is.
    source: Result<Range<usize>, Refusal>,
}

impl Planner {
    pub(super) fn new(reader: BulkReader) -> Self {
        Self { reader, indices: HashSet::new(), items_left: ITEMS_MAX }
    }

    /// # Errors
    /// 413 when the request has too many actions. Blocks before this one stand.
    pub(super) fn plan(&mut self, block: Block) -> Result<Plan, Failure> {
        let items = self.reader.items(&block);
        self.items_left = self.items_left.checked_sub(items.len()).ok_or_else(|| {
            let message = format!("a request has at most {ITEMS_MAX} actions: send several");
            Failure::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE)
        })?;
        let base = block.bytes.as_ptr().addr();
        let items = items.into_iter().map(|item| self.planned(item, base)).collect();
        Ok(Plan { bytes: block.bytes, items })
    }

    /// What is left when no block follows.
    pub(super) fn finish(&mut self) -> Plan {
        let item = self.reader.finish().map(|item| self.planned(item, 0));
        Plan { bytes: BlockBytes::default(), items: item.into_iter().collect() }
    }

    /// `base`: the address of the block, of which the document is a part.
    fn planned(&mut self, item: BulkItem<'_>, base: usize) -> PlannedItem {
        let source = item.source.map_err(Refusal::Action).and_then(|source| {
            self.admit(item.index.as_ref())?;
            let start = source.as_ptr().addr() - base;
            Ok(start..start + source.len())
        });
        PlannedItem { action: item.action, index: item.index, id: item.id, source }
    }

    fn admit(&mut self, index: Option<&Arc<str>>) -> Result<(), Refusal> {
        let Some(index) = index else {
            return Err(Refusal::Index("no index is named, in the path or the action".to_owned()));
        };
        if !self.indices.contains(index) {
            if self.indices.len() == INDICES_MAX {
                let message = format!("a request names at most {INDICES_MAX} indices");
                return Err(Refusal::Index(message));
            }
            self.indices.insert(Arc::clone(index));
        }
        Ok(())
    }
}

impl Plan {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The items of the answer, refused so far for what the actions say alone.
    pub(super) fn items(&self, ids: &DocumentIds) -> Vec<Item> {
        let item = |item: &PlannedItem| Item {
            action: item.action.as_str(),
            index: item.index.clone().unwrap_or_default(),
            id: item.id.as_ref().map_or_else(|| ids.next(), |id| id.to_string()),
            refused: item.source.as_ref().err().cloned(),
        };
        self.items.iter().map(item).collect()
    }

    /// Positions of the items with documents, by index.
    pub(super) fn by_index(&self) -> BTreeMap<Arc<str>, Vec<usize>> {
        let mut positions: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
        for (position, item) in self.items.iter().enumerate() {
            if let (Some(index), Ok(_)) = (&item.index, &item.source) {
                positions.entry(Arc::clone(index)).or_default().push(position);
            }
        }
        positions
    }

    /// The document of an item; empty for one without.
    pub(super) fn source(&self, position: usize) -> &[u8] {
        match &self.items[position].source {
            Ok(range) => &self.bytes[range.clone()],
            Err(_) => &[],
        }
    }

    /// What the action says of its document.
    pub(super) fn extra(&self, position: usize) -> Vec<(&str, &str)> {
        self.items[position].id.as_deref().map(|id| ("_id", id)).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use loglake_model::Limits;
    use loglake_receive::{BodyReader, Encoding};

    use super::*;

    fn plan_of(planner: &mut Planner, body: &str) -> Plan {
        let mut reader = BodyReader::of_lines(Encoding::Identity, &Limits::default());
        reader.push(body.as_bytes());
        reader.finish();
        planner.plan(reader.next_block().unwrap().unwrap()).unwrap()
    }

    #[test]
    fn documents_are_found_again_by_their_place_also_across_blocks() {
        let mut planner = Planner::new(BulkReader::new(Some("std")));
        let first = plan_of(
            &mut planner,
            "{\"index\":{}}\n{\"m\":1}\n{\"create\":{\"_index\":\"a\",\"_id\":\"7\"}}\n",
        );
        assert_eq!(first.by_index(), BTreeMap::from([("std".into(), vec![0])]));
        assert_eq!(first.source(0), b"{\"m\":1}");
        let second = plan_of(&mut planner, "{\"m\":2}\n{\"index\":{}}\n");
        assert_eq!(second.by_index(), BTreeMap::from([("a".into(), vec![0])]));
        assert_eq!((second.source(0), second.extra(0)), (&b"{\"m\":2}"[..], vec![("_id", "7")]));
        let end = planner.finish();
        assert_eq!((end.items.len(), end.by_index().len()), (1, 0));
    }

    #[test]
    fn a_request_cannot_have_any_number_of_actions() {
        let block = || Block {
            bytes: "{}\n{}\n".repeat(ITEMS_MAX / 3).into_bytes().into(),
            first_line: 1,
            rejections: vec![],
        };
        let mut planner = Planner::new(BulkReader::new(None));
        for _ in 0..3 {
            assert!(planner.plan(block()).is_ok());
        }
        let refused = planner.plan(block()).err().expect("a fourth is too much");
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn a_request_cannot_name_any_number_of_indices() {
        let mut planner = Planner::new(BulkReader::new(None));
        let body: String = (0..=INDICES_MAX)
            .map(|n| format!("{{\"index\":{{\"_index\":\"i{n}\"}}}}\n{{}}\n"))
            .chain(["{\"index\":{\"_index\":\"i0\"}}\n{}\n{\"index\":{}}\n{}\n".to_owned()])
            .collect();
        let plan = plan_of(&mut planner, &body);
        let refused: Vec<_> = plan.items.iter().map(|item| item.source.is_err()).collect();
        assert_eq!(refused.iter().position(|refused| *refused), Some(INDICES_MAX));
        assert_eq!(refused[INDICES_MAX..], [true, false, true]);
    }
}
