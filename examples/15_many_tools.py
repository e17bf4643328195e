"""Many tools, and a model that sees only those it has looked for."""

from agent_core import Agent
from agent_core.items import JsonValue
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools import Deferred, FunctionTool, Tool


def table_tool(table: str) -> Tool:
    def count(arguments: dict[str, JsonValue]) -> str:
        return f"{table}: 42 rows where {arguments['where']}"

    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {"where": {"type": "string", "description": "A condition."}},
        "required": ["where"],
    }
    return FunctionTool.from_schema(f"count_{table}", f"Counts the rows of {table}.", schema, count, read_only=True)


tables = [table_tool(f"{what}_{year}") for what in ("orders", "customers", "visits") for year in range(2000, 2030)]
steps = (
    Step(calls=(Call("tool_search", {"query": "orders 2026", "limit": 1}),)),
    Step(calls=(Call("count_orders_2026", {"where": "paid"}),)),
    Step(text="42 orders were paid."),
)
with RehearsalServer(steps) as server:
    agent = Agent(server.model, provider=server.provider, tools=[Deferred(*tables)])
    print(agent.run_sync("How many orders were paid in 2026?").text)
    for request in server.requests:
        print(f"  a request of {len(str(request.body))} characters")
