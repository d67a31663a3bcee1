"""deploy/systemd and deploy/kubernetes: read as their programs read them, and held against what Holdfast has."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from entrypoints.cli.commands import make_app
from entrypoints.heartbeat import KINDS
from entrypoints.read_settings import read_settings
from entrypoints.settings import Settings
from tests.servers.compose import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
KUBERNETES = ROOT / "deploy" / "kubernetes"
UNITS = sorted(each.name for each in SYSTEMD.iterdir())
HOLDFAST = "/opt/holdfast/.venv/bin/holdfast"
# What stands for %i in each template.
INSTANCES = {"holdfast-migrate@.service": ("expand", "contract")}
COMMANDS = {
    command.removeprefix("ExecStart=").replace("%i", instance)
    for name in UNITS
    for command in (SYSTEMD / name).read_text().split("\n")
    if command.startswith("ExecStart=")
    for instance in INSTANCES.get(name, ("8000",))
}
# As in the Secret.
SERVERS = {"DATABASE_URL": "postgresql://h/x", "REDIS_URL": "redis://h/0", "AMQP_URL": "amqp://h/"}
# Each is applied by itself, with what `release` has.
FOLDERS = (".", "migrate", "expand", "contract", "restored")
_SCHEMA: Final = Path(__file__).with_name("kubernetes_schema") / "1.37.0.json.gz"


def read_kustomization(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())
    return found


RESOURCES: list[dict[str, Any]] = [
    resource
    for folder in (".", "release", "migrate", "restored")
    for name in read_kustomization(folder)["resources"]
    for resource in yaml.safe_load_all((KUBERNETES / folder / name).read_text())
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
    assert {arguments(pod)[0] for pod in PODS.values()} == {"api", "worker", "relay", "migrate", "restored"}


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_a_unit_runs_a_command_that_there_is(words: str) -> None:
    program, *rest = words.split()
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
    read = []
    for name in UNITS:
        # A template alone can't be read.
        for instance in INSTANCES.get(name, ("8000",)):
            read.append(name.replace("@.", f"@{instance}."))
            (tmp_path / read[-1]).write_text((tmp_path / name).read_text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in read)],
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    # What other units of this machine lack is no fault of ours.
    ours = [line for line in done.stderr.splitlines() if "holdfast" in line]
    assert ours == []


@pytest.fixture(params=FOLDERS)
def built(request: pytest.FixtureRequest) -> tuple[str, list[dict[str, Any]]]:
    """A folder, and what kubectl makes of it."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not there: no kustomization is built")
    folder = request.param
    made = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True, timeout=480, check=True
    )
    return folder, list(yaml.safe_load_all(made.stdout))


def test_kustomize_builds_all_of_it(built: tuple[str, list[dict[str, Any]]]) -> None:
    folder, resources = built
    names = {f"{each['kind']} {each['metadata']['name']}" for each in resources}
    programs = {f"{each['kind']} {each['metadata']['name']}" for each in RESOURCES if each["kind"] != "Job"}
    jobs = {
        "migrate": ["migrate"],
        "expand": ["migrate", "--expand"],
        "contract": ["migrate", "--contract"],
        "restored": ["restored", "--since", "1970-01-01T00:00:00Z"],
    }
    assert names == (programs if folder == "." else {"ConfigMap holdfast", f"Job holdfast-{folder}"})
    assert {each["metadata"]["namespace"] for each in resources} == {"holdfast"}
    for each in resources:
        if each["kind"] == "Job":
            [container] = each["spec"]["template"]["spec"]["containers"]
            assert container["args"] == jobs[folder]
            assert is_a_command(container["args"])
            assert container["image"] == f"holdfast:{read_kustomization('release')['images'][0]['newTag']}"


def test_kubernetes_takes_what_is_built(built: tuple[str, list[dict[str, Any]]]) -> None:
    for resource in built[1]:
        assert errors_in(resource) == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_resource_is_as_the_schema_of_kubernetes_says(resource: dict[str, Any]) -> None:
    assert errors_in(resource) == []


