-- Which names do the spans of marked turns bear?
--
-- One row a service and name. Read by whoever looks for turns that a recorder did not mark.
-- @reads  spans
-- @column turn_service VARCHAR   service
-- @column turn_name VARCHAR      name of a SERVER span that is a turn
SELECT DISTINCT service AS turn_service, name AS turn_name FROM spans WHERE is_turn AND kind = 'SERVER'
