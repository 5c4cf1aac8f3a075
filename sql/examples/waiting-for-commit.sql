-- Segments that wait for their commit, by writer: durable, visible to queries, not yet in files.
SELECT writer, state, started, segments, bytes
FROM lake.writers
ORDER BY bytes DESC
