-- How long do database statements take?
--
-- One row per system and statement summary.
-- @reads  spans
-- @column db_system VARCHAR    database
-- @column summary VARCHAR      operation and table, '' where unknown
-- @column queries BIGINT       statements
-- @column wall_s DOUBLE        seconds of all of them
-- @column mean_s DOUBLE        seconds of one, on average
-- @column max_s DOUBLE         the longest
SELECT
  db_system,
  COALESCE(db_summary, '') AS summary,
  COUNT(*) AS queries,
  CAST(SUM(end_ns - start_ns) AS DOUBLE) / 1e9 AS wall_s,
  AVG(CAST(end_ns - start_ns AS DOUBLE)) / 1e9 AS mean_s,
  CAST(MAX(end_ns - start_ns) AS DOUBLE) / 1e9 AS max_s
FROM spans
WHERE db_system IS NOT NULL
GROUP BY db_system, COALESCE(db_summary, '')
ORDER BY wall_s DESC, db_system, summary
