-- How were the HTTP attempts of model calls answered?
--
-- One row per status.
-- @reads  llm_attempts
-- @column http_status INTEGER    status; NULL where no answer came
-- @column attempts BIGINT        attempts answered so
-- @column failed BIGINT          of these, attempts that failed, refusals by a rate limit left out
-- @column wall_s DOUBLE          seconds that they took
SELECT
  http_status,
  COUNT(*) AS attempts,
  COUNT(*) FILTER (WHERE failed AND NOT rate_limited) AS failed,
  CAST(SUM(end_ns - start_ns) AS DOUBLE) / 1e9 AS wall_s
FROM llm_attempts
GROUP BY http_status
ORDER BY http_status
