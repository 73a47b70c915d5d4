"""The configuration file, the broker's address and the state folder: what is taken, and what is said."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.address import parse_url, resolve_address
from gateway.config import Config, choose_agents, load_config
from gateway.link import BrokerAddress
from gateway.state import held, state_folder
from models.anomaly import Learn
from models.errors import ConfigRefused, UsageError
from models.toml_lines import lines_of_keys
from nodes.agents import SHIPPED

EXAMPLE = Path(__file__).parent.parent / "deploy" / "edgeward.toml"
SECRET = "sesame-MARKER"


def written(folder: Path, text: str) -> Path:
    file = folder / "edgeward.toml"
    file.write_text(text, "utf-8")
    return file


def faults_of(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigRefused) as refused:
        load_config(written(folder, text))
    return refused.value.faults


def test_the_example_is_in_order_and_changes_nothing() -> None:
    config = load_config(EXAMPLE)
    assert choose_agents(config) == SHIPPED
    assert config.broker == Config().broker
    assert config.gateway == Config().gateway


def test_every_setting_that_the_example_shows_as_a_default_is_one(tmp_path: Path) -> None:
    """Its comments, taken away, give a configuration that is in order too."""
    lines = []
    for line in EXAMPLE.read_text("utf-8").splitlines():
        bare = line.removeprefix("# ")
        is_setting = line.startswith("# ") and (" = " in bare or bare.startswith("["))
        lines.append(bare if is_setting else line)
    text = "\n".join(lines).replace("mqtt://127.0.0.1:1883", "mqtts://localhost")
    config = load_config(written(tmp_path, text))
    assert config.agents is not None
    assert "pump-hall" in config.agents
    assert config.broker.keepalive_seconds == Config().broker.keepalive_seconds
    assert config.broker.receive_maximum == Config().broker.receive_maximum
    assert config.broker.session_expiry_seconds == Config().broker.session_expiry_seconds


def test_all_faults_are_told_at_once_with_line_key_and_what_was_expected(tmp_path: Path) -> None:
    text = """\
[broker]
url = "http://broker"
keepalive_seconds = 1
colour = "blue"

[gateway]
clock = "sun"

[agents.vitals]
on = 4
off = 7

