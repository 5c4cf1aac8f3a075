//! The fields of a batch by their dotted names, and where each has its place.

use std::collections::HashMap;

use loglake_model::{LEVEL, MESSAGE, SERVICE, TIMESTAMP};

use crate::aliases::{Canonical, alias_of};
use crate::columns::ColumnId;

/// The index of a field.
pub(crate) type FieldId = u32;

/// Where the values of a field go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Its first scalar decides.
    Undecided,
    Column(ColumnId),
    Attributes,
}

/// One dotted name.
#[derive(Debug)]
pub(crate) struct FieldName {
    pub(crate) name: Box<str>,
    pub(crate) target: Target,
    /// The column that it may fill in place of its own, and its rank among those that may.
    pub(crate) alias: Option<(Canonical, u8)>,
    /// The record that had it last, and its place among that record's values.
    pub(crate) seen: u32,
    pub(crate) staged: u32,
}

/// All names that were met.
pub(crate) struct Fields {
    list: Vec<FieldName>,
    by_name: HashMap<Box<str>, FieldId>,
}

impl std::ops::Index<FieldId> for Fields {
    type Output = FieldName;

    #[inline]
    fn index(&self, id: FieldId) -> &FieldName {
        &self.list[id as usize]
    }
}

impl std::ops::IndexMut<FieldId> for Fields {
    #[inline]
    fn index_mut(&mut self, id: FieldId) -> &mut FieldName {
        &mut self.list[id as usize]
    }
}

impl Fields {
    pub(crate) fn new() -> Self {
        let mut fields = Self { list: vec![], by_name: HashMap::new() };
        for name in [TIMESTAMP, MESSAGE, LEVEL, SERVICE] {
            fields.id(name);
        }
        fields
    }

    /// The field of a column that aliases fill; made first, so the numbers are fixed.
    pub(crate) const fn canonical(column: Canonical) -> FieldId {
        column as FieldId
    }

    /// The field of this name, added if need be.
    pub(crate) fn id(&mut self, name: &str) -> FieldId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.list.len() as FieldId;
        self.by_name.insert(name.into(), id);
        self.list.push(FieldName {
            name: name.into(),
            target: Target::Undecided,
            alias: alias_of(name),
            seen: 0,
            staged: 0,
        });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aliases::ALIASES;

    #[test]
    fn the_canonical_fields_have_their_numbers() {
        let fields = Fields::new();
        for aliases in ALIASES {
            let id = Fields::canonical(aliases.column);
            assert_eq!(&*fields[id].name, aliases.column.column());
        }
    }
}
