"""The functions that a governed query can call: named one by one, all others are refused.

A function may be here when its result depends on nothing but its arguments, the clock and
chance: none that reads files, settings, the catalogue, statistics of a column, variables or
the query's text, none that changes the session, none that runs SQL or takes a lambda, and
none whose only use is to wait. `docs/sql.md` lists them for readers.
"""

from __future__ import annotations

from collections.abc import Mapping


def words(text: str) -> frozenset[str]:
    """The words of a text.

    >>> sorted(words("b a"))
    ['a', 'b']
    """
    return frozenset(text.split())


GROUPS: Mapping[str, frozenset[str]] = {
    "numbers": words(
        """
abs acos acosh asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees even exp
factorial fdiv floor fmod gamma gcd greatest greatest_common_divisor isfinite isinf isnan lcm least
least_common_multiple lgamma ln log log10 log2 mod multiply nextafter pi pow power radians random
round round_even sign signbit sin sinh sqrt subtract tan tanh trunc xor add divide
"""
    ),
    "text": words(
        """
ascii bar base64 bin bit_length char_length character_length chr concat concat_ws contains
damerau_levenshtein ends_with format format_bytes from_base64 hamming hash hex instr jaccard
jaro_similarity jaro_winkler_similarity lcase left left_grapheme len length length_grapheme
levenshtein lower lpad ltrim md5 nfc_normalize octet_length ord position prefix printf regexp_escape
regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
regexp_split_to_array repeat replace reverse right right_grapheme rpad rtrim sha1 sha256 split
split_part starts_with str_split str_split_regex string_split string_split_regex string_to_array
strip_accents strlen strpos substr substring substring_grapheme suffix to_base to_base64 to_binary
to_hex translate trim ucase unbin unhex unicode upper url_decode url_encode
"""
    ),
    "time": words(
        """
age century current_date current_timestamp date_add date_diff date_part date_sub date_trunc datediff
datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear decade epoch epoch_ms epoch_ns
epoch_us era get_current_time get_current_timestamp hour isodow isoyear julian last_day localtime
localtimestamp make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns
make_timestamptz microsecond millennium millisecond minute month monthname nanosecond now quarter
second strftime strptime time_bucket timezone timezone_hour timezone_minute to_centuries to_days
to_decades to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters
to_seconds to_timestamp to_weeks to_years today transaction_timestamp try_strptime week weekday
weekofyear year yearweek
"""
    ),
    "values": words("coalesce if ifnull nullif typeof uuid gen_random_uuid"),
    "lists, structs and maps": words(
        """
array_append array_cat array_concat array_contains array_distinct array_extract array_has
array_has_all array_has_any array_indexof array_intersect array_length array_position array_prepend
array_reverse array_reverse_sort array_slice array_sort array_to_string array_unique array_value
cardinality element_at flatten generate_series list_append list_avg list_cat list_concat
list_contains list_count list_distinct list_element list_extract list_first list_has list_has_all
list_has_any list_indexof list_intersect list_last list_max list_median list_min list_mode
list_position list_prepend list_product list_resize list_reverse list_reverse_sort list_select
list_slice list_sort list_stddev_pop list_stddev_samp list_sum list_unique list_value list_var_pop
list_var_samp list_where list_zip map map_concat map_contains map_entries map_extract
map_from_entries map_keys map_values range row struct_extract struct_insert struct_pack unnest
"""
    ),
    "JSON": words(
        """
from_json json json_array json_array_length json_contains json_exists json_extract json_extract_path
json_extract_path_text json_extract_string json_group_array json_group_object json_keys
json_merge_patch json_pretty json_quote json_structure json_transform json_type json_valid
json_value row_to_json to_json
"""
    ),
    "aggregates": words(
        """
any_value approx_count_distinct approx_quantile arbitrary arg_max arg_max_null arg_min arg_min_null
argmax argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star
countif covar_pop covar_samp entropy favg first fsum geomean geometric_mean group_concat histogram
kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean median min min_by mode
percentile_cont percentile_disc product quantile quantile_cont quantile_disc regr_avgx regr_avgy
regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile sem
skewness stddev stddev_pop stddev_samp string_agg sum sumkahan var_pop var_samp variance wavg
weighted_avg grouping
"""
    ),
    "windows": words(
        """
cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank
rank_dense row_number
"""
    ),
}

FUNCTIONS = frozenset().union(*GROUPS.values())
"""Names in lower case."""

TABLE_FUNCTIONS = frozenset({"generate_series", "range", "unnest"})
"""Those that may stand after FROM."""

SERIES_OF = "series_of"
"""Ours: the number of the series with a name, worked out before the query begins."""

OPERATORS = words(
    """
!~~ !~~* % & && * ** + - ->> / // << <=> <@ = > >> @> ^ ^@ | || ~ ~~ ~~* ~~~ <> != < <= >= !
not_like_escape like_escape ilike_escape not_ilike_escape ->
"""
)
"""What DuckDB's parser makes of operators."""
