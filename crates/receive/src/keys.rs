//! From the keys of a record to the fields that they name, without hashing most of the time.
//!
//! Each key that was met, at its place in the nesting, is a node. A node remembers which two keys
//! followed it last; the next record most often has the same, so that one comparison finds the
//! node. Only a miss looks into the parent's hash map.

use std::collections::HashMap;

use crate::json::JsonStr;

/// The index of a node.
pub(crate) type NodeId = u32;

/// No node: before the first key of an object.
pub(crate) const NONE: NodeId = u32::MAX;
/// The record itself, as the parent of its keys.
pub(crate) const ROOT: NodeId = 0;
/// The parent of names that are given with their nesting already flattened.
pub(crate) const FLATTENED: NodeId = 1;

/// How a key's place in the record relates to its dotted name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Every dot of the name is nesting.
    Nested,
    /// A key of the record itself that holds dots.
    Literal,
    /// A key that holds dots, inside an object (no column's name can say that), or one whose
    /// dotted name would be very long. The value is kept in `attributes`, in an object under the
    /// parent's name.
    Member,
}

/// One key at one place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) parent: NodeId,
    pub(crate) key: Box<str>,
    /// JSON spells the key as it is.
    plain: bool,
    pub(crate) spelling: Spelling,
    /// The field of the dotted name; of a member its parent's.
    pub(crate) field: u32,
    /// The record that had this key last, and the one in which it was an object.
    pub(crate) seen: u32,
    pub(crate) object_in: u32,
    /// What came first in it, and after it, the latest first.
    first: [NodeId; 2],
    next: [NodeId; 2],
    children: HashMap<Box<str>, NodeId>,
}

/// All keys that were met.
#[derive(Debug)]
pub(crate) struct Keys {
    nodes: Vec<Node>,
}

impl std::ops::Index<NodeId> for Keys {
    type Output = Node;

    #[inline]
    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }
}

impl std::ops::IndexMut<NodeId> for Keys {
    #[inline]
    fn index_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }
}

impl Keys {
    pub(crate) fn new() -> Self {
        let root = || Node::new(NONE, "", Spelling::Nested, u32::MAX);
        Self { nodes: vec![root(), root()] }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes that followed `before` in `parent` lately and for which `is_it` says so of their
    /// key. Keys that JSON escapes are never likely.
    #[inline]
    pub(crate) fn likely(
        &self,
        parent: NodeId,
        before: NodeId,
        mut is_it: impl FnMut(&str) -> bool,
    ) -> Option<NodeId> {
        let likely = match before {
            NONE => &self[parent].first,
            _ => &self[before].next,
        };
        likely.iter().copied().find(|id| {
            let node = self.nodes.get(*id as usize);
            node.is_some_and(|node| node.plain && node.parent == parent && is_it(&node.key))
        })
    }

    /// The node of `key` in `parent` after its sibling `before`, if it was met before.
    pub(crate) fn find(
        &mut self,
        parent: NodeId,
        before: NodeId,
        key: &JsonStr<'_>,
    ) -> Option<NodeId> {
        let found = *self[parent].children.get(key.value().as_ref())?;
        self.remember(parent, before, found);
        Some(found)
    }

    /// Adds the node of a key that [`Self::find`] does not know.
    pub(crate) fn add(
        &mut self,
        parent: NodeId,
        before: NodeId,
        key: &str,
        spelling: Spelling,
        field: u32,
    ) -> NodeId {
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Node::new(parent, key, spelling, field));
        self[parent].children.insert(key.into(), id);
        self.remember(parent, before, id);
        id
    }

    fn remember(&mut self, parent: NodeId, before: NodeId, id: NodeId) {
        let likely = match before {
            NONE => &mut self[parent].first,
            _ => &mut self[before].next,
        };
        *likely = [id, likely[0]];
    }

    /// Whether `node` is `ancestor` or lies in it.
    pub(crate) fn lies_in(&self, mut node: NodeId, ancestor: NodeId) -> bool {
        while node != NONE {
            if node == ancestor {
                return true;
            }
            node = self[node].parent;
        }
        false
    }
}

impl Node {
    fn new(parent: NodeId, key: &str, spelling: Spelling, field: u32) -> Self {
        Self {
            parent,
            key: key.into(),
            plain: !key.bytes().any(|b| matches!(b, b'"' | b'\\' | 0..0x20)),
            spelling,
            field,
            seen: 0,
            object_in: 0,
            first: [NONE; 2],
            next: [NONE; 2],
            children: HashMap::new(),
        }
    }
}
