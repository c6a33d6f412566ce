"""From lark's parse tree to the syntax tree; literals are read here, with their own faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lark import Token, Tree

from edge_runtime.rules.reading import literals, syntax
from edge_runtime.rules.reading.syntax import Name, Span

Say = Callable[[Span, str, str], None]


class Builder:
    """Builds a tree; faults go to `say(span, what, hint)`."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def source(self, tree: Tree[Token]) -> syntax.Source:
        """The whole source."""
        return syntax.Source(
            tuple(self._unit(child) for child in _trees(tree) if not _is(child.children[0], "BAD_UNIT"))
        )

    # -- units and declarations ------------------------------------------------------------------

    def _unit(self, tree: Tree[Token]) -> syntax.Unit:
        tokens = [child for child in tree.children if isinstance(child, Token)]
        names = [token for token in tokens if token.type == "NAME"]
        declarations: list[syntax.Declaration] = []
        for child in _trees(tree):
            if child.data == "section" and not _is(child.children[0], "BAD_SECTION"):
                declarations += self._section(child)
        (body,) = (child for child in _trees(tree) if child.data == "body")
        kind = str(tree.data).upper()
        result = _name(names[1]) if kind == "FUNCTION" else None
        return syntax.Unit(
            kind, _name(names[0]), result, tuple(declarations), self._body(body), span_of(tokens[0])
        )

    def _section(self, tree: Tree[Token]) -> list[syntax.Declaration]:
        words = [str(child).upper() for child in tree.children if isinstance(child, Token)]
        section = words[0]
        qualifier = next((word for word in words if word in ("CONSTANT", "RETAIN")), None)
        return [
            declaration
            for child in _trees(tree)
            if not _is(child.children[0], "BAD_DECLARATION")
            for declaration in self._declaration(child, section, qualifier)
        ]

    def _declaration(
        self, tree: Tree[Token], section: str, qualifier: str | None
    ) -> list[syntax.Declaration]:
        children: list[Any] = tree.children
        *names_and_type, kind, initial, pragma = children
        names = [
            _name(token) for token in names_and_type if isinstance(token, Token) and token.type == "NAME"
        ]
        if isinstance(kind, Tree):
            low, high, element = (part for part in kind.children if not _is(part, "ARRAY", "OF"))
            type_: Name | syntax.ArrayType = syntax.ArrayType(
                self._expression(low), self._expression(high), _name(element), span_of(kind.children[0])
            )
        else:
            type_ = _name(kind)
        unit = unit_span = None
        if isinstance(pragma, Tree):
            unit, unit_span = self._pragma(pragma)
        value = self._initial(initial)
        return [syntax.Declaration(name, section, qualifier, type_, value, unit, unit_span) for name in names]

    def _pragma(self, tree: Tree[Token]) -> tuple[str | None, Span | None]:
        word, text = tree.children
        assert isinstance(word, Token)
        assert isinstance(text, Token)
        if word.upper() != "UNIT":
            self._say(span_of(word), f"expected {{unit '...'}}, got {str(word)!r}", "")
            return None, None
        return literals.text(str(text)), span_of(text)

    def _initial(self, tree: Any) -> syntax.Expression | tuple[syntax.Repeated, ...] | None:
        if tree is None:
            return None
        if not (isinstance(tree, Tree) and tree.data == "elements"):
            return self._expression(tree)
        found = []
        for child in _trees(tree):
            if child.data == "times":
                count, value = child.children
                found.append(syntax.Repeated(self._integer(count), self._expression(value)))
            else:
                found.append(syntax.Repeated(None, self._expression(child.children[0])))
        return tuple(found)

    # -- statements ------------------------------------------------------------------------------

    def _body(self, tree: Tree[Token]) -> tuple[syntax.Statement, ...]:
        return tuple(self._statement(child) for child in _trees(tree) if child.data not in ("empty", "bad"))

    def _statement(self, tree: Tree[Token]) -> syntax.Statement:
        handlers: dict[str, Callable[[Tree[Token]], syntax.Statement]] = {
            "assign": self._assign, "call": self._call, "if": self._if, "case": self._case, "for": self._for,
        }  # fmt: skip
        return handlers[str(tree.data)](tree)

    def _target(self, tree: Any) -> syntax.Variable | syntax.Element:
        target = self._expression(tree)
        assert isinstance(target, syntax.Variable | syntax.Element)
        return target

    def _assign(self, tree: Tree[Token]) -> syntax.Assign:
        target = self._target(tree.children[0])
        return syntax.Assign(target, self._expression(tree.children[1]), target.span)

    def _call(self, tree: Tree[Token]) -> syntax.BlockCall:
        name = _name(tree.children[0])
        arguments, takes = [], []
        for child in _trees(tree):
            if child.data == "take":
                takes.append(syntax.Take(_name(child.children[0]), self._target(child.children[1])))
            else:
                arguments.append(self._argument(child))
        return syntax.BlockCall(name, tuple(arguments), tuple(takes), name.span)

    def _if(self, tree: Tree[Token]) -> syntax.If:
        parts, otherwise = self._else(tree)
        branches = [
            syntax.Branch(self._head(parts[i]), self._body(parts[i + 1])) for i in range(0, len(parts), 2)
        ]
        return syntax.If(tuple(branches), otherwise, span_of(tree.children[0]))

    def _case(self, tree: Tree[Token]) -> syntax.Case:
        parts, otherwise = self._else(tree)
        choices = tuple(self._choice(part) for part in parts[1:])
        return syntax.Case(self._head(parts[0]), choices, otherwise, span_of(tree.children[0]))

    def _else(self, tree: Tree[Token]) -> tuple[Sequence[Tree[Token]], tuple[syntax.Statement, ...]]:
        """The subtrees before ELSE, and what ELSE holds."""
        parts = _trees(tree)
        if any(_is(child, "ELSE") for child in tree.children):
            return parts[:-1], self._body(parts[-1])
        return parts, ()

    def _choice(self, tree: Tree[Token]) -> syntax.Choice:
        *labels, body = _trees(tree)
        # none where they could not be read
        return syntax.Choice(tuple(self._label(label) for label in labels), self._body(body))

    def _label(self, tree: Tree[Token]) -> syntax.Label:
        low, *high = (self._expression(part) for part in _trees(tree))
        return syntax.Label(low, high[0] if high else low, low.span)

    def _head(self, tree: Tree[Token]) -> syntax.Expression:
        """The expression in the head of an IF or CASE."""
        first = tree.children[0]
        return syntax.Unread(span_of(first)) if _is(first, "BAD_HEAD") else self._expression(first)

    def _for(self, tree: Tree[Token]) -> syntax.Statement:
        *bounds, body = _trees(tree)
        if not bounds:  # its head could not be read
            span = span_of(tree.children[0])
            return syntax.If((syntax.Branch(syntax.Unread(span), self._body(body)),), (), span)
        first, last, *step = (self._expression(bound) for bound in bounds)
        return syntax.For(
            _name(tree.children[1]),
            first,
            last,
            step[0] if step else None,
            self._body(body),
            span_of(tree.children[0]),
        )

    # -- expressions -----------------------------------------------------------------------------

    def _expression(self, tree: Any) -> syntax.Expression:
        assert isinstance(tree, Tree)
        children: list[Any] = tree.children
        match str(tree.data):
            case "parenthesis":
                return self._expression(children[0])
            case "binary":
                operator = children[1]
                left, right = self._expression(children[0]), self._expression(children[2])
                word = "AND" if operator.type == "AMP" else operator.upper()
                return syntax.Binary(word, left, right, span_of(operator))
            case "prefix":
                return syntax.Unary(children[0].upper(), self._expression(children[1]), span_of(children[0]))
            case "negative":
                operand = self._expression(children[0])
                return syntax.Unary("-", operand, operand.span)
            case "variable":
                return syntax.Variable(_name(children[0]))
            case "element":
                return syntax.Element(_name(children[0]), self._expression(children[1]), span_of(children[0]))
            case "member":
                block, member = _name(children[0]), _name(children[1])
                span = block.span._replace(end=max(block.span.end, member.span.end))
                return syntax.Member(block, member, span)
            case "function_call":
                name = _name(children[0])
                arguments = tuple(self._argument(child) for child in _trees(tree))
                return syntax.Call(name, arguments, name.span)
            case _:
                return self._literal(str(tree.data), children[0])

    def _argument(self, tree: Tree[Token]) -> syntax.Argument:
        if tree.data == "named":
            return syntax.Argument(_name(tree.children[0]), self._expression(tree.children[1]))
        return syntax.Argument(None, self._expression(tree.children[0]))

    def _integer(self, token: Any) -> syntax.Expression:
        return self._literal("integer", token)

    def _literal(self, kind: str, token: Token) -> syntax.Expression:
        span = span_of(token)
        try:
            return literals.read(kind, str(token), span)
        except literals.LiteralFaultError as fault:
            self._say(span, str(fault), fault.hint)
            return syntax.TextLiteral("", span) if kind == "text" else syntax.Unread(span)


def span_of(token: Any) -> Span:
    """Where a token stands."""
    assert isinstance(token, Token)
    line, column = token.line or 1, token.column or 1
    end = token.end_column if token.end_line == line else None
    return Span(line, column, end or column + 1)


def _name(token: Any) -> Name:
    return Name(str(token), span_of(token))


def _trees(tree: Tree[Token]) -> Sequence[Tree[Token]]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _is(child: Any, *types: str) -> bool:
    return isinstance(child, Token) and child.type in types
