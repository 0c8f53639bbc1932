-- How much memory did the processes hold over the course of the run?
--
-- One row per bucket in which a process reported its memory. What a process said in a bucket is
-- averaged, then processes are added up; only rows with the same number of them can be compared.
-- @reads  metrics, timeline_buckets
-- @column bucket BIGINT            stretch of the run: 0 for the first
-- @column start_ns BIGINT          its start
-- @column end_ns BIGINT            its end
-- @column processes BIGINT         processes that reported
-- @column resident_bytes DOUBLE    resident memory of all of them
WITH run AS (
  SELECT
    MIN(start_ns) AS first_ns,
    MAX(end_ns) AS last_ns,
    MAX(width_ns) AS width_ns,
    COUNT(*) AS buckets
  FROM timeline_buckets
), told AS (
  SELECT
    LEAST(CAST(FLOOR((m.time_ns - r.first_ns) / r.width_ns) AS BIGINT), r.buckets - 1) AS bucket,
    m.instance AS instance,
    AVG(m.value) AS resident_bytes
  FROM metrics AS m
  CROSS JOIN run AS r
  WHERE m.name = 'process.memory.usage' AND m.value >= 0
    AND m.time_ns BETWEEN r.first_ns AND r.last_ns
  GROUP BY 1, 2
), added AS (
  SELECT bucket, COUNT(*) AS processes, SUM(resident_bytes) AS resident_bytes FROM told GROUP BY bucket
)
SELECT
  b.bucket AS bucket,
  b.start_ns AS start_ns,
  b.end_ns AS end_ns,
  a.processes AS processes,
  a.resident_bytes AS resident_bytes
FROM timeline_buckets AS b
JOIN added AS a ON a.bucket = b.bucket
ORDER BY b.bucket
