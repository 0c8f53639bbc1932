-- Which tools, and which other HTTP services, did turns work on?
--
-- One row per tool or service called. Attempts of calls to models are not among them.
-- @reads  spans, llm_model_spans
-- @column kind VARCHAR       tool or http
-- @column name VARCHAR       the tool, or the host and port; '' where unknown
-- @column calls BIGINT       calls
-- @column wall_s DOUBLE      seconds of all of them
-- @column mean_s DOUBLE      seconds of one, on average
WITH models AS (
  SELECT DISTINCT trace_id AS model_trace, span_id AS model_span FROM llm_model_spans
), calls AS (
  SELECT
    CASE WHEN tool IS NOT NULL THEN 'tool' ELSE 'http' END AS kind,
    CASE
      WHEN tool IS NOT NULL THEN tool
      WHEN attrs['server.port'] IS NULL THEN COALESCE(attrs['server.address'], '')
      ELSE concat(COALESCE(attrs['server.address'], ''), ':', attrs['server.port'])
    END AS name,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s
  FROM spans
  LEFT JOIN models ON model_trace = trace_id AND model_span = parent_id
  WHERE tool IS NOT NULL
    OR (kind = 'CLIENT' AND http_method IS NOT NULL AND operation IS NULL AND model IS NULL
      AND db_system IS NULL AND model_span IS NULL)
)
SELECT kind, name, COUNT(*) AS calls, SUM(duration_s) AS wall_s, AVG(duration_s) AS mean_s
FROM calls
GROUP BY kind, name
ORDER BY wall_s DESC, kind, name
