"""The event loops, each with the transports it has but for httpx2's, which has tests of its own. A test that names no
transport has aiohttp's on asyncio, and on trio h11's."""

from __future__ import annotations

from agent_core.transport_choice import TransportName

__all__ = ["STACKS"]

STACKS: tuple[tuple[str, TransportName], ...] = (("asyncio", "aiohttp"), ("asyncio", "h11"), ("trio", "h11"))
"""(event loop, transport)"""
