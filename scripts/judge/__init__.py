"""The judge: holds the lake against what the field servers say they served.

It shares no code with the product: the lake is opened with deltalake alone, the servers'
logs with numpy alone. `docs/plant.md` describes both well enough to write another one.
"""

from scripts.judge.judging import judge
from scripts.judge.verdict import Verdict

__all__ = ["Verdict", "judge"]
