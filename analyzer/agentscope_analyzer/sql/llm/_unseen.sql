-- Calls that succeeded and whose HTTP attempts nobody recorded: retries may hide inside them.
--
-- Calls are alike that went to the same model, streamed or not, and wrote the same number of tokens
-- but for a factor of two. Load is how many calls of the model were in flight when one began.
-- @reads  llm_inferences, llm_tries
-- @column provider VARCHAR       provider, '' where unknown
-- @column model VARCHAR          model, '' where unknown
-- @column streamed BOOLEAN       the answer was streamed
-- @column size INTEGER           halvings of its output tokens to one, -1 where they are unknown
-- @column resent BIGINT          how often it was sent again, 0 where its span does not say that it was
-- @column duration_s DOUBLE      how long it took
-- @column in_flight BIGINT       calls of the model in flight when it began, itself included
-- @column part INTEGER           1 for the third of its like under least load, 3 for that under most
WITH tried AS (
  SELECT
    i.trace_id AS trace_id,
    i.span_id AS span_id,
    i.provider AS provider,
    i.model AS model,
    i.start_ns AS start_ns,
    i.end_ns AS end_ns,
    COALESCE(i.streamed, FALSE) AS streamed,
    i.output_tokens AS output_tokens,
    t.attempts AS attempts,
    t.seen = 0 AND NOT i.failed AS is_unseen
  FROM llm_inferences AS i
  JOIN llm_tries AS t ON t.trace_id = i.trace_id AND t.span_id = i.span_id
), numbered AS (    -- of a model all of whose attempts were recorded nothing is asked
  SELECT *, ROW_NUMBER() OVER (ORDER BY trace_id, span_id) AS number
  FROM tried AS t
  WHERE EXISTS (SELECT 1 FROM tried AS u WHERE u.is_unseen AND u.provider = t.provider AND u.model = t.model)
), steps AS (
  SELECT number, provider, model, start_ns AS at_ns, 1 AS step FROM numbered
  UNION ALL
  SELECT number, provider, model, end_ns AS at_ns, -1 AS step FROM numbered
), flight AS (
  SELECT
    number,
    step,
    SUM(step) OVER (
      PARTITION BY provider, model ORDER BY at_ns, step, number
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS in_flight
  FROM steps
), unseen AS (
  SELECT
    n.number AS number,
    n.provider AS provider,
    n.model AS model,
    n.streamed AS streamed,
    CAST(CASE WHEN n.output_tokens > 0 THEN floor(log2(CAST(n.output_tokens AS DOUBLE))) ELSE -1 END
      AS INTEGER) AS size,
    COALESCE(n.attempts - 1, 0) AS resent,
    CAST(n.end_ns - n.start_ns AS DOUBLE) / 1e9 AS duration_s,
    CAST(f.in_flight AS BIGINT) AS in_flight
  FROM numbered AS n
  JOIN flight AS f ON f.number = n.number AND f.step = 1
  WHERE n.is_unseen
), ranked AS (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY provider, model, streamed, size ORDER BY in_flight, number
    ) - 1 AS i,
    COUNT(*) OVER (PARTITION BY provider, model, streamed, size) AS n
  FROM unseen
)
SELECT
  provider,
  model,
  streamed,
  size,
  resent,
  duration_s,
  in_flight,
  CASE WHEN 3 * i < n THEN 1 WHEN 3 * i < 2 * n THEN 2 ELSE 3 END AS part
FROM ranked
