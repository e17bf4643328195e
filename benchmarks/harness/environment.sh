#!/usr/bin/env bash
# environment.sh FOLDER: an environment with the peers, and with what agent_core needs, to run the harness in.
# litellm cannot live with the others: FOLDER-litellm.
set -euo pipefail
python3 -m venv "$1"
"$1/bin/pip" install -q openai anthropic 'pydantic-ai-slim[openai,anthropic]' openai-agents any-llm-sdk langchain-openai \
  langgraph httpx httpx2 httpx-sse httpx-aiohttp aiohttp niquests msgspec orjson jiter uvloop cryptography
"$1/bin/pip" install -q "$(cd "$(dirname "$0")/../.." && pwd)[fast]"
python3 -m venv "$1-litellm"
"$1-litellm/bin/pip" install -q litellm aiohttp httpx msgspec orjson jiter
