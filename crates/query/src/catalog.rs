//! What one query sees by name: the tenant's tables, the system views, and below these the facts.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::Result;

pub(crate) const CATALOG: &str = "loglake";
/// The schema of the tenant's tables.
pub(crate) const PUBLIC: &str = "public";
/// The schema of the system views.
pub(crate) const LAKE: &str = "lake";
/// The schema of the facts below the system views: can be named, is not listed.
pub(crate) const FACTS: &str = "lake_facts";

/// By name.
pub(crate) type Relations = BTreeMap<String, Arc<dyn TableProvider>>;

/// Relations that were bound before the query was planned; nothing is looked up while planning.
#[derive(Debug)]
struct Bound(Relations);

#[async_trait]
impl SchemaProvider for Bound {
    fn table_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// The one catalog of a query.
#[derive(Debug)]
pub(crate) struct QueryCatalog {
    public: Arc<Bound>,
    lake: Arc<Bound>,
    facts: Arc<Bound>,
}

impl QueryCatalog {
    pub(crate) fn new(public: Relations, lake: Relations, facts: Relations) -> Self {
        let [public, lake, facts] = [public, lake, facts].map(|r| Arc::new(Bound(r)));
        Self { public, lake, facts }
    }
}

impl CatalogProvider for QueryCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![PUBLIC.to_owned(), LAKE.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let schema = match name {
            PUBLIC => &self.public,
            LAKE => &self.lake,
            FACTS => &self.facts,
            _ => return None,
        };
        Some(Arc::clone(schema) as Arc<dyn SchemaProvider>)
    }
}

/// The list of catalogs: one, for good.
#[derive(Debug)]
pub(crate) struct OneCatalog(pub(crate) Arc<QueryCatalog>);

impl CatalogProviderList for OneCatalog {
    /// Nothing is registered: the catalog that was offered is handed back.
    fn register_catalog(
        &self,
        _name: String,
        catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        Some(catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::clone(&self.0) as Arc<dyn CatalogProvider>)
    }
}
