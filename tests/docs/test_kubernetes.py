"""The manifests of docs/cluster/: valid, and the compose file's service in other words."""

import json
import re
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from docker.entrypoint import read_settings
from docker.extras import requirements
from docker.places import ENGINES, GRPC_PORT, METRICS_PORT, MODELS, SECRETS
from tests.docs.schemas import FILE
from tests.rig.places import ROOT

FOLDER = ROOT / "docs" / "cluster"
OBJECTS: list[dict[str, Any]] = [
    one for file in sorted(FOLDER.glob("*.yml")) for one in YAML(typ="safe").load_all(file.read_text())
]
SERVICES = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
DEFINITIONS = json.loads(FILE.read_text())["$defs"]
KINDS = {"v1": "core.v1", "apps/v1": "apps.v1", "batch/v1": "batch.v1", "networking.k8s.io/v1": "networking.v1"}
TEMPLATE = {"$ref": "#/$defs/io.k8s.api.core.v1.PodTemplateSpec"}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}


def strict(required: list[str], **properties: Any) -> dict[str, Any]:
    """The schema of an object with these properties and no other."""
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


# KubeRay's RayJob, as far as we use it: names and types of its reference, https://ray-project.github.io/kuberay/reference/api
WORKERS = strict(
    ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    **{"groupName": {"type": "string"}, "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT},
    rayStartParams=TEXTS,
    template=TEMPLATE,
)
CLUSTER = strict(
    ["headGroupSpec"],
    rayVersion={"type": "string"},
    authOptions=strict(["mode"], mode={"enum": ["disabled", "token"]}),
    headGroupSpec=strict(["rayStartParams", "template"], rayStartParams=TEXTS, template=TEMPLATE),
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
RAY_JOB = strict(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=strict(["name"], name={"type": "string"}),
    spec=strict(
        ["entrypoint", "rayClusterSpec"],
        entrypoint={"type": "string"},
        backoffLimit=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=CLUSTER,
    ),
)


def templates(part: Any) -> list[dict[str, Any]]:
    """The pods' specs within an object."""
    if isinstance(part, dict):
        own = [part["spec"]] if "containers" in part.get("spec", {}) else []
        return own + [spec for value in part.values() for spec in templates(value)]
    return [spec for value in part for spec in templates(value)] if isinstance(part, list) else []


PODS = [pod for one in OBJECTS for pod in templates(one)]
CONTAINERS = {
    f"{pod['containers'][0]['name']}/{one['name']}": one
    for pod in PODS
    for one in (*pod.get("initContainers", []), *pod["containers"])
}
TRITONS = {name: one for name, one in CONTAINERS.items() if one["name"] == "triton"}


@pytest.mark.parametrize("manifest", OBJECTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_obeys_the_schema_of_its_kind(manifest: dict[str, Any]) -> None:
    kind = f"io.k8s.api.{KINDS.get(manifest['apiVersion'], '')}.{manifest['kind']}"
    schema = RAY_JOB if manifest["kind"] == "RayJob" else {"$ref": f"#/$defs/{kind}"}
    jsonschema.Draft202012Validator({**schema, "$defs": DEFINITIONS}).validate(manifest)


def test_a_mistake_is_found_in_a_pod_too() -> None:
    (job,) = [json.loads(json.dumps(one)) for one in OBJECTS if one["kind"] == "RayJob"]
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(jsonschema.ValidationError, match="'volumeMount' was unexpected"):
        test_a_manifest_obeys_the_schema_of_its_kind(job)


def test_what_is_mounted_and_claimed_exists() -> None:
    ours = {one["metadata"]["name"] for one in OBJECTS if one["kind"] == "PersistentVolumeClaim"}
    for manifest in OBJECTS:
        own = {claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])}
        for pod in templates(manifest):
            containers = (*pod.get("initContainers", []), *pod["containers"])
            mounted = {mount["name"] for one in containers for mount in one["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]} | own
            claims = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
            assert {claim["claimName"] for claim in claims} <= ours | {"photos"}


def test_triton_is_that_of_the_compose_file() -> None:
    compose = SERVICES["triton"]
    defaults = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", str(value)) for name, value in compose["environment"].items()}
    assert len(TRITONS) == 2
    for triton in TRITONS.values():
        given = {one["name"]: one["value"] for one in triton["env"]}
        assert read_settings(given) == read_settings({**defaults, "RELIGHT_BIND": given["RELIGHT_BIND"]})
        assert triton["image"] == compose["image"]
        assert triton["resources"]["limits"]["nvidia.com/gpu"] == int(given["GPUS"])
        assert {port["containerPort"] for port in triton["ports"]} == {GRPC_PORT, METRICS_PORT}
        assert triton["securityContext"]["capabilities"] == {"drop": compose["cap_drop"], "add": compose["cap_add"]}
        places = {mount["mountPath"] for mount in triton["volumeMounts"]}
        assert {str(MODELS), str(ENGINES), *compose["tmpfs"], "/dev/shm"} <= places


def test_a_server_is_healthy_when_dockers_own_check_says_so() -> None:
    (check,) = re.findall(r"^HEALTHCHECK (.*) CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    interval, timeout, start, retries = (int(number) for number in re.findall(r"=(\d+)", check[0]))
    for triton in TRITONS.values():
        probe = triton["readinessProbe"]
        assert probe["exec"]["command"] == json.loads(check[1])
        assert (probe["periodSeconds"], probe["timeoutSeconds"]) == (interval, timeout)
        assert probe["failureThreshold"] == retries
        if startup := triton.get("startupProbe"):
            assert startup["failureThreshold"] * startup["periodSeconds"] == start * 60


def test_a_server_is_open_to_other_pods_only_with_tls_and_a_key_or_behind_a_policy() -> None:
    policies = [one["spec"] for one in OBJECTS if one["kind"] == "NetworkPolicy"]
    guarded = [policy["podSelector"]["matchLabels"] for policy in policies]
    assert guarded == [{"relight-worker": "true"}, {"app": "relight"}]
    binds = [{one["name"]: one["value"] for one in triton["env"]}["RELIGHT_BIND"] for triton in TRITONS.values()]
    assert binds == ["127.0.0.1", "0.0.0.0"]  # the second refuses to start without them (docker/secrets.py)
    secrets = [mount for mount in TRITONS["triton/triton"]["volumeMounts"] if mount["mountPath"] == str(SECRETS)]
    assert [mount["readOnly"] for mount in secrets] == [True]


def test_ray_has_one_version_and_a_worker_gets_rows_only_from_verified_networks() -> None:
    (job,) = [one["spec"] for one in OBJECTS if one["kind"] == "RayJob"]
    base = (ROOT / "docker" / "ray.Dockerfile").read_text()
    assert f"ARG BASE=rayproject/ray:{job['rayClusterSpec']['rayVersion']}-py311-cpu\n" in base
    assert requirements(ROOT / "pyproject.toml", re.findall(r"extras.py (.*) > ", base)[0].split(), [])
    (workers,) = job["rayClusterSpec"]["workerGroupSpecs"]
    first, *others = workers["template"]["spec"]["initContainers"]
    assert (first["name"], first["restartPolicy"]) == ("triton", "Always")
    assert [(one["name"], one["command"]) for one in others] == [("verify", SERVICES["verify"]["entrypoint"])]
