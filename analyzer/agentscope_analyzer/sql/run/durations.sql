-- Do durations pile up at one value, as time-outs make them?
--
-- One row per sort of work and duration, in bins that are 1 % wide; bin -1 is all that took less than a
-- second. Cut short is what got no answer or was told that it took too long: a status of 408, 499, 504
-- or 524, an error called a time-out, an outcome of cancelled or abandoned, or, of a request of the load
-- generator, no status at all. Requests are those of turns, or all if none carries a turn number.
-- @reads  spans, load
-- @column sort VARCHAR        request, turn, call, query or http
-- @column bin BIGINT          hundred times the logarithm of a duration in seconds, rounded down
-- @column n BIGINT            how many
-- @column cut BIGINT          of those, cut short
-- @column least_s DOUBLE      the shortest of those cut short
-- @column most_s DOUBLE       the longest of those cut short
WITH numbered AS (
  SELECT COUNT(turn) AS n FROM load
), spent AS (
  SELECT
    CASE
      WHEN is_turn THEN 'turn'
      WHEN db_system IS NOT NULL THEN 'query'
      WHEN operation IN ('chat', 'text_completion', 'generate_content', 'embeddings') THEN 'call'
      WHEN operation IS NULL AND model IS NOT NULL THEN 'call'
      WHEN http_method IS NOT NULL THEN 'http'
    END AS sort,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s,
    COALESCE(http_status IN (408, 499, 504, 524), FALSE)
      OR COALESCE(outcome IN ('cancelled', 'abandoned'), FALSE)
      OR COALESCE(LOWER(error_type) LIKE '%timeout%' OR LOWER(error_type) LIKE '%cancelled%', FALSE) AS cut
  FROM spans
  WHERE is_turn OR (kind = 'CLIENT' AND wait_kind IS NULL)
    AND COALESCE(outcome, '') <> 'open'
  UNION ALL
  SELECT
    'request' AS sort,
    duration_s,
    COALESCE(status, 0) IN (0, 408, 499, 504, 524) AND COALESCE(error, '') NOT IN ('', 'unfinished') AS cut
  FROM load
  CROSS JOIN numbered
  WHERE duration_s BETWEEN 0 AND 1e7 AND (numbered.n = 0 OR turn IS NOT NULL)
), binned AS (
  SELECT
    sort,
    CASE WHEN duration_s < 1 THEN -1 ELSE CAST(floor(LN(duration_s) / 0.01e0) AS BIGINT) END AS bin,
    duration_s,
    cut
  FROM spent
  WHERE sort IS NOT NULL AND duration_s IS NOT NULL
)
SELECT
  sort,
  bin,
  COUNT(*) AS n,
  COUNT(*) FILTER (WHERE cut) AS cut,
  MIN(CASE WHEN cut THEN duration_s END) AS least_s,
  MAX(CASE WHEN cut THEN duration_s END) AS most_s
FROM binned
GROUP BY sort, bin
ORDER BY sort, bin
