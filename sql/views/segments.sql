-- The segments of the write-ahead log that are in the bucket: rows that are durable and wait for
-- the commit of the last table they belong to.
SELECT writer, segment, bytes
FROM lake_facts.segments
