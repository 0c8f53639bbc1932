-- When did which session have a turn?
--
-- One row per turn of a known session.
-- @reads  turns_sessions
-- @column session VARCHAR    session
-- @column start_ns BIGINT    start of the turn
-- @column end_ns BIGINT      its end
SELECT session, start_ns, end_ns FROM turns_sessions WHERE session IS NOT NULL ORDER BY start_ns, session
