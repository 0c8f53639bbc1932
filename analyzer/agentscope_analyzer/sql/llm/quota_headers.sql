-- What did one dialect of rate-limit headers say?
--
-- One row per combination of answers. Header values stand as they were recorded.
-- @reads  llm_attempts
-- @param  limit_header VARCHAR       attribute of the header that says the quota
-- @param  remaining_header VARCHAR   attribute of the header that says what is left
-- @param  reset_header VARCHAR       attribute of the header that says when it is full again
-- @column provider VARCHAR           provider
-- @column model VARCHAR              model
-- @column http_status INTEGER        status of the answer
-- @column quota VARCHAR              the quota
-- @column remaining VARCHAR          what was left of it
-- @column reset VARCHAR              time until it is full again
-- @column attempts BIGINT            attempts that were answered so
SELECT
  provider,
  model,
  http_status,
  attrs[$limit_header] AS quota,
  attrs[$remaining_header] AS remaining,
  attrs[$reset_header] AS reset,
  COUNT(*) AS attempts
FROM llm_attempts
WHERE attrs[$limit_header] IS NOT NULL AND attrs[$limit_header] <> ''
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 4, 5, 6
