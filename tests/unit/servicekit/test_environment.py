"""Settings from the environment: everything wrong is said at once, with what would be right."""

from __future__ import annotations

import base64
from pathlib import Path
from uuid import UUID

import pytest

from servicekit import environment
from servicekit.environment import InvalidSettings, load
from servicekit.settings import Settings, parse_master_keys

KEY = base64.b64encode(bytes(range(32))).decode()


def problems(variables: dict[str, str], *, needed: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        load(variables, needed=needed)
    return caught.value.problems


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load({}) == Settings()
    assert load({"ROLLBOOK_API_PORT": "  "}) == Settings()


def test_values_are_parsed_into_their_types() -> None:
    settings = load(
        {
            "ROLLBOOK_API_PORT": "9000",
            "ROLLBOOK_DATA_DIR": "/var/rollbook",
            "ROLLBOOK_POSITION_WAIT_S": "2.5",
            "ROLLBOOK_BOOTSTRAP_WORKSPACE": "0190a6f4-9b4d-7c2e-8f10-0123456789ab",
            "ROLLBOOK_LOG_FORMAT": "console",
        }
    )
    assert settings == Settings(
        api_port=9000,
        data_dir=Path("/var/rollbook"),
        position_wait_s=2.5,
        bootstrap_workspace=UUID("0190a6f4-9b4d-7c2e-8f10-0123456789ab"),
        log_format="console",
    )


def test_all_problems_are_listed_at_once_with_what_would_be_right() -> None:
    found = problems(
        {
            "ROLLBOOK_DATABASE_URL": "mysql://somewhere",
            "ROLLBOOK_API_PORT": "high",
            "ROLLBOOK_METRICS_PORT": "70000",
            "ROLLBOOK_LOG_LEVEL": "loud",
        },
        needed=environment.SERVICE_NEEDS,
    )
    assert found == [
        (
            "ROLLBOOK_DATABASE_URL is not valid (it does not start with postgresql:// or postgres://): "
            "give postgresql://user:password@host:port/database"
        ),
        (
            "ROLLBOOK_NATS_URL is not set: give nats://user:password@host:port, "
            "or a file that holds it in ROLLBOOK_NATS_URL_FILE"
        ),
        (
            "ROLLBOOK_MASTER_KEY is not set: give 32 random bytes in base64 or hex (openssl rand -base64 32), "
            "or a file that holds it in ROLLBOOK_MASTER_KEY_FILE"
        ),
        "ROLLBOOK_API_PORT='high' is not valid: give a port from 1 to 65535",
        "ROLLBOOK_METRICS_PORT='70000' is not valid: give a port, or 0",
        "ROLLBOOK_LOG_LEVEL='loud' is not valid: give debug, info, warning or error",
    ]


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    assert load({"ROLLBOOK_MASTER_KEY_FILE": str(tmp_path / "key")}).master_key == KEY


def test_a_secret_given_twice_missing_or_empty_in_its_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    path = str(tmp_path / "empty")
    assert problems({"ROLLBOOK_MASTER_KEY": KEY, "ROLLBOOK_MASTER_KEY_FILE": path}) == [
        "ROLLBOOK_MASTER_KEY and ROLLBOOK_MASTER_KEY_FILE are both set: give one of them"
    ]
    assert problems({"ROLLBOOK_MASTER_KEY_FILE": path})[0].startswith(f"ROLLBOOK_MASTER_KEY_FILE={path} is empty")
    assert "No such file" in problems({"ROLLBOOK_MASTER_KEY_FILE": "/no/such/file"})[0]


def test_a_malformed_secret_is_never_shown() -> None:
    for name in ("MASTER_KEY", "BOOTSTRAP_KEY", "DATABASE_URL", "NATS_URL"):
        (problem,) = problems({f"ROLLBOOK_{name}": "s3 cr3t"})
        assert "s3 cr3t" not in problem


def test_keys_of_tokens_need_an_issuer_and_an_audience_and_are_not_fetched_in_clear() -> None:
    assert problems({"ROLLBOOK_JWT_JWKS": "https://id.example/jwks.json"}) == [
        "ROLLBOOK_JWT_ISSUER is not set, which ROLLBOOK_JWT_JWKS needs: give the issuer's name",
        (
            "ROLLBOOK_JWT_AUDIENCE is not set, which ROLLBOOK_JWT_JWKS needs: "
            "give the name by which the issuer knows this service"
        ),
    ]
    beside = {"ROLLBOOK_JWT_ISSUER": "id", "ROLLBOOK_JWT_AUDIENCE": "rollbook"}
    for place in ("https://id.example/jwks.json", "http://127.0.0.1:81/keys", "keys.json"):
        assert load({"ROLLBOOK_JWT_JWKS": place, **beside}).jwt_jwks == place
    (problem,) = problems({"ROLLBOOK_JWT_JWKS": "http://id.example/jwks.json", **beside})
    assert problem.endswith("is not valid: give a path, or an address that begins with https://")


def test_a_misspelt_variable_is_named_with_the_nearest_setting() -> None:
    assert environment.unknown({"ROLLBOOK_DATABSE_URL": "x", "ROLLBOOK_MASTER_KEY_FILE": "x", "PATH": "x"}) == [
        "ROLLBOOK_DATABSE_URL is no setting: did you mean ROLLBOOK_DATABASE_URL?"
    ]


def test_every_setting_says_what_it_is_for_and_what_to_give() -> None:
    described = list(environment.fields())
    assert [field.name for field in described] == list(Settings.__struct_fields__)
    assert all(field.description.endswith(".") and field.wanted for field in described)


def test_master_keys_come_in_hex_or_base64_and_by_number() -> None:
    secret = bytes(range(32))
    assert parse_master_keys(KEY) == parse_master_keys(secret.hex()) == {1: secret}
    assert parse_master_keys(f"2:{'ff' * 32},1:{KEY}") == {2: b"\xff" * 32, 1: secret}


@pytest.mark.parametrize("text", ["", "short", "no key!", f"300:{KEY}", f"x:{KEY}", f"1:{KEY},1:{'ff' * 32}"])
def test_a_malformed_master_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a key is|number"):
        parse_master_keys(text)
