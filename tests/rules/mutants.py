"""Sources with random damage."""

from __future__ import annotations

import re
from random import Random

TOKEN = re.compile(r"\w+#?[\w.+-]*|:=|=>|<=|>=|<>|\.\.|\(\*|\*\)|//|'[^'\n]*'|\s+|.")
ODD = (
    "(", ")", ";", ":=", "'", "(*", "*)",
    "#", "T#", "16#", "..", "[", "]", "{", "}", "$", "\0", "é", "END_IF",
    "FOR", "9" * 400,
    "1.0E999", "T#9999999999999d", "-", "e", "IF", "END_PROGRAM", "VAR", "@", "\t", "\r", "\n",
    "低", ".",
)  # fmt: skip


def mutant(source: str, draw: Random) -> str:
    """One to a few damages: tokens left out, doubled, swapped or replaced; characters replaced."""
    tokens = TOKEN.findall(source)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at, other = draw.randrange(len(tokens)), draw.randrange(len(tokens))
        kind = draw.randrange(6)
        if kind == 0:
            tokens[at] = ""
        elif kind == 1:
            tokens[at] += " " + tokens[at]
        elif kind == 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif kind == 3:
            tokens[at] = tokens[other]
        elif kind == 4:
            tokens[at] += draw.choice(ODD)
        else:
            text = tokens[at]
            place = draw.randrange(len(text) + 1)
            tokens[at] = (
                text[:place] + draw.choice((*ODD[:20], chr(draw.randrange(1, 0x3000)))) + text[place + 1 :]
            )
    return "".join(tokens)
