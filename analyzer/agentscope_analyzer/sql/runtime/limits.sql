-- What may each process use, and when was it there?
--
-- One row per process that reported its processor time, memory or descriptors.
-- @reads  metrics
-- @column instance VARCHAR            process
-- @column first_ns BIGINT             its first report
-- @column last_ns BIGINT              its last
-- @column container_cpus DOUBLE       processors that its container may use; NULL without a quota
-- @column host_cpus DOUBLE            processors that it may be scheduled on; NULL where not recorded
-- @column container_bytes DOUBLE      memory that its container may use; NULL without a limit
-- @column host_bytes DOUBLE           memory of the host; NULL where not recorded
-- @column descriptors DOUBLE          descriptors that it may have open; NULL where not recorded
SELECT
  instance,
  MIN(time_ns) AS first_ns,
  MAX(time_ns) AS last_ns,
  MIN(CASE WHEN name = 'agentscope.cgroup.cpu.limit' THEN value END) AS container_cpus,
  MIN(CASE WHEN name = 'system.cpu.logical.count' THEN value END) AS host_cpus,
  MIN(CASE WHEN name = 'agentscope.cgroup.memory.limit' THEN value END) AS container_bytes,
  MIN(CASE WHEN name = 'system.memory.limit' THEN value END) AS host_bytes,
  MIN(CASE WHEN name = 'agentscope.process.file_descriptor.limit' THEN value END) AS descriptors
FROM metrics
WHERE value > 0 AND name IN (
  'process.cpu.time', 'process.memory.usage', 'process.unix.file_descriptor.count',
  'agentscope.cgroup.cpu.limit', 'system.cpu.logical.count',
  'agentscope.cgroup.memory.limit', 'system.memory.limit', 'agentscope.process.file_descriptor.limit'
)
GROUP BY instance
HAVING COUNT(*) FILTER (WHERE starts_with(name, 'process.')) > 0
ORDER BY instance
