-- When was a session held up by one cause?
--
-- One row per section of that cause in a turn of a known session.
-- @reads  sections, turns_sessions
-- @param  cause VARCHAR      cause
-- @column session VARCHAR    session
-- @column start_ns BIGINT    from
-- @column end_ns BIGINT      to
SELECT t.session AS session, s.start_ns AS start_ns, s.end_ns AS end_ns
FROM sections AS s
JOIN turns_sessions AS t ON t.turn_id = s.turn_id
WHERE s.cause = $cause AND t.session IS NOT NULL
ORDER BY s.start_ns, t.session
