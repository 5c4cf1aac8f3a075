import co.elastic.clients.elasticsearch.ElasticsearchClient;
import co.elastic.clients.elasticsearch._types.ElasticsearchException;
import co.elastic.clients.elasticsearch._types.SortOrder;
import co.elastic.clients.elasticsearch._types.Time;
import co.elastic.clients.elasticsearch._types.aggregations.CalendarInterval;
import co.elastic.clients.elasticsearch._types.aggregations.DateHistogramBucket;
import co.elastic.clients.elasticsearch._types.aggregations.StringTermsBucket;
import co.elastic.clients.elasticsearch.core.BulkRequest;
import co.elastic.clients.elasticsearch.core.BulkResponse;
import co.elastic.clients.elasticsearch.core.SearchResponse;
import co.elastic.clients.elasticsearch.core.search.Hit;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** What a user of the Java client does. Prints one line for each result; the test compares them. Args: URL, token. */
public final class ElasticsearchTest {
    private static final String INDEX = "java";

    public static void main(String[] args) throws Exception {
        try (ElasticsearchClient client = ElasticsearchClient.of(b -> b.host(args[0]).apiKey(args[1]))) {
            System.out.println("version " + client.info().version().number());
            System.out.println("health " + client.cluster().health().status().jsonValue());
            indices(client);
            bulk(client);
            searches(client);
            aggregations(client);
            pages(client);
            mistakes(client);
        }
    }

    private static void indices(ElasticsearchClient client) throws Exception {
        System.out.println("exists " + client.indices().exists(e -> e.index(INDEX)).value());
        System.out.println("created " + client.indices().create(c -> c.index(INDEX)).acknowledged());
        System.out.println("exists " + client.indices().exists(e -> e.index(INDEX)).value());
    }

    private static void bulk(ElasticsearchClient client) throws Exception {
        BulkRequest.Builder request = new BulkRequest.Builder();
        for (int n = 0; n < 100; n++) {
            Map<String, Object> document = Map.of(
                    "@timestamp", String.format("2026-11-01T%02d:00:00.%06dZ", n / 50, n),
                    "service", "s" + n % 3,
                    "level", n % 10 == 0 ? "ERROR" : "INFO",
                    "message", "line " + n + " of java",
                    "n", n);
            String id = "j" + n;
            request.operations(op -> op.create(c -> c.index(INDEX).id(id).document(document)));
        }
        BulkResponse answer = client.bulk(request.build());
        System.out.println("bulk " + answer.items().size() + " " + answer.errors());
        System.out.println("refreshed " + client.indices().refresh(r -> r.index(INDEX)).shards().failed());
        System.out.println("count " + client.count(c -> c.index(INDEX)).count());
        System.out.println("mapping " + client.indices().getMapping(m -> m.index(INDEX)).get(INDEX).mappings()
                .properties().get("n")._kind().jsonValue());
        System.out.println("caps " + client.fieldCaps(f -> f.index(INDEX).fields("service")).fields().get("service").keySet());
    }

    private static void searches(ElasticsearchClient client) throws Exception {
        SearchResponse<Map> found = client.search(s -> s.index(INDEX)
                .query(q -> q.bool(b -> b
                        .must(m -> m.match(t -> t.field("message").query("java")))
                        .filter(f -> f.term(t -> t.field("level").value("ERROR")))))
                .sort(o -> o.field(f -> f.field("@timestamp").order(SortOrder.Asc)))
                .size(3), Map.class);
        System.out.println("total " + found.hits().total().value());
        System.out.println("hits " + found.hits().hits().stream().map(h -> h.source().get("n").toString())
                .collect(Collectors.joining(",")));
        System.out.println("document " + client.get(g -> g.index(INDEX).id("j7"), Map.class).source().get("message"));
        System.out.println("missing " + client.get(g -> g.index(INDEX).id("nothing"), Map.class).found());
    }

    private static void aggregations(ElasticsearchClient client) throws Exception {
        SearchResponse<Void> found = client.search(s -> s.index(INDEX).size(0)
                .aggregations("by_service", a -> a.terms(t -> t.field("service"))
                        .aggregations("average", b -> b.avg(v -> v.field("n"))))
                .aggregations("by_hour", a -> a.dateHistogram(d -> d.field("@timestamp").calendarInterval(CalendarInterval.Hour)))
                .aggregations("stats", a -> a.stats(v -> v.field("n"))), Void.class);
        for (StringTermsBucket bucket : found.aggregations().get("by_service").sterms().buckets().array()) {
            System.out.println("service " + bucket.key().stringValue() + " " + bucket.docCount() + " "
                    + bucket.aggregations().get("average").avg().value());
        }
        for (DateHistogramBucket bucket : found.aggregations().get("by_hour").dateHistogram().buckets().array()) {
            System.out.println("hour " + bucket.keyAsString() + " " + bucket.docCount());
        }
        System.out.println("max " + found.aggregations().get("stats").stats().max());
    }

    private static void pages(ElasticsearchClient client) throws Exception {
        String pit = client.openPointInTime(p -> p.index(INDEX).keepAlive(Time.of(t -> t.time("1m")))).id();
        int seen = 0;
        List<co.elastic.clients.elasticsearch._types.FieldValue> after = null;
        while (true) {
            var last = after;
            SearchResponse<Map> page = client.search(s -> {
                s.pit(p -> p.id(pit).keepAlive(t -> t.time("1m"))).size(30)
                        .sort(o -> o.field(f -> f.field("@timestamp").order(SortOrder.Asc)));
                return last == null ? s : s.searchAfter(last);
            }, Map.class);
            List<Hit<Map>> hits = page.hits().hits();
            if (hits.isEmpty()) {
                break;
            }
            seen += hits.size();
            after = hits.get(hits.size() - 1).sort();
        }
        System.out.println("paged " + seen);
        System.out.println("closed " + client.closePointInTime(c -> c.id(pit)).succeeded());
    }

    private static void mistakes(ElasticsearchClient client) throws Exception {
        try {
            client.search(s -> s.index("nowhere"), Void.class);
        } catch (ElasticsearchException error) {
            System.out.println("mistake " + error.status() + " " + error.error().type());
        }
    }
}
