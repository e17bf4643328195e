"""The event loops, each with the transports it has. A test that names no transport has aiohttp's on asyncio, and on
trio httpx2's."""

from __future__ import annotations

from agent_core.transport_choice import TransportName

__all__ = ["STACKS"]

STACKS: tuple[tuple[str, TransportName], ...] = (("asyncio", "aiohttp"), ("asyncio", "httpx2"), ("trio", "httpx2"))
"""(event loop, transport)"""
