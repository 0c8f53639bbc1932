-- Does a cause grow with the number of turns in flight?
--
-- Turns are split into three equal parts by how many turns were in flight when they began: part 1
-- the least, part 3 the most. One row per part and cause; 0 s where only other parts have the cause.
-- Turns of a warm-up are left out: they are slow, and so many in flight, for a reason of their own.
-- @reads  turns_parts, turns_spent
-- @param  since_ns BIGINT = 0      turns that begin before are left out
-- @column part BIGINT             1, 2 or 3
-- @column cause VARCHAR           cause
-- @column turns BIGINT            turns of the part
-- @column in_flight DOUBLE        turns in flight when a turn of the part began, itself included, on average
-- @column wall_s_per_turn DOUBLE  seconds of the cause in one turn of the part, on average
WITH loads AS (
  SELECT load_part AS part, COUNT(*) AS turns, AVG(CAST(in_flight AS DOUBLE)) AS in_flight
  FROM turns_parts
  WHERE start_ns >= $since_ns
  GROUP BY load_part
), taken AS (
  SELECT p.load_part AS part, t.cause AS cause, CAST(SUM(t.ns) AS DOUBLE) / 1e9 AS wall_s
  FROM turns_spent AS t
  JOIN turns_parts AS p ON p.turn_id = t.turn_id
  WHERE p.start_ns >= $since_ns
  GROUP BY p.load_part, t.cause
)
SELECT
  l.part AS part,
  c.cause AS cause,
  l.turns AS turns,
  l.in_flight AS in_flight,
  COALESCE(t.wall_s, 0e0) / l.turns AS wall_s_per_turn
FROM loads AS l
CROSS JOIN (SELECT DISTINCT cause FROM taken) AS c
LEFT JOIN taken AS t ON t.part = l.part AND t.cause = c.cause
ORDER BY c.cause, l.part
