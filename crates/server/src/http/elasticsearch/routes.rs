//! Which path is answered by what. Paths are Elasticsearch's, as its reference has them.

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, any, delete, get, post, put};

use super::reply::render;
use super::{cat, cluster, documents, indices, multi, scroll, search, setup};
use crate::doors::OpenDoors;
use crate::http::bulk;

type Routes = Router<OpenDoors>;

/// Everything of this protocol.
pub(in crate::http) fn routes() -> Routes {
    let bulk_routes = Router::new()
        .route("/_bulk", post(bulk::bulk).put(bulk::bulk))
        .route("/{index}/_bulk", post(bulk::bulk_of_index).put(bulk::bulk_of_index));
    let rendered = Router::new()
        .merge(of_cluster())
        .merge(of_setup())
        .merge(of_cat())
        .merge(of_indices())
        .merge(of_searches())
        .merge(of_documents())
        .merge(refused())
        .layer(from_fn(render));
    bulk_routes.merge(rendered)
}

fn of_cluster() -> Routes {
    let settings = get(cluster::settings).put(cluster::change_settings);
    let health = get(cluster::health);
    Router::new()
        .route("/", get(cluster::root))
        .route("/_license", get(cluster::license))
        .route("/_xpack", get(cluster::xpack))
        .route("/_xpack/usage", get(cluster::xpack_usage))
        .route("/_cluster/health", health.clone())
        .route("/_cluster/health/{index}", health)
        .route("/_cluster/settings", settings)
        .route("/_cluster/state", get(cluster::state))
        .route("/_cluster/state/{*parts}", get(cluster::state))
        .route("/_cluster/stats", get(cluster::stats))
        .route("/_nodes", get(cluster::nodes))
        .route("/_nodes/{name}", get(cluster::nodes_part))
        .route("/_nodes/{id}/{name}", get(cluster::nodes_part))
        .route("/_tasks", get(cluster::no_tasks))
}

fn of_setup() -> Routes {
    let legacy = get(setup::legacy_template).delete(setup::legacy_template);
    let legacy = legacy.put(setup::acknowledged).post(setup::acknowledged);
    let template = get(setup::index_template).delete(setup::index_template);
    let template = template.put(setup::acknowledged).post(setup::acknowledged);
    let component = get(setup::component_template).delete(setup::component_template);
    let component = component.put(setup::acknowledged).post(setup::acknowledged);
    let policy = get(setup::lifecycle_policy).delete(setup::lifecycle_policy);
    let streams = get(setup::data_streams);
    Router::new()
        .route("/_template", get(setup::legacy_template))
        .route("/_template/{name}", legacy)
        .route("/_index_template", get(setup::index_template))
        .route("/_index_template/{name}", template)
        .route("/_component_template", get(setup::component_template))
        .route("/_component_template/{name}", component)
        .route("/_ilm/policy", get(setup::lifecycle_policy))
        .route("/_ilm/policy/{name}", policy.put(setup::acknowledged))
        .route("/_ingest/pipeline", get(setup::pipeline))
        .route("/_ingest/pipeline/{name}", get(setup::pipeline).put(setup::make_pipeline))
        .route("/_data_stream", streams.clone())
        .route(
            "/_data_stream/{name}",
            streams.put(setup::make_data_stream).delete(setup::never_delete),
        )
}

fn of_cat() -> Routes {
    Router::new()
        .route("/_cat", get(cat::help))
        .route("/_cat/indices", get(cat::indices))
        .route("/_cat/indices/{index}", get(cat::indices))
        .route("/_cat/count", get(cat::count).post(cat::count))
        .route("/_cat/count/{index}", get(cat::count).post(cat::count))
        .route("/_cat/health", get(cat::health))
        .route("/_cat/nodes", get(cat::nodes))
        .route("/_cat/master", get(cat::master))
        .route("/_cat/aliases", get(cat::aliases))
        .route("/_cat/aliases/{name}", get(cat::aliases))
        .route("/_cat/templates", get(cat::templates))
        .route("/_cat/templates/{name}", get(cat::templates))
        .route("/_cat/plugins", get(cat::plugins))
}

