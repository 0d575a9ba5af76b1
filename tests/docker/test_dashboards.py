"""The dashboard and the alerts ask for what Triton really says."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from server.embedded import RunningServer
from server.probe import answers_inference
from tests.rig.prometheus import (
    DASHBOARD,
    ROOT,
    ask,
    ask_until_answered,
    dashboard_queries,
    find_program,
    prometheus,
)

RULES = YAML(typ="safe").load(ROOT / "docker/prometheus/alerts.yml")["groups"][0]["rules"]
ALERTS = {
    "RelightDown",
    "RelightRestarts",
    "RelightFailures",
    "RelightQueueGrows",
    "RelightBatchesSmall",
    "RelightGpuMemory",
    "RelightOutOfMemory",
    "RelightGpuIdle",
}
# Triton's own names, which it exports only where there is a GPU.
GPU_METRICS = {
    "nv_gpu_utilization",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_memory_total_bytes",
    "nv_gpu_power_usage",
}


def metrics(text: str) -> set[str]:
    return set(re.findall(r"\b(?:nv|relight)_\w+", text))


@pytest.fixture(scope="module")
def used_server(server: RunningServer) -> RunningServer:
    """A server that has answered, so that its counters exist."""
    assert answers_inference(server.http_url, 60.0)
    assert [url.partition(":")[0] for url in (server.http_url, server.metrics_url)] == ["127.0.0.1", "127.0.0.2"]
    return server


@pytest.fixture(scope="module")
def exported(used_server: RunningServer) -> set[str]:
    with urllib.request.urlopen(f"http://{used_server.metrics_url}/metrics") as answer:
        return metrics(answer.read().decode())


@pytest.mark.parametrize("query", [*dashboard_queries(), *(rule["expr"] for rule in RULES)])
def test_every_metric_that_is_asked_for_is_exported_or_needs_a_gpu(query: str, exported: set[str]) -> None:
    assert metrics(query) - exported <= GPU_METRICS


def test_the_dashboard_shows_throughput_stages_batches_gpus_and_failures() -> None:
    asked = metrics(" ".join(dashboard_queries()))
    assert {
        "nv_inference_request_success",
        "nv_inference_request_failure",
        "nv_inference_queue_duration_us",
        "nv_inference_compute_infer_duration_us",
        "nv_inference_exec_count",
    } | GPU_METRICS <= asked


def test_every_panel_has_its_place_and_takes_its_numbers_from_the_provisioned_source() -> None:
    folder = ROOT / "docker/grafana/provisioning/datasources"
    (source,) = YAML(typ="safe").load(folder / "prometheus.yml")["datasources"]
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_chosen_nodes_hold_for_every_panel_and_all_are_chosen_at_first() -> None:
    (node,) = DASHBOARD["templating"]["list"]
    assert node["query"]["query"] == node["definition"] == 'label_values(up{job="triton"}, node)'
    assert (node["name"], node["includeAll"], node["multi"], node["allValue"]) == ("node", True, True, ".*")
    assert node["current"]["value"] == "$__all"
    for query in dashboard_queries("$node"):
        assert query.count('{node=~"$node"') == len(re.findall(r"\bnv_", query)), query


def test_the_alerts_are_those_that_the_operators_page_explains() -> None:
    assert {rule["alert"] for rule in RULES} == ALERTS


def test_prometheus_scrapes_the_server_answers_every_query_and_raises_no_alert(
    used_server: RunningServer, tmp_path: Path
) -> None:
    with prometheus(tmp_path, used_server.metrics_url, nodes=["second"]) as address:
        # A rate needs two scrapes.
        rates = 'rate(nv_inference_request_success{model="relight"}[1m]) >= 0'
        scraped = ask_until_answered(address, f"{rates} and on() count({rates}) == 2")
        assert {one["metric"]["node"] for one in scraped} == {"127.0.0.2", "second"}
        (by_node,) = [query for query in dashboard_queries("second") if query.startswith("sum by (node)")]
        assert [one["metric"] for one in ask(address, by_node)] == [{"node": "second"}]
        answered = {query: ask(address, query) for query in dashboard_queries()}
        for query, answer in answered.items():
            assert answer or metrics(query) & GPU_METRICS or "failure" in query or "nan" in str(answer).lower(), query
        assert {rule["name"] for rule in loaded_rules(address)} == ALERTS
        assert {rule["health"] for rule in loaded_rules(address)} <= {"ok", "unknown"}
        assert ask(address, 'ALERTS{alertstate="firing"}') == []


def loaded_rules(address: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"http://{address}/api/v1/rules") as answer:
        return list(json.load(answer)["data"]["groups"][0]["rules"])


def test_an_alert_is_raised_for_the_node_that_has_the_fault(tmp_path: Path) -> None:
    series = {
        'up{job="triton",node="a"}': "1x20",
        'up{job="triton",node="b"}': "1x10 0x10",
        'nv_inference_request_success{node="a",model="decode"}': "0+600x20",
        'nv_inference_request_success{node="b",model="decode"}': "0+600x20",
        'nv_inference_request_failure{node="b",model="decode",reason="OTHER"}': "0x20",
        # A tenth of what b does, and less than a twentieth of all.
        'nv_inference_request_failure{node="b",model="albedo",reason="OTHER"}': "0+60x20",
        'nv_gpu_utilization{node="a",gpu_uuid="busy"}': "0.9x20",
        'nv_gpu_utilization{node="a",gpu_uuid="idle"}': "0x20",
        'nv_gpu_utilization{node="b",gpu_uuid="of an idle node"}': "0x20",
    }
    raised = {
        "RelightDown": ({"job": "triton", "node": "b"}, "page", "Triton on b has not answered for a minute."),
        "RelightFailures": ({"node": "b"}, "page", "b: 1 requests a second fail, more than one in twenty."),
        "RelightGpuIdle": ({"node": "a", "gpu_uuid": "idle"}, "warn", "a: GPU idle is idle while others work."),
        "RelightGpuMemory": None,
    }
    expected = []
    for alert, about in raised.items():
        alerts = (
            [{"exp_labels": {**about[0], "severity": about[1]}, "exp_annotations": {"summary": about[2]}}]
            if about
            else []
        )
        expected += [{"eval_time": "20m", "alertname": alert, "exp_alerts": alerts}]
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": given, "alert_rule_test": expected}
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(ROOT / "docker/prometheus/alerts.yml")], "tests": [test]}))
    tool = find_program().with_name("promtool")
    done = subprocess.run([tool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_own_tool_would_accept_the_settings(tmp_path: Path) -> None:
    tool = find_program().with_name("promtool")
    settings = ROOT / "docker/prometheus/prometheus.yml"
    done = subprocess.run([tool, "check", "config", settings], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
