-- What does one live session ask of a model, window by window?
--
-- One row per session, or per group of sessions where there are very many. A cell is one session in
-- one window: e is the part of the window in which the session was live and free to ask, c what it
-- asked for. A row has the sums over its cells, enough for mean, deviation and resampling by session.
-- @reads  ceilings_calls, turns_sessions, sections
-- @param  provider VARCHAR           provider
-- @param  model VARCHAR              model
-- @param  every_model INTEGER = 0    1: whatever the provider and model
-- @param  cached_weight DOUBLE = 1   0: tokens from the provider's cache do not count
-- @param  cause VARCHAR = llm.rate_limit   in time of this cause a session is not free to ask; '' = none
-- @param  from_ns BIGINT             windows begin here
-- @param  to_ns BIGINT               and end here
-- @param  window_ns BIGINT           length of a window
-- @param  groups BIGINT = 2000       most rows
-- @column row_number BIGINT          number of the session or group, from 0
-- @column e DOUBLE                   exposure, in windows
-- @column ee DOUBLE                  squares of it
-- @column requests DOUBLE            calls asked for
-- @column requests_e DOUBLE          products with exposure
-- @column requests_2 DOUBLE          squares
-- @column tokens DOUBLE              tokens read and written
-- @column tokens_e DOUBLE            products with exposure
-- @column tokens_2 DOUBLE            squares
-- @column input_tokens DOUBLE        tokens read
-- @column input_tokens_e DOUBLE      products with exposure
-- @column input_tokens_2 DOUBLE      squares
-- @column output_tokens DOUBLE       tokens written
-- @column output_tokens_e DOUBLE     products with exposure
-- @column output_tokens_2 DOUBLE     squares
WITH lives AS (
  SELECT session, MIN(start_ns) AS start_ns, MAX(end_ns) AS end_ns
  FROM turns_sessions
  WHERE session IS NOT NULL
  GROUP BY session
), numbered AS (
  SELECT session, start_ns, end_ns, (ROW_NUMBER() OVER (ORDER BY session) - 1) % $groups AS row_number
  FROM lives
), ordered AS (
  SELECT
    t.session AS session,
    s.start_ns AS start_ns,
    s.end_ns AS end_ns,
    MAX(s.end_ns) OVER (
      PARTITION BY t.session ORDER BY s.start_ns, s.end_ns
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until_ns
  FROM sections AS s
  JOIN turns_sessions AS t ON t.turn_id = s.turn_id
  WHERE s.cause = $cause AND t.session IS NOT NULL
), stretches AS (
  SELECT session, start_ns, end_ns, 1e0 AS sign FROM lives
  UNION ALL
  SELECT session, GREATEST(start_ns, COALESCE(until_ns, start_ns)) AS start_ns, end_ns, -1e0 AS sign
  FROM ordered
), clipped AS (
  SELECT session, sign, GREATEST(start_ns, $from_ns) AS start_ns, LEAST(end_ns, $to_ns) AS end_ns
  FROM stretches
), windows AS (
  SELECT session, sign, start_ns, end_ns,
    unnest(range(
      CAST(floor(CAST(start_ns - $from_ns AS DOUBLE) / $window_ns) AS BIGINT),
      CAST(floor(CAST(end_ns - 1 - $from_ns AS DOUBLE) / $window_ns) AS BIGINT) + 1
    )) AS number
  FROM clipped
  WHERE end_ns > start_ns
), parts AS (
  SELECT
    session,
    number,
    sign * CAST(
      LEAST(end_ns, $from_ns + (number + 1) * $window_ns) - GREATEST(start_ns, $from_ns + number * $window_ns)
      AS DOUBLE
    ) / $window_ns AS e,
    0e0 AS requests, 0e0 AS input_tokens, 0e0 AS output_tokens
  FROM windows
  UNION ALL
  SELECT
    session,
    CAST(floor(CAST(start_ns - $from_ns AS DOUBLE) / $window_ns) AS BIGINT) AS number,
    0e0 AS e,
    1e0 AS requests,
    COALESCE(input_tokens - (1e0 - $cached_weight) * cached_tokens, 0e0) AS input_tokens,
    COALESCE(output_tokens, 0e0) AS output_tokens
  FROM ceilings_calls
  WHERE start_ns >= $from_ns AND start_ns < $to_ns
    AND ($every_model = 1 OR (provider = $provider AND model = $model))
), cells AS (
  SELECT
    session,
    GREATEST(0e0, SUM(e)) AS e,
    SUM(requests) AS requests,
    SUM(input_tokens) AS input_tokens,
    SUM(output_tokens) AS output_tokens,
    SUM(input_tokens) + SUM(output_tokens) AS tokens
  FROM parts
  GROUP BY session, number
)
SELECT
  n.row_number AS row_number,
  SUM(e) AS e,
  SUM(e * e) AS ee,
  SUM(requests) AS requests,
  SUM(requests * e) AS requests_e,
  SUM(requests * requests) AS requests_2,
  SUM(tokens) AS tokens,
  SUM(tokens * e) AS tokens_e,
  SUM(tokens * tokens) AS tokens_2,
  SUM(input_tokens) AS input_tokens,
  SUM(input_tokens * e) AS input_tokens_e,
  SUM(input_tokens * input_tokens) AS input_tokens_2,
  SUM(output_tokens) AS output_tokens,
  SUM(output_tokens * e) AS output_tokens_e,
  SUM(output_tokens * output_tokens) AS output_tokens_2
FROM cells AS c
JOIN numbered AS n ON n.session = c.session
GROUP BY n.row_number
ORDER BY row_number
