-- How many attempts of model calls were sent and how many refused, over the course of the run?
--
-- One row per bucket in which an attempt ended.
-- @reads  llm_attempts, timeline_buckets
-- @column bucket BIGINT        stretch of the run: 0 for the first
-- @column start_ns BIGINT      its start
-- @column end_ns BIGINT        its end
-- @column attempts BIGINT      HTTP attempts that ended in it
-- @column rate_limited BIGINT  of these, attempts answered 429 or 529, but for billing
-- @column failed BIGINT        of these, attempts that failed in any way
WITH run AS (
  SELECT
    MIN(start_ns) AS first_ns,
    MAX(end_ns) AS last_ns,
    MAX(width_ns) AS width_ns,
    COUNT(*) AS buckets
  FROM timeline_buckets
), counted AS (
  SELECT
    LEAST(CAST(FLOOR((a.end_ns - r.first_ns) / r.width_ns) AS BIGINT), r.buckets - 1) AS bucket,
    COUNT(*) AS attempts,
    COUNT(*) FILTER (WHERE a.rate_limited) AS rate_limited,
    COUNT(*) FILTER (WHERE a.failed) AS failed
  FROM llm_attempts AS a
  CROSS JOIN run AS r
  WHERE a.end_ns BETWEEN r.first_ns AND r.last_ns
  GROUP BY 1
)
SELECT
  b.bucket AS bucket,
  b.start_ns AS start_ns,
  b.end_ns AS end_ns,
  c.attempts AS attempts,
  c.rate_limited AS rate_limited,
  c.failed AS failed
FROM timeline_buckets AS b
JOIN counted AS c ON c.bucket = b.bucket
ORDER BY b.bucket
