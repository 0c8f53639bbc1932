-- How full did a bounded resource get: the pools of HTTP clients, the worker threads?
--
-- One row per resource and process, the fullest first; a process has its own of each. Resources
-- without a limit are left out.
-- @reads  metrics
-- @param  used VARCHAR           gauge of what is in use
-- @param  size VARCHAR           gauge of the limit
-- @param  label VARCHAR          attribute that names the resource
-- @column resource VARCHAR       its name, '' where it has none
-- @column instance VARCHAR       process
-- @column most DOUBLE            most in use at one moment
-- @column size DOUBLE            most that may be in use
WITH points AS (
  SELECT name, instance, COALESCE(attrs[$label], '') AS resource, value
  FROM metrics
  WHERE name IN ($used, $size)
), peaks AS (
  SELECT
    resource,
    instance,
    MAX(CASE WHEN name = $used THEN value END) AS most,
    MAX(CASE WHEN name = $size THEN value END) AS size
  FROM points
  GROUP BY resource, instance
)
SELECT resource, instance, most, size
FROM peaks
WHERE most IS NOT NULL AND size > 0
ORDER BY most / size DESC, resource, instance
