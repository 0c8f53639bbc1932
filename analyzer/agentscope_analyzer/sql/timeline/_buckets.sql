-- The run's time, from the first turn's start to the last one's end, cut into at most 48 buckets.
--
-- A bucket lasts a second at least, and as long as every other; only the last one may end earlier.
-- @reads  turns
-- @column bucket BIGINT     0 for the first
-- @column start_ns BIGINT   its start
-- @column end_ns BIGINT     its end, which belongs to the next bucket
-- @column width_ns BIGINT   how long a whole bucket is
WITH digits AS (
  SELECT 0 AS digit UNION ALL SELECT 1 AS digit UNION ALL SELECT 2 AS digit UNION ALL SELECT 3 AS digit
  UNION ALL SELECT 4 AS digit UNION ALL SELECT 5 AS digit UNION ALL SELECT 6 AS digit
), numbers AS (
  SELECT CAST(7 * a.digit + b.digit AS BIGINT) AS bucket FROM digits AS a CROSS JOIN digits AS b
), run AS (
  SELECT
    MIN(start_ns) AS first_ns,
    MAX(end_ns) AS last_ns,
    GREATEST(1000000000, CAST(CEIL((MAX(end_ns) - MIN(start_ns)) / 48e0) AS BIGINT)) AS width_ns
  FROM turns
)
SELECT
  n.bucket AS bucket,
  r.first_ns + n.bucket * r.width_ns AS start_ns,
  LEAST(r.first_ns + (n.bucket + 1) * r.width_ns, r.last_ns) AS end_ns,
  r.width_ns AS width_ns
FROM numbers AS n
CROSS JOIN run AS r
WHERE n.bucket < 48 AND r.first_ns + n.bucket * r.width_ns < r.last_ns
ORDER BY n.bucket
