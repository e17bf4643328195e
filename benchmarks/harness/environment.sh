#!/usr/bin/env bash
# environment.sh FOLDER: what the measurements run in: the peers, and what agent_core needs itself (it is taken from this
# checkout). litellm asks for other versions of what the peers need, and gets an environment of its own: FOLDER-litellm.
set -euo pipefail
project="$(cd "$(dirname "$0")/../.." && pwd)"
python="${PYTHON:-python3}"
"$python" -m venv "$1"
"$1/bin/pip" install -q "$project[fast]" openai anthropic aiohttp httpx-aiohttp httpx-sse 'pydantic-ai-slim[openai,anthropic]' \
  openai-agents any-llm-sdk langchain langchain-openai langchain-anthropic langgraph cryptography
"$python" -m venv "$1-litellm"
"$1-litellm/bin/pip" install -q "$project[fast]" litellm
echo "made: python -m benchmarks --peers $1"
