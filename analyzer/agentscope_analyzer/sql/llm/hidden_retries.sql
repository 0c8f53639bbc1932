-- How long may retries have taken that hide inside calls without recorded attempts?
--
-- One row: an estimate with bounds. A call is compared with those of its like that were sent once, as
-- far as spans say: with their median, for the bounds with their 5th and 95th percentile. Where there
-- are fewer than ten of them, a call that was sent again may be retries from end to end. A refusal
-- that only a metric counted may be in any call, so the most it can have taken is the longest excess.
-- @reads  llm_unseen
-- @param  refusals BIGINT = 0     refusals that metrics counted and spans do not show
-- @column calls BIGINT            calls without recorded attempts
-- @column resent_calls BIGINT     of those, calls that say that they were sent again
-- @column retries BIGINT          how often that was
-- @column resent_s DOUBLE         excess of those calls over the median of their like; NULL: none known
-- @column resent_low_s DOUBLE     excess over the 95th percentile
-- @column resent_high_s DOUBLE    excess over the 5th percentile
-- @column refused_high_s DOUBLE   the longest excesses over the 5th percentile, one for each refusal
WITH once AS (
  SELECT
    provider, model, streamed, size, duration_s,
    ROW_NUMBER() OVER (PARTITION BY provider, model, streamed, size ORDER BY duration_s) - 1 AS i,
    COUNT(*) OVER (PARTITION BY provider, model, streamed, size) - 1 AS last_i
  FROM llm_unseen
  WHERE resent = 0
), likes AS (
  SELECT
    provider,
    model,
    streamed,
    size,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.05e0 * last_i))) AS p05_s,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS p50_s,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s
  FROM once
  GROUP BY provider, model, streamed, size
  HAVING COUNT(*) >= 10
), compared AS (
  SELECT
    u.resent AS resent,
    CASE WHEN l.p50_s IS NOT NULL THEN GREATEST(0e0, u.duration_s - l.p50_s) END AS excess_s,
    GREATEST(0e0, u.duration_s - COALESCE(l.p95_s, u.duration_s)) AS excess_low_s,
    GREATEST(0e0, u.duration_s - COALESCE(l.p05_s, 0e0)) AS excess_high_s
  FROM llm_unseen AS u
  LEFT JOIN likes AS l
    ON l.provider = u.provider AND l.model = u.model AND l.streamed = u.streamed AND l.size = u.size
), placed AS (
  SELECT *, ROW_NUMBER() OVER (ORDER BY excess_high_s DESC) AS place FROM compared
)
SELECT
  COUNT(*) AS calls,
  COUNT(*) FILTER (WHERE resent > 0) AS resent_calls,
  CAST(COALESCE(SUM(resent), 0) AS BIGINT) AS retries,
  CASE WHEN COUNT(*) FILTER (WHERE resent > 0 AND excess_s IS NULL) = 0
    THEN COALESCE(SUM(CASE WHEN resent > 0 THEN excess_s END), 0e0) END AS resent_s,
  COALESCE(SUM(CASE WHEN resent > 0 THEN excess_low_s END), 0e0) AS resent_low_s,
  COALESCE(SUM(CASE WHEN resent > 0 THEN excess_high_s END), 0e0) AS resent_high_s,
  COALESCE(SUM(CASE WHEN place <= $refusals THEN excess_high_s END), 0e0) AS refused_high_s
FROM placed
