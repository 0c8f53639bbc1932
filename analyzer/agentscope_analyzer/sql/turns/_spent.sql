-- What each cause took of each turn.
--
-- Whole nanoseconds, so that they add up to the turn's duration exactly.
-- @reads  sections
-- @column turn_id VARCHAR   turn
-- @column cause VARCHAR     cause that took time of it
-- @column ns BIGINT         nanoseconds of it
SELECT turn_id, cause, CAST(SUM(end_ns - start_ns) AS BIGINT) AS ns
FROM sections
GROUP BY turn_id, cause
