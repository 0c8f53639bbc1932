-- How full did a bounded resource get: the pools of HTTP clients, the worker threads?
--
-- One row per resource and process, the fullest first; a process has its own of each. Resources
-- without a limit are left out.
-- @reads  metrics
-- @param  used VARCHAR = agentscope.http.pool.in_use   gauge of what is in use
-- @param  size VARCHAR = agentscope.http.pool.limit    gauge of the limit
-- @param  label VARCHAR = pool    attribute that names the resource
-- @param  from_ns BIGINT = 0     gauges are read from here
-- @param  to_ns BIGINT = 9223372036854775807   to here
-- @column resource VARCHAR       its name, '' where it has none
-- @column instance VARCHAR       process
-- @column most DOUBLE            most in use at one moment
-- @column mean DOUBLE            in use, on average
-- @column spread DOUBLE          standard deviation of that
-- @column size DOUBLE            most that may be in use
-- @column points BIGINT          moments at which it was looked at
-- @column times_full BIGINT         of these, moments at which all was in use
-- @column full_from_ns BIGINT    the first of them; NULL where there is none
WITH points AS (
  SELECT name, instance, COALESCE(attrs[$label], '') AS resource, time_ns, value
  FROM metrics
  WHERE name IN ($used, $size) AND time_ns BETWEEN $from_ns AND $to_ns
), limits AS (
  SELECT resource, instance, MAX(value) AS size
  FROM points
  WHERE name = $size
  GROUP BY resource, instance
)
SELECT
  p.resource AS resource,
  p.instance AS instance,
  MAX(p.value) AS most,
  AVG(p.value) AS mean,
  stddev_pop(p.value) AS spread,
  l.size AS size,
  COUNT(*) AS points,
  COUNT(*) FILTER (WHERE p.value >= l.size) AS times_full,
  MIN(CASE WHEN p.value >= l.size THEN p.time_ns END) AS full_from_ns
FROM points AS p
JOIN limits AS l ON l.resource = p.resource AND l.instance = p.instance
WHERE p.name = $used AND p.value IS NOT NULL AND l.size > 0
GROUP BY p.resource, p.instance, l.size
ORDER BY most / l.size DESC, times_full DESC, resource, instance
