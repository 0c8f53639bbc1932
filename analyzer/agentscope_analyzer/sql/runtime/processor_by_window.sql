-- How much processor time did each process take, window by window?
--
-- One row per process and window. Seconds between two points count in the window in which the middle
-- between them lies.
-- @reads  metrics
-- @param  from_ns BIGINT        windows begin here
-- @param  to_ns BIGINT          points are read up to here
-- @param  window_ns BIGINT      length of a window
-- @column instance VARCHAR      process
-- @column number BIGINT         number of the window, from 0
-- @column cpu_s DOUBLE          processor seconds
WITH points AS (
  SELECT
    instance,
    CAST(attrs AS VARCHAR) AS labels,
    CASE WHEN temporality = 'delta' THEN 0 ELSE COALESCE(start_ns, 0) END AS start_ns,
    COALESCE(temporality, 'cumulative') AS temporality,
    time_ns,
    value
  FROM metrics
  WHERE name = 'process.cpu.time' AND time_ns BETWEEN $from_ns AND $to_ns AND value >= 0 AND value < 1e12
), steps AS (
  SELECT
    instance,
    temporality,
    time_ns,
    value,
    MAX(time_ns) OVER series AS before_ns,
    MAX(value) OVER series AS before
  FROM points
  WINDOW series AS (
    PARTITION BY instance, labels, temporality, start_ns
    ORDER BY time_ns
    ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING
  )
), found AS (
  SELECT
    instance,
    CAST(floor((before_ns + CAST(time_ns - before_ns AS DOUBLE) / 2 - $from_ns) / $window_ns) AS BIGINT)
      AS number,
    CASE WHEN temporality = 'delta' THEN value ELSE value - before END AS cpu_s
  FROM steps
  WHERE before_ns IS NOT NULL AND (temporality = 'delta' OR value >= before)
)
SELECT instance, number, SUM(cpu_s) AS cpu_s FROM found GROUP BY instance, number ORDER BY instance, number
