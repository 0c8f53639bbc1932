-- How many seconds of each turn did each cause take?
--
-- One row per turn and cause that took time of it.
-- @reads  sections
-- @column turn_id VARCHAR   turn
-- @column cause VARCHAR     cause
-- @column wall_s DOUBLE     seconds
SELECT turn_id, cause, CAST(SUM(end_ns - start_ns) AS DOUBLE) / 1e9 AS wall_s
FROM sections
GROUP BY turn_id, cause
ORDER BY turn_id, cause
