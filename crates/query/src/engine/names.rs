//! What a query sees by name: the tenant's tables, and the system views over facts.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::information_schema::{
    INFORMATION_SCHEMA, INFORMATION_SCHEMA_TABLES, InformationSchemaProvider,
};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::FutureExt;
use loglake_model::TenantName;

use super::QueryEngine;
use crate::QueryError;
use crate::catalog::{LAKE, OneCatalog, PUBLIC, QueryCatalog, Relations};
use crate::facts::{FACTS, FactSources, FactTable};
use crate::lake_table::LakeTable;
use crate::running::QueryFacts;
use crate::session::QuerySession;
use crate::snapshot::Terms;
use crate::statement::{Named, parse};
use crate::views::{VIEWS, View};

pub struct Relation {
    pub schema: String,
    pub name: String,
    pub kind: RelationKind,
    pub columns: SchemaRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    Table,
    View,
}

/// What a query wants of the tables it names.
#[derive(Clone, Copy)]
pub(super) enum Want<'a> {
    Rows(Terms<'a>),
    Columns,
}

impl QueryEngine {
    /// Every table and view, for metadata calls: schemas `public` (the tenant's tables), `lake`,
    /// `information_schema`.
    pub async fn relations(&self, tenant: &TenantName) -> Result<Vec<Relation>, QueryError> {
        let query = self.queries.unlisted(tenant, "");
        let named = Named { everything: true, ..Named::default() };
        let bound = self.relations_of(tenant, &named, Want::Columns, &query).boxed().await?;
        let mut relations = vec![];
        for (schema, tables, kind) in
            [(PUBLIC, &bound.public, RelationKind::Table), (LAKE, &bound.lake, RelationKind::View)]
        {
            relations.extend(tables.iter().map(|(name, table)| Relation {
                schema: schema.to_owned(),
                name: name.clone(),
                kind,
                columns: table.schema(),
            }));
        }
        let catalogs = Arc::new(OneCatalog(Arc::new(bound.catalog())));
        let information = InformationSchemaProvider::new(catalogs);
        for name in INFORMATION_SCHEMA_TABLES {
            let Some(table) = information.table(name).await? else { continue };
            relations.push(Relation {
                schema: INFORMATION_SCHEMA.to_owned(),
                name: (*name).to_owned(),
                kind: RelationKind::View,
                columns: table.schema(),
            });
        }
        Ok(relations)
    }

    /// A session in which everything that is named is bound.
    pub(super) async fn bind(
        &self,
        tenant: &TenantName,
        named: &Named,
        want: Want<'_>,
        query: &QueryFacts,
    ) -> Result<QuerySession, QueryError> {
        let bound = self.relations_of(tenant, named, want, query).await?;
        let (runtime, catalog) = (Arc::clone(&bound.runtime), Arc::new(bound.catalog()));
        Ok(self.sessions.session(query, runtime, Arc::new(OneCatalog(catalog))))
    }

    pub(super) async fn relations_of(
        &self,
        tenant: &TenantName,
        named: &Named,
        want: Want<'_>,
        query: &QueryFacts,
    ) -> Result<BoundRelations, QueryError> {
        let runtime = self.sessions.runtime_of(query)?;
        let mut public = Relations::new();
        let shown = match (named.everything, want) {
            (true, _) => self.reader.catalog().tables(tenant).await?.into_iter().collect(),
            (false, Want::Columns) => named.tables.clone(),
            (false, Want::Rows(_)) => BTreeSet::new(),
        };
        for (table, version) in self.reader.shapes(tenant, &shown).await? {
            let name = table.name().to_string();
            public.insert(
                name,
                Arc::new(LakeTable::shape(&table, version, Arc::clone(&self.indexes))),
            );
        }
        if let Want::Rows(terms) = want {
            let pool = &runtime.memory_pool;
            let bound = self.reader.bind(tenant, &named.tables, &terms, pool).await?;
            for (name, table) in bound {
                public.insert(
                    name.to_string(),
                    Arc::new(LakeTable::new(table, Arc::clone(&self.indexes))),
                );
            }
        }
        let facts = self.facts_of(tenant);
        let lake = self.views(named, &facts, &runtime, query).await?;
        Ok(BoundRelations { runtime, public, lake, facts })
    }

    fn facts_of(&self, tenant: &TenantName) -> Relations {
        let (reader, coordinator) = (Arc::clone(&self.reader), Arc::clone(&self.coordinator));
        let queries = Arc::clone(&self.queries);
        let queues = Arc::clone(&self.queues);
        let sources = FactSources::new(tenant.clone(), reader, coordinator, queries, queues);
        let sources = Arc::new(sources);
        let facts = FACTS.iter().map(|fact| {
            let table: Arc<dyn TableProvider> =
                Arc::new(FactTable::new(*fact, Arc::clone(&sources)));
            (fact.name().to_owned(), table)
        });
        facts.collect()
    }

    /// The system views that are named, each planned over the facts.
    async fn views(
        &self,
        named: &Named,
        facts: &Relations,
        runtime: &Arc<RuntimeEnv>,
        query: &QueryFacts,
    ) -> Result<Relations, QueryError> {
        let is_named = |view: &&View| named.everything || named.views.contains(view.name);
        let wanted: Vec<&View> = VIEWS.iter().filter(is_named).collect();
        let mut views = Relations::new();
        if wanted.is_empty() {
            return Ok(views);
        }
        let catalog = QueryCatalog::new(Relations::new(), Relations::new(), facts.clone());
        let catalogs = Arc::new(OneCatalog(Arc::new(catalog)));
        let session = self.sessions.session(query, Arc::clone(runtime), catalogs);
        for view in wanted {
            let plan = session.state().statement_to_plan(parse(view.sql)?).await?;
            let table = ViewTable::new(plan, Some(view.sql.trim().to_owned()));
            views.insert(view.name.to_owned(), Arc::new(table));
        }
        Ok(views)
    }
}

/// Everything that a query sees by name.
pub(super) struct BoundRelations {
    pub(super) runtime: Arc<RuntimeEnv>,
    pub(super) public: Relations,
    lake: Relations,
    facts: Relations,
}

impl BoundRelations {
    pub(super) fn catalog(self) -> QueryCatalog {
        QueryCatalog::new(self.public, self.lake, self.facts)
    }
}
