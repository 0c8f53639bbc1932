-- From when to when was which session live?
--
-- One row per session: from its first turn's start to its last turn's end.
-- @reads  turns_sessions
-- @column session VARCHAR    session
-- @column start_ns BIGINT    start of its first turn
-- @column end_ns BIGINT      end of its last turn
-- @column turns BIGINT       turns of it
SELECT session, MIN(start_ns) AS start_ns, MAX(end_ns) AS end_ns, COUNT(*) AS turns
FROM turns_sessions
WHERE session IS NOT NULL
GROUP BY session
ORDER BY session
