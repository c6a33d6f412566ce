"""Lists the variables that an OPC UA server offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncua.ua.ua_binary import struct_from_binary

from protocols.errors import MalformedError
from protocols.field._opcua_session import Session, ua
from protocols.field._opcua_values import field_type
from protocols.field.base import BrowsedNode

LEVELS_MAX = 64
"""How deep a server's folders are followed; loops end by themselves, as each node is seen once."""

_SERVER = ua.NodeId(ua.ObjectIds.Server)
_MASK = ua.NodeClass.Object | ua.NodeClass.Variable


async def browse(session: Session, limit: int) -> list[BrowsedNode]:
    """Walk down from the Objects folder, breadth first, without the server's own diagnostics.

    Args:
        session: An open session.
        limit: Most variables.

    Raises:
        Exception: Whatever the library raises.
    """
    level: list[tuple[Any, str]] = [(ua.NodeId(ua.ObjectIds.ObjectsFolder), "")]
    seen: set[Any] = {level[0][0], _SERVER}
    variables: dict[Any, str] = {}
    for _ in range(LEVELS_MAX):
        below: list[tuple[Any, str]] = []
        for start in range(0, len(level), session.batch):
            chunk = level[start : start + session.batch]
            references = await _children(session, [node for node, _ in chunk])
            for (_, path), found in zip(chunk, references, strict=True):
                for reference in found:
                    if reference.NodeId in seen:
                        continue
                    seen.add(reference.NodeId)
                    name = f"{path}/{reference.BrowseName.Name}".removeprefix("/")
                    below.append((reference.NodeId, name))
                    if reference.NodeClass == ua.NodeClass.Variable:
                        variables[reference.NodeId] = name
        level = below
        if not level or len(variables) >= limit:
            break
    return await _described(session, list(variables.items())[:limit])


async def _children(session: Session, nodes: Sequence[Any]) -> list[list[Any]]:
    """The objects and variables directly below each node."""
    request = ua.BrowseRequest()
    for node in nodes:
        description = ua.BrowseDescription()
        description.NodeId = node
        description.BrowseDirection = ua.BrowseDirection.Forward
        description.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
        description.IncludeSubtypes = True
        description.NodeClassMask = _MASK
        description.ResultMask = ua.BrowseResultMask.All
        request.Parameters.NodesToBrowse.append(description)
    response = struct_from_binary(ua.BrowseResponse, await session.call(request))
    if len(response.Results) != len(nodes):
        raise MalformedError(f"expected {len(nodes)} results, got {len(response.Results)}")
    found = [list(result.References or []) for result in response.Results]
    rest = {
        i: result.ContinuationPoint for i, result in enumerate(response.Results) if result.ContinuationPoint
    }
    while rest:
        more = ua.BrowseNextRequest()
        more.Parameters.ReleaseContinuationPoints = False
        more.Parameters.ContinuationPoints = list(rest.values())
        answer = struct_from_binary(ua.BrowseNextResponse, await session.call(more))
        results = answer.Parameters.Results
        for i, result in zip(list(rest), results, strict=True):
            found[i] += result.References or []
            rest[i] = result.ContinuationPoint
        rest = {i: point for i, point in rest.items() if point}
    return found


async def _described(session: Session, variables: Sequence[tuple[Any, str]]) -> list[BrowsedNode]:
    """The type of each variable, as its present value shows it, and its description."""
    result = []
    for start in range(0, len(variables), session.batch):
        chunk = variables[start : start + session.batch]
        types = [0] * len(chunk)
        for run in await session.read([node for node, _ in chunk]):
            for handle in run.handles.tolist():
                types[handle] = run.type
        texts = [""] * len(chunk)
        for run in await session.read([node for node, _ in chunk], ua.AttributeIds.Description):
            for handle, text in zip(run.handles.tolist(), run.values.tolist(), strict=True):
                texts[handle] = text if isinstance(text, str) else ""
        for (node, path), kind, text in zip(chunk, types, texts, strict=True):
            result.append(BrowsedNode(node.to_string(), path, field_type(kind), text))
    return result
