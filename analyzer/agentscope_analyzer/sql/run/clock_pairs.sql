-- By how much do the clocks of two processes differ that call each other?
--
-- One row per pair of processes between which there are calls: a CLIENT span with one SERVER span of
-- another process below it. The called side lies within the call, which bounds the difference from
-- both sides; where the bounds of all calls have nothing in common, a clock moved. Calls that the
-- called side outlasts by more than 1 % say nothing and are counted apart.
-- @reads  spans
-- @column caller VARCHAR        process that calls
-- @column called VARCHAR        process that is called
-- @column calls BIGINT          calls
-- @column misplaced BIGINT      calls whose called side begins before them or ends after them
-- @column outlasted BIGINT      calls that the called side outlasts: no bounds
-- @column ahead_s DOUBLE        by how much the called side's clock is ahead if it lies mid-call, median
-- @column least_s DOUBLE        at least so much, as all calls say; more than most_s if it moved
-- @column most_s DOUBLE         at most so much
-- @column farthest_s DOUBLE     farthest that a called side lies from mid-call
WITH served AS (
  SELECT trace_id, parent_id, instance, start_ns, end_ns,
    COUNT(*) OVER (PARTITION BY trace_id, parent_id) AS siblings
  FROM spans
  WHERE kind = 'SERVER' AND parent_id <> ''
), called AS (
  SELECT
    c.instance AS caller,
    s.instance AS called,
    s.start_ns - c.start_ns AS begins_ns,
    s.end_ns - c.end_ns AS ends_ns,
    s.end_ns - s.start_ns > 1.01e0 * (c.end_ns - c.start_ns) AS outlasted
  FROM served AS s
  JOIN spans AS c ON c.trace_id = s.trace_id AND c.span_id = s.parent_id
  WHERE c.kind = 'CLIENT' AND c.instance <> s.instance AND s.siblings = 1
)
SELECT
  caller,
  called,
  COUNT(*) AS calls,
  COUNT(*) FILTER (WHERE NOT outlasted AND (begins_ns < 0 OR ends_ns > 0)) AS misplaced,
  COUNT(*) FILTER (WHERE outlasted) AS outlasted,
  median(CASE WHEN NOT outlasted THEN (begins_ns + ends_ns) / 2e9 END) AS ahead_s,
  MAX(CASE WHEN NOT outlasted THEN LEAST(ends_ns, begins_ns) / 1e9 END) AS least_s,
  MIN(CASE WHEN NOT outlasted THEN GREATEST(begins_ns, ends_ns) / 1e9 END) AS most_s,
  MAX(CASE WHEN NOT outlasted THEN ABS(begins_ns + ends_ns) / 2e9 END) AS farthest_s
FROM called
GROUP BY caller, called
ORDER BY calls DESC, caller, called