[agents.sensor-anomaly]
learn = { readings = 400, minutes = 3 }
"""
    faults = faults_of(tmp_path, text)
    assert len(faults) == 6
    told = "\n".join(faults)
    for part in (
        "line 2, broker.url: The broker's URL should look like mqtt://HOST:PORT",
        "line 3, broker.keepalive_seconds: should be greater than or equal to 5",
        "line 4, broker.colour: is no setting; known here are",
        "line 7, gateway.clock: should be 'wall' or 'events'",
        "line 11, agents.vitals.off: should not be above on",
        "line 14, agents.sensor-anomaly.learn: should have exactly one of readings, minutes, until",
    ):
        assert part in told


@pytest.mark.parametrize(
    "text",
    [
        f'[broker]\npassword = "{SECRET}"',
        f'[broker]\nurl = "mqtt://gateway:{SECRET}@broker"',
        f'[gateway]\nToken = "{SECRET}"',
        f'[agents.vitals]\nsecret_key = "{SECRET}"',
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, text)
    assert "EDGEWARD_PASSWORD" in fault
    assert SECRET not in fault


def test_what_is_no_toml_is_said_with_its_line(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, "[broker]\nurl =\nusername = 1")
    assert "line 2" in fault


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match="No such file"):
        load_config(tmp_path / "nowhere.toml")


def test_a_shipped_agent_keeps_its_shipped_values_and_only_those_named_run(tmp_path: Path) -> None:
    text = '[agents.vitals]\ntopic = "hospital/{site}/bed/{device}/vitals"\n[agents.log-line]'
    vitals, log_line = choose_agents(load_config(written(tmp_path, text)))
    shipped = {settings.name: settings for settings in SHIPPED}
    assert vitals.topic == "hospital/{site}/bed/{device}/vitals"
    assert vitals.validity_minutes == shipped["vitals"].validity_minutes
    assert log_line == shipped["log-line"]


def test_an_agent_of_ones_own_gets_the_default_topic_of_its_kind(tmp_path: Path) -> None:
    text = '[agents.hall]\nkind = "sensor"\nbundle = "./hall"\nlearn = { until = 1970-01-01T00:00:01Z }'
    (hall,) = choose_agents(load_config(written(tmp_path, text)))
    assert hall.topic == "edgeward/v1/{site}/{device}/sensor"
    assert hall.learn == Learn(readings=None, until_ms=1000)
    assert hall.bundle == str(tmp_path / "hall")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[agents.hall]", "needs a kind"),
        ('[agents.hall]\nkind = "sensor"', "needs a bundle"),
        ('[agents."Hall 1"]\nkind = "vitals"', "1-64 characters of a-z 0-9 -"),
        ('[agents.vitals]\ntopic = "a/+/{device}"', "line 2, agents.vitals.topic: topic template level"),
        ('[agents.vitals]\ntopic = "a/{device}"', "needs a site of its own"),
        ("[agents]", "at least 1"),
    ],
)
def test_an_agent_that_cannot_be_is_refused(text: str, part: str, tmp_path: Path) -> None:
    assert any(part in fault for fault in faults_of(tmp_path, text))


def test_agents_are_chosen_by_name_and_unknown_ones_are_named() -> None:
    assert [each.name for each in choose_agents(Config(), ["log-line", "vitals"])] == ["vitals", "log-line"]
    with pytest.raises(UsageError, match=r"There is no agent vitale: choose from triage-note"):
        choose_agents(Config(), ["vitale"])


def test_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    text = '[broker]\nurl = "mqtts://broker"\nca_file = "ca.pem"\npassword_file = "/run/password"'
    broker = load_config(written(tmp_path, text)).broker
    assert broker.ca_file == tmp_path / "ca.pem"
    assert broker.password_file == Path("/run/password")


@given(st.binary(max_size=200) | st.text(alphabet='[]="\n.agntsbroker{}1 #', max_size=100).map(str.encode))
def test_any_file_is_a_configuration_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "any.toml"
        file.write_bytes(content)
        with suppress(ConfigRefused):
            load_config(file)


def test_lines_of_keys_are_found_in_tables_and_dotted_keys() -> None:
    text = '[a."b c"]\n\nx = 1\ny.z = 2\n[d]\nx = 3'
    expected = {("a", "b c"): 1, ("a", "b c", "x"): 3, ("a", "b c", "y", "z"): 4, ("d",): 5, ("d", "x"): 6}
    assert lines_of_keys(text) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker", BrokerAddress("broker", 1883)),
        ("mqtts://broker/", BrokerAddress("broker", 8883, tls=True)),
        ("mqtt://ward%20user@10.0.0.1:2883", BrokerAddress("10.0.0.1", 2883, username="ward user")),
        ("mqtt://[::1]:1884", BrokerAddress("::1", 1884)),
    ],
)
def test_a_url_says_host_port_and_user(url: str, expected: BrokerAddress) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url", ["", "broker", "http://broker", "mqtt://", "mqtt://b:x", "mqtt://b:99999", "mqtt://b/topic"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="The broker's URL"):
        parse_url(url)


def test_a_password_comes_from_the_environment_or_a_file_and_a_url_with_one_is_refused(
    tmp_path: Path,
) -> None:
    file = tmp_path / "password"
    file.write_text("from file\n")
    by_file = resolve_address("mqtt://u@b", {"EDGEWARD_PASSWORD_FILE": str(file)})
    by_option = resolve_address("mqtt://b", {}, username="u", password_file=file)
    by_name = resolve_address(
        "mqtt://b", {"EDGEWARD_USERNAME": "u", "EDGEWARD_PASSWORD": "p"}, password_file=file
    )
    assert [each.password for each in (by_file, by_option, by_name)] == ["from file", "from file", "p"]
    with pytest.raises(UsageError, match="A password does not belong in the broker's URL") as refused:
        parse_url(f"mqtt://u:{SECRET}@b")
    assert SECRET not in str(refused.value)


def test_options_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="write mqtts://"):
        resolve_address("mqtt://b", {}, ca_file=tmp_path)
    with pytest.raises(UsageError, match="can't be read"):
        resolve_address("mqtt://u@b", {}, password_file=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="needs a user name"):
        resolve_address("mqtt://b", {"EDGEWARD_PASSWORD": "p"})
    with pytest.raises(UsageError, match="needs its certificate file"):
        resolve_address("mqtts://b", {}, key_file=tmp_path)


def test_the_state_folder_is_the_first_that_is_named() -> None:
    env = {"EDGEWARD_STATE": "/e", "STATE_DIRECTORY": "/s:/t"}
    assert state_folder("g", env, chosen=Path("/c")) == Path("/c")
    assert state_folder("g", env) == Path("/e")
    assert state_folder("g", {"STATE_DIRECTORY": "/s:/t"}) == Path("/s")
    assert state_folder("g", {}).parts[-4:] == (".local", "state", "edgeward", "g")


def test_one_gateway_alone_holds_a_state_folder(tmp_path: Path) -> None:
    refused = pytest.raises(UsageError, match="Another gateway is using the state folder")
    with held(tmp_path / "state") as folder, refused, held(folder):
        pass
    with held(folder):
        pass


def test_only_agents_that_remember_no_readings_may_leave_the_disk_alone(tmp_path: Path) -> None:
    file = tmp_path / "edgeward.toml"
    file.write_text('[agents.vitals]\ndurability = "broker"\n[agents.log-line]\ndurability = "broker"\n')
    with pytest.raises(ConfigRefused) as refused:
        load_config(file)
    (fault,) = refused.value.faults
    assert "agent vitals remembers readings" in fault


def test_what_is_owed_lives_as_long_as_the_store_section_says(tmp_path: Path) -> None:
    file = tmp_path / "edgeward.toml"
    file.write_text("[store]\nclassification_hours = 0.5\n")
    lifetimes = load_config(file).store.lifetime_seconds
    assert lifetimes == {"classification": 1_800, "rejected": 86_400, "counters": 60}
