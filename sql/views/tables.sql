-- The tables: their committed files, rows, bytes and range of time. Rows that wait in segments or
-- in memory for their commit are not counted here; queries over the table return them.
SELECT
    t.table_name,
    t.version,
    t.partition_by,
    count(f.path) AS files,
    coalesce(sum(f.rows), 0) AS rows,
    coalesce(sum(f.bytes), 0) AS bytes,
    min(f.min_time) AS min_time,
    max(f.max_time) AS max_time,
    t.path,
    t.table_id
FROM lake_facts.tables AS t
LEFT JOIN lake_facts.files AS f ON f.table_name = t.table_name
GROUP BY t.table_name, t.version, t.partition_by, t.path, t.table_id
