"""What can stop the embedded stack. One class: each message is one line that names what to do.

StackError
"""

from __future__ import annotations


class StackError(RuntimeError):
    """The stack cannot be brought to the asked state; the message says why and what to do."""
