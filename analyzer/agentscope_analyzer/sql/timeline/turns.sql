-- How many turns were served, how long did they take and how many sessions lived, over the run?
--
-- One row per bucket. A turn counts in the bucket in which it ended; quantiles are exact,
-- interpolated between neighbours. A session lives from its first turn's start to its last one's end.
-- @reads  turns, turns_sessions, timeline_buckets
-- @column bucket BIGINT      stretch of the run: 0 for the first
-- @column start_ns BIGINT    its start
-- @column end_ns BIGINT      its end
-- @column turns BIGINT       turns that ended in it
-- @column failed BIGINT      of these, turns that failed
-- @column p50_s DOUBLE       median duration of these; NULL where none ended
-- @column p95_s DOUBLE       95th percentile of it
-- @column sessions DOUBLE    sessions alive, on average; NULL where no turn of the run names one
WITH run AS (
  SELECT MIN(start_ns) AS first_ns, MAX(width_ns) AS width_ns, COUNT(*) AS buckets FROM timeline_buckets
), placed AS (
  SELECT
    LEAST(CAST(FLOOR((t.end_ns - r.first_ns) / r.width_ns) AS BIGINT), r.buckets - 1) AS bucket,
    t.duration_s AS duration_s,
    t.error AS error
  FROM turns AS t
  CROSS JOIN run AS r
), ranked AS (
  SELECT
    bucket,
    duration_s,
    error,
    ROW_NUMBER() OVER (PARTITION BY bucket ORDER BY duration_s) - 1 AS i,
    COUNT(*) OVER (PARTITION BY bucket) - 1 AS last_i
  FROM placed
), ended AS (
  SELECT
    bucket,
    COUNT(*) AS turns,
    COUNT(*) FILTER (WHERE error) AS failed,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS p50_s,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s
  FROM ranked
  GROUP BY bucket
), lives AS (
  SELECT session, MIN(start_ns) AS born_ns, MAX(end_ns) AS gone_ns
  FROM turns_sessions
  WHERE session IS NOT NULL
  GROUP BY session
), alive AS (
  SELECT
    b.bucket AS bucket,
    SUM(CAST(LEAST(l.gone_ns, b.end_ns) - GREATEST(l.born_ns, b.start_ns) AS DOUBLE))
      / MAX(b.end_ns - b.start_ns) AS sessions
  FROM timeline_buckets AS b
  JOIN lives AS l ON l.born_ns < b.end_ns AND l.gone_ns > b.start_ns
  GROUP BY b.bucket
)
SELECT
  b.bucket AS bucket,
  b.start_ns AS start_ns,
  b.end_ns AS end_ns,
  COALESCE(e.turns, 0) AS turns,
  COALESCE(e.failed, 0) AS failed,
  e.p50_s AS p50_s,
  e.p95_s AS p95_s,
  CASE WHEN EXISTS (SELECT 1 FROM lives) THEN COALESCE(a.sessions, 0e0) END AS sessions
FROM timeline_buckets AS b
LEFT JOIN ended AS e ON e.bucket = b.bucket
LEFT JOIN alive AS a ON a.bucket = b.bucket
ORDER BY b.bucket
