"""The apps in `apps/`: built, held to their budget, and checked against computations of their own.

`gas_by_hand`, `vibration_by_hand`, `carbon_by_hand` and `heat_rate_by_hand` say what an app
must do, worked out in plain Python from the standards (steam by CoolProp's IAPWS-IF97).
`recordings` makes the recorded tests of the packages from them and from the plant model;
`python -m tests.apps` writes them.
"""
