-- What had a model's server let in whenever it refused an attempt with 429?
--
-- One row per stretch of time in which it refused: the first refusal there. What was let in is added up
-- from the first attempt of the run on, tokens as the call says its usage, or as the others of its model
-- do on average. What was refused for billing never came to the quota, and 529 says that the server is
-- overloaded: neither is let in nor refused.
-- @reads  llm_attempts, llm_inferences
-- @param  provider VARCHAR        provider
-- @param  model VARCHAR           model
-- @param  bin_ns BIGINT = 1000000000   length of such a stretch
-- @column at_ns BIGINT            start of the attempt that was refused
-- @column requests BIGINT         attempts let in before
-- @column with_usage BIGINT       of these, attempts of calls that say their usage
-- @column input_tokens DOUBLE     tokens read by them, cached ones included
-- @column output_tokens DOUBLE    tokens written by them
WITH tried AS (
  SELECT
    a.start_ns AS start_ns,
    a.call_id AS call_id,
    a.http_status = 429 AS refused,
    i.input_tokens IS NOT NULL AND i.output_tokens IS NOT NULL AS told,
    COALESCE(CAST(i.input_tokens AS DOUBLE), AVG(i.input_tokens) OVER (), 0e0) AS input_tokens,
    COALESCE(CAST(i.output_tokens AS DOUBLE), AVG(i.output_tokens) OVER (), 0e0) AS output_tokens
  FROM llm_attempts AS a
  JOIN llm_inferences AS i ON i.trace_id = a.trace_id AND i.span_id = a.call_id
  WHERE a.provider = $provider AND a.model = $model
    AND a.http_status IS NOT NULL AND a.http_status <> 529 AND NOT a.billed
), counted AS (
  SELECT
    start_ns,
    call_id,
    refused,
    SUM(CASE WHEN refused THEN 0 ELSE 1 END) OVER so_far AS requests,
    SUM(CASE WHEN told AND NOT refused THEN 1 ELSE 0 END) OVER so_far AS with_usage,
    SUM(CASE WHEN refused THEN 0e0 ELSE input_tokens END) OVER so_far AS input_tokens,
    SUM(CASE WHEN refused THEN 0e0 ELSE output_tokens END) OVER so_far AS output_tokens
  FROM tried
  WINDOW so_far AS (ORDER BY start_ns, call_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
), placed AS (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY CAST(floor(CAST(start_ns AS DOUBLE) / $bin_ns) AS BIGINT) ORDER BY start_ns, call_id
    ) AS place
  FROM counted
  WHERE refused
)
SELECT
  start_ns AS at_ns,
  CAST(requests AS BIGINT) AS requests,
  CAST(with_usage AS BIGINT) AS with_usage,
  input_tokens,
  output_tokens
FROM placed
WHERE place = 1
ORDER BY at_ns
