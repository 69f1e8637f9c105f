"""The image and the examples of its deployment agree with the settings and with one another.

No engine and no cluster is asked: what they would make of the files is up to
``config/build-image.sh`` and to whoever deploys them.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.app.senders import bind_problem, checked
from bridge.cli.arguments import make_parser
from bridge.config import Config, load
from bridge.config.loading import variables
from bridge.errors import ConfigError
from bridge.model.tokens import tokens_of_file

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
COMPOSE_TEXT = (ROOT / "config" / "docker-compose.yml").read_text()
KUBERNETES_TEXT = (ROOT / "config" / "kubernetes.yaml").read_text()
BUILD = ROOT / "config" / "build-image.sh"

COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICE = COMPOSE["services"]["langfuse-bridge"]
OBJECTS = list(yaml.safe_load_all(KUBERNETES_TEXT))
PORTS = {Config().port, Config().grpc_port}
USER_ID = 10001


def kubernetes(kind: str, name: str) -> Any:
    (found,) = [o for o in OBJECTS if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


CENTRAL = kubernetes("Deployment", "langfuse-bridge")["spec"]
CENTRAL_POD = CENTRAL["template"]["spec"]
SIDECAR_POD = kubernetes("Pod", "with-a-bridge")["spec"]
CENTRAL_BRIDGE = CENTRAL_POD["containers"][0]
SIDECAR_BRIDGE = SIDECAR_POD["initContainers"][0]
PODS = {"central": CENTRAL_POD, "sidecar": SIDECAR_POD}
BRIDGES = {"central": CENTRAL_BRIDGE, "sidecar": SIDECAR_BRIDGE}


def instructions(name: str) -> list[str]:
    """What follows each instruction of that name, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return re.findall(rf"^ *{name} (.*)$", joined, flags=re.MULTILINE)


def image_environment() -> dict[str, str]:
    pairs = (word.partition("=") for word in shlex.split(instructions("ENV")[-1]))
    return {name: value for name, _, value in pairs}


def environment_of(container: Mapping[str, Any]) -> dict[str, str]:
    """What a container of ours is started with, Secrets resolved."""
    given = dict(image_environment())
    for source in container.get("envFrom", ()):
        given |= kubernetes("Secret", source["secretRef"]["name"])["stringData"]
    return given | {each["name"]: each["value"] for each in container["env"]}


def containers_of(pod: Mapping[str, Any]) -> list[Any]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def probes_of(container: Mapping[str, Any]) -> list[Any]:
    return [container[f"{kind}Probe"] for kind in ("startup", "liveness")]


# ------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("text", [DOCKERFILE, COMPOSE_TEXT, KUBERNETES_TEXT, BUILD.read_text()])
def test_every_variable_of_ours_that_is_named_is_a_setting(text: str) -> None:
    known = {name for setting in Config.model_fields for name in variables(setting)}
    named = set(re.findall(r"\b(?:BRIDGE|LANGFUSE)_[A-Z_]*[A-Z]\b", text))
    assert named <= known


def test_the_image_refuses_to_start_until_somebody_says_who_may_send(tmp_path: Path) -> None:
    loaded = load({}, image_environment(), tmp_path)
    assert loaded.warnings == ()
    with pytest.raises(ConfigError, match="there are no tokens"):
        checked(loaded.config.model_copy(update={"data_dir": tmp_path}))
    assert bind_problem(loaded.config, has_tokens=True) is None


@pytest.mark.parametrize("name", BRIDGES)
def test_what_kubernetes_sets_can_be_used_as_it_stands(name: str, tmp_path: Path) -> None:
    loaded = load({}, environment_of(BRIDGES[name]), tmp_path)
    assert loaded.warnings == ()
    assert loaded.config.delivers
    has_tokens = loaded.config.tokens_file is not None
    assert bind_problem(loaded.config, has_tokens=has_tokens) is None


def test_what_compose_sets_can_be_used_as_it_stands(tmp_path: Path) -> None:
    loaded = load({}, image_environment() | SERVICE["environment"], tmp_path)
    assert loaded.warnings == ()


def test_the_example_of_a_tokens_file_can_be_read() -> None:
    secret = kubernetes("Secret", "langfuse-bridge-tokens")["stringData"]
    (token,) = tokens_of_file(secret["tokens"])
    assert (token.name, set(token.fixed)) == ("platform", {"department", "team"})
    (mount,) = [each for each in CENTRAL_BRIDGE["volumeMounts"] if each["name"] == "tokens"]
    assert environment_of(CENTRAL_BRIDGE)["BRIDGE_TOKENS_FILE"] == f"{mount['mountPath']}/tokens"


# ---------------------------------------------------------------------------------- the Dockerfile


