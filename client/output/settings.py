"""The settings of a run as its folder keeps them, and what differs between those of two runs, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_SHOWN = 60  # characters of a setting's value


class SettingsChangedError(Exception):
    """The folder was made with other settings; the message shows each, old and new, and the remedies."""

    def __init__(self, folder: Path | str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        before, now = _flat(old), _flat(new)
        lines = [
            f"  {name}: {_shown(before.get(name))} → {_shown(now.get(name))}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        message = [
            f"the files in {folder} were made with other settings:",
            *lines,
            "use the old ones, choose another --output, do every row again with --restart, or mix both with "
            "--continue-anyway",
        ]
        super().__init__("\n".join(message))
        self._given = (folder, old, new)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy for another process: it is raised in workers."""
        return type(self), self._given


def read_settings(file: Path) -> Any:
    """A JSON file's content; None if there is none, or a power failure has emptied it."""
    with suppress(FileNotFoundError, ValueError):
        return json.loads(file.read_bytes())
    return None


def settings_json(content: Any) -> bytes:
    """What a file of settings has."""
    return f"{json.dumps(content, indent=2, sort_keys=True)}\n".encode()


def _flat(settings: Any, name: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    if not isinstance(settings, Mapping):
        return {name: settings}
    return {k: v for key, value in settings.items() for k, v in _flat(value, f"{name}.{key}" if name else key).items()}


def _shown(value: Any) -> str:
    text = "not set" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
