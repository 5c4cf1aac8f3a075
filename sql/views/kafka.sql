-- The partitions of Kafka that come into this lake: `committed_offset` is what the tables' newest versions
-- count, by any process; the rest is of the process that answers, and `state` is elsewhere for partitions
-- that it does not consume. All records before `next_offset` are durable and can be queried; `lag` is how
-- many are left; `missed` ones were removed from Kafka before they were read.
SELECT
    split_part(k.queue, '/', 2) AS cluster,
    split_part(k.queue, '/', 3) AS topic,
    CAST(split_part(k.queue, '/', 4) AS BIGINT) AS partition,
    q.table_name,
    coalesce(q.state, 'elsewhere') AS state,
    q.writer,
    c.committed_offset,
    q.next_offset,
    q.end_offset,
    CASE
        WHEN q.end_offset >= q.next_offset THEN q.end_offset - q.next_offset
        WHEN q.end_offset < q.next_offset THEN 0
    END AS lag,
    q.records,
    q.records_per_second,
    q.dead_letters,
    q.missed,
    q.buffered_bytes,
    q.error
FROM (
    SELECT queue FROM lake_facts.offsets
    UNION
    SELECT queue FROM lake_facts.queues
) AS k
LEFT JOIN (
    SELECT queue, max(next_offset) AS committed_offset FROM lake_facts.offsets GROUP BY queue
) AS c ON c.queue = k.queue
LEFT JOIN lake_facts.queues AS q ON q.queue = k.queue
WHERE k.queue LIKE 'kafka/%'
