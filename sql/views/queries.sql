-- The queries of this tenant that run in this process and the last ones that ended.
SELECT query, started, state, rows, elapsed_ms, peak_memory_bytes, error, sql
FROM lake_facts.queries
