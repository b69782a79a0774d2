package difftest

// templates are expressions by the type that they have; fill says what the holes are. Functions
// that answer otherwise each time (RAND, GENERATE_UUID, CURRENT_TIMESTAMP) are left out: a
// difference must come from the data.
var templates = map[string][]string{
	"STRING": {
		"UPPER({s})", "LOWER({s})", "REVERSE({s})", "TRIM({s})", "LTRIM({s})", "RTRIM({s})", "INITCAP({s})", "CONCAT({s}, {s})", "{s} || {s}",
		"SUBSTR({s}, {p})", "SUBSTR({s}, {p}, {p})", "LEFT({s}, {p})", "RIGHT({s}, {p})", "REPLACE({s}, {w}, {s})", "REGEXP_REPLACE({s}, r'[0-9]', 'x')",
		"REGEXP_EXTRACT({s}, r'[0-9]+')", "LPAD({s}, 12, '*')", "RPAD({s}, {p})", "REPEAT({s}, {p})", "TRANSLATE({s}, '0123', 'abcd')", "SOUNDEX({s})",
		"FORMAT('%s-%d', {s}, {i})", "FORMAT('%t', {x})", "FORMAT('%T', {e})", "TO_HEX({y})", "TO_HEX(SHA256({s}))", "TO_HEX(MD5({s}))", "TO_BASE64({y})", "TO_BASE32({y})",
		"CAST({i} AS STRING)", "CAST({d} AS STRING)", "CAST({t} AS STRING)", "CAST({n} AS STRING)", "CAST({b} AS STRING)", "CAST({e} AS STRING)",
		"TO_JSON_STRING({x})", "JSON_VALUE({j}, '$.k')", "JSON_EXTRACT_SCALAR({j}, '$.k')", "JSON_TYPE({j})", "TO_JSON_STRING({j}.k)",
		"FORMAT_DATE('%Y-%m', {d})", "FORMAT_TIMESTAMP('%F', {t})", "ARRAY_TO_STRING({as}, ',')", "SAFE_CONVERT_BYTES_TO_STRING({y})",
		"CODE_POINTS_TO_STRING(TO_CODE_POINTS({s}))", "NORMALIZE({s})", "SPLIT({s}, '-')[SAFE_OFFSET(0)]", "SPLIT({s}, '-')[OFFSET({p})]", "GREATEST({s}, {s})", "LEAST({s}, {s})",
		"SAFE.SUBSTR({s}, {i})", "IF({b}, ERROR({s}), {s})", "CAST({y} AS STRING)", "STRING({t})", "STRING({d})", "STRING({j}.k)", "CHR(65 + {p})", "IFERROR({s}, 'e')",
		"NULLIFERROR(CAST({i} AS STRING))", "TYPEOF({x})", "REGEXP_SUBSTR({s}, r'[a-z]+')",
	},
	"INT64": {
		"LENGTH({s})", "CHAR_LENGTH({s})", "BYTE_LENGTH({s})", "BYTE_LENGTH({y})", "STRPOS({s}, {w})", "INSTR({s}, {w})", "ASCII({s})", "UNICODE({s})", "{i} + {i}", "{i} - {i}", "{i} * {p}",
		"DIV({i}, {i})", "DIV({i}, {p})", "MOD({i}, {p})", "ABS({i})", "SIGN({i})", "-{i}", "ARRAY_LENGTH({as})", "ARRAY_LENGTH({ai})", "EXTRACT(YEAR FROM {d})", "EXTRACT(HOUR FROM {t})",
		"EXTRACT(DAYOFWEEK FROM {d})", "EXTRACT(MONTH FROM {dt})", "EXTRACT(MINUTE FROM {c})", "DATE_DIFF({d}, {d}, DAY)", "TIMESTAMP_DIFF({t}, {t}, HOUR)", "UNIX_SECONDS({t})", "UNIX_DATE({d})",
		"FARM_FINGERPRINT({s})", "SAFE_CAST({s} AS INT64)", "CAST({f} AS INT64)", "CAST({s} AS INT64)", "CAST({n} AS INT64)", "{i} & {i}", "{i} << 1", "{i} | 1", "GREATEST({i}, {i})", "LEAST({i}, {i})",
		"BIT_COUNT({i})", "EDIT_DISTANCE({s}, {s})", "INT64({j}.n)", "SAFE_CAST(SUBSTR({s}, 5, 4) AS INT64)", "ARRAY_LENGTH(REGEXP_EXTRACT_ALL({s}, r'[0-9]'))", "CAST({b} AS INT64)",
		"SAFE_ADD({i}, {i})", "SAFE_NEGATE({i})", "COALESCE({i}, 0)",
	},
	"FLOAT64": {
		"{i} / {i}", "{i} / {p}", "SQRT(ABS({f}))", "SQRT({f})", "{f} + {f}", "{f} * {f}", "CAST({n} AS FLOAT64)", "ROUND({f}, 1)", "LN(ABS({f}) + 1)", "LOG10({f})", "EXP({p})", "SAFE_DIVIDE({f}, {f})", "POW({f}, 2)",
		"FLOOR({f})", "CEIL({f})", "TRUNC({f})", "COS({f})", "IEEE_DIVIDE({f}, {f})", "CAST({s} AS FLOAT64)", "SAFE_CAST({s} AS FLOAT64)", "CAST({i} AS FLOAT64)",
	},
	"BOOL": {
		"{s} = {s}", "{s} = {guess}", "{s} != {guess}", "{s} < {guess}", "{s} > {guess}", "{s} LIKE CONCAT({guess}, '%')", "{s} BETWEEN {guess} AND {guess}", "{i} > {i}", "{i} = {i}", "{i} < {p}", "{n} >= {n}", "{f} <= {f}",
		"{x} IS NULL", "{x} IS NOT NULL", "{s} >= 'A'", "{i} >= 0", "{s} IS NOT NULL", "{e} IS NOT NULL", "{s} != 'x'", "{i} < 500", "{e} IS NOT NULL", "{b} AND {b}", "{b} OR {b}", "NOT {b}", "({b}) IS TRUE", "{s} LIKE '%1%'", "STARTS_WITH({s}, {w})", "STARTS_WITH({s}, {guess})", "ENDS_WITH({s}, {w})",
		"REGEXP_CONTAINS({s}, r'[5-9]$')", "{s} IN ({s}, {s})", "{s} IN ({guess}, {guess})", "{i} IN (1, 2, 5)", "{s} IN UNNEST({as})", "{s} NOT IN UNNEST([{guess}])", "{s} IN ({q:s})", "{i} NOT IN ({q:i})",
		"EXISTS({exists})", "NOT EXISTS({exists})", "{i} BETWEEN {p} AND {i}", "{s} IS DISTINCT FROM {s}", "{s} IS NOT DISTINCT FROM {guess}", "{d} < {d}", "{t} > {t}", "{y} = {y}", "{dt} <= {dt}", "{c} < {c}", "{g} > {g}",
		"ARRAY_INCLUDES({as}, {s})", "{s} LIKE ANY ('a%', {guess})", "MOD({i}, 2) = 0", "CAST({s} AS INT64) > 0", "SAFE_CAST({s} AS INT64) IS NULL", "ARRAY_LENGTH({as}) > 1", "COALESCE({b}, TRUE)",
		"ISERROR(CAST({s} AS INT64))", "IF({b}, {b}, {b})", "({i}, {s}) = ({i}, {s})", "({i}, {s}) IN ((1, {guess}), ({p}, {s}))", "REGEXP_CONTAINS({s}, {w})", "{i} / {i} > 1", "ARRAY_INCLUDES({as}, {s>b})",
		"JSON_VALUE({j}, '$.k') = {guess}", "ARRAY_IS_DISTINCT({as})", "{b}", "IS_NAN({f})",
	},
	"DATE": {
		"DATE_ADD({d}, INTERVAL {p} DAY)", "DATE_SUB({d}, INTERVAL {p} MONTH)", "DATE_TRUNC({d}, MONTH)", "DATE({t})", "DATE({dt})", "PARSE_DATE('%Y-%m-%d', '2020-01-01')", "LAST_DAY({d})", "DATE(2020, 1, {p})",
		"CAST({t} AS DATE)", "SAFE_CAST({s} AS DATE)", "{d} + {p}", "DATE_ADD({d}, INTERVAL {i} DAY)", "GREATEST({d}, {d})", "EXTRACT(DATE FROM {t})", "DATE_FROM_UNIX_DATE({p})",
	},
	"TIMESTAMP": {
		"TIMESTAMP_ADD({t}, INTERVAL {p} HOUR)", "TIMESTAMP_SUB({t}, INTERVAL {p} DAY)", "TIMESTAMP_TRUNC({t}, DAY)", "TIMESTAMP({d})", "TIMESTAMP_SECONDS({i})", "TIMESTAMP_MILLIS({i})", "CAST({d} AS TIMESTAMP)", "GREATEST({t}, {t})",
	},
	"DATETIME":   {"DATETIME({t})", "DATETIME_ADD({dt}, INTERVAL {p} DAY)", "DATETIME_TRUNC({dt}, HOUR)", "DATETIME({d}, {c})", "CAST({d} AS DATETIME)"},
	"TIME":       {"TIME({t})", "TIME_ADD({c}, INTERVAL {p} MINUTE)", "TIME_TRUNC({c}, HOUR)", "TIME({p}, 0, 0)", "EXTRACT(TIME FROM {t})"},
	"NUMERIC":    {"{n} + {n}", "{n} * 2", "CAST({i} AS NUMERIC)", "ROUND({n}, 1)", "ABS({n})", "-{n}", "SAFE_CAST({s} AS NUMERIC)", "GREATEST({n}, {n})", "{n} / 2", "CAST({f} AS NUMERIC)", "MOD({n}, 7)"},
	"BIGNUMERIC": {"CAST({n} AS BIGNUMERIC)", "{g} + {g}", "ABS({g})", "CAST({i} AS BIGNUMERIC)", "{g} - 1"},
	"BYTES": {
		"CAST({s} AS BYTES)", "SHA256({s})", "SHA1({s})", "MD5({s})", "SHA512({s})", "FROM_HEX('6162')", "{y} || {y}", "REVERSE({y})", "SUBSTR({y}, 1, {p})", "FROM_BASE64(TO_BASE64({y}))", "FROM_HEX(TO_HEX({y}))",
		"CODE_POINTS_TO_BYTES([65, 66])", "REPEAT({y}, 2)",
	},
	"JSON": {
		"TO_JSON({s})", "TO_JSON(STRUCT({s} AS k, {i} AS n))", "JSON_OBJECT('k', {s})", "JSON_QUERY({j}, '$.a')", "JSON_ARRAY({s}, {i})", "{j}.k", "{j}['k']", "JSON_SET({j}, '$.z', {s})",
		"JSON_REMOVE({j}, '$.k')", "TO_JSON({x})", "JSON_STRIP_NULLS({j})", "PARSE_JSON(TO_JSON_STRING({s}))",
	},
	"ARRAY<STRING>": {
		"SPLIT({s}, '-')", "[{s}, {s}]", "ARRAY_CONCAT({as}, {as})", "ARRAY_REVERSE({as})", "ARRAY_FILTER({as}, {s>b})", "ARRAY_TRANSFORM({as}, {s>s})", "ARRAY({q:s})", "ARRAY(SELECT e FROM UNNEST({as}) AS e)",
		"REGEXP_EXTRACT_ALL({s}, r'[0-9]')", "JSON_VALUE_ARRAY({j}, '$.a')", "ARRAY_SLICE({as}, 0, {p})", "ARRAY(SELECT DISTINCT e FROM UNNEST({as}) AS e)", "JSON_KEYS({j})",
		"ARRAY(SELECT e FROM UNNEST({as}) AS e WITH OFFSET AS o ORDER BY o DESC)",
	},
	"ARRAY<INT64>": {"GENERATE_ARRAY(1, {p})", "GENERATE_ARRAY(1, LENGTH({s}))", "TO_CODE_POINTS({s})", "[{i}, {i}]", "ARRAY_TRANSFORM({as}, {s>i})", "ARRAY_FILTER({ai}, {i>b})", "ARRAY({q:i})"},
}

