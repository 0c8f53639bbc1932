-- Does a cause grow with the number of turns in flight?
--
-- Turns are split into three equal parts by how many turns were in flight when they began: part 1
-- the least, part 3 the most. One row per part and cause; 0 s where only other parts have the cause.
-- @reads  turns, sections
-- @column part BIGINT             1, 2 or 3
-- @column cause VARCHAR           cause
-- @column turns BIGINT            turns of the part
-- @column in_flight DOUBLE        turns in flight when a turn of the part began, itself included, on average
-- @column wall_s_per_turn DOUBLE  seconds of the cause in one turn of the part, on average
WITH steps AS (
  SELECT turn_id, start_ns AS at_ns, 1 AS step FROM turns
  UNION ALL
  SELECT turn_id, end_ns AS at_ns, -1 AS step FROM turns
), flight AS (
  SELECT
    turn_id,
    step,
    SUM(step) OVER (ORDER BY at_ns, step, turn_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS in_flight
  FROM steps
), ranked AS (
  SELECT
    turn_id,
    in_flight,
    ROW_NUMBER() OVER (ORDER BY in_flight, turn_id) - 1 AS i,
    COUNT(*) OVER () AS n
  FROM flight
  WHERE step = 1
), parts AS (
  SELECT
    turn_id,
    in_flight,
    CASE WHEN 3 * i < n THEN 1 WHEN 3 * i < 2 * n THEN 2 ELSE 3 END AS part
  FROM ranked
), loads AS (
  SELECT part, COUNT(*) AS turns, AVG(CAST(in_flight AS DOUBLE)) AS in_flight FROM parts GROUP BY part
), taken AS (
  SELECT p.part AS part, s.cause AS cause, CAST(SUM(s.end_ns - s.start_ns) AS DOUBLE) / 1e9 AS wall_s
  FROM sections AS s
  JOIN parts AS p ON p.turn_id = s.turn_id
  GROUP BY p.part, s.cause
)
SELECT
  CAST(l.part AS BIGINT) AS part,
  c.cause AS cause,
  l.turns AS turns,
  l.in_flight AS in_flight,
  COALESCE(t.wall_s, 0e0) / l.turns AS wall_s_per_turn
FROM loads AS l
CROSS JOIN (SELECT DISTINCT cause FROM taken) AS c
LEFT JOIN taken AS t ON t.part = l.part AND t.cause = c.cause
ORDER BY c.cause, l.part
