-- Which tools, and which other HTTP services, did turns work on?
--
-- One row per tool or service called. Attempts of calls to models are not among them.
-- @reads  spans, llm_model_spans
-- @column kind VARCHAR       tool or http
-- @column name VARCHAR       the tool, or the host and port; '' where unknown
-- @column calls BIGINT       calls
-- @column wall_s DOUBLE      seconds of all of them
-- @column mean_s DOUBLE      seconds of one, on average
WITH calls AS (
  SELECT 'tool' AS kind, tool AS name, CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s
  FROM spans
  WHERE tool IS NOT NULL
  UNION ALL
  SELECT
    'http' AS kind,
    CASE
      WHEN server_port IS NULL THEN COALESCE(server_address, '')
      ELSE concat(COALESCE(server_address, ''), ':', server_port)
    END AS name,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s
  FROM spans
  WHERE kind = 'CLIENT' AND http_method IS NOT NULL AND operation IS NULL AND model IS NULL
    AND db_system IS NULL AND tool IS NULL
    AND NOT EXISTS (
      SELECT 1 FROM llm_model_spans AS m
      WHERE m.trace_id = spans.trace_id AND m.span_id = spans.parent_id
    )
)
SELECT kind, name, COUNT(*) AS calls, SUM(duration_s) AS wall_s, AVG(duration_s) AS mean_s
FROM calls
GROUP BY kind, name
ORDER BY wall_s DESC, kind, name
