-- The partitions of every table: how many files each has and how big they are on average. Many
-- small files in an old partition wait for compaction.
SELECT
    table_name,
    partition,
    count(*) AS files,
    sum(rows) AS rows,
    sum(bytes) AS bytes,
    sum(bytes) / count(*) AS bytes_per_file,
    min(min_time) AS min_time,
    max(max_time) AS max_time
FROM lake_facts.files
GROUP BY table_name, partition
