"""As Elasticsearch, with the clients and tools that people have: elasticsearch-py and its DSL, opensearch-py,
the Java client, rsyslog, and the bodies that Grafana and Kibana send."""

from __future__ import annotations

import collections
import datetime
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from client import until
from elastic import requests
from elasticsearch import BadRequestError, Elasticsearch, NotFoundError, helpers
from elasticsearch.dsl import A, Q, Search
from servers import rsyslog

HERE = pathlib.Path(__file__).resolve().parent
TOKEN = "a-token-for-elasticsearch"
START = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
SERVICES = ["checkout", "search", "auth", "mailer"]
LEVELS = ["INFO", "INFO", "INFO", "WARN", "ERROR"]
COUNT = 2_000
# Up to 02:00:00.000: the record of that second has some nanoseconds.
TWO_HOURS = 1_800


def record(n: int) -> dict:
    time = START + datetime.timedelta(seconds=4 * n)
    service = SERVICES[n % 4]
    found = {
        "@timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{n:09}Z",
        "service": service,
        "level": LEVELS[n % 5],
        "region": ["eu-west-1", "ap-south-1"][n % 2],
        "message": f"request {n} of {service} took {n % 97} ms, user user-{n % 13}",
        "n": n,
        "duration_ms": (n % 97) + 0.5,
        "bytes": n * 10,
        "http": {"status": [200, 404, 500][n % 3]},
    }
    if n % 3 == 0:
        found["trace_id"] = f"{n:032x}"
    return found


RECORDS = [record(n) for n in range(COUNT)]


