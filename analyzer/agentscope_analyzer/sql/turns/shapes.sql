-- Are slow turns slow because they do more, or because the same takes longer?
--
-- One row. The shape of a turn is its route and how many calls of models it made; shapes of fewer than
-- five turns are one. Turns at or above the p95 duration are compared with those of the middle fifth:
-- had every turn taken as long as turns of its shape take on average, the slow ones would have taken
-- shape_s longer than the middle ones (Kitagawa's decomposition); the rest is the same work, slower.
-- @reads  turns, turns_parts, llm_inferences
-- @column shapes BIGINT           shapes
-- @column difference_s DOUBLE     how much longer a slow turn takes than a middle one, on average
-- @column shape_s DOUBLE          the part of it that their shapes explain
-- @column slow_calls DOUBLE       calls of models in a slow turn, on average
-- @column middle_calls DOUBLE     calls of models in a middle one, on average
WITH called AS (
  SELECT t.turn_id AS turn_id, COUNT(*) AS calls
  FROM turns AS t
  JOIN llm_inferences AS i ON i.trace_id = t.trace_id
  WHERE i.start_ns >= t.start_ns AND i.start_ns < t.end_ns
  GROUP BY t.turn_id
), made AS (
  SELECT
    p.duration_s AS duration_s,
    p.slow AS slow,
    p.middle AS middle,
    t.route AS route,
    COALESCE(called.calls, 0) AS calls
  FROM turns_parts AS p
  JOIN turns AS t ON t.turn_id = p.turn_id
  LEFT JOIN called ON called.turn_id = p.turn_id
), counted AS (
  SELECT
    duration_s,
    slow,
    middle,
    calls,
    route,
    COUNT(*) OVER (PARTITION BY route, calls) AS alike
  FROM made
), shaped AS (
  SELECT
    CASE WHEN alike < 5 THEN '' ELSE COALESCE(route, '') END AS route,
    CASE WHEN alike < 5 THEN -1 ELSE calls END AS calls,
    COUNT(*) FILTER (WHERE slow) AS slow,
    COUNT(*) FILTER (WHERE middle) AS middle,
    AVG(duration_s) AS usual_s
  FROM counted
  GROUP BY CASE WHEN alike < 5 THEN '' ELSE COALESCE(route, '') END, CASE WHEN alike < 5 THEN -1 ELSE calls END
), totals AS (
  SELECT
    CAST(COUNT(*) FILTER (WHERE slow) AS DOUBLE) AS slow,
    CAST(COUNT(*) FILTER (WHERE middle) AS DOUBLE) AS middle,
    SUM(CASE WHEN slow THEN duration_s END) AS slow_s,
    SUM(CASE WHEN middle THEN duration_s END) AS middle_s,
    CAST(SUM(CASE WHEN slow THEN calls END) AS DOUBLE) AS slow_calls,
    CAST(SUM(CASE WHEN middle THEN calls END) AS DOUBLE) AS middle_calls
  FROM made
), mixed AS (
  SELECT
    COUNT(*) AS shapes,
    SUM(s.usual_s * (s.slow / t.slow - s.middle / t.middle)) AS shape_s
  FROM shaped AS s
  CROSS JOIN totals AS t
)
SELECT
  m.shapes AS shapes,
  t.slow_s / t.slow - t.middle_s / t.middle AS difference_s,
  m.shape_s AS shape_s,
  t.slow_calls / t.slow AS slow_calls,
  t.middle_calls / t.middle AS middle_calls
FROM totals AS t
CROSS JOIN mixed AS m
