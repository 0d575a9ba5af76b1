"""Says in a sentence why tritonserver did not start, from its log."""

import re
import signal
from pathlib import Path

from server.installation import LINK

FAILED = re.compile(r"failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.+)")
NO_GPU = "CudaDriverHelper has not been initialized"  # Triton logs it as an error on every machine without a GPU
ERROR = re.compile(r"^E\d{4} [^\]]*\] (?P<reason>.+)|^error: (?P<other>.+)")
LARGEST_LOG = 2**24  # bytes
CRASH = "terminate called"  # what C++ says of an exception that nobody catches
LINKED = re.compile(rf"/\S*/relight-triton-\d+-\w+/{LINK}(?=/)")  # how Triton names a repository behind a link
MEMORY = "memory has probably run out: free some, or try --max-batch 1"
REMEDIES = (  # what a reason shows, and what to do
    (re.compile(r"No space left on device|shm-size"), "make /dev/shm larger: `mount -o remount,size=2g /dev/shm`"),
    (re.compile(r"Protobuf|PytorchStreamReader"), "the file is incomplete: write it again with `python -m export`"),
    (re.compile(r"not healthy|bad_alloc|[Aa]llocate memory|MemoryError|Resource temporarily unavailable"), MEMORY),
)


def failed_models(text: str) -> dict[str, str]:
    """The reasons of the models that failed to load, by model, from the text of a log."""
    reasons: dict[str, str] = {}
    for match in FAILED.finditer(text):
        reasons.setdefault(match["model"], tidy(match["reason"]))
    return reasons


def read_log(log: Path, start: int) -> str:
    """A log from its byte `start` on, no more than a start can fill; empty where it is a pipe or a device."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(start)
        return file.read(LARGEST_LOG).decode("utf-8", "replace")


def explain(text: str, repository: Path, code: int | None) -> str:
    """Return the reasons found in the text of a log: failed models first, else the first errors, else its end.

    `repository` is what the server was to serve, as its user named it; `code` what it ended with, if it has ended.
    """
    text = LINKED.sub(lambda _: str(repository.resolve()), text)
    if reasons := failed_models(text):
        return "\n".join(f"Model `{model}` failed to load: {cure(reason)}" for model, reason in reasons.items())
    matches = [ERROR.match(line) for line in text.splitlines() if NO_GPU not in line]
    errors = [cure(tidy(match["reason"] or match["other"])) for match in matches if match]
    if errors:
        return "Triton did not start: " + "\n".join(dict.fromkeys(errors[:3]))
    if CRASH in text:
        return cure("Triton crashed: " + " ".join((CRASH + text.partition(CRASH)[2]).split()))
    if code == -signal.SIGKILL:
        return f"Triton was killed; {MEMORY}"
    return "Triton ended without a reason. The end of its log:\n" + "\n".join(text.splitlines()[-5:])


def cure(reason: str) -> str:
    """A reason and what to do, where one of the REMEDIES is for it."""
    remedies = [remedy for pattern, remedy in REMEDIES if pattern.search(reason)]
    return "; ".join((reason, *remedies[:1]))


def tidy(reason: str) -> str:
    """A message without what Triton and its Python backend put around it."""
    reason = reason.strip().strip('"').replace('\\"', '"').split("\\n\\nAt:")[0]
    return re.sub(r"^(Internal|Invalid argument|Not found|Unavailable): ", "", reason)
