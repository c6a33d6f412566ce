"""Threshold tables: what they lower to, and every mistake in them at once."""

from __future__ import annotations

import pytest

from edge_runtime.rules import compile_program
from edge_runtime.rules.thresholds.lower import lower_thresholds
from edge_runtime.rules.thresholds.table import read_table_text
from protocols.errors import InputError
from tests.rules.tables import check

DRUM = """\
name,input,unit,low_low,low,high,high_high,hysteresis,on_delay_s,off_delay_s,priority,priority_high_high,text_en,text_zh
level,drum_level,mm,-100,-50,50,100,10,2,1,medium,1,Drum level,汽包水位
"""

DRUM_TOML = """\
[[threshold]]
name = "level"
input = "drum_level"
unit = "mm"
low_low = -100
low = -50.0
high = 50
high_high = 100
hysteresis = 10
on_delay_s = 2
off_delay_s = 1
priority = "medium"
priority_high_high = 1
text_en = "Drum level"
text_zh = "汽包水位"
"""


def problems(text: str, file: str = "t.csv") -> list[str]:
    with pytest.raises(InputError) as caught:
        lower_thresholds(text, file, "made")
    return [str(problem) for problem in caught.value.problems]


def test_a_table_becomes_a_program_with_an_alarm_a_limit() -> None:
    program = compile_program(lower_thresholds(DRUM, "drum.csv", "drum").source)
    assert [(column.name, column.unit) for column in program.inputs] == [("drum_level", "mm")]
    assert [(c.name, c.initial[0], c.unit) for c in program.parameters] == [
        ("level_low_low_limit", -100.0, "mm"),
        ("level_low_limit", -50.0, "mm"),
        ("level_high_limit", 50.0, "mm"),
        ("level_high_high_limit", 100.0, "mm"),
    ]
    assert [(site.path, site.text, site.priority) for site in program.events] == [
        ("level_low_low", "Drum level low low", 3),
        ("level_low", "Drum level low", 3),
        ("level_high", "Drum level high", 3),
        ("level_high_high", "Drum level high high", 1),
    ]


def test_the_program_alarms_with_delays_and_hysteresis() -> None:
    program = compile_program(lower_thresholds(DRUM, "drum.csv", "drum").source)
    check(
        program,
        """
        time drum_level | level_high_active level_high_high_active events
        0s   40.0       | FALSE FALSE
        1s   120.0      | FALSE FALSE
        3s   120.0      | TRUE  TRUE  alarm 'Drum level high' 120; alarm 'Drum level high high' 120
        4s   95.0       | TRUE  TRUE
        5s   90.0       | TRUE  TRUE
        6s   90.0       | TRUE  FALSE returned 'Drum level high high' 90
        7s   40.0       | TRUE  FALSE
        8s   40.0!      | FALSE! FALSE! returned 'Drum level high' 40!
        """,
    )


def test_an_instance_may_have_limits_of_its_own() -> None:
    program = compile_program(lower_thresholds("name,high\nx,5\n", "t.csv", "made").source)
    check(program, "time x | x_high_active\n 0 6.0 | FALSE\n 1 8.0 | TRUE", x_high_limit="7.0")


def test_rate_and_deviation_count_in_both_directions() -> None:
    table = "name,unit,rate_per_min,deviation,setpoint\nx,Cel,60,5,sp\n"
    lowered = lower_thresholds(table, "t.csv", "made")
    program = compile_program(lowered.source)
    assert {column.name: column.unit for column in program.parameters}["x_rate_limit"] == "Cel/min"
    check(
        program,
        """
        time x    sp   | x_rate_active x_deviation_active
        0s   10.0 10.0 | FALSE! FALSE
        1s   10.5 10.0 | FALSE FALSE
        2s   8.5  10.0 | TRUE  FALSE
        3s   4.5  10.0 | TRUE  TRUE
        4s   4.5  9.0  | FALSE FALSE
        """,
    )


def test_toml_and_csv_say_the_same() -> None:
    assert read_table_text(DRUM_TOML, "drum.toml") == read_table_text(DRUM, "drum.csv")


def test_texts_are_told_in_english_and_translated() -> None:
    lowered = lower_thresholds("name,high,text_en,text_zh\nx,5,Pump's $,泵\n", "t.csv", "made")
    assert compile_program(lowered.source).events[0].text == "Pump's $ high"
    assert lowered.translations == {"Pump's $ high": "泵高"}


def test_an_input_may_be_watched_by_several_rows() -> None:
    table = "name,input,unit,high,on_delay_s\nfast,p,MPa,17,0\nslow,p,MPa,16.5,0.25\n"
    program = compile_program(lower_thresholds(table, "t.csv", "made").source)
    assert [column.name for column in program.inputs] == ["p"]