@pytest.fixture(scope="module")
def lake(make_module_lake):
    """Half of the records in files, half fresh."""
    lake = make_module_lake("directory", token=TOKEN)
    with Elasticsearch(lake.url, api_key=TOKEN) as es:
        for part in (RECORDS[: COUNT // 2], RECORDS[COUNT // 2 :]):
            actions = ({"_index": "logs", "_op_type": "create", "_id": f"r{r['n']}", "_source": r} for r in part)
            assert helpers.bulk(es, actions) == (len(part), [])
            if part[0]["n"] == 0:
                lake.client.flush()
    return lake


@pytest.fixture
def es(lake):
    with Elasticsearch(lake.url, api_key=TOKEN) as es:
        yield es


def numbers(answer) -> list[int]:
    return [hit["_source"]["n"] for hit in answer["hits"]["hits"]]


# Before and around the records.


def test_a_client_asks_who_is_there(es):
    info = es.info()
    assert info["version"]["number"].startswith("9.") and info["tagline"]
    assert es.ping()
    assert es.cluster.health()["status"] == "green"
    assert es.license.get()["license"]["status"] == "active"
    assert es.xpack.info()["features"]["ilm"] == {"available": False, "enabled": False}
    assert es.xpack.usage()["security"]["enabled"] is True
    assert es.cluster.get_settings(include_defaults=True)["persistent"] == {}
    assert list(es.cluster.state()["metadata"]["indices"]) == ["logs"]
    assert es.cluster.stats()["indices"]["count"] == 1
    with pytest.raises(BadRequestError):
        es.cluster.put_settings(persistent={"action.auto_create_index": "false"})


def test_a_client_that_looks_for_nodes_stays_where_it_is(make_lake):
    lake = make_lake("directory")  # the client looks for nodes without its token
    with Elasticsearch(lake.url, sniff_on_start=True) as es:
        (node,) = es.nodes.info(metric="http")["nodes"].values()
        assert node["http"]["publish_address"] == lake.url.removeprefix("http://")
        assert es.count()["count"] == 0
        assert es.nodes.stats()["nodes"]


def test_what_shippers_set_up_is_acknowledged_and_not_kept(es):
    assert not es.indices.exists_index_template(name="logs-template")
    put = es.indices.put_index_template(name="logs-template", index_patterns=["logs-*"], template={})
    assert put["acknowledged"]
    assert not es.indices.exists_index_template(name="logs-template")
    assert es.indices.get_index_template()["index_templates"] == []
    assert es.cluster.put_component_template(name="c", template={"settings": {}})["acknowledged"]
    assert es.indices.put_template(name="old", index_patterns=["x*"])["acknowledged"]
    assert not es.indices.exists_template(name="old")
    assert es.ilm.put_lifecycle(name="p", policy={"phases": {}})["acknowledged"]
    with pytest.raises(NotFoundError):
        es.ilm.get_lifecycle(name="p")
    with pytest.raises(NotFoundError):
        es.ingest.get_pipeline(id="p")
    with pytest.raises(BadRequestError, match="pipelines"):
        es.ingest.put_pipeline(id="p", processors=[])
    assert es.indices.create_data_stream(name="stream-a")["acknowledged"]
    (stream,) = es.indices.get_data_stream(name="stream-a")["data_streams"]
    assert stream["timestamp_field"] == {"name": "@timestamp"}


def test_indices_are_tables(es, lake):
    assert not es.indices.exists(index="made")
    assert es.indices.create(index="made", mappings={"properties": {"a": {"type": "long"}}})["acknowledged"]
    assert es.indices.exists(index="made")
    assert lake.client.value("SELECT count(*) FROM made") == 0
    with pytest.raises(BadRequestError, match="resource_already_exists_exception"):
        es.indices.create(index="made")
    with pytest.raises(BadRequestError, match="invalid_index_name_exception"):
        es.indices.create(index="_made")
    with pytest.raises(BadRequestError, match="aliases"):
        es.indices.create(index="made2", aliases={"a": {}})
    with pytest.raises(BadRequestError, match="keeps what it acknowledged"):
        es.indices.delete(index="made")
    assert es.indices.refresh(index="made")["_shards"]["failed"] == 0
    assert es.indices.flush(index="made")["_shards"]["failed"] == 0
    assert es.indices.get_alias(index="made") == {"made": {"aliases": {}}}
    assert not es.indices.exists_alias(name="nothing")
    settings = es.indices.get_settings(index="made")["made"]["settings"]["index"]
    assert settings["provided_name"] == "made"
    assert es.indices.put_settings(index="made", settings={"refresh_interval": "-1"})["acknowledged"]
    stats = es.indices.stats(index="logs")
    assert stats["indices"]["logs"]["primaries"]["docs"]["count"] >= COUNT // 2
    assert {i["name"] for i in es.indices.resolve_index(name="l*")["indices"]} == {"logs"}
    with pytest.raises(NotFoundError) as missing:
        es.indices.get(index="nowhere")
    assert missing.value.body["error"]["type"] == "index_not_found_exception"
    assert missing.value.body["error"]["index"] == "nowhere"


def test_mappings_tell_the_columns(es):
    properties = es.indices.get_mapping(index="logs")["logs"]["mappings"]["properties"]
    assert properties["@timestamp"]["type"] == "date_nanos"
    assert properties["message"] == {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
    kinds = {"service": "keyword", "n": "long", "duration_ms": "double", "trace_id": "keyword"}
    assert {name: properties[name]["type"] for name in kinds} == kinds
    assert properties["http"]["properties"]["status"]["type"] == "long"
    caps = es.field_caps(index="logs", fields="*")["fields"]
    assert caps["service"]["keyword"]["aggregatable"] is True
    assert caps["message"]["text"]["aggregatable"] is False
    assert caps["http.status"]["long"]["searchable"] is True
    one = es.indices.get_field_mapping(index="logs", fields="http.status")["logs"]["mappings"]
    assert one["http.status"]["mapping"] == {"status": {"type": "long"}}


def test_cat_is_text_or_json(es):
    (row,) = es.cat.indices(index="logs", format="json")
    assert row["index"] == "logs" and row["docs.count"] == str(COUNT) and row["health"] == "green"
    assert es.cat.indices(index="logs", h="index,docs.count").body == f"logs {COUNT}\n"
    heads, _ = es.cat.indices(index="logs", h="index,docs.count", v=True).body.splitlines()
    assert heads.split() == ["index", "docs.count"]
    assert es.cat.count(index="logs", format="json")[0]["count"] == str(COUNT)
    assert es.cat.health(format="json")[0]["status"] == "green"
    assert es.cat.nodes(format="json")[0]["name"] == "loglake"
    assert es.cat.aliases(format="json") == []


def test_what_is_not_there_is_told_in_elasticsearchs_words(es, lake):
    for call in (
        lambda: es.search(index="nowhere"),
        lambda: es.count(index="nowhere"),
        lambda: es.search(index="logs,nowhere"),
    ):
        with pytest.raises(NotFoundError) as missing:
            call()
        assert missing.value.body["error"]["root_cause"][0]["type"] == "index_not_found_exception"
    assert es.search(index="nowhere*")["hits"]["total"]["value"] == 0
    assert es.count(index="logs,nowhere", ignore_unavailable=True)["count"] == COUNT
    with pytest.raises(NotFoundError):
        es.search(index="nowhere*", allow_no_indices=False)
    for call, words in (
        (lambda: es.sql.query(query="SELECT 1"), "/api/v1/sql"),
        (lambda: es.search_template(index="logs", source="{}"), "/api/v1/sql"),
        (lambda: es.update(index="logs", id="1", doc={}), "only ever added"),
        (lambda: es.delete_by_query(index="logs", query={"match_all": {}}), "only ever added"),
    ):
        with pytest.raises(BadRequestError, match=words):
            call()
    refused = Elasticsearch(lake.url, api_key="another").options(max_retries=0)
    with pytest.raises(Exception) as unauthorised:
        refused.count()
    assert unauthorised.value.status_code == 401
    unknown = lake.client.request("GET", "/logs/_search?szie=1")
    assert unknown.status == 400 and "unrecognized parameter: [szie]" in unknown.json()["error"]["reason"]
    handler = lake.client.request("GET", "/_nothing/here")
    assert handler.status == 400 and "no handler found" in handler.json()["error"]
    method = lake.client.request("DELETE", "/_search")
    assert method.status == 405 and "Incorrect HTTP method" in method.json()["error"]


# Questions.


def test_a_search_finds_sorts_and_counts(es):
    answer = es.search(index="logs", size=3)
    assert answer["hits"]["total"] == {"value": COUNT, "relation": "eq"}
    # Without a sort the newest come first: logs are read so.
    assert numbers(answer) == [1999, 1998, 1997]
    query = {"bool": {"must": {"match": {"message": "checkout"}}, "filter": {"term": {"level": "ERROR"}}}}
    answer = es.search(index="logs", query=query, sort=[{"n": "asc"}], size=5, track_total_hits=True)
    expected = [r["n"] for r in RECORDS if r["service"] == "checkout" and r["level"] == "ERROR"]
    assert answer["hits"]["total"]["value"] == len(expected)
    assert numbers(answer) == expected[:5]
    assert answer["hits"]["hits"][0]["sort"] == [expected[0]]
    assert answer["hits"]["hits"][0]["_index"] == "logs"
    assert answer["hits"]["hits"][0]["_id"] == f"r{expected[0]}"
    assert es.count(index="logs", query=query)["count"] == len(expected)
    assert es.indices.validate_query(index="logs", query=query)["valid"] is True


def test_a_document_is_given_back_as_it_came(es):
    answer = es.search(index="logs", query={"term": {"n": 17}})
    assert answer["hits"]["hits"][0]["_source"] == RECORDS[17]
    assert es.get(index="logs", id="r17")["_source"] == RECORDS[17]
    assert es.get_source(index="logs", id="r17")["n"] == 17
    assert es.exists(index="logs", id="r17") and not es.exists(index="logs", id="nothing")
    with pytest.raises(NotFoundError):
        es.get(index="logs", id="nothing")
    documents = es.mget(index="logs", ids=["r1", "nothing", "r1999"])["docs"]
    assert [d["found"] for d in documents] == [True, False, True]
    assert documents[2]["_source"]["n"] == 1999
    shown = es.get(index="logs", id="r17", source_includes=["n", "http.*"])["_source"]
    assert shown == {"n": 17, "http": {"status": 500}}


def test_one_document_in(es):
    stored = es.index(index="single", document={"message": "a\nb", "n": 1})
    assert stored["result"] == "created"
    assert es.create(index="single", id="x", document={"message": "c"})["_id"] == "x"
    assert es.get(index="single", id="x")["_source"]["message"] == "c"
    found = es.search(index="single", query={"term": {"n": 1}})
    assert found["hits"]["hits"][0]["_source"]["message"] == "a\nb"
    with pytest.raises(BadRequestError, match="document_parsing_exception"):
        es.perform_request("POST", "/single/_doc", headers={"content-type": "application/json"}, body=[1])


def test_what_stands_in_the_url(es, lake):
    answer = es.search(index="logs", q="level:ERROR AND service:auth", size=2, sort="n:desc", source=["n", "level"])
    assert all(h["_source"].keys() == {"n", "level"} for h in answer["hits"]["hits"])
    expected = [r["n"] for r in RECORDS if r["level"] == "ERROR" and r["service"] == "auth"]
    assert numbers(answer) == expected[::-1][:2] and answer["hits"]["total"]["value"] == len(expected)
    answer = es.search(index="logs", q="user 12", df="message", default_operator="AND", size=0)
    assert answer["hits"]["total"]["value"] == sum(1 for r in RECORDS if {"user", "12"} <= set(words(r)))
    as_number = lake.client.request("GET", "/logs/_search?rest_total_hits_as_int=true&size=0")
    assert as_number.json()["hits"]["total"] == COUNT
    filtered = lake.client.request("GET", "/logs/_search?filter_path=hits.hits._source.n&size=1&sort=n")
    assert filtered.json() == {"hits": {"hits": [{"_source": {"n": 0}}]}}
    pretty = lake.client.request("GET", "/logs/_count?pretty")
    assert pretty.body.startswith(b"{\n")
    typed = lake.client.post(
        "/logs/_search?typed_keys&size=0", json.dumps({"aggs": {"a": {"terms": {"field": "level"}}}}).encode()
    )
    assert list(typed.json()["aggregations"]) == ["sterms#a"]


def words(record: dict) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in record["message"].lower()).split()


def test_the_dsl_asks(es):
    search = (
        Search(using=es, index="logs")
        .filter("range", **{"@timestamp": {"gte": "2026-11-01T00:10:00Z", "lt": "2026-11-01T01:10:00Z"}})
        .query(Q("match", message="took") & ~Q("term", service="mailer"))
        .sort("-@timestamp")
        .extra(track_total_hits=True)[:4]
    )
    by_service = A("terms", field="service").metric("slow", "max", field="duration_ms")
    search.aggs.bucket("hours", "date_histogram", field="@timestamp", fixed_interval="30m").bucket("by", by_service)
    answer = search.execute()
    inside = [r for r in RECORDS[150:1050] if r["service"] != "mailer"]
    assert answer.hits.total.value == len(inside)
    assert [hit.n for hit in answer.hits] == [r["n"] for r in inside[::-1][:4]]
    assert sum(bucket.doc_count for bucket in answer.aggregations.hours.buckets) == len(inside)
    hour = answer.aggregations.hours.buckets[1]
    of_hour = [r for r in inside if r["@timestamp"][11:16] >= "00:30" and r["@timestamp"][11:13] == "00"]
    slowest = collections.defaultdict(float)
    for r in of_hour:
        slowest[r["service"]] = max(slowest[r["service"]], r["duration_ms"])
    assert {b.key: b.slow.value for b in hour.by.buckets} == slowest


def test_scrolls_and_points_in_time_see_every_record_once(es):
    query = {"query": {"term": {"region": "eu-west-1"}}}
    expected = {r["n"] for r in RECORDS if r["region"] == "eu-west-1"}
    scanned = [hit["_source"]["n"] for hit in helpers.scan(es, index="logs", query=query, size=130)]
    assert len(scanned) == len(expected) and set(scanned) == expected
    pit = es.open_point_in_time(index="logs", keep_alive="1m")["id"]
    seen, after = [], None
    while True:
        page = es.search(pit={"id": pit, "keep_alive": "1m"}, size=170, sort=[{"@timestamp": "asc"}], search_after=after, **query)
        hits = page["hits"]["hits"]
        if not hits:
            break
        seen += [hit["_source"]["n"] for hit in hits]
        after = hits[-1]["sort"]
    assert seen == sorted(expected)
    assert es.close_point_in_time(id=pit)["succeeded"]


def test_a_scroll_outlives_its_process(lake):
    def put(es, records):
        assert helpers.bulk(es, ({"_index": "scrolled", "_source": r} for r in records))[0] == len(records)

    with Elasticsearch(lake.url, api_key=TOKEN) as es:
        put(es, RECORDS)
        first = es.search(index="scrolled", scroll="5m", size=900, sort=[{"n": "asc"}])
        # What comes meanwhile may be seen or not, but moves nothing.
        put(es, [{**RECORDS[5], "n": n} for n in (-1, 5_000)])
    lake.kill9()
    lake.start()
    with Elasticsearch(lake.url, api_key=TOKEN) as es:
        seen, scroll = numbers(first), first["_scroll_id"]
        while True:
            page = es.scroll(scroll_id=scroll, scroll="5m")
            if not page["hits"]["hits"]:
                break
            seen += numbers(page)
            scroll = page["_scroll_id"]
        assert [n for n in seen if 0 <= n < COUNT] == list(range(COUNT))
        assert es.clear_scroll(scroll_id=scroll)["succeeded"]


def test_several_searches_in_one_request(es):
    answer = es.msearch(
        index="logs",
        searches=[
            {}, {"size": 0, "query": {"term": {"level": "ERROR"}}},
            {"index": "nowhere"}, {"size": 0},
            {}, {"query": {"nonsense": {}}},
        ],
    )  # fmt: skip
    first, missing, nonsense = answer["responses"]
    assert first["hits"]["total"]["value"] == COUNT // 5 and first["status"] == 200
    assert missing["status"] == 404 and missing["error"]["type"] == "index_not_found_exception"
    assert nonsense["status"] == 400 and "nonsense" in nonsense["error"]["reason"]


def test_an_asynchronous_search_is_there_at_once(es):
    answer = es.async_search.submit(index="logs", size=1, wait_for_completion_timeout="1s")
    assert answer["is_running"] is False and answer["response"]["hits"]["total"]["value"] >= COUNT
    with pytest.raises(NotFoundError):
        es.async_search.get(id="nothing")


def test_bulk_helpers(es):
    documents = [{"_index": "helpers", "n": n, "message": f"m{n}"} for n in range(1_000)]
    done = list(helpers.streaming_bulk(es, documents, chunk_size=170))
    assert len(done) == 1_000 and all(ok for ok, _ in done)
    done = list(helpers.parallel_bulk(es, documents, chunk_size=170, thread_count=3))
    assert len(done) == 1_000 and all(ok for ok, _ in done)
    assert es.count(index="helpers")["count"] == 2_000
    assert es.search(index="helpers", size=0, aggs={"n": {"cardinality": {"field": "n"}}})["aggregations"]["n"]["value"] == 1_000


def test_opensearch_py(lake):
    opensearchpy = pytest.importorskip("opensearchpy")
    client = opensearchpy.OpenSearch(lake.url, headers={"Authorization": f"Bearer {TOKEN}"}, http_compress=True)
    assert client.info()["version"]["number"]
    assert client.indices.create(index="opensearch")["acknowledged"]
    documents = [{"_index": "opensearch", "_id": str(n), "n": n, "message": f"os {n}"} for n in range(300)]
    assert opensearchpy.helpers.bulk(client, documents) == (300, [])
    answer = client.search(index="opensearch", body={"query": {"match": {"message": "os"}}, "size": 2, "sort": [{"n": "desc"}]})
    assert answer["hits"]["total"]["value"] == 300 and numbers(answer) == [299, 298]
    scanned = [hit["_source"]["n"] for hit in opensearchpy.helpers.scan(client, index="opensearch", size=70)]
    assert sorted(scanned) == list(range(300))
    pit = client.create_pit(index="opensearch", params={"keep_alive": "1m"})["pit_id"]
    page = client.search(body={"pit": {"id": pit}, "size": 1, "sort": [{"n": "asc"}]})
    assert numbers(page) == [0]
    assert client.delete_pit(body={"pit_id": [pit]})["pits"][0]["successful"]
    client.close()


# Tools.


def parsed(lake, body: bytes, path="/_msearch?max_concurrent_shard_requests=5") -> list[dict]:
    answer = lake.client.post(path, body, {"Content-Type": "application/x-ndjson"})
    assert answer.status == 200, answer.body[:2000]
    for response in answer.json()["responses"]:
        assert response.get("status") == 200, response
    return answer.json()["responses"]


def test_grafana_draws_graphs(lake):
    histogram, metrics = parsed(lake, requests.lines(requests.grafana_histogram(), requests.grafana_metrics()))
    inside = RECORDS[:TWO_HOURS]
    levels = histogram["aggregations"]["3"]["buckets"]
    assert [b["key"] for b in levels] == ["WARN", "INFO", "ERROR"]
    for level in levels:
        dates = level["2"]["buckets"]
        # Two hours of ten minutes, both ends included; the empty ones too.
        assert [b["key"] for b in dates] == [requests.FROM + i * 600_000 for i in range(13)]
        assert dates[0]["key_as_string"] == str(requests.FROM)
        assert sum(b["doc_count"] for b in dates) == sum(r["level"] == level["key"] for r in inside)
    services = metrics["aggregations"]["4"]["buckets"]
    averages = [b["1"]["value"] for b in services]
    assert len(services) == 3 and averages == sorted(averages, reverse=True)
    first = services[0]["2"]["buckets"][0]
    assert first["5"]["values"].keys() == {"25.0", "50.0", "95.0"} and first["6"]["value"] > 0


def test_grafana_shows_lines_and_values(lake):
    lines, values = parsed(lake, requests.lines(requests.grafana_logs("service:auth AND user"), requests.grafana_values()))
    hits = lines["hits"]["hits"]
    expected = [r["n"] for r in RECORDS[:TWO_HOURS] if r["service"] == "auth"]
    assert numbers(lines) == expected[::-1][:50]
    assert "@HIGHLIGHT@user@/HIGHLIGHT@" in hits[0]["highlight"]["message"][0]
    assert hits[0]["fields"]["n"] == [expected[-1]]
    assert len(hits[0]["sort"]) == 2
    assert [b["key"] for b in values["aggregations"]["1"]["buckets"]] == sorted(SERVICES)
    (mapping,) = lake.client.request("GET", "/logs/_mapping").json().values()
    assert mapping["mappings"]["properties"]["@timestamp"]["type"].startswith("date")


def test_discover_shows_documents_and_bars(lake):
    path = "/logs/_async_search?batched_reduce_size=64&ccs_minimize_roundtrips=true&wait_for_completion_timeout=200ms&keep_on_completion=false&keep_alive=60000ms&ignore_unavailable=true&preference=1&track_total_hits=true&request_cache=true&rest_total_hits_as_int=true&enable_fields_emulation=true"

    def asked(body: dict) -> dict:
        answer = lake.client.post(path.replace("track_total_hits=true&", ""), json.dumps(body).encode(), {"Content-Type": "application/json"})
        assert answer.status == 200, answer.body[:2000]
        return answer.json()["response"]

    table = asked(requests.discover_table("took"))
    hits = table["hits"]["hits"]
    inside = RECORDS[:TWO_HOURS]
    assert len(hits) == 500 and "_source" not in hits[0]
    newest = inside[-1]
    assert hits[0]["fields"]["n"] == [newest["n"]]
    assert hits[0]["fields"]["http.status"] == [newest["http"]["status"]]
    assert hits[0]["fields"]["@timestamp"][0].startswith(newest["@timestamp"][:23])
    assert hits[0]["sort"][0].startswith(newest["@timestamp"][:23])
    assert "@kibana-highlighted-field@took@/kibana-highlighted-field@" in hits[0]["highlight"]["message"][0]
    bars = asked(requests.discover_chart())
    assert bars["hits"]["total"] == len(inside)
    assert sum(b["doc_count"] for b in bars["aggregations"]["0"]["buckets"]) == len(inside)
    filtered = asked(requests.discover_with_filters())
    expected = [r for r in inside if r["level"] == "ERROR" and r["service"] in ("checkout", "search") and "trace_id" in r and r["region"] != "ap-south-1"]
    assert [hit["fields"]["n"][0] for hit in filtered["hits"]["hits"]] == [r["n"] for r in expected[::-1]]
    values = asked(requests.field_values())
    assert [b["key"] for b in values["aggregations"]["suggestions"]["buckets"]] == ["checkout"]
    caps = lake.client.request("GET", "/logs/_field_caps?fields=*&ignore_unavailable=true&allow_no_indices=false&expand_wildcards=open&filters=-parent")
    assert caps.json()["fields"]["@timestamp"]["date_nanos"]["aggregatable"]


def java_libraries() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    pom = (HERE / "elasticsearch_java" / "pom.xml").read_text()
    version = pom.split("<version>")[2].split("<")[0]
    folder = pathlib.Path(base) / "loglake" / "elasticsearch-java" / version
    if not list(folder.glob("elasticsearch-java-*.jar")):
        if not shutil.which("mvn"):
            pytest.skip("Maven is needed to fetch the Java client")
        subprocess.run(
            ["mvn", "-q", "-f", str(HERE / "elasticsearch_java" / "pom.xml"), "dependency:copy-dependencies",
             "-DincludeScope=runtime", f"-DoutputDirectory={folder}"],
            check=True,
        )  # fmt: skip
    return folder


def test_the_java_client(lake):
    if not shutil.which("java"):
        pytest.skip("no Java")
    done = subprocess.run(
        ["java", "-cp", f"{java_libraries()}/*", str(HERE / "elasticsearch_java" / "ElasticsearchTest.java"), lake.url, TOKEN],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lines = done.stdout.splitlines()
    thirds = [[n for n in range(100) if n % 3 == k] for k in range(3)]
    assert [line for line in lines if not line.startswith("version")] == [
        "health green",
        "exists false",
        "created true",
        "exists true",
        "bulk 100 false",
        "refreshed 0",
        "count 100",
        "mapping long",
        "caps [keyword]",
        "total 10",
        "hits 0,10,20",
        "document line 7 of java",
        "missing false",
        *(f"service s{k} {len(third)} {sum(third) / len(third)}" for k, third in enumerate(thirds)),
        "hour 2026-11-01T00:00:00.000Z 50",
        "hour 2026-11-01T01:00:00.000Z 50",
        "max 99.0",
        "paged 100",
        "closed true",
        "mistake 404 index_not_found_exception",
    ]


def test_rsyslog_writes(lake, tmp_path):
    if not (found := rsyslog.with_module("omelasticsearch")):
        pytest.skip("rsyslog with omelasticsearch is not installed (LOGLAKE_RSYSLOG_ROOT)")
    daemon, modules = found
    source, config = tmp_path / "in.log", tmp_path / "rsyslog.conf"
    source.write_text("".join(f'line {n} "quoted"\n' for n in range(100)))
    host, port = lake.url.removeprefix("http://").split(":")
    config.write_text(
        f'global(workDirectory="{tmp_path}")\n'
        'module(load="imfile")\nmodule(load="omelasticsearch")\n'
        f'input(type="imfile" File="{source}" Tag="app:")\n'
        'template(name="document" type="list" option.json="on") {\n'
        '  constant(value="{\\"@timestamp\\":\\"") property(name="timereported" dateFormat="rfc3339")\n'
        '  constant(value="\\",\\"host\\":\\"") property(name="hostname")\n'
        '  constant(value="\\",\\"message\\":\\"") property(name="msg")\n'
        '  constant(value="\\"}\\n")\n}\n'
        f'action(type="omelasticsearch" server="{host}" serverport="{port}" searchIndex="rsyslog" searchType=""\n'
        f'       uid="any" pwd="{TOKEN}" bulkmode="on" template="document" errorfile="{tmp_path}/errors"\n'
        '       action.resumeRetryCount="-1")\n'
    )
    command = [daemon, "-n", "-f", config, "-i", tmp_path / "pid", "-M", modules]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            there = lambda: lake.client.try_sql("SELECT 1 FROM rsyslog").status == 200  # noqa: E731
            until(there, "the table", 30)
            until(lambda: lake.client.value("SELECT count(*) FROM rsyslog") == 100, "100 rows", 30)
        finally:
            process.terminate()
    errors = tmp_path / "errors"
    assert not errors.exists() or not errors.read_text()
    assert lake.client.value("SELECT count(*) FROM rsyslog WHERE message LIKE '%line 42 \"quoted\"%'") == 1
