"""What holds for anything, tried on much that was made up: a little everyday, a lot with AGENT_CORE_HYPOTHESIS=ci."""

import os

CI = os.environ.get("AGENT_CORE_HYPOTHESIS") == "ci"