def test_every_problem_of_a_table_is_told_at_once() -> None:
    table = (
        "name,input,unit,low,high,hysteresis,on_delay_s,priority,priority_low,deviation,low_lo\n"
        'level,LT-101,℃,50,40,"0,5",-1,urgent,,,\n'
        "level,,mm,,5,,,,2,,\n"
        "if,,mm,,,,,,,3,\n"
    )
    assert problems(table) == [
        "t.csv: row 1, column 11: got 'low_lo'; expected a known column; did you mean 'low_low'?",
        "t.csv: row 2, column input: got 'LT-101'; expected the program's input, such as level: letters, "
        "digits and _, not beginning with a digit",
        "t.csv: row 2, column unit: got '℃'; expected a UCUM unit such as t/h, MPa or Cel; this is not a "
        "UCUM unit; write 'Cel'",
        "t.csv: row 2, column priority: got 'urgent'; expected 1 (critical), 2 (high), 3 (medium) or 4 (low)",
        "t.csv: row 2, column high: got '40'; expected a number above low, which is 50",
        "t.csv: row 2, column hysteresis: got '0,5'; expected a number with a decimal point: 0.5",
        "t.csv: row 2, column on_delay_s: got '-1'; expected a number of seconds from 0 to 86400",
        "t.csv: row 3, column priority_low: got '2'; expected nothing: there is no limit in the column low",
        "t.csv: row 3, column name: got 'level'; expected a name of its own; row 2 has the same",
        "t.csv: row 4, column name: got 'if'; expected a name of the threshold, such as drum_level; 'if' is "
        "a word of the rule language",
        "t.csv: row 4, column setpoint: found nothing; expected the input that holds the setpoint, from "
        "which deviation is measured",
    ]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("", "row 1: found nothing; expected a heading row with the column name"),
        ("name,high\n", "file: found nothing; expected at least one threshold below the heading"),
        ("tag,limit\nx,5\n", "row 1: got 'tag, limit'; expected a heading row with the columns name"),
        (
            "name;high;low\nx;5;1\n",
            "row 1: got 'cells separated by semicolons'; expected commas; save it as CSV",
        ),
        ("name,high\nx,5,7\n", "row 2, cell 3: got '7'; expected no cell beyond the heading"),
        ("name,high\nx,\n", "row 2: found nothing; expected at least one limit in the columns low_low, low"),
        ("name,high\nx,5\u00b0\n", "row 2, column high: got '5°'; expected a number such as 0.1"),
        ("name,high\n2x,5\n", "row 2, column name: got '2x'; expected a name of the threshold"),
        (f"name,high\n{'x' * 41},5\n", "expected a name of the threshold, such as drum_level, of at most 40"),
        ("name,low,high,hysteresis\nx,1,3,2\n", "expected less than the distance of low and high, 2"),
        (
            "name,high,hysteresis\nx,1,-1\n",
            "row 2, column hysteresis: got '-1'; expected a number of 0 or more",
        ),
        ("name,deviation,setpoint,hysteresis\nx,1,s,1\n", "expected less than deviation, which is 1"),
        ("name,deviation,setpoint\nx,-1,s\n", "column deviation: got '-1'; expected a number above 0"),
        (
            "name,high,setpoint\nx,1,s\n",
            "column setpoint: got 's'; expected nothing, or a limit in the column",
        ),
        (
            "name,input,unit,high\na,x,mm,1\nb,X,m,1\n",
            "row 3, column unit: got 'm'; expected mm, as row 2 has",
        ),
        (
            "name,high,text_en,text_zh\na,1,T,温\nb,1,T,\n",
            "row 3, column text_zh: found nothing; expected 温",
        ),
        ("name,input,high\na,x,1\nb,a_high,1\n", "it makes 'a_high', and so does the input 'a_high'"),
        ("name,high,high_high\na,1,2\na_high,1,\n", "it makes 'a_high_high', and so does the row 'a'"),
    ],
)
def test_a_mistake_in_a_table_is_told_with_its_place(table: str, expected: str) -> None:
    found = problems(table)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("", "expected tables written as [[threshold]]"),
        ("[threshold]\nname='x'\n", "expected tables written as [[threshold]], with two brackets"),
        ("[[threshold]]\nname='x'\nhigh='5'\n", "line 3, [[threshold]] 1, high: got '5'; expected a number"),
        ("[[threshold]]\nname=5\nhigh=5\n", "line 2, [[threshold]] 1, name: got '5'; expected a name"),
        ("[[threshold]]\nname='x'\nhigh=5\nunit=['m']\n", "line 4, [[threshold]] 1, unit: got 'a list'"),
        ("[[threshold]]\nname='x'\nhihg=5\n", "expected a known setting; did you mean 'high'?"),
        (
            "[[threshold]]\nname='x'\nhigh=nan\n",
            "line 3, [[threshold]] 1, high: got 'nan'; expected a number",
        ),
        ("[[threshold]\n", "expected valid TOML"),
    ],
)
def test_a_mistake_in_toml_is_told_with_its_line(table: str, expected: str) -> None:
    found = problems(table, "t.toml")
    assert any(expected in problem for problem in found), found


def test_a_wrong_value_in_toml_is_told_once() -> None:
    assert len(problems("[[threshold]]\nname='x'\nhigh='ten'\n", "t.toml")) == 1