def test_a_field_that_kubernetes_does_not_have_would_be_found() -> None:
    api = json.loads(json.dumps(of_kind("Deployment")[0]))
    [container] = api["spec"]["template"]["spec"]["containers"]
    container["readinessProbe"]["periodSecond"] = 2
    assert any("periodSecond" in error for error in errors_in(api))


def errors_in(resource: dict[str, Any]) -> list[str]:
    schema = json.loads(gzip.decompress(_SCHEMA.read_bytes()))
    group, _, version = resource["apiVersion"].rpartition("/")
    kind = {"group": group, "version": version, "kind": resource["kind"]}
    [name] = [name for name, each in schema["$defs"].items() if kind in each.get("x-kubernetes-group-version-kind", [])]
    validator = Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(resource)]


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


def test_the_autoscaler_alone_says_how_many_pods_there_are() -> None:
    [scaler] = of_kind("HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    [scaled] = [each for each in of_kind(target["kind"]) if each["metadata"]["name"] == target["name"]]
    assert "replicas" not in scaled["spec"], "each rollout would set the number back"


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
    assert read_settings({**SERVERS, **settings["data"], **own}).intake == "auto"


def test_probes_ask_what_is_answered() -> None:
    [api] = PODS["holdfast-api"]["spec"]["containers"]
    paths = {api[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"/health/live", "/health/ready"}
    assert api["ports"][0] == {"name": "http", "containerPort": int(api["args"][-1])}
    for kind in KINDS:
        [container] = PODS[f"holdfast-{kind}"]["spec"]["containers"]
        assert container["livenessProbe"]["exec"]["command"] == ["python", "-m", "entrypoints.alive", kind]


def test_a_pod_has_the_time_that_a_stop_takes() -> None:
    stop = max(
        int(found) for name in UNITS for found in re.findall("TimeoutStopSec=([0-9]+)", (SYSTEMD / name).read_text())
    )
    assert all(pod["spec"]["terminationGracePeriodSeconds"] >= stop for pod in PODS.values())


@pytest.mark.parametrize("program", ["api", *KINDS])
def test_prometheus_finds_the_metrics_of_each_program(program: str) -> None:
    [settings] = of_kind("ConfigMap")
    read = read_settings({**SERVERS, **settings["data"]})
    [container] = PODS[f"holdfast-{program}"]["spec"]["containers"]
    assert {"name": "metrics", "containerPort": read.metrics_port} in container["ports"]
    assert read.metrics_host == "0.0.0.0"
    scraped = yaml.safe_load((ROOT / "deploy" / "observability" / "prometheus-kubernetes.yml").read_text())
    [job] = scraped["scrape_configs"]
    assert job["kubernetes_sd_configs"][0]["namespaces"]["names"] == [read_kustomization("release")["namespace"]]
    assert job["relabel_configs"][0]["regex"] == "metrics"


def test_an_eviction_takes_one_pod_of_a_program_at_a_time() -> None:
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind("PodDisruptionBudget")}
    assert budgets.keys() == {each["metadata"]["name"] for each in of_kind("Deployment")}
    for name, spec in budgets.items():
        assert spec["maxUnavailable"] == 1
        assert spec["selector"]["matchLabels"] == PODS[name]["metadata"]["labels"]


def test_the_database_has_a_connection_for_every_pod_that_there_may_be() -> None:
    """The numbers of docs/operations.md, and those of the manifests."""
    page = (ROOT / "docs" / "operations.md").read_text()
    [each] = map(int, re.findall(r"`max_connections` has to allow ([0-9]+) for each\s+process", page))
    [told] = map(int, re.findall(r"`max_connections: ([0-9]+)`, which is enough for all pods", page))
    assert each == Settings().pool_size + 4
    [scaler] = of_kind("HorizontalPodAutoscaler")
    most = {scaler["spec"]["scaleTargetRef"]["name"]: scaler["spec"]["maxReplicas"]}
    pods = 0
    for deployment in of_kind("Deployment"):
        spec = deployment["spec"]
        pods += most.get(deployment["metadata"]["name"], spec.get("replicas", 0))
        pods += spec["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)
    # A Job beside them, and what PostgreSQL keeps for its superuser.
    assert told - 50 < (pods + 1) * each + 3 <= told
