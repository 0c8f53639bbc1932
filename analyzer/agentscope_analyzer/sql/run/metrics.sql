-- Which metrics did the run record, and how high did they go?
--
-- One row per metric. The increase of a sum is added up over processes and attribute sets; a total
-- that was read once tells of no increase.
-- @reads  metrics
-- @column name VARCHAR        metric
-- @column instances BIGINT    processes that reported it
-- @column points BIGINT       points
-- @column most DOUBLE         largest value of a gauge; NULL for the rest
-- @column increase DOUBLE     growth of a sum during the run; NULL for the rest, and where it was read once
-- @column observed BIGINT     observations of a histogram; NULL for the rest
-- @column total DOUBLE        sum of a histogram's observations; NULL for the rest
WITH series AS (
  SELECT
    name,
    instance,
    CAST(attrs AS VARCHAR) AS labels,
    COALESCE(start_ns, 0) AS start_ns,
    COUNT(*) AS points,
    MAX(CASE WHEN kind = 'gauge' THEN value END) AS most,
    CASE
      WHEN MAX(temporality) = 'delta' THEN SUM(CASE WHEN kind = 'sum' THEN value END)
      WHEN COUNT(DISTINCT time_ns) > 1
        THEN MAX(CASE WHEN kind = 'sum' THEN value END) - MIN(CASE WHEN kind = 'sum' THEN value END)
    END AS increase,
    CASE WHEN MAX(temporality) = 'delta' THEN SUM(count) ELSE MAX(count) END AS observed,
    CASE WHEN MAX(temporality) = 'delta' THEN SUM(total) ELSE MAX(total) END AS total
  FROM metrics
  GROUP BY name, instance, CAST(attrs AS VARCHAR), COALESCE(start_ns, 0)
)
SELECT
  name,
  COUNT(DISTINCT instance) AS instances,
  CAST(SUM(points) AS BIGINT) AS points,
  MAX(most) AS most,
  SUM(increase) AS increase,
  CAST(SUM(observed) AS BIGINT) AS observed,
  SUM(total) AS total
FROM series
GROUP BY name
ORDER BY name
