-- How long do the same requests take in each process that serves them?
--
-- One row per service, request and process, of requests that several processes of a service served as a
-- turn or within one. A session's mean is one observation: its turns are alike. Requests of failed turns
-- are counted, and their durations left out.
-- @reads  spans, turns, turns_sessions
-- @column service VARCHAR      service
-- @column name VARCHAR         name of the span that serves the request
-- @column instance VARCHAR     process
-- @column requests BIGINT      requests it served
-- @column failed BIGINT        of these, requests of turns that failed
-- @column sessions BIGINT      sessions of the others; a turn that names none counts for itself
-- @column p50_s DOUBLE         median duration of a request
-- @column log_s DOUBLE         logarithm of a duration in seconds, mean over sessions
-- @column spread DOUBLE        its standard deviation between sessions
WITH served AS (
  SELECT
    s.service AS service,
    s.name AS name,
    s.instance AS instance,
    COALESCE(t.session, t.turn_id) AS session,
    CAST(s.end_ns - s.start_ns AS DOUBLE) / 1e9 AS duration_s,
    u.error AS failed
  FROM spans AS s
  JOIN turns_sessions AS t ON t.trace_id = s.trace_id AND s.start_ns < t.end_ns AND s.end_ns > t.start_ns
  JOIN turns AS u ON u.turn_id = t.turn_id
  WHERE s.kind = 'SERVER'
), by_session AS (
  SELECT
    service,
    name,
    instance,
    session,
    COUNT(*) AS requests,
    COUNT(*) FILTER (WHERE failed) AS failed,
    AVG(CASE WHEN NOT failed THEN LN(GREATEST(1e-6, duration_s)) END) AS log_s
  FROM served
  GROUP BY service, name, instance, session
), spread AS (
  SELECT
    service,
    name,
    instance,
    CAST(SUM(requests) AS BIGINT) AS requests,
    CAST(SUM(failed) AS BIGINT) AS failed,
    COUNT(log_s) AS sessions,
    AVG(log_s) AS log_s,
    COALESCE(stddev_samp(log_s), 0e0) AS spread
  FROM by_session
  GROUP BY service, name, instance
), several AS (
  SELECT service, name FROM spread GROUP BY service, name HAVING COUNT(*) > 1
), medians AS (
  SELECT service, name, instance, median(CASE WHEN NOT failed THEN duration_s END) AS p50_s
  FROM served
  GROUP BY service, name, instance
)
SELECT
  p.service AS service,
  p.name AS name,
  p.instance AS instance,
  p.requests AS requests,
  p.failed AS failed,
  p.sessions AS sessions,
  m.p50_s AS p50_s,
  p.log_s AS log_s,
  p.spread AS spread
FROM spread AS p
JOIN several AS v ON v.service = p.service AND v.name = p.name
JOIN medians AS m ON m.service = p.service AND m.name = p.name AND m.instance = p.instance
ORDER BY requests DESC, service, name, instance
