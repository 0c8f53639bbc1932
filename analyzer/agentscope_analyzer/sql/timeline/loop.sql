-- How late did the event loop run over the course of the run, and which code held it up?
--
-- One row per bucket. A block counts in the bucket in which it ended; the longest one is named.
-- @reads  metrics, spans, timeline_buckets
-- @column bucket BIGINT           stretch of the run: 0 for the first
-- @column start_ns BIGINT         its start
-- @column end_ns BIGINT           its end
-- @column delay_s DOUBLE          largest delay of any process in it; NULL where none was measured
-- @column blocks BIGINT           recorded stops of a loop
-- @column blocked_s DOUBLE        seconds of all of them
-- @column longest_s DOUBLE        the longest; NULL where there was none
-- @column code_function VARCHAR   function that the longest one is laid to; NULL where unknown
-- @column code_file VARCHAR       its file; NULL where unknown
-- @column code_line INTEGER       its line; NULL where unknown
WITH run AS (
  SELECT
    MIN(start_ns) AS first_ns,
    MAX(end_ns) AS last_ns,
    MAX(width_ns) AS width_ns,
    COUNT(*) AS buckets
  FROM timeline_buckets
), delays AS (
  SELECT
    LEAST(CAST(FLOOR((m.time_ns - r.first_ns) / r.width_ns) AS BIGINT), r.buckets - 1) AS bucket,
    MAX(m.value) AS delay_s
  FROM metrics AS m
  CROSS JOIN run AS r
  WHERE m.name = 'agentscope.event_loop.delay.max' AND m.value >= 0
    AND m.time_ns BETWEEN r.first_ns AND r.last_ns
  GROUP BY 1
), stops AS (
  SELECT
    LEAST(CAST(FLOOR((s.end_ns - r.first_ns) / r.width_ns) AS BIGINT), r.buckets - 1) AS bucket,
    CAST(s.end_ns - s.start_ns AS DOUBLE) / 1e9 AS wall_s,
    s.code_function AS code_function,
    s.code_file AS code_file,
    s.code_line AS code_line,
    s.span_id AS span_id
  FROM spans AS s
  CROSS JOIN run AS r
  WHERE s.runtime_event = 'loop_blocked' AND s.end_ns BETWEEN r.first_ns AND r.last_ns
), ranked AS (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY bucket ORDER BY wall_s DESC, span_id) AS place
  FROM stops
), blocked AS (
  SELECT
    bucket,
    COUNT(*) AS blocks,
    SUM(wall_s) AS blocked_s,
    MAX(wall_s) AS longest_s,
    MAX(CASE WHEN place = 1 THEN code_function END) AS code_function,
    MAX(CASE WHEN place = 1 THEN code_file END) AS code_file,
    MAX(CASE WHEN place = 1 THEN code_line END) AS code_line
  FROM ranked
  GROUP BY bucket
)
SELECT
  b.bucket AS bucket,
  b.start_ns AS start_ns,
  b.end_ns AS end_ns,
  d.delay_s AS delay_s,
  COALESCE(k.blocks, 0) AS blocks,
  COALESCE(k.blocked_s, 0e0) AS blocked_s,
  k.longest_s AS longest_s,
  k.code_function AS code_function,
  k.code_file AS code_file,
  k.code_line AS code_line
FROM timeline_buckets AS b
LEFT JOIN delays AS d ON d.bucket = b.bucket
LEFT JOIN blocked AS k ON k.bucket = b.bucket
ORDER BY b.bucket
