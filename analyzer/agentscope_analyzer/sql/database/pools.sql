-- How full were the database connection pools?
--
-- One row per pool, added up over processes, each of which has a pool of its own. Mean and most of
-- each process are added, so used_most is an upper bound where processes peak at other times.
-- @reads  metrics
-- @param  from_ns BIGINT = 0   gauges are read from here
-- @param  to_ns BIGINT = 9223372036854775807   to here
-- @column pool VARCHAR            pool
-- @column pools BIGINT            processes that have one of that name
-- @column size_connections DOUBLE most connections that it may open; NULL where unknown
-- @column used_mean DOUBLE        connections in use, on average
-- @column used_most DOUBLE        most in use
-- @column pending_most DOUBLE     most requests waiting for a connection
-- @column uses BIGINT             times that a connection was taken and given back
-- @column use_mean_s DOUBLE       how long it was held, on average
WITH points AS (
  SELECT
    name,
    instance,
    time_ns,
    COALESCE(attrs['db.client.connection.pool.name'], '') AS pool,
    attrs['db.client.connection.state'] AS state,
    COALESCE(start_ns, 0) AS start_ns,
    COALESCE(temporality, 'cumulative') AS temporality,
    value,
    count,
    total
  FROM metrics
  WHERE name IN (
    'db.client.connection.max',
    'db.client.connection.count',
    'db.client.connection.pending_requests',
    'db.client.connection.use_time'
  )
), gauges AS (
  SELECT
    pool,
    instance,
    MAX(CASE WHEN name = 'db.client.connection.max' THEN value END) AS size_connections,
    AVG(CASE WHEN name = 'db.client.connection.count' AND state = 'used' THEN value END) AS used_mean,
    MAX(CASE WHEN name = 'db.client.connection.count' AND state = 'used' THEN value END) AS used_most,
    MAX(CASE WHEN name = 'db.client.connection.pending_requests' THEN value END) AS pending_most
  FROM points
  WHERE time_ns BETWEEN $from_ns AND $to_ns
  GROUP BY pool, instance
), series AS (
  SELECT
    pool,
    instance,
    CASE WHEN temporality = 'delta' THEN SUM(count) ELSE MAX(count) END AS uses,
    CASE WHEN temporality = 'delta' THEN SUM(total) ELSE MAX(total) END AS held_s
  FROM points
  WHERE name = 'db.client.connection.use_time'
  GROUP BY pool, instance, temporality, start_ns
), held AS (
  SELECT pool, CAST(SUM(uses) AS BIGINT) AS uses, SUM(held_s) AS held_s FROM series GROUP BY pool
), pools AS (
  SELECT
    pool,
    COUNT(*) AS pools,
    SUM(size_connections) AS size_connections,
    SUM(used_mean) AS used_mean,
    SUM(used_most) AS used_most,
    SUM(pending_most) AS pending_most
  FROM gauges
  GROUP BY pool
)
SELECT
  p.pool AS pool,
  p.pools AS pools,
  p.size_connections AS size_connections,
  p.used_mean AS used_mean,
  p.used_most AS used_most,
  p.pending_most AS pending_most,
  h.uses AS uses,
  CASE WHEN h.uses > 0 THEN h.held_s / h.uses END AS use_mean_s
FROM pools AS p
LEFT JOIN held AS h ON h.pool = p.pool
ORDER BY p.pool
