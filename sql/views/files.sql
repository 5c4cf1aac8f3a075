-- The data files of every table at its newest version, with the range of time each covers (bounds
-- may be up to a millisecond wide of the rows).
SELECT table_name, partition, path, rows, bytes, min_time, max_time, modified
FROM lake_facts.files
