"""Says in a sentence why tritonserver did not start, from its log."""

import re
from pathlib import Path

FAILED = re.compile(r"failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.+)")
NO_GPU = "CudaDriverHelper has not been initialized"  # Triton logs it as an error on every machine without a GPU
ERROR = re.compile(r"^E\d{4} [^\]]*\] (?P<reason>.+)|^error: (?P<other>.+)")


def explain(log: Path, start: int = 0) -> str:
    """Return the reasons found in a log: models that failed to load first, else the first errors, else its end.

    `start` is the byte at which it begins to be of interest.
    """
    text = log.read_bytes()[start:].decode(errors="replace")
    reasons: dict[str, str] = {}
    for line in text.splitlines():
        if match := FAILED.search(line):
            reasons.setdefault(match["model"], tidy(match["reason"]))
    if reasons:
        return "\n".join(f"Model `{model}` failed to load: {reason}" for model, reason in reasons.items())
    matches = [ERROR.match(line) for line in text.splitlines() if NO_GPU not in line]
    errors = [tidy(match["reason"] or match["other"]) for match in matches if match]
    if errors:
        return "Triton did not start: " + "\n".join(dict.fromkeys(errors[:3]))
    return "Triton ended without a reason. The end of its log:\n" + "\n".join(text.splitlines()[-5:])


def tidy(reason: str) -> str:
    """A message without what Triton and its Python backend put around it."""
    reason = reason.strip().strip('"').replace('\\"', '"').split("\\n\\nAt:")[0]
    return re.sub(r"^(Internal|Invalid argument|Not found|Unavailable): ", "", reason)
