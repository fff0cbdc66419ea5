from base64 import b64encode
from ipaddress import ip_network
from pathlib import Path

import attrs
import pytest

from duragraph.config import Config, ConfigError, child_environ

SERVERS = {"DURAGRAPH_DATABASE_URL": "postgresql://db", "DURAGRAPH_NATS_URL": "nats://bus"}


def test_nothing_set_gives_the_defaults():
    config = Config.from_env({})
    assert (config.host, config.port, config.data_dir) == ("127.0.0.1", 8123, ".duragraph")
    assert not config.auth


def test_a_flag_wins_over_a_variable():
    environ = {"DURAGRAPH_PORT": "9000", "DURAGRAPH_HOST": "::1"}
    config = Config.from_env(environ, port=9001, host=None)
    assert (config.port, config.host) == (9001, "::1")


def test_an_empty_variable_counts_as_not_set():
    assert Config.from_env({"DURAGRAPH_PORT": ""}).port == 8123


def test_lists_are_separated_by_commas():
    assert Config.from_env({"DURAGRAPH_API_KEYS": " a, b ,"}).api_keys == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("MAX_BODY_BYTES", "0"),
        ("SWEEP_SECONDS", "0"),
        ("SWEEP_SECONDS", "nan"),
        ("RUN_TIMEOUT_SECONDS", "inf"),
        ("THREAD_TTL_MINUTES", "0"),
        ("THREAD_TTL_MINUTES", "nan"),
        ("THREAD_TTL_MINUTES", "1e10"),
        ("THREAD_TTL_STRATEGY", "forget"),
        ("NO_AUTH", "perhaps"),
        ("LOG_FORMAT", "xml"),
        ("DATABASE_URL", "mysql://db"),
        ("NATS_URL", "localhost:4222"),
        ("WEBHOOK_NETWORKS", "10.0.0.1/8"),
        ("WEBHOOK_NETWORKS", "10.0.0.0/8, intranet"),
        ("WEBHOOK_SECRETS", "hush"),
        ("WEBHOOK_SECRETS", "whsec_" + b64encode(b"x" * 23).decode()),
        ("WEBHOOK_SECRETS", b64encode(b"x" * 65).decode()),
    ],
)
def test_a_bad_variable_names_itself(name, value):
    with pytest.raises(ConfigError, match=f"DURAGRAPH_{name}( is .* but)? must "):
        Config.from_env({f"DURAGRAPH_{name}": value})


def test_webhooks_take_secrets_and_networks():
    keys = [b"x" * 24, b"y" * 64]
    plain, prefixed = b64encode(keys[0]).decode(), "whsec_" + b64encode(keys[1]).decode()
    given = {"SECRETS": f"{plain}, {prefixed}", "NETWORKS": "127.0.0.0/8,fd00::/8"}
    config = Config.from_env({f"DURAGRAPH_WEBHOOK_{name}": text for name, text in given.items()})
    assert config.webhook_secrets == tuple(keys)
    assert config.webhook_networks == (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))
    assert "xxx" not in repr(config)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigError, match=r"DURAGRAPH_PORT is 'http' .* --max-depth is '1' but"):
        Config.from_env({"DURAGRAPH_PORT": "http"}, max_depth=1)


def test_secrets_are_neither_shown_nor_repeated():
    config = Config.from_env({**SERVERS, "DURAGRAPH_API_KEYS": "hush"})
    assert "hush" not in repr(config)
    with pytest.raises(ConfigError) as error:
        Config.from_env({"DURAGRAPH_DATABASE_URL": "mysql://user:hush@db"})
    assert "hush" not in str(error.value)


@pytest.mark.parametrize("name", SERVERS)
def test_production_needs_its_servers(name):
    environ = {other: url for other, url in SERVERS.items() if other != name}
    with pytest.raises(ConfigError, match=name):
        Config.from_env(environ).for_production()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "plane.example.com"])
def test_production_refuses_to_be_open_to_others(host):
    with pytest.raises(ConfigError, match="DURAGRAPH_API_KEYS"):
        Config.from_env(SERVERS, host=host).for_production()
    assert Config.from_env(SERVERS, host=host, no_auth=True).for_production()
    assert Config.from_env({**SERVERS, "DURAGRAPH_API_KEYS": "k"}, host=host).for_production().auth


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_production_on_loopback_needs_no_keys(host):
    assert Config.from_env(SERVERS, host=host).for_production()


def test_a_worker_sees_the_users_environment_but_no_server():
    environ = {**SERVERS, "OPENAI_API_KEY": "o", "DURAGRAPH_API_KEYS": "k1,k2"}
    config = Config.from_env(environ)
    assert child_environ(config, environ) == {"OPENAI_API_KEY": "o", "DURAGRAPH_API_KEY": "k1"}


def test_every_setting_is_documented_with_its_default():
    table = (Path(__file__).parents[2] / "docs" / "operate.md").read_text()
    for field in attrs.fields(Config):
        row = next(
            (line for line in table.splitlines() if f"`DURAGRAPH_{field.name.upper()}`" in line), ""
        )
        assert row, f"docs/operate.md says nothing of {field.name}"
        default = row.split("|")[3].strip(" `")
        expected = field.metadata["read"](default) if default else type(field.default)()
        assert expected == field.default, field.name
