"""Node agents: each is one line of work from a typed input to an answer and what it means for an alert.

The shipped ones are listed in `settings`; `build_agent` makes an agent from its settings. How to add one is
told in `docs/agents.md`.
"""

from nodes.agents.base import Agent, Answer
from nodes.agents.build import build_agent
from nodes.agents.lines import judge_lines
from nodes.agents.settings import SHIPPED, AgentSettings

__all__ = ["SHIPPED", "Agent", "AgentSettings", "Answer", "build_agent", "judge_lines"]
