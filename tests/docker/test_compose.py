"""docker-compose.yml and the Dockerfiles: valid, pinned, closed to others, and the same with and without GPUs."""

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from docker.entrypoint import DRAIN, read_settings
from tests.rig.places import REPOSITORY

ROOT = REPOSITORY.parent
COMPOSE = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
TRITONS = ("triton", "triton-cpu")
ONE_SHOT = ("export", "verify")
DOCKERFILES = ("Dockerfile", "docker/cpu.Dockerfile")
EXAMPLE = (ROOT / ".env.example").read_text()
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
PINNED = re.compile(r"[\w./-]+(:v?\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})")


def settled(text: str) -> str:
    """A value with every variable at its default."""
    return VARIABLE.sub(lambda match: match[2] or "", text)


def test_the_file_obeys_the_compose_specification() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_change_its_machine_or_itself(name: str) -> None:
    service = SERVICES[name]
    assert not service.keys() & {"privileged", "network_mode", "pid", "ipc", "userns_mode", "devices", "user"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["SYS_NICE"] if name == "triton" else [])
    assert service["init"] is True  # a process 1 without handlers would ignore being told to stop
    assert not any("docker.sock" in volume for volume in service["volumes"])
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert service.get("restart") == (None if name in ONE_SHOT else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_bound_to_this_machine_and_only_grpc_can_be_opened(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        opened = "${RELIGHT_BIND:-127.0.0.1}:8001:8001"
        assert port.startswith("127.0.0.1:") or (port == opened and name in TRITONS)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_or_built_on_a_pinned_one(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["image"].startswith("relight-triton:")
        image = settled(service["build"]["args"]["BASE"])
        dockerfile = (ROOT / service["build"].get("dockerfile", "Dockerfile")).read_text()
        assert f"ARG BASE={image}\nFROM ${{BASE}}\n" in dockerfile
    else:
        image = settled(service["image"])
    assert PINNED.fullmatch(image)
    assert f"={image}\n" in EXAMPLE


def test_both_profiles_have_all_services_but_the_other_triton() -> None:
    profiles = {
        profile: {name for name, service in SERVICES.items() if profile in service["profiles"]}
        for profile in ("gpu", "cpu")
    }
    assert profiles["gpu"] ^ profiles["cpu"] == set(TRITONS)
    assert all(service["profiles"] for service in SERVICES.values())


def test_with_and_without_gpus_the_service_has_one_entry_point_and_the_same_ports() -> None:
    with_gpus, without = (SERVICES[name] for name in TRITONS)
    for same in ("ports", "volumes", "networks", "depends_on", "stop_grace_period"):
        assert with_gpus[same] == without[same]
    assert not {"entrypoint", "command"} & (with_gpus.keys() | without.keys())
    entry_points = {re.findall(r"^ENTRYPOINT .*$", (ROOT / file).read_text(), re.M)[0] for file in DOCKERFILES}
    assert entry_points == {'ENTRYPOINT ["python3", "-m", "docker.entrypoint"]'}


@pytest.mark.parametrize("file", DOCKERFILES)
def test_an_image_runs_as_a_user_and_checks_its_health_by_an_inference(file: str) -> None:
    text = (ROOT / file).read_text()
    assert re.findall(r"^USER .*$", text, re.M) == ["USER 1000:1000"]
    assert 'CMD ["python3", "-m", "docker.health"]' in text
    assert "EXPOSE 8000 8001 8002" in text


def test_the_production_service_asks_for_gpus_shared_memory_and_time_to_drain() -> None:
    triton = SERVICES["triton"]
    (devices,) = triton["deploy"]["resources"]["reservations"]["devices"]
    assert devices == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert settled(triton["shm_size"]) == "16gb"
    assert triton["ulimits"]["memlock"] == -1
    assert int(triton["stop_grace_period"].removesuffix("s")) > DRAIN


def test_every_variable_is_explained_in_the_example_and_no_other() -> None:
    used = {match[1] for match in VARIABLE.finditer((ROOT / "docker-compose.yml").read_text())}
    explained = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.M)) - {"COMPOSE_PROFILES"}
    assert used == explained


def test_the_defaults_of_the_entry_point_are_those_of_the_compose_file() -> None:
    given = {name: settled(str(value)) for name, value in SERVICES["triton"]["environment"].items()}
    assert read_settings(given) == read_settings({})
