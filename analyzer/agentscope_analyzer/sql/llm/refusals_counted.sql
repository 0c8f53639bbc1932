-- How many refusals of the models' servers did an HTTP client's metrics count?
--
-- One row. Only servers count that calls of models name as theirs: other services refuse, too.
-- Refusals that ended a call are known from its span, and are taken off by who reads this. A client
-- that counts under the older and the newer name of the metric is counted once.
-- @reads  metrics, llm_model_spans
-- @column refusals BIGINT     answers 429 or 529
-- @column wall_s DOUBLE       seconds that they took
WITH servers AS (
  SELECT DISTINCT address AS server FROM llm_model_spans WHERE address IS NOT NULL
), points AS (
  SELECT
    name,
    instance,
    CAST(attrs AS VARCHAR) AS labels,
    COALESCE(start_ns, 0) AS start_ns,
    COALESCE(temporality, 'cumulative') AS temporality,
    count,
    total * CASE WHEN unit = 'ms' THEN 1e-3 ELSE 1e0 END AS total_s
  FROM metrics
  WHERE name IN ('http.client.request.duration', 'http.client.duration')
    AND COALESCE(attrs['http.response.status_code'], attrs['http.status_code']) IN ('429', '529')
    AND COALESCE(attrs['server.address'], attrs['net.peer.name'], attrs['http.host'])
      IN (SELECT server FROM servers)
), series AS (
  SELECT
    name,
    CASE WHEN temporality = 'delta' THEN SUM(count) ELSE MAX(count) END AS refusals,
    CASE WHEN temporality = 'delta' THEN SUM(total_s) ELSE MAX(total_s) END AS wall_s
  FROM points
  GROUP BY name, instance, labels, start_ns, temporality
), names AS (
  SELECT name, SUM(refusals) AS refusals, SUM(wall_s) AS wall_s FROM series GROUP BY name
)
SELECT
  CAST(COALESCE(MAX(refusals), 0) AS BIGINT) AS refusals,
  COALESCE(MAX(wall_s), 0e0) AS wall_s
FROM names
