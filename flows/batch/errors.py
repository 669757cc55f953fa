"""What ends a batch job.

BatchRefused        the file cannot be scored as asked; the text says what to change
"""

from __future__ import annotations


class BatchRefused(RuntimeError):
    """The file cannot be scored as asked; the text says what to change, and holds no value of an applicant."""
