"""`python -m tests.docs.schemas`: writes kubernetes.json, the schemas of Kubernetes' objects in docs/cluster/.

They are cut out of a package that has those of all objects in 17,000 files: `pip install kubernetes-validate==1.37.0`.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("kubernetes.json")
SOURCE = "kubernetes-json-schema/v1.36.0-local-strict/_definitions.json"
ROOTS = (
    "apps.v1.StatefulSet",
    "batch.v1.Job",
    "core.v1.PersistentVolumeClaim",
    "core.v1.PodTemplateSpec",
    "core.v1.Service",
    "networking.v1.NetworkPolicy",
)
ABOUT = (
    "Kubernetes 1.36's own definitions, Apache-2.0, Copyright The Kubernetes Authors, from the package "
    "kubernetes-validate 1.37.0; less descriptions and what is not asked for: python -m tests.docs.schemas"
)


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def bare(schema: Any) -> Any:
    """A schema without descriptions and without what Kubernetes alone understands."""
    if isinstance(schema, dict):
        kept = {key: bare(value) for key, value in schema.items() if not key.startswith("x-kubernetes")}
        return {key: value for key, value in kept.items() if key != "description" or not isinstance(value, str)}
    return [bare(value) for value in schema] if isinstance(schema, list) else schema


def main() -> None:
    """Write FILE, a definition a line."""
    known = json.loads(files("kubernetes_validate").joinpath(SOURCE).read_text())["$defs"]
    wanted, found = [f"io.k8s.api.{name}" for name in ROOTS], dict[str, Any]()
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = bare(known[name])
            wanted += references(found[name])
    lines = [f"{json.dumps(name)}: {json.dumps(found[name], separators=(',', ':'))}" for name in sorted(found)]
    text = f'{{"$comment": {json.dumps(ABOUT)}, "$defs": {{\n' + ",\n".join(lines) + "\n}}\n"
    FILE.write_text(text)


if __name__ == "__main__":
    main()
