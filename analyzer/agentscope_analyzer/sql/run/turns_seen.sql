-- Did every turn that a process counted leave its span?
--
-- One row per process that counts its turns. The gauge of turns in flight is compared with the spans
-- that were open at the same moments: Little's law, L = λW, without its sampling error, for both sides
-- are read off one clock.
-- @reads  metrics, spans
-- @column instance VARCHAR       process
-- @column points BIGINT          readings of the gauge
-- @column active DOUBLE          turns in flight as the process counted them, mean of the readings
-- @column open DOUBLE            turns in flight as the spans say, at the same moments
-- @column ended BIGINT           turns that the process counted as ended; NULL where it did not
-- @column recorded BIGINT        its spans of turns
WITH readings AS (
  SELECT instance, time_ns, value
  FROM metrics
  WHERE name = 'agentscope.turns.active' AND value >= 0 AND value < 1e9
), marks AS (
  SELECT instance, time_ns AS at_ns, 0 AS step, value AS active FROM readings
  UNION ALL
  SELECT instance, start_ns AS at_ns, 1 AS step, CAST(NULL AS DOUBLE) AS active FROM spans WHERE is_turn
  UNION ALL
  SELECT instance, end_ns AS at_ns, -1 AS step, CAST(NULL AS DOUBLE) AS active FROM spans WHERE is_turn
), counted AS (
  SELECT
    instance,
    active,
    SUM(step) OVER (
      PARTITION BY instance ORDER BY at_ns, step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS open
  FROM marks
), compared AS (
  SELECT
    instance,
    COUNT(*) AS points,
    AVG(active) AS active,
    CAST(SUM(open) AS DOUBLE) / COUNT(*) AS open
  FROM counted
  WHERE active IS NOT NULL
  GROUP BY instance
), series AS (
  SELECT
    instance,
    CASE WHEN MAX(temporality) = 'delta' THEN SUM(count) ELSE MAX(count) END AS ended
  FROM metrics
  WHERE name = 'agentscope.turn.duration'
  GROUP BY instance, CAST(attrs AS VARCHAR), COALESCE(start_ns, 0)
), ends AS (
  SELECT instance, CAST(SUM(ended) AS BIGINT) AS ended FROM series GROUP BY instance
), written AS (
  SELECT instance, COUNT(*) AS recorded FROM spans WHERE is_turn GROUP BY instance
)
SELECT
  c.instance AS instance,
  c.points AS points,
  c.active AS active,
  c.open AS open,
  e.ended AS ended,
  COALESCE(w.recorded, 0) AS recorded
FROM compared AS c
LEFT JOIN ends AS e ON e.instance = c.instance
LEFT JOIN written AS w ON w.instance = c.instance
ORDER BY c.instance
