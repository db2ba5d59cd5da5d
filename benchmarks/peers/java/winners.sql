CREATE TABLE readings (
  area INT, class STRING, source BIGINT, contributor BIGINT, `start` TIMESTAMP_LTZ(3), `value` BIGINT,
  WATERMARK FOR `start` AS `start` - INTERVAL '60' MINUTE
) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}',
  'properties.group.id' = '{group}', 'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset', 'format' = 'city-batch',
  'properties.max.poll.records' = '5000', 'properties.max.partition.fetch.bytes' = '4194304'
)
;
CREATE TABLE cells (
  hour_ms BIGINT, area INT, class STRING, total BIGINT, readings BIGINT,
  PRIMARY KEY (hour_ms, area, class) NOT ENFORCED
) WITH (
  'connector' = 'jdbc', 'url' = '{database}', 'username' = '{user}', 'password' = '{password}',
  'table-name' = 'cells'
)
;
INSERT INTO cells
SELECT UNIX_TIMESTAMP(CAST(window_start AS STRING)) * 1000, area, class, SUM(`value`), COUNT(*)
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, source, `start` ORDER BY `start` DESC) AS place
  FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(`start`), INTERVAL '1' HOUR))
)
WHERE place = 1
GROUP BY window_start, window_end, area, class
;
SELECT * FROM cells
