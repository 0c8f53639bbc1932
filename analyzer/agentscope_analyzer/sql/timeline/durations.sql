-- How are the durations of turns spread?
--
-- One row per bin that holds a turn, of at most 40 bins between the shortest and the longest turn
-- that are equally wide on a logarithmic scale. Turns shorter than a millisecond count as that long.
-- @reads  turns
-- @column bin BIGINT       0 for the shortest turns
-- @column from_s DOUBLE    shortest duration of the bin
-- @column to_s DOUBLE      longest
-- @column turns BIGINT     turns in it
-- @column failed BIGINT    of these, turns that failed
WITH logs AS (
  SELECT LN(GREATEST(duration_s, 1e-3)) AS length, error FROM turns
), run AS (
  SELECT
    MIN(length) AS low,
    -- never narrower than a hundredth: equal turns make one bar, not forty
    GREATEST((MAX(length) - MIN(length)) / 40e0, 1e-2) AS width
  FROM logs
), placed AS (
  SELECT
    LEAST(CAST(FLOOR((l.length - r.low) / r.width) AS BIGINT), 39) AS bin,
    l.error AS error
  FROM logs AS l
  CROSS JOIN run AS r
), counted AS (
  SELECT bin, COUNT(*) AS turns, COUNT(*) FILTER (WHERE error) AS failed FROM placed GROUP BY bin
)
SELECT
  c.bin AS bin,
  EXP(r.low + c.bin * r.width) AS from_s,
  EXP(r.low + (c.bin + 1) * r.width) AS to_s,
  c.turns AS turns,
  c.failed AS failed
FROM counted AS c
CROSS JOIN run AS r
ORDER BY c.bin
