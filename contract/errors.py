"""The sentence inside an error that Triton reports: what its model raised, without what is put around it."""

from __future__ import annotations

import re

# What Triton and its Python backend put around the sentence that a model raised.
_NOISE = re.compile(
    r"^(\[StatusCode\.\w+\]|\[request id: [^\]]*\]|in ensemble '[^']*',"
    r"|Failed to process the request\(s\) for model (instance )?'[^']*',( message:)?"
    r"|\w*(Error|Exception):)\s*"
)
# Where the sentence was raised, or what Triton advises those who write configs.
_TRACE = re.compile(r"(\s*\n\s*At:\s*\n|\.? NOTE: Setting a non-zero max_batch_size).*", re.DOTALL)
_DEAD_STUB = re.compile(r"Stub process .*is not healthy")


def plain(message: str | None) -> str:
    """The sentence inside a server's message."""
    text = _TRACE.sub("", message or "").strip()
    if is_dead_stub(text):
        return f"a Python process of the server has died ({text}); try again when the server has restarted"
    while match := _NOISE.match(text):
        text = text[match.end() :]
    return text or "the server gave no reason"


def is_dead_stub(message: str | None) -> bool:
    """Whether a message says that a model's Python process has died, though the server itself is ready."""
    return _DEAD_STUB.search(message or "") is not None
