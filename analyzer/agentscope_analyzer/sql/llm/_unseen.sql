-- Calls that succeeded and whose HTTP attempts nobody recorded: retries may hide inside them.
--
-- Calls are alike that went to the same model, streamed or not, and wrote the same number of tokens
-- but for a factor of two. Load is how many calls of the model were in flight when one began.
-- @reads  llm_tries
-- @column provider VARCHAR       provider, '' where unknown
-- @column model VARCHAR          model, '' where unknown
-- @column streamed BOOLEAN       the answer was streamed
-- @column size INTEGER           halvings of its output tokens to one, -1 where they are unknown
-- @column resent BIGINT          how often it was sent again, 0 where its span does not say that it was
-- @column duration_s DOUBLE      how long it took
-- @column in_flight BIGINT       calls of the model in flight when it began, itself included
-- @column part INTEGER           1 for the third of its like under least load, 3 for that under most
WITH models AS (     -- of a model all of whose attempts were recorded nothing is asked
  SELECT provider, model, ROW_NUMBER() OVER (ORDER BY provider, model) AS of_model
  FROM llm_tries
  WHERE seen = 0 AND succeeded
  GROUP BY provider, model
), numbered AS (    -- from here on a call and its model are numbers: ids are long to sort by
  SELECT
    m.of_model AS of_model,
    ROW_NUMBER() OVER (ORDER BY t.trace_id, t.span_id) AS number,
    t.start_ns AS start_ns,
    t.end_ns AS end_ns,
    t.streamed AS streamed,
    CAST(CASE WHEN t.output_tokens > 0 THEN floor(log2(CAST(t.output_tokens AS DOUBLE))) ELSE -1 END
      AS INTEGER) AS size,
    COALESCE(t.attempts - 1, 0) AS resent,
    t.seen = 0 AND t.succeeded AS is_unseen
  FROM llm_tries AS t
  JOIN models AS m ON m.provider = t.provider AND m.model = t.model
), steps AS (
  SELECT of_model, number, start_ns AS at_ns, 1 AS step FROM numbered
  UNION ALL
  SELECT of_model, number, end_ns AS at_ns, -1 AS step FROM numbered
), flight AS (
  SELECT
    number,
    step,
    SUM(step) OVER (
      PARTITION BY of_model ORDER BY at_ns, step, number
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS in_flight
  FROM steps
), unseen AS (
  SELECT
    n.of_model AS of_model,
    n.number AS number,
    n.streamed AS streamed,
    n.size AS size,
    n.resent AS resent,
    n.end_ns - n.start_ns AS ns,
    CAST(f.in_flight AS BIGINT) AS in_flight
  FROM numbered AS n
  JOIN flight AS f ON f.number = n.number
  WHERE n.is_unseen AND f.step = 1
), ranked AS (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY of_model, streamed, size ORDER BY in_flight, number
    ) - 1 AS i,
    COUNT(*) OVER (PARTITION BY of_model, streamed, size) AS n
  FROM unseen
)
SELECT
  m.provider AS provider,
  m.model AS model,
  r.streamed AS streamed,
  r.size AS size,
  r.resent AS resent,
  CAST(r.ns AS DOUBLE) / 1e9 AS duration_s,
  r.in_flight AS in_flight,
  CASE WHEN 3 * r.i < r.n THEN 1 WHEN 3 * r.i < 2 * r.n THEN 2 ELSE 3 END AS part
FROM ranked AS r
JOIN models AS m ON m.of_model = r.of_model
