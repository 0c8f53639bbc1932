-- What did a load generator other than ours count, and how much of it was recorded as turns?
--
-- One row per generator and request name, '' for all of its requests. Totals come from its table of
-- totals, else from the last second that it wrote, summed over its files. A request is one of turns
-- when its path is that of a route of turns; names in braces, brackets and such are the same place.
-- @reads  load_history, load_totals, turns
-- @column generator VARCHAR     locust or k6
-- @column name VARCHAR          the request as the generator calls it
-- @column requests BIGINT       requests it counted
-- @column failures BIGINT       of these, failed ones; NULL where it does not say
-- @column p50_s DOUBLE          median answer time; of the last seconds where it gives no total
-- @column p95_s DOUBLE          95th percentile of it
-- @column dropped BIGINT        requests that were due and never sent; NULL where it does not say
-- @column first_s DOUBLE        first second that it wrote, NULL where it wrote none
-- @column last_s DOUBLE         last one
-- @column turns BIGINT          turns recorded on that path; NULL where no turn has such a route
WITH told AS (
  SELECT
    generator,
    name,
    SUM(requests) AS requests,
    SUM(failures) AS failures,
    MAX(p50_s) AS p50_s,
    MAX(p95_s) AS p95_s,
    SUM(dropped) AS dropped
  FROM load_totals
  WHERE error IS NULL AND requests IS NOT NULL
  GROUP BY generator, name
), numbered AS (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY generator, name, file ORDER BY at_s DESC) AS place
  FROM load_history
  WHERE requests IS NOT NULL
), counted AS (
  SELECT
    generator,
    name,
    SUM(requests) AS requests,
    SUM(failures) AS failures,
    MAX(p50_s) AS p50_s,
    MAX(p95_s) AS p95_s
  FROM numbered
  WHERE place = 1
  GROUP BY generator, name
), seconds AS (
  SELECT generator, MIN(at_s) AS first_s, MAX(at_s) AS last_s, SUM(dropped) AS dropped
  FROM load_history
  GROUP BY generator
), both_sources AS (
  SELECT
    COALESCE(t.generator, c.generator) AS generator,
    COALESCE(t.name, c.name) AS name,
    COALESCE(t.requests, c.requests) AS requests,
    COALESCE(t.failures, c.failures) AS failures,
    COALESCE(t.p50_s, c.p50_s) AS p50_s,
    COALESCE(t.p95_s, c.p95_s) AS p95_s,
    t.dropped AS dropped
  FROM told AS t
  FULL JOIN counted AS c ON c.generator = t.generator AND c.name = t.name
), places AS (
  SELECT
    regexp_replace(route, '(\{[^/]*\}|\[[^/]*\]|:[^/]+|<[^/]*>)', '{}', 'g') AS path,
    COUNT(*) AS turns
  FROM turns
  WHERE route IS NOT NULL AND route <> ''
  GROUP BY path
)
SELECT
  b.generator AS generator,
  b.name AS name,
  CAST(b.requests AS BIGINT) AS requests,
  CAST(b.failures AS BIGINT) AS failures,
  b.p50_s AS p50_s,
  b.p95_s AS p95_s,
  CAST(COALESCE(b.dropped, CASE WHEN b.name = '' THEN s.dropped END) AS BIGINT) AS dropped,
  s.first_s AS first_s,
  s.last_s AS last_s,
  p.turns AS turns
FROM both_sources AS b
LEFT JOIN seconds AS s ON s.generator = b.generator
LEFT JOIN places AS p
  ON p.path = regexp_replace(
    regexp_replace(b.name, '^([A-Z]+ )?(https?://[^/]*)?([^?#]*).*$', '\3'),
    '(\{[^/]*\}|\[[^/]*\]|:[^/]+|<[^/]*>)', '{}', 'g'
  )
ORDER BY generator, name
