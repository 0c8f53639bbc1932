-- How often each call of a model was sent.
--
-- One row per call. Where no HTTP attempt was recorded the call's own span may still say how often it
-- was sent again; refusals and back-off are unknown then.
-- @reads  llm_inferences, llm_attempts
-- @column trace_id VARCHAR       trace
-- @column span_id VARCHAR        span of the call
-- @column provider VARCHAR       the call's provider
-- @column model VARCHAR          its model
-- @column start_ns BIGINT        its start
-- @column end_ns BIGINT          its end
-- @column streamed BOOLEAN       the answer is known to be streamed
-- @column output_tokens BIGINT   tokens written
-- @column succeeded BOOLEAN      the call did not fail
-- @column attempts BIGINT        HTTP attempts; NULL where nothing says how many
-- @column seen BIGINT            of those, attempts that were recorded
-- @column pooled BIGINT          of those, attempts whose wait for a connection would be seen
-- @column rate_limited BIGINT    of those, attempts answered 429 or 529, but for billing
-- @column billed BIGINT          of those, attempts refused for billing
-- @column failed BIGINT          of those, attempts that failed in any way
-- @column backoff_s DOUBLE       seconds between a failed attempt and the next
WITH tried AS (
  SELECT
    trace_id,
    call_id,
    COUNT(*) AS seen,
    COUNT(*) FILTER (WHERE pooled) AS pooled,
    COUNT(*) FILTER (WHERE rate_limited) AS rate_limited,
    COUNT(*) FILTER (WHERE billed) AS billed,
    COUNT(*) FILTER (WHERE failed) AS failed,
    SUM(backoff_s) AS backoff_s
  FROM llm_attempts
  GROUP BY trace_id, call_id
)
SELECT
  i.trace_id AS trace_id,
  i.span_id AS span_id,
  i.provider AS provider,
  i.model AS model,
  i.start_ns AS start_ns,
  i.end_ns AS end_ns,
  COALESCE(i.streamed, FALSE) AS streamed,
  i.output_tokens AS output_tokens,
  NOT i.failed AS succeeded,
  COALESCE(t.seen, CAST(i.resend_count AS BIGINT) + 1) AS attempts,
  COALESCE(t.seen, 0) AS seen,
  COALESCE(t.pooled, 0) AS pooled,
  COALESCE(t.rate_limited, 0) AS rate_limited,
  COALESCE(t.billed, 0) AS billed,
  COALESCE(t.failed, 0) AS failed,
  COALESCE(t.backoff_s, 0e0) AS backoff_s
FROM llm_inferences AS i
LEFT JOIN tried AS t ON t.trace_id = i.trace_id AND t.call_id = i.span_id
