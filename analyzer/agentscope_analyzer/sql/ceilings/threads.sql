-- How many threads were in use when a pool was looked at, and how many tools were at work then?
--
-- One row per pool, process and window in which it was looked at. Tools are there all the time, looks
-- are not: where threads go with tools, that tells how many were in use in between.
-- @reads  metrics, spans
-- @param  used VARCHAR = agentscope.threadpool.borrowed   gauge of what is in use
-- @param  label VARCHAR = limiter   attribute that names the pool
-- @param  from_ns BIGINT        windows begin here
-- @param  to_ns BIGINT          and end here
-- @param  window_ns BIGINT      length of a window
-- @column resource VARCHAR      the pool's name, '' where it has none
-- @column instance VARCHAR      process
-- @column number BIGINT         number of the window, from 0
-- @column used DOUBLE           threads in use, on average over the looks
-- @column tools DOUBLE          tools at work at these moments
-- @column points BIGINT         looks
-- @column busy DOUBLE           tools at work, on average over the whole window
WITH calls AS (
  SELECT instance, GREATEST(start_ns, $from_ns) AS start_ns, LEAST(end_ns, $to_ns) AS end_ns
  FROM spans
  WHERE tool IS NOT NULL AND end_ns > $from_ns AND start_ns < $to_ns
), marks AS (
  SELECT instance, start_ns AS at_ns, 0 AS is_point, 1 AS step, '' AS resource, CAST(NULL AS DOUBLE) AS value
  FROM calls
  UNION ALL
  SELECT instance, end_ns AS at_ns, 0 AS is_point, -1 AS step, '' AS resource, CAST(NULL AS DOUBLE) AS value
  FROM calls
  UNION ALL
  SELECT instance, time_ns AS at_ns, 1 AS is_point, 0 AS step, COALESCE(attrs[$label], '') AS resource, value
  FROM metrics
  WHERE name = $used AND time_ns >= $from_ns AND time_ns < $to_ns AND value >= 0 AND value < 1e12
), counted AS (
  SELECT
    instance,
    at_ns,
    is_point,
    resource,
    value,
    SUM(step) OVER (
      PARTITION BY instance ORDER BY at_ns, is_point ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS tools
  FROM marks
), looks AS (
  SELECT
    resource,
    instance,
    CAST(floor(CAST(at_ns - $from_ns AS DOUBLE) / $window_ns) AS BIGINT) AS number,
    AVG(value) AS used,
    AVG(CAST(tools AS DOUBLE)) AS tools,
    COUNT(*) AS points
  FROM counted
  WHERE is_point = 1
  GROUP BY resource, instance, 3
), pieces AS (
  SELECT instance, start_ns, end_ns,
    unnest(range(
      CAST(floor(CAST(start_ns - $from_ns AS DOUBLE) / $window_ns) AS BIGINT),
      CAST(floor(CAST(end_ns - 1 - $from_ns AS DOUBLE) / $window_ns) AS BIGINT) + 1
    )) AS number
  FROM calls
  WHERE end_ns > start_ns
), worked AS (
  SELECT
    instance,
    number,
    SUM(CAST(
      LEAST(end_ns, $from_ns + (number + 1) * $window_ns) - GREATEST(start_ns, $from_ns + number * $window_ns)
      AS DOUBLE
    )) / $window_ns AS busy
  FROM pieces
  GROUP BY instance, number
)
SELECT
  l.resource AS resource,
  l.instance AS instance,
  l.number AS number,
  l.used AS used,
  l.tools AS tools,
  l.points AS points,
  COALESCE(w.busy, 0e0) AS busy
FROM looks AS l
LEFT JOIN worked AS w ON w.instance = l.instance AND w.number = l.number
ORDER BY l.resource, l.instance, l.number
