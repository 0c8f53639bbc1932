-- Which processes did the work of a run, and did each of them watch its own runtime?
--
-- One row per process with spans of work. What a process did not watch is not ruled out for it,
-- whatever the others say. Events are cut to a stretch of time.
-- @reads  spans, metrics
-- @param  from_ns BIGINT = 0   events are read from here
-- @param  to_ns BIGINT = 9223372036854775807   to here
-- @column instance VARCHAR       process, '' where it has no name
-- @column spans BIGINT           spans of work
-- @column first_ns BIGINT        start of the first
-- @column last_ns BIGINT         end of the last
-- @column loop BIGINT            readings of its loop's delay, and recorded stops of the loop
-- @column collector BIGINT       readings of the collector's pauses, and recorded pauses
-- @column quota BIGINT           readings of its container's processor quota, and recorded freezes
-- @column threads BIGINT         readings of its pools of worker threads
-- @column lock BIGINT            readings of the wait for the interpreter lock
-- @column cpu_s DOUBLE           seconds from the first reading of its processor time to the last
-- @column blocked_s DOUBLE       seconds for which its loop stood still
-- @column processor_s DOUBLE     of these, seconds in which the machine had no processor free
WITH read AS (
  SELECT
    COALESCE(instance, '') AS instance,
    COUNT(*) FILTER (WHERE name = 'agentscope.event_loop.delay.max') AS loop,
    COUNT(*) FILTER (WHERE name = 'agentscope.gc.pause') AS collector,
    COUNT(*) FILTER (WHERE starts_with(name, 'agentscope.cgroup.cpu.')) AS quota,
    COUNT(*) FILTER (WHERE starts_with(name, 'agentscope.threadpool.')) AS threads,
    COUNT(*) FILTER (WHERE name = 'agentscope.interpreter.lock_wait') AS lock,
    MIN(CASE WHEN name = 'process.cpu.time' THEN CASE WHEN temporality = 'delta' THEN start_ns ELSE time_ns END END)
      AS cpu_from_ns,
    MAX(CASE WHEN name = 'process.cpu.time' THEN time_ns END) AS cpu_to_ns
  FROM metrics
  GROUP BY COALESCE(instance, '')
), done AS (
  SELECT
    COALESCE(instance, '') AS instance,
    COUNT(*) FILTER (WHERE runtime_event IS NULL) AS spans,
    MIN(CASE WHEN runtime_event IS NULL THEN start_ns END) AS first_ns,
    MAX(CASE WHEN runtime_event IS NULL THEN end_ns END) AS last_ns,
    COUNT(*) FILTER (WHERE runtime_event = 'loop_blocked') AS blocks,
    COUNT(*) FILTER (WHERE runtime_event = 'gc_pause') AS pauses,
    COUNT(*) FILTER (WHERE runtime_event = 'cpu_throttled') AS freezes
  FROM spans
  GROUP BY COALESCE(instance, '')
), stopped AS (
  SELECT
    COALESCE(instance, '') AS instance,
    CAST(LEAST(end_ns, $to_ns) - GREATEST(start_ns, $from_ns) AS DOUBLE) / 1e9 AS wall_s,
    TRY_CAST(attrs['agentscope.runtime.processor_wait'] AS DOUBLE) AS processor_s
  FROM spans
  WHERE runtime_event = 'loop_blocked' AND end_ns > $from_ns AND start_ns < $to_ns
), blocked AS (
  SELECT
    instance,
    SUM(wall_s) AS wall_s,
    SUM(LEAST(GREATEST(COALESCE(processor_s, 0e0), 0e0), wall_s)) AS processor_s
  FROM stopped
  GROUP BY instance
)
SELECT
  d.instance AS instance,
  d.spans AS spans,
  d.first_ns AS first_ns,
  d.last_ns AS last_ns,
  COALESCE(r.loop, 0) + d.blocks AS loop,
  COALESCE(r.collector, 0) + d.pauses AS collector,
  COALESCE(r.quota, 0) + d.freezes AS quota,
  COALESCE(r.threads, 0) AS threads,
  COALESCE(r.lock, 0) AS lock,
  COALESCE(CAST(r.cpu_to_ns - r.cpu_from_ns AS DOUBLE) / 1e9, 0e0) AS cpu_s,
  COALESCE(b.wall_s, 0e0) AS blocked_s,
  COALESCE(b.processor_s, 0e0) AS processor_s
FROM done AS d
LEFT JOIN read AS r ON r.instance = d.instance
LEFT JOIN blocked AS b ON b.instance = d.instance
WHERE d.spans > 0
ORDER BY blocked_s DESC, spans DESC, instance
