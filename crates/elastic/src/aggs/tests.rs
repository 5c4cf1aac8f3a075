//! Aggregations over a table in memory, with answers checked by hand.
