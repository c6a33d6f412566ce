"""Writes one value to an OPC UA node, in the type that the node has."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from asyncua.ua.ua_binary import struct_from_binary

from protocols.errors import DeviceError, MalformedError
from protocols.field import _opcua_wire as wire
from protocols.field._opcua_session import Resolved, Session, ua
from protocols.field.writing import F32_MAX

_RANGES = {
    wire.SBYTE: (-(2**7), 2**7 - 1),
    wire.BYTE: (0, 2**8 - 1),
    wire.INT16: (-(2**15), 2**15 - 1),
    wire.UINT16: (0, 2**16 - 1),
    wire.INT32: (-(2**31), 2**31 - 1),
    wire.UINT32: (0, 2**32 - 1),
    wire.INT64: (-(2**63), 2**63 - 1),
    wire.UINT64: (0, 2**64 - 1),
}
_WRITTEN = (0x0000_0000, 0x002E_0000)
"""Good, and GoodCompletesAsynchronously; any other, GoodClamped too, is not what was asked for."""

_CODE = 0xFFFF_0000


class Target(NamedTuple):
    """A node that can be written.

    Args:
        node: Its NodeId.
        type: Its built-in type (Part 6, 5.1.2).
    """

    node: Resolved
    type: int


async def write(session: Session, address: str, value: float) -> None:
    """Look the node up, where it is not known yet, and write, once.

    Args:
        session: An open session.
        address: The node.
        value: A bool, an int or a finite float.

    Raises:
        DeviceError: The server refused, or the node cannot take the value.
        ConnectionError, TimeoutError: The write was not sent, or not confirmed; the message says which.
    """
    doing = "not sent"
    try:
        async with asyncio.timeout(2 * session.settings.timeout_s):
            target = session.targets.get(address)
            if target is None:
                target = session.targets[address] = await look_up(session, address)
            exact = converted(value, target.type)
            doing = "not confirmed, and perhaps written all the same"
            await send(session, target, exact)
    except TimeoutError as error:
        raise TimeoutError(f"{doing}: no answer within {session.settings.timeout_s:g} s") from error
    except DeviceError:
        raise
    except ua.UaStatusCodeError as error:
        raise DeviceError(f"refused: {error}") from error
    except Exception as error:  # the library raises anything
        raise ConnectionError(f"{doing}: {str(error) or type(error).__name__}") from error


async def look_up(session: Session, address: str) -> Target:
    """Find out which node an address means, its type, and that it may be written.

    A node whose DataType is none of the built-in ones (an alias, an abstract type) is written
    in the type of its present value.

    Raises:
        DeviceError: There is no such node, or it cannot be written.
        Exception: Whatever the library raises.
    """
    [node] = await session.resolve([address])
    if isinstance(node, int):
        raise DeviceError(f"{address}: {_name(node)}")
    request = ua.ReadRequest()
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
    request.Parameters.NodesToRead = [
        ua.ReadValueId(NodeId=node, AttributeId=attribute)
        for attribute in (ua.AttributeIds.DataType, ua.AttributeIds.UserAccessLevel, ua.AttributeIds.Value)
    ]
    response = struct_from_binary(ua.ReadResponse, await session.call(request))
    if len(response.Results) != 3:
        raise MalformedError(f"expected 3 attributes of {address}, got {len(response.Results)}")
    data_type, access, value = response.Results
    for attribute in (data_type, access):
        if not attribute.StatusCode.is_good() or attribute.Value is None:
            raise DeviceError(f"{address}: {_name(int(attribute.StatusCode.value))}")
    if not int(access.Value.Value) & 1 << ua.AccessLevel.CurrentWrite:
        raise DeviceError(f"{address}: the server grants this user no right to write it")
    kind = _built_in(data_type.Value.Value)
    if kind is None and value.Value is not None and not value.Value.is_array:
        kind = int(value.Value.VariantType.value)
    if kind not in _RANGES and kind not in (wire.BOOLEAN, wire.FLOAT, wire.DOUBLE):
        raise DeviceError(f"{address}: expected a number or a Boolean, got data type {data_type.Value.Value}")
    return Target(node, kind)


async def send(session: Session, target: Target, value: float) -> None:
    """Write.

    Args:
        session: An open session.
        target: Where.
        value: As `converted` gives it.

    Raises:
        DeviceError: The server refused.
        Exception: Whatever the library raises.
    """
    # Without status and timestamps, which most servers refuse to be told (Part 4, 5.11.4).
    data = ua.DataValue(ua.Variant(value, ua.VariantType(target.type)), StatusCode=None)
    request = ua.WriteRequest()
    request.Parameters.NodesToWrite = [
        ua.WriteValue(NodeId=target.node, AttributeId=ua.AttributeIds.Value, Value=data)
    ]
    response = struct_from_binary(ua.WriteResponse, await session.call(request))
    if len(response.Results) != 1:
        raise MalformedError(f"expected one result, got {len(response.Results)}")
    code = int(response.Results[0].value)
    if code & _CODE not in _WRITTEN:
        raise DeviceError(f"refused: {_name(code)}")


def converted(value: float, type: int) -> float:
    """A value in the type of a node.

    Args:
        value: A bool, an int or a finite float.
        type: A built-in type: Boolean or one of the number types.

    Raises:
        DeviceError: The node cannot hold it.
    """
    if type == wire.BOOLEAN or isinstance(value, bool):
        if type == wire.BOOLEAN and isinstance(value, bool):
            return value
    elif type in _RANGES:
        low, high = _RANGES[type]
        if value == int(value) and low <= value <= high:
            return int(value)
    elif type == wire.DOUBLE or abs(value) <= F32_MAX:
        return float(value)
    raise DeviceError(f"expected a value that the node's {ua.VariantType(type).name} holds, got {value!r}")


def _built_in(data_type: Any) -> int | None:
    """The built-in type that a DataType node names, or `None`."""
    number = data_type.Identifier
    known = data_type.NamespaceIndex == 0 and isinstance(number, int)
    return number if known and wire.BOOLEAN <= number <= wire.DOUBLE else None


def _name(code: int) -> str:
    """A StatusCode's name."""
    return str(ua.StatusCode(code).name)
