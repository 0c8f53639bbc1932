-- How much of a bounded resource was in use, window by window?
--
-- One row per resource and window, added up over processes, each of which has a pool of its own.
-- @reads  metrics
-- @param  used VARCHAR = db.client.connection.count        gauge of what is in use
-- @param  label VARCHAR = db.client.connection.pool.name   attribute that names the resource
-- @param  state VARCHAR = used  state that counts, where the gauge has states
-- @param  from_ns BIGINT        windows begin here
-- @param  to_ns BIGINT          points are read up to here
-- @param  window_ns BIGINT      length of a window
-- @column resource VARCHAR      its name, '' where it has none
-- @column number BIGINT         number of the window, from 0
-- @column used DOUBLE           in use, on average
-- @column points BIGINT         points that say so
WITH points AS (
  SELECT
    COALESCE(attrs[$label], '') AS resource,
    instance,
    CAST(floor(CAST(time_ns - $from_ns AS DOUBLE) / $window_ns) AS BIGINT) AS number,
    value
  FROM metrics
  WHERE name = $used AND time_ns BETWEEN $from_ns AND $to_ns AND value >= 0 AND value < 1e12
    AND COALESCE(attrs['db.client.connection.state'], $state) = $state
), means AS (
  SELECT resource, instance, number, AVG(value) AS used, COUNT(*) AS points
  FROM points
  GROUP BY resource, instance, number
)
SELECT resource, number, SUM(used) AS used, CAST(SUM(points) AS BIGINT) AS points
FROM means
GROUP BY resource, number
ORDER BY resource, number
