-- What did the headers of one quota say?
--
-- One row per combination of answers. Header values stand as they were recorded; a header that the
-- provider does not send is given as ''.
-- @reads  llm_attempts
-- @param  limit_header VARCHAR       attribute of the header that says the quota
-- @param  remaining_header VARCHAR   attribute of the header that says what is left
-- @param  reset_header VARCHAR       attribute of the header that says when it is full again
-- @param  window_header VARCHAR      attribute of the header that says in which time it refills
-- @param  date_header VARCHAR = http.response.header.date   attribute of the header that says when the answer was written
-- @column provider VARCHAR           provider
-- @column model VARCHAR              model
-- @column refused BOOLEAN            answered 429 or 529, but not for billing
-- @column quota VARCHAR              the quota
-- @column remaining VARCHAR          what was left of it
-- @column reset VARCHAR              time until it is full again, or when that is
-- @column refills VARCHAR            time in which it refills
-- @column date VARCHAR               date of the answer
-- @column end_ns BIGINT              end of the latest attempt that was answered so
-- @column attempts BIGINT            attempts that were answered so
SELECT
  provider,
  model,
  rate_limited AS refused,
  attrs[$limit_header] AS quota,
  attrs[$remaining_header] AS remaining,
  attrs[$reset_header] AS reset,
  attrs[$window_header] AS refills,
  attrs[$date_header] AS date,
  MAX(end_ns) AS end_ns,
  COUNT(*) AS attempts
FROM llm_attempts
WHERE attrs[$limit_header] IS NOT NULL AND attrs[$limit_header] <> ''
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