var aggregates = map[string][]string{
	"STRING": {
		"MAX({s})", "MIN({s})", "ANY_VALUE({s})", "STRING_AGG({s})", "STRING_AGG(DISTINCT {s}, '+')", "STRING_AGG({s}, '+' ORDER BY {keyi})", "STRING_AGG({s}, '+' ORDER BY {keys} DESC LIMIT 2)", "UPPER(MAX({s}))",
		"CONCAT(MIN({s}), MAX({s}))", "IF(COUNT(*) > 1, MAX({s}), 'one')", "ARRAY_AGG({s})[OFFSET(0)]", "ARRAY_TO_STRING(ARRAY_AGG({s} IGNORE NULLS), '+')",
	},
	"INT64": {
		"COUNT(*)", "COUNT({x})", "COUNT(DISTINCT {e})", "COUNTIF({b})", "SUM({i})", "MAX({i})", "MIN({i})", "BIT_AND({i})", "BIT_OR({i})", "BIT_XOR({i})", "APPROX_COUNT_DISTINCT({s})", "MAX(LENGTH({s}))", "SUM(IF({b}, 1, 0))",
		"ARRAY_LENGTH(ARRAY_AGG({s}))", "COUNT(DISTINCT {s})",
	},
	"FLOAT64":       {"AVG({i})", "SUM({f})", "STDDEV({i})", "VAR_SAMP({f})", "AVG({f})", "CORR({i}, {f})", "COVAR_POP({i}, {f})", "STDDEV_POP({f})"},
	"BOOL":          {"LOGICAL_OR({b})", "LOGICAL_AND({b})", "COUNT(*) > 2", "MAX({s}) > {guess}", "MAX({b})"},
	"NUMERIC":       {"SUM({n})", "AVG({n})", "MAX({n})", "MIN({n})"},
	"DATE":          {"MAX({d})", "MIN({d})"},
	"TIMESTAMP":     {"MAX({t})", "MIN({t})"},
	"BYTES":         {"MAX({y})", "MIN({y})"},
	"ARRAY<STRING>": {"ARRAY_AGG({s} IGNORE NULLS)", "ARRAY_AGG(DISTINCT {s} IGNORE NULLS)", "ARRAY_AGG({s} IGNORE NULLS ORDER BY {keyi} LIMIT 2)", "ARRAY_CONCAT_AGG({as})", "ARRAY_REVERSE(ARRAY_AGG({s} IGNORE NULLS))"},
	"ARRAY<INT64>":  {"ARRAY_AGG({i} IGNORE NULLS)", "ARRAY_AGG({i} IGNORE NULLS ORDER BY {keys})"},
}

var analytics = map[string][]string{
	"INT64": {
		"ROW_NUMBER() OVER ({over})", "RANK() OVER ({overorder})", "DENSE_RANK() OVER ({overorder})", "NTILE(2) OVER ({overorder})", "COUNT(*) OVER ({over})", "COUNT({e}) OVER ({frame})", "SUM({i}) OVER ({frame})",
		"COUNT(DISTINCT {s}) OVER (PARTITION BY {keys})", "COUNTIF({b}) OVER ({over})", "LAG({i}, 1, 0) OVER ({overorder})",
	},
	"FLOAT64": {"PERCENT_RANK() OVER ({overorder})", "CUME_DIST() OVER ({overorder})", "AVG({i}) OVER ({frame})", "PERCENTILE_CONT({f}, 0.5) OVER (PARTITION BY {keys})"},
	"STRING":  {"STRING_AGG({s}) OVER ({over})", "LAG({s}) OVER ({overorder})", "PERCENTILE_DISC({s}, 0.5) OVER ()", "FIRST_VALUE({s} IGNORE NULLS) OVER ({frame})"},
	"NUMERIC": {"SUM({n}) OVER ({frame})"},
	"BOOL":    {"LOGICAL_OR({b}) OVER ({over})"},
}