def test_both_stages_stand_on_one_pinned_base_that_an_argument_replaces() -> None:
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert instructions("FROM") == ["${BASE} AS build", "${BASE}"]


def test_the_final_stage_installs_nothing_and_takes_over_the_environment_only() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"\b(?:apt|apt-get|pip|gcc|build-essential)\b", final) == []
    assert re.findall(r"^COPY (.*)$", final, flags=re.MULTILINE) == [
        "--from=build /opt/langfuse-bridge /opt/langfuse-bridge"
    ]


def test_the_build_is_given_what_it_copies_and_nothing_else() -> None:
    allowed = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    first = DOCKERFILE.rpartition("\nFROM ")[0]
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (.*)$", first, re.MULTILINE)]
    assert {word.replace("[s]", "s") for words in copied for word in words} == allowed
    assert "*" in IGNORED
    assert [name for name in allowed - {"wheels"} if not (ROOT / name).exists()] == []


def test_the_image_runs_as_a_fixed_user_and_writes_to_one_volume(tmp_path: Path) -> None:
    assert instructions("USER") == [f"{USER_ID}:{USER_ID}"]
    (volume,) = instructions("VOLUME")
    assert load({}, image_environment(), tmp_path).config.data_dir == Path(volume)
    assert {int(port) for port in instructions("EXPOSE")[0].split()} == PORTS


def test_the_image_says_what_it_is() -> None:
    from bridge import __version__  # noqa: PLC0415  the only test that wants it

    (label,) = instructions("LABEL")
    names = {word.partition("=")[0].rpartition(".")[2] for word in shlex.split(label)}
    assert names == {"title", "description", "licenses", "version", "revision"}
    assert f"VERSION={__version__}" in instructions("ARG")
    tags = [SERVICE["image"], *(bridge["image"] for bridge in BRIDGES.values())]
    assert {tag.rpartition(":")[2] for tag in tags} == {__version__}


