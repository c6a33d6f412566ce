"""What apps keep over a cold start: RETAIN variables, by instance and name, whatever else has changed."""

from __future__ import annotations

from edge_runtime.rules.apps.app import CompiledApp, LiveApp, WiredProgram
from edge_runtime.rules.program import compile_program

FIRST = """
PROGRAM account
VAR_OUTPUT RETAIN total : DINT; END_VAR
VAR RETAIN months : ARRAY[1..3] OF LREAL; part : TOTALISER; END_VAR
VAR_OUTPUT scans : DINT; half, sum : LREAL; END_VAR
total := total + 1;
scans := scans + 1;
months[2] := months[2] + 0.5;
half := months[2];
part(IN := 3600.0, OUT => sum);
END_PROGRAM
"""
SECOND = """
PROGRAM account
VAR RETAIN months : ARRAY[1..3] OF LREAL; new : INT := 7; part : TOTALISER; END_VAR
VAR_OUTPUT RETAIN total : DINT; END_VAR
VAR_OUTPUT scans : DINT; half, sum : LREAL; fresh : INT; END_VAR
scans := scans + 1;
total := total + 100;
half := months[2];
fresh := new;
part(IN := 3600.0, OUT => sum);
END_PROGRAM
"""


def app(*sources: str) -> CompiledApp:
    programs = [compile_program(source) for source in sources]
    outputs = {column.name: column for program in programs for column in program.outputs}
    return CompiledApp("a", "1.0.0", tuple(WiredProgram(each, ()) for each in programs), {}, {}, outputs)


def run(live: LiveApp, scans: int, begin_ms: int = 0) -> dict[str, list[float]]:
    for scan in range(scans):
        found = live.scan(begin_ms + scan * 1000, {}, {})
    return {name: cells.tolist() for name, cells in found.outputs.items()}


def test_another_version_and_more_instances_go_on_with_what_is_retained() -> None:
    first = LiveApp(app(FIRST), 2)
    run(first, 3)
    kept = first.retained()
    second = LiveApp(app(SECOND), 3)
    second.retain(0, kept[0])
    second.retain(2, kept[1])
    found = run(second, 1, 3000)
    assert found == {
        "total": [103, 100, 103],
        "scans": [1, 1, 1],
        "half": [1.5, 0.0, 1.5],
        "sum": [3.0, 0.0, 3.0],
        "fresh": [7, 7, 7],
    }


def test_a_variable_that_has_another_type_begins_anew() -> None:
    first = LiveApp(app(FIRST), 1)
    run(first, 3)
    [kept] = first.retained()
    other = LiveApp(app(FIRST.replace("total : DINT", "total : LINT").replace("1..3", "1..2")), 1)
    other.retain(0, kept)
    assert run(other, 1, 3000) == {"total": [1], "scans": [1], "half": [0.5], "sum": [3.0]}


def test_programs_of_the_same_name_do_not_mix_their_variables() -> None:
    once = (
        "PROGRAM p VAR_OUTPUT {} : INT; END_VAR VAR RETAIN n : INT; END_VAR n := n + {}; {} := n; END_PROGRAM"
    )
    live = LiveApp(app(once.format("a", 1, "a"), once.format("b", 10, "b")), 1)
    run(live, 2)
    again = LiveApp(live.app, 1)
    again.retain(0, live.retained()[0])
    assert run(again, 1) == {"a": [3], "b": [30]}


def test_alarm_blocks_begin_with_what_is_known_to_stand() -> None:
    blocks = "VAR a : ALARM; b : HIGH_ALARM; c : LOW_ALARM; d : ALARM; END_VAR"
    calls = (
        "a(IN := TRUE, TEXT := 'a'); b(IN := 1.0, TEXT := 'b'); c(IN := 1.0, TEXT := 'c'); d(TEXT := 'd');"
    )
    live = LiveApp(app(f"PROGRAM p {blocks} {calls} END_PROGRAM"), 2)
    live.stand(1, {"b", "c"})
    told = [(each.event.instance, each.event.code) for each in live.scan(1000, {}, {}).events]
    assert told == [(0, 0), (0, 2), (1, 0), (1, 5)], "a and b rise; c, which stood, returns"
