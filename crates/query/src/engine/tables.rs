//! Which tables there are and what columns they have, for doors whose protocols ask before they search.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use loglake_model::{TableName, TenantName};

use super::{QueryEngine, Want};
use crate::QueryError;
use crate::statement::Named;

impl QueryEngine {
    /// The tenant's tables.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn tables(&self, tenant: &TenantName) -> Result<BTreeSet<TableName>, QueryError> {
        Ok(self.reader.catalog().tables(tenant).boxed().await?.into_iter().collect())
    }

    /// Those of the tenant's tables that this process has open. Nothing is read for it.
    pub fn open_tables(&self, tenant: &TenantName) -> BTreeSet<TableName> {
        let open = self.reader.catalog().open_tables();
        let own = open.iter().filter(|table| table.tenant() == tenant);
        own.map(|table| table.name().clone()).collect()
    }

    /// The columns of those of `names` that are there, as queries see them.
    pub async fn shapes(
        &self,
        tenant: &TenantName,
        names: &[TableName],
    ) -> Result<BTreeMap<TableName, SchemaRef>, QueryError> {
        let query = self.queries.unlisted(tenant, "");
        let named = Named { tables: names.iter().cloned().collect(), ..Named::default() };
        let bound = self.relations_of(tenant, &named, Want::Columns, &query).boxed().await?;
        let shapes = bound.public.into_iter();
        Ok(shapes
            .filter_map(|(name, table)| Some((TableName::new(&name).ok()?, table.schema())))
            .collect())
    }
}
