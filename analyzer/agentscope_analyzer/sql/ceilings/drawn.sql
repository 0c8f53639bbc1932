-- By how much did requests run ahead of what a quota refills?
--
-- One row: the most by which what was let in exceeded what was refilled since any earlier request. A
-- bucket that was full then has had as much less in it.
-- @reads  llm_attempts, llm_inferences
-- @param  provider VARCHAR           provider
-- @param  model VARCHAR              model
-- @param  every_model INTEGER = 0    1: whatever the provider and model
-- @param  by_attempts INTEGER = 1    1: HTTP attempts count; 0: calls do, where attempts were not recorded
-- @param  per_second DOUBLE = 2.5    requests that are refilled in a second
-- @column most_drawn DOUBLE          requests; 0 where there were none
WITH sent AS (
  SELECT start_ns, call_id
  FROM llm_attempts
  WHERE $by_attempts = 1 AND NOT rate_limited AND NOT billed
    AND ($every_model = 1 OR (provider = $provider AND model = $model))
  UNION ALL
  SELECT start_ns, span_id AS call_id
  FROM llm_inferences
  WHERE $by_attempts = 0 AND billing_code IS NULL
    AND ($every_model = 1 OR (provider = $provider AND model = $model))
), numbered AS (
  SELECT
    start_ns,
    call_id,
    CAST(ROW_NUMBER() OVER (ORDER BY start_ns, call_id) AS DOUBLE)
      - $per_second * CAST(start_ns - MIN(start_ns) OVER () AS DOUBLE) / 1e9 AS ahead
  FROM sent
), since AS (
  SELECT
    ahead - MIN(ahead) OVER (
      ORDER BY start_ns, call_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) + 1 AS drawn
  FROM numbered
)
SELECT COALESCE(MAX(drawn), 0e0) AS most_drawn FROM since
