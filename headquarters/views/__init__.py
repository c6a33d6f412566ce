"""What people and programs are shown, as plain functions and frozen dataclasses, without HTTP.

Rules:
1. Every function takes the `Sources` and a `Scope`, and shows nothing outside of the scope: what
   is there and not seen looks like what is not there (`None`, or a shorter list).
2. Times are microseconds since 1970 in UTC (`_us`), or `None` where nothing is known. What people
   read is made of them where it is shown.
3. Nothing here writes. What changes something is in `headquarters.services.fleet`.

Portal and API both show what these give.
"""