/// The same of all indices and of those that the path names.
fn both(path: &str, route: MethodRouter<OpenDoors>) -> Routes {
    Router::new().route(path, route.clone()).route(&format!("/{{index}}{path}"), route)
}

fn of_indices() -> Routes {
    let nothing = || get(indices::nothing_to_do).post(indices::nothing_to_do);
    let change = || put(indices::change_nothing).post(indices::change_nothing);
    let mapping = change().get(indices::mappings);
    let aliases = || get(indices::aliases);
    let one_alias = aliases()
        .put(indices::change_aliases)
        .post(indices::change_aliases)
        .delete(indices::change_aliases);
    let index = get(indices::index).put(indices::create).delete(setup::never_delete);
    Router::new()
        .route("/{index}", index)
        .merge(both("/_refresh", nothing()))
        .merge(both("/_flush", nothing()))
        .merge(both("/_forcemerge", nothing()))
        .merge(both("/_cache/clear", nothing()))
        .merge(both("/_mapping", mapping))
        .merge(both("/_mapping/field/{name}", get(indices::mappings_of_fields)))
        .merge(both("/_settings", change().get(indices::settings)))
        .merge(both("/_alias", aliases()))
        .merge(both("/_alias/{name}", one_alias))
        .route("/_aliases", aliases().post(indices::change_aliases))
        .route("/_resolve/index/{name}", get(indices::resolve).post(indices::resolve))
        .merge(both("/_stats", get(indices::stats)))
        .merge(both("/_stats/{*parts}", get(indices::stats)))
        .merge(both("/_field_caps", get(indices::field_caps).post(indices::field_caps)))
}

fn of_searches() -> Routes {
    let asked = || get(search::search).post(search::search);
    let next = || get(scroll::next).post(scroll::next);
    Router::new()
        .merge(both("/_search", asked()))
        .merge(both("/_msearch", get(multi::searches).post(multi::searches)))
        .merge(both("/_count", get(search::count).post(search::count)))
        .merge(both("/_validate/query", get(search::validate).post(search::validate)))
        .merge(both("/_async_search", post(search::search_asynchronously)))
        .route("/_async_search/{id}", get(search::no_asynchronous).delete(search::no_asynchronous))
        .route("/_search/scroll", next().delete(scroll::end))
        .route("/_search/scroll/{id}", next().delete(scroll::end))
        .route("/{index}/_pit", post(scroll::open))
        .route("/_pit", delete(scroll::close))
        // OpenSearch's name for it.
        .route("/{index}/_search/point_in_time", post(scroll::open_as_opensearch))
        .route("/_search/point_in_time", delete(scroll::close_as_opensearch))
}

fn of_documents() -> Routes {
    let found = get(documents::get).put(documents::add).post(documents::add);
    Router::new()
        .route("/{index}/_doc", post(documents::add))
        .route("/{index}/_doc/{id}", found.delete(documents::never_change))
        .route("/{index}/_create/{id}", put(documents::add).post(documents::add))
        .route("/{index}/_source/{id}", get(documents::source))
        .merge(both("/_mget", get(documents::get_many).post(documents::get_many)))
        .route("/{index}/_update/{id}", post(documents::never_change))
        .route("/{index}/_update_by_query", post(documents::never_change))
        .route("/{index}/_delete_by_query", post(documents::never_change))
        .route("/_reindex", post(documents::never_change))
}

/// What Elasticsearch has and loglake does not, with what to do in its place.
fn refused() -> Routes {
    let language = || any(search::other_language);
    Router::new()
        .merge(both("/_search/template", language()))
        .merge(both("/_msearch/template", language()))
        .route("/_sql", language())
        .route("/_sql/{*parts}", language())
        .route("/_query", language())
        .route("/{index}/_eql/search", language())
        .route("/_scripts/{name}", language())
}
