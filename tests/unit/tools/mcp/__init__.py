"""The MCP client, against a server that misbehaves on request. Real servers: tests/acceptance/test_mcp_*.py."""
