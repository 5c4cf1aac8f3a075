//! Runs the plans of a tree of aggregations: one for each chain, those beside each other at once.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::assemble::{Findings, HitsWithin};
use super::keys::Key;
use super::level::{self, Level, Place};
use super::table::Table;
use super::top_hits;
use super::tree::{Node, Tops};
use crate::{Context, ElasticError, Fields, RunPlan};

type Result<T> = std::result::Result<T, ElasticError>;

/// Plans of one level that run at once.
const AT_ONCE: usize = 4;

/// What one plan found.
enum Piece {
    Table(usize, Table),
    Hits(usize, HitsWithin),
    /// The first keys of an aggregation in all rows of the index.
    Keys(usize, Vec<Key>),
}

pub(super) struct Runner<'a> {
    pub fields: &'a Fields,
    pub context: &'a Context,
    pub run: &'a dyn RunPlan,
}

impl Runner<'_> {
    /// # Errors
    /// Those of the plans; too many buckets.
    pub async fn findings(&self, whole: &Node<'_>, place: Place) -> Result<Findings> {
        let mut findings = Findings::default();
        for piece in self.from(whole, place).await? {
            match piece {
                Piece::Table(id, table) => drop(findings.tables.insert(id, table)),
                Piece::Hits(id, hits) => drop(findings.hits.insert(id, hits)),
                Piece::Keys(id, keys) => drop(findings.all_keys.insert(id, keys)),
            }
        }
        Ok(findings)
    }

    /// What is found of a node and all below it.
    fn from<'b>(&'b self, node: &'b Node<'b>, place: Place) -> BoxFuture<'b, Result<Vec<Piece>>> {
        async move {
            let chain = node.chain();
            let tables = match node.is_asked() {
                true => self.chain(&chain, &place).await?,
                false => vec![Table::default()],
            };
            let mut pieces = self.below(&chain, &tables, place).await?;
            if let Some(last) = chain.last().filter(|node| node.wants_empty()) {
                let plan = level::first_keys(last, &self.context.all_rows)?;
                let keys = level::read_keys(&self.run.run(plan).await?)?;
                pieces.push(Piece::Keys(last.id, keys));
            }
            let found = chain.iter().zip(tables);
            pieces.extend(found.map(|(node, table)| Piece::Table(node.id, table)));
            Ok(pieces)
        }
        .boxed()
    }

    async fn chain(&self, chain: &[&Node<'_>], place: &Place) -> Result<Vec<Table>> {
        let place = match chain[0].grouping.is_global {
            true => Place { rows: self.context.all_rows.clone(), filters: vec![], keys: vec![] },
            false => place.clone(),
        };
        // Groups of rows that are in no bucket are none; leave room for them.
        let rows_max = self.context.buckets_max.saturating_mul(2);
        let level = Level::new(&place, chain.to_vec(), rows_max);
        let mut tables = level.read(&self.run.run(level.plan()?).await?)?;
        let (Some(last), Some(node)) = (tables.last_mut(), chain.last()) else { return Ok(tables) };
        if let Some(exactly) = level.exactly(last)? {
            let rows = self.run.run(exactly.plan.clone()).await?;
            exactly.put(&rows, node.grouping.keys.len(), last)?;
        }
        Ok(tables)
    }

    /// What is in the buckets of the chain's nodes and not in the chain.
    async fn below(
        &self,
        chain: &[&Node<'_>],
        tables: &[Table],
        place: Place,
    ) -> Result<Vec<Piece>> {
        let mut parts: Vec<BoxFuture<'_, Result<Vec<Piece>>>> = vec![];
        let mut place = place;
        for (at, (node, table)) in chain.iter().zip(tables).enumerate() {
            place = place.within(node, &self.context.all_rows, table);
            // In no bucket is nothing to be found.
            if node.is_asked() && table.buckets().all(|bucket| bucket.count == 0) {
                break;
            }
            let next = chain.get(at + 1).map(|next| next.id);
            for child in node.children.iter().filter(|child| Some(child.id) != next) {
                parts.push(self.from(child, place.clone()));
            }
            for top in &node.tops {
                parts.push(self.top(top, place.clone()).boxed());
            }
        }
        let found = stream::iter(parts).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn top(&self, top: &Tops<'_>, place: Place) -> Result<Vec<Piece>> {
        if top.top.size == 0 {
            return Ok(vec![]);
        }
        let rows = self.run.run(top_hits::plan(top.top, &place, self.fields)?).await?;
        let hits = top_hits::read(top.top, &rows, place.keys.len(), &self.context.index)?;
        Ok(vec![Piece::Hits(top.id, hits)])
    }
}
