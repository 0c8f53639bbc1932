-- Where did the time of the turns in flight go, over the course of the run?
--
-- One row per bucket and cause that took time in it. Seconds of a cause by the bucket's own seconds
-- are the turns that the cause held on average; over all causes: the turns in flight. Each section's
-- start and end is added to its own bucket, and carried on to those after it: no section is cut.
-- @reads  sections, timeline_buckets
-- @column bucket BIGINT     stretch of the run: 0 for the first
-- @column start_ns BIGINT   its start
-- @column end_ns BIGINT     its end
-- @column cause VARCHAR     cause
-- @column wall_s DOUBLE     seconds of all turns that it took in the bucket
WITH edges AS (
  SELECT cause, start_ns AS at_ns, 1 AS step FROM sections
  UNION ALL
  SELECT cause, end_ns AS at_ns, -1 AS step FROM sections
), run AS (
  SELECT MIN(start_ns) AS first_ns, MAX(width_ns) AS width_ns, COUNT(*) AS buckets FROM timeline_buckets
), placed AS (
  SELECT
    e.cause AS cause,
    e.at_ns AS at_ns,
    e.step AS step,
    r.first_ns AS first_ns,
    r.width_ns AS width_ns,
    LEAST(CAST(FLOOR((e.at_ns - r.first_ns) / r.width_ns) AS BIGINT), r.buckets - 1) AS bucket
  FROM edges AS e
  CROSS JOIN run AS r
), counted AS (
  SELECT
    cause,
    bucket,
    SUM(step) AS steps,
    SUM(step * (first_ns + (bucket + 1) * width_ns - at_ns)) AS part_ns
  FROM placed
  GROUP BY cause, bucket
), filled AS (
  SELECT
    b.bucket AS bucket,
    b.start_ns AS start_ns,
    b.end_ns AS end_ns,
    c.cause AS cause,
    COALESCE(n.part_ns, 0) + b.width_ns * COALESCE(
      SUM(n.steps) OVER (PARTITION BY c.cause ORDER BY b.bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
      0
    ) AS wall_ns
  FROM timeline_buckets AS b
  CROSS JOIN (SELECT DISTINCT cause FROM counted) AS c
  LEFT JOIN counted AS n ON n.bucket = b.bucket AND n.cause = c.cause
)
SELECT bucket, start_ns, end_ns, cause, CAST(wall_ns AS DOUBLE) / 1e9 AS wall_s
FROM filled
WHERE wall_ns > 0
ORDER BY bucket, cause