def health_commands() -> Iterator[list[str]]:
    yield yaml.safe_load(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
    yield SERVICE["healthcheck"]["test"][1:]
    yield from (probe["exec"]["command"] for probe in probes_of(SIDECAR_BRIDGE))


def test_every_health_check_is_a_command_that_there_is() -> None:
    for program, *arguments in health_commands():
        assert program == "langfuse-bridge"
        assert make_parser().parse_args(arguments).command == "health"


# ---------------------------------------------------------------------------------------- compose


def test_the_service_of_compose_can_do_no_more_than_it_needs() -> None:
    assert SERVICE["user"] == f"{USER_ID}:{USER_ID}"
    assert SERVICE["read_only"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert not SERVICE.keys() & {"privileged", "cap_add", "devices", "network_mode", "pid"}


def test_compose_publishes_both_ports_on_this_machine_only_unless_told_otherwise() -> None:
    published = [port.rsplit(":", 2) for port in SERVICE["ports"]]
    assert {address for address, _, _ in published} == {"${PUBLISH_ADDRESS:-127.0.0.1}"}
    assert {int(outside) for _, outside, _ in published} == PORTS
    assert {int(inside) for _, _, inside in published} == PORTS


def test_compose_keeps_the_volume_of_the_image() -> None:
    (mounted,) = SERVICE["volumes"]
    name, _, path = mounted.partition(":")
    assert name in COMPOSE["volumes"]
    assert [path] == instructions("VOLUME")
    assert SERVICE["env_file"] == ["bridge.env"]
    assert (ROOT / "config" / SERVICE["build"]["context"] / "Dockerfile").exists()


# ------------------------------------------------------------------------------------- Kubernetes


def test_there_is_one_bridge_and_an_update_ends_it_before_the_next() -> None:
    assert (CENTRAL["replicas"], CENTRAL["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("name", PODS)
def test_a_pod_keeps_to_the_standard_restricted(name: str) -> None:
    pod = PODS[name]
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {USER_ID}
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    for container in containers_of(pod):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    allowed = {"emptyDir", "persistentVolumeClaim", "secret"}
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= allowed


@pytest.mark.parametrize("name", PODS)
def test_no_service_can_set_a_variable_of_ours(name: str) -> None:
    assert PODS[name]["enableServiceLinks"] is False
    assert PODS[name]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", BRIDGES)
def test_a_bridge_has_a_read_only_root_and_its_volume(name: str) -> None:
    bridge = BRIDGES[name]
    assert bridge["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount["mountPath"] for mount in bridge["volumeMounts"]}
    assert [mounts["data"]] == instructions("VOLUME")
    assert mounts.keys() == {volume["name"] for volume in PODS[name]["volumes"]}


def test_what_an_object_names_is_there() -> None:
    volumes = {volume["name"]: volume for volume in CENTRAL_POD["volumes"]}
    assert kubernetes(
        "PersistentVolumeClaim", volumes["data"]["persistentVolumeClaim"]["claimName"]
    )
    assert kubernetes("Secret", volumes["tokens"]["secret"]["secretName"])
    labels = CENTRAL["template"]["metadata"]["labels"]
    policy = kubernetes("NetworkPolicy", "langfuse-bridge")["spec"]
    service = kubernetes("Service", "langfuse-bridge")["spec"]
    selectors = (CENTRAL["selector"], policy["podSelector"])
    assert [selector["matchLabels"] for selector in selectors] == [labels, labels]
    assert service["selector"] == labels


def test_ports_are_the_same_from_the_container_to_the_policy() -> None:
    named = {port["name"]: port["containerPort"] for port in CENTRAL_BRIDGE["ports"]}
    service = kubernetes("Service", "langfuse-bridge")["spec"]["ports"]
    assert {named[port["targetPort"]] for port in service} == PORTS
    assert {port["port"] for port in service} == PORTS
    (ingress,) = kubernetes("NetworkPolicy", "langfuse-bridge")["spec"]["ingress"]
    assert {port["port"] for port in ingress["ports"]} == PORTS
    for probe in (*probes_of(CENTRAL_BRIDGE), CENTRAL_BRIDGE["readinessProbe"]):
        assert named[probe["httpGet"]["port"]] == Config().port
        assert probe["httpGet"]["path"] == "/healthz"


def test_a_pod_has_longer_to_stop_than_a_bridge_takes() -> None:
    assert CENTRAL_POD["terminationGracePeriodSeconds"] > 10
    assert int(SERVICE["stop_grace_period"].removesuffix("s")) > 10


def test_the_bridge_of_a_pod_starts_before_the_program_and_listens_for_it_alone() -> None:
    assert SIDECAR_BRIDGE["restartPolicy"] == "Always"  # what makes an init container a sidecar
    assert environment_of(SIDECAR_BRIDGE)["BRIDGE_HOST"] == "127.0.0.1"
    (program,) = SIDECAR_POD["containers"]
    told = {each["name"]: each["value"] for each in program["env"]}
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://127.0.0.1:{Config().port}"


METADATA = {"name", "labels"}
POD = {
    *("automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds"),
    *("securityContext", "initContainers", "containers", "volumes", "restartPolicy"),
}
CONTAINER = {
    *("name", "image", "env", "envFrom", "ports", "resources", "securityContext", "restartPolicy"),
    *("startupProbe", "readinessProbe", "livenessProbe", "volumeMounts"),
}
PROBE = {"httpGet", "exec", "periodSeconds", "timeoutSeconds", "failureThreshold"}
SPECS = {
    "PersistentVolumeClaim": {"accessModes", "resources"},
    "Deployment": {"replicas", "strategy", "selector", "template"},
    "Service": {"selector", "ports"},
    "NetworkPolicy": {"podSelector", "policyTypes", "ingress", "egress"},
    "Pod": POD,
}
VERSIONS = {"Deployment": "apps/v1", "NetworkPolicy": "networking.k8s.io/v1"}


@pytest.mark.parametrize("found", OBJECTS, ids=lambda o: f"{o['kind']} {o['metadata']['name']}")
def test_an_object_has_no_field_that_its_kind_has_not(found: Any) -> None:
    kind = found["kind"]
    assert found["apiVersion"] == VERSIONS.get(kind, "v1")
    assert found["metadata"].keys() <= METADATA
    data = {"Secret": "stringData"}.get(kind, "spec")
    assert found.keys() == {"apiVersion", "kind", "metadata", data}
    assert kind == "Secret" or found["spec"].keys() <= SPECS[kind]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_field_that_pods_have_not(name: str) -> None:
    assert PODS[name].keys() <= POD
    for container in containers_of(PODS[name]):
        assert container.keys() <= CONTAINER
        assert all(isinstance(each["value"], str) for each in container["env"])
    for probe in probes_of(BRIDGES[name]):
        assert probe.keys() <= PROBE


# -------------------------------------------------------------------------------------- the script


def test_the_script_that_builds_the_image_is_one_that_bash_can_read() -> None:
    subprocess.run(["bash", "-n", str(BUILD)], check=True)
    assert BUILD.stat().st_mode & 0o111


def test_the_script_tries_the_image_as_its_user_and_in_its_volume() -> None:
    text = BUILD.read_text()
    assert f"USER_ID={USER_ID}\n" in text
    assert [*re.findall(r"^DATA=(\S+)$", text, flags=re.MULTILINE)] == instructions("VOLUME")
