"""Ask one question. With a key set, name a real model: "openai/gpt-5.6", "anthropic/claude-sonnet-4-6"."""

import agent_core

print(agent_core.ask("rehearsal/hello", "Say hello."))
