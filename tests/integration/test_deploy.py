"""deploy/systemd and deploy/kubernetes: read as their programs read them, and held against what Holdfast has."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.cli.commands import make_app
from entrypoints.heartbeat import KINDS
from entrypoints.settings import read_settings
from tests.servers.compose import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
KUBERNETES = ROOT / "deploy" / "kubernetes"
UNITS = sorted(each.name for each in SYSTEMD.iterdir())
HOLDFAST = "/opt/holdfast/.venv/bin/holdfast"
COMMANDS = {
    command.removeprefix("ExecStart=")
    for name in UNITS
    for command in (SYSTEMD / name).read_text().split("\n")
    if command.startswith("ExecStart=")
}
RESOURCES: list[dict[str, Any]] = [
    resource
    for name in yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    for resource in yaml.safe_load_all((KUBERNETES / name).read_text())
]


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [resource for resource in RESOURCES if resource["kind"] in kinds]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for each in of_kind("Deployment", "Job"):
        yield each["metadata"]["name"], each["spec"]["template"]


PODS = dict(pods())


def arguments(pod: dict[str, Any]) -> list[str]:
    [container] = pod["spec"]["containers"]
    found: list[str] = container["args"]
    return found


def is_a_command(words: list[str]) -> bool:
    """Whether the command line takes these words; nothing is run."""
    try:
        make_app().parse_args(words, exit_on_error=False, print_error=False)
    except Exception:  # noqa: BLE001 - whatever it is, the words are refused
        return False
    return True


def test_each_program_has_its_unit_and_its_pod() -> None:
    assert {words.split()[1] for words in COMMANDS} == {"api", "worker", "relay", "migrate"}
    assert {arguments(pod)[0] for pod in PODS.values()} == {"api", "worker", "relay", "migrate"}


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_a_unit_runs_a_command_that_there_is(words: str) -> None:
    program, *rest = words.replace("%i", "8000").split()
    assert program == HOLDFAST
    assert is_a_command(rest)


def test_a_command_that_there_is_not_would_be_found() -> None:
    assert not is_a_command(["api", "--prot", "8000"])


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_a_command_that_there_is(name: str) -> None:
    assert is_a_command(arguments(PODS[name]))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there: units are not read")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        # The program is elsewhere on this machine.
        (tmp_path / name).write_text((SYSTEMD / name).read_text().replace(HOLDFAST, sys.executable))
    # Instances: a template alone can't be read.
    read = [name.replace("@.", "@8000.") for name in UNITS]
    for name in UNITS:
        if "@." in name:
            (tmp_path / name.replace("@.", "@8000.")).write_text((tmp_path / name).read_text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in read)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # What other units of this machine lack is no fault of ours.
    ours = [line for line in done.stderr.splitlines() if "holdfast" in line]
    assert ours == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not there: the kustomization is not built")
def test_kustomize_builds_all_of_it() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True, timeout=120, check=True
    )
    names = {(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(built.stdout)}
    assert names == {(each["kind"], each["metadata"]["name"]) for each in RESOURCES}


@pytest.mark.parametrize("resource", of_kind("Deployment"), ids=lambda each: each["metadata"]["name"])
def test_a_deployment_is_made_of_its_own_pods(resource: dict[str, Any]) -> None:
    wanted = resource["spec"]["selector"]["matchLabels"]
    assert wanted == resource["spec"]["template"]["metadata"]["labels"]
    assert resource["metadata"]["name"] == f"holdfast-{wanted['app.kubernetes.io/component']}"


@pytest.mark.parametrize("resource", of_kind("Service", "PodDisruptionBudget"), ids=lambda each: each["kind"])
def test_what_selects_pods_finds_some(resource: dict[str, Any]) -> None:
    wanted = resource["spec"]["selector"]
    wanted = wanted.get("matchLabels", wanted)
    assert wanted in [pod["metadata"]["labels"] for pod in PODS.values()]


def test_the_autoscaler_scales_a_deployment_that_there_is() -> None:
    [scaler] = of_kind("HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    assert target["name"] in {each["metadata"]["name"] for each in of_kind(target["kind"])}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_no_more_than_it_needs(name: str) -> None:
    spec = PODS[name]["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in spec["volumes"]}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_settings_that_are_taken(name: str) -> None:
    [settings] = of_kind("ConfigMap")
    own = {each["name"]: each["value"] for each in PODS[name]["spec"]["containers"][0].get("env", [])}
    servers = {"DATABASE_URL": "postgresql://h/x", "REDIS_URL": "redis://h/0", "AMQP_URL": "amqp://h/"}
    assert read_settings({**servers, **settings["data"], **own}).intake == "auto"


def test_probes_ask_what_is_answered() -> None:
    [api] = PODS["holdfast-api"]["spec"]["containers"]
    paths = {api[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"/health/live", "/health/ready"}
    assert api["ports"] == [{"name": "http", "containerPort": int(api["args"][-1])}]
    for kind in KINDS:
        [container] = PODS[f"holdfast-{kind}"]["spec"]["containers"]
        assert container["livenessProbe"]["exec"]["command"] == ["python", "-m", "entrypoints.alive", kind]


def test_a_pod_has_the_time_that_a_stop_takes() -> None:
    stop = max(
        int(found) for name in UNITS for found in re.findall("TimeoutStopSec=([0-9]+)", (SYSTEMD / name).read_text())
    )
    assert all(pod["spec"]["terminationGracePeriodSeconds"] >= stop for pod in PODS.values())
