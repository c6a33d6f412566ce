"""Queries as people write them: each must give what DuckDB gives over the asker's rows alone."""

from __future__ import annotations

LEGAL = {
    # plain
    "everything": "SELECT * FROM samples",
    "from first": "FROM gaps",
    "from first with columns": "FROM samples SELECT series, value WHERE value > 50",
    "no table": "SELECT 1 + 1 AS two, 'x' AS text, NULL AS nothing",
    "order and limit": "SELECT time, value FROM samples WHERE series = 1 ORDER BY time DESC LIMIT 5 OFFSET 2",
    "order by all": "SELECT series, time FROM samples ORDER BY ALL LIMIT 10",
    "distinct": "SELECT DISTINCT gateway, cause FROM gaps",
    "distinct on": "SELECT DISTINCT ON (series) series, time FROM samples ORDER BY series, time DESC",
    "exclude and replace": "SELECT * EXCLUDE (batch, bucket) REPLACE (round(value, 1) AS value) FROM samples",
    "qualified star": "SELECT s.* FROM series s",
    "quoted and mixed case": 'SELECT "Series", TIME FROM "SAMPLES" WHERE "series" = 4',
    "chinese names": "SELECT avg(value) AS 平均值, count(*) AS 数量 FROM samples WHERE series IN (1, 3)",
    "prefix alias": "SELECT n: count(*), s: series FROM samples GROUP BY series",
    "comments": "SELECT /* inline */ count(*) -- to the end\nFROM samples",
    "semicolon": "SELECT count(*) FROM events;",
    # conditions
    "between times": "SELECT * FROM samples WHERE time BETWEEN TIMESTAMPTZ '2026-09-21' AND '2026-09-22 12:00:00+00'",
    "date partition": "SELECT count(*) FROM samples WHERE date = DATE '2026-09-22'",
    "in list": "SELECT count(*), min(time) FROM samples WHERE series IN (1, 2, 3, 14) AND quality = 0",
    "good quality": "SELECT count(*) FROM samples WHERE quality < 1073741824 AND value IS NOT NULL",
    "like": "SELECT name FROM series WHERE name LIKE '10%' AND name NOT ILIKE '%TEXT' OR unit = 'Cel'",
    "regular expression": "SELECT name FROM series WHERE regexp_matches(name, '^[12]0LBA') AND name ~ '.*f64'",
    "case": "SELECT CASE WHEN value > 50 THEN 'hot' WHEN value IS NULL THEN 'none' ELSE 'cold' END AS k, count(*) "
    "FROM samples GROUP BY k",
    "nan": "SELECT count(*) FROM samples WHERE isnan(value) OR value > 60",
    "distinct from": "SELECT count(*) FROM samples WHERE text IS DISTINCT FROM 'run'",
    "series_of": "SELECT time, value FROM samples WHERE series = series_of('unit-1/10LBA10-f64')",
    # aggregates
    "group by": "SELECT series, count(*), min(value), max(value), avg(value) FROM samples "
    "WHERE NOT isnan(value) GROUP BY series",
    "group by all": "SELECT name, unit, count(*) FROM history GROUP BY ALL",
    "having": "SELECT gateway, count(*) AS n FROM events GROUP BY gateway HAVING count(*) > 1 ORDER BY n",
    "filter clause": "SELECT count(*) FILTER (WHERE quality = 0) AS good, count(*) AS n FROM samples",
    "rollup": "SELECT gateway, priority, count(*) FROM events GROUP BY ROLLUP (gateway, priority)",
    "grouping sets": "SELECT gateway, instance, count(*), grouping(gateway) FROM events "
    "GROUP BY GROUPING SETS ((gateway), (instance), ())",
    "quantiles": "SELECT median(value), quantile_cont(value, [0.1, 0.9]), mode(quality) FROM samples "
    "WHERE series = 1 AND NOT isnan(value)",
    "ordered aggregates": "SELECT string_agg(text, ',' ORDER BY time), list(value ORDER BY time), "
    "first(value ORDER BY time), last(value ORDER BY time) FROM samples WHERE series IN (1, 10)",
    "arg_max": "SELECT series, arg_max(value, time), max_by(quality, time) FROM samples GROUP BY series",
    "statistics": "SELECT stddev(value), var_samp(value), corr(value, series) FROM samples WHERE value < 1000",
    "percentile within group": "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY mean) FROM samples_hour",
    "distinct aggregate": "SELECT count(DISTINCT series), count(DISTINCT date) FROM samples",
    "histogram of a list": "SELECT list_sort(list_distinct(list(quality))) FROM samples",
    # time
    "time_bucket": "SELECT time_bucket(INTERVAL '6 hours', time) AS t, avg(value) AS v FROM samples "
    "WHERE series = 1 AND NOT isnan(value) GROUP BY t ORDER BY t",
    "date_trunc": "SELECT date_trunc('day', time) AS d, count(*) FROM samples GROUP BY d",
    "extract": "SELECT extract(hour FROM time) AS h, dayofweek(time) AS w, count(*) FROM samples GROUP BY h, w",
    "date arithmetic": "SELECT time + INTERVAL 1 HOUR, time - source_time, date_diff('minute', source_time, time) "
    "FROM samples WHERE series = 1",
    "time zone": "SELECT time AT TIME ZONE 'Asia/Shanghai' AS local, strftime(time, '%Y-%m-%d %H') FROM events",
    "epoch": "SELECT epoch_us(time), to_timestamp(epoch(time)) FROM events",
    "grid by generate_series": "SELECT g.t, count(s.value) FROM generate_series(TIMESTAMPTZ '2026-09-21', "
    "TIMESTAMPTZ '2026-09-25', INTERVAL 1 DAY) AS g(t) LEFT JOIN samples s ON s.time >= g.t "
    "AND s.time < g.t + INTERVAL 1 DAY GROUP BY g.t",
    # joins
    "join using": "SELECT s.name, h.value FROM samples h JOIN series s USING (series) WHERE s.unit = 'Cel'",
    "left join": "SELECT s.name, count(h.series) FROM series s LEFT JOIN samples h ON h.series = s.series "
    "AND h.quality <> 0 GROUP BY s.name",
    "full join": "SELECT a.series, b.series FROM (SELECT DISTINCT series FROM samples WHERE value > 60) a "
    "FULL JOIN (SELECT DISTINCT series FROM samples WHERE value < 40) b ON a.series = b.series",
    "comma join": "SELECT count(*) FROM series a, series b WHERE a.gateway = b.gateway AND a.series < b.series",
    "self join": "SELECT a.time, a.value - b.value FROM samples a JOIN samples b ON a.batch = b.batch + 100 "
    "AND a.series = b.series WHERE a.series = 1",
    "semi join": "SELECT count(*) FROM samples SEMI JOIN gaps ON samples.time >= gaps.t_from",
    "anti join": "SELECT name FROM series ANTI JOIN (SELECT series FROM samples WHERE text = 'run') t USING (series)",
    "asof join": "SELECT a.time, a.value, b.value AS before FROM samples a ASOF JOIN "
    "(SELECT * FROM samples WHERE series = 3) b ON a.time >= b.time WHERE a.series = 1",
    "asof left join of two points": "SELECT a.time, b.value FROM samples a ASOF LEFT JOIN samples b "
    "ON a.series = b.series + 2 AND a.time >= b.time WHERE a.series IN (3, 9)",
    "natural join": "SELECT count(*) FROM samples NATURAL JOIN (SELECT DISTINCT series FROM series) t",
    "join of a join": "SELECT count(*) FROM (samples h JOIN series s USING (series)) JOIN gaps g USING (gateway)",
    # windows
    "lag": "SELECT series, time, value - lag(value) OVER (PARTITION BY series ORDER BY time) AS d FROM samples",
    "moving average": "SELECT time, avg(value) OVER (ORDER BY time ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS m "
    "FROM samples WHERE series = 1 AND NOT isnan(value)",
    "range window": "SELECT time, count(*) OVER (PARTITION BY series ORDER BY time RANGE BETWEEN INTERVAL 5 HOURS "
    "PRECEDING AND INTERVAL 1 HOUR FOLLOWING) AS n FROM samples",
    "named window": "SELECT series, row_number() OVER w AS n, first_value(value) OVER w AS f FROM samples "
    "WINDOW w AS (PARTITION BY series ORDER BY time)",
    "latest of each": "SELECT series, value FROM (SELECT *, row_number() OVER (PARTITION BY series ORDER BY time DESC) "
    "AS n FROM samples) WHERE n = 1",
    "rank": "SELECT name, rank() OVER (ORDER BY unit), dense_rank() OVER (ORDER BY unit), ntile(3) OVER (ORDER BY name) "
    "FROM series",
    "ignore nulls": "SELECT time, last_value(text IGNORE NULLS) OVER (PARTITION BY series ORDER BY time) FROM samples",
    # subqueries and expressions
    "cte": "WITH hot AS (SELECT series, max(value) AS m FROM samples WHERE value < 1000 GROUP BY series) "
    "SELECT name, m FROM hot JOIN series USING (series)",
    "cte with columns": "WITH t(a, b) AS (SELECT series, value FROM samples) SELECT a, count(b) FROM t GROUP BY a",
    "cte over cte": "WITH a AS (SELECT * FROM samples WHERE series = 1), b AS (SELECT time FROM a) SELECT count(*) FROM b",
    "cte that shadows a table": "WITH samples AS (SELECT * FROM samples WHERE series = 1) SELECT count(*) FROM samples",
    "materialized cte": "WITH a AS MATERIALIZED (SELECT series FROM samples) SELECT count(*) FROM a x JOIN a y USING (series)",
    "recursive cte": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) "
    "SELECT i, count(s.series) FROM n LEFT JOIN samples s ON s.series = n.i GROUP BY i",
    "scalar subquery": "SELECT name, (SELECT max(time) FROM samples WHERE samples.series = s.series) FROM series s",
    "exists": "SELECT name FROM series s WHERE EXISTS (SELECT 1 FROM samples h WHERE h.series = s.series AND text = 'stop')",
    "in subquery": "SELECT count(*) FROM samples WHERE series IN (SELECT series FROM series WHERE unit = 'Cel')",
    "any": "SELECT count(*) FROM samples WHERE series = ANY (SELECT series FROM series WHERE type = 'i64')",
    "union all": "SELECT gateway, t_from AS t FROM gaps UNION ALL SELECT gateway, time FROM events",
    "union by name": "SELECT gateway, batch FROM gaps UNION BY NAME SELECT gateway, priority FROM events",
    "except and intersect": "(SELECT series FROM series EXCEPT SELECT series FROM samples WHERE text = 'run') "
    "INTERSECT SELECT series FROM samples",
    "values": "SELECT v.n, count(s.series) FROM (VALUES (1), (3), (5)) AS v(n) LEFT JOIN samples s ON s.series = v.n "
    "GROUP BY v.n",
    "json": "SELECT detail ->> '$.comment', json_extract(detail, '$.detail.a[0]'), detail -> 'no' FROM events",
    "json cast": "SELECT CAST(detail::JSON ->> 'no' AS INTEGER) AS n FROM events ORDER BY n",
    "unnest": "SELECT gateway, unnest(points) AS p FROM gaps",
    "unnest in from": "SELECT g.gateway, u.p FROM gaps g, unnest(g.points) AS u(p)",
    "lists and structs": "SELECT {'a': series, 'b': [value, 1.0]} AS s, [series, batch][1] AS first, "
    "struct_pack(x := series).x AS x FROM samples WHERE series = 3",
    "maps": "SELECT map {'a': 1, 'b': 2}['b'], map_keys(map {'k': series}) FROM samples WHERE series = 3",
    "casts": "SELECT value::INTEGER, CAST(series AS VARCHAR), try_cast(text AS DOUBLE), series::DECIMAL(10, 2) FROM samples "
    "WHERE value < 100 OR text IS NOT NULL",
    "operators": "SELECT series // 2, series % 3, series ** 2, -series, ~series, series & 3, series | 8, series << 1, "
    "'a' || name, name ^@ '10', 7 / 2 FROM series",
    "text functions": "SELECT upper(name), substring(name, 1, 3), name[1:2], split_part(name, '-', 2), trim(' x '), "
    "replace(name, 'L', 'l'), length(name), strpos(name, 'B'), lpad(unit, 5, '.'), concat_ws('/', site, name) FROM series",
    "numbers": "SELECT round(value, 2), floor(value), sqrt(abs(value)), greatest(value, 40), coalesce(value, 0), "
    "ifnull(value, 1), nullif(series, 1), if(value > 50, 1, 0), ln(50), log(100), log2(8), pi() FROM samples "
    "WHERE NOT isnan(value)",
    "roll-ups": "SELECT s.name, h.time, h.mean, h.max - h.min AS span FROM samples_hour h JOIN series s USING (series)",
    "ledger": "SELECT gateway, stream, max(seq) AS last, sum(samples) FROM ledger GROUP BY gateway, stream",
    "latest and all definitions": "SELECT h.name, count(*) FROM series_history h JOIN series s USING (series) GROUP BY h.name",
    "alarm durations": "SELECT instance, time, lead(time) OVER (PARTITION BY instance ORDER BY time) - time AS lasted "
    "FROM events WHERE type = 'alarm'",
}
