"""``candid case credentials`` and ``candid credentials``: for a shell, for a process, for a profile; and what they never show."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.session import Session

from tests.unit.cli.running import Ran, candid, environment
from tests.unit.cli.server import World, local_file, serving

AGENCY = ("--agency", "washington-county")
SOURCE = ("--source", "surveillance_still")
OPEN = ("case", "open", "26-4410", "--purpose", "criminal_investigation", "--legal-basis", "warrant 26-W-118", *AGENCY)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving() as served:
        local_file(tmp_path, served)
        candid(*OPEN, cwd=tmp_path)
        yield served


def case(folder: Path, *more: str, config: Path | None = None) -> Ran:
    told = {"AWS_CONFIG_FILE": str(config)} if config else {}
    return candid("case", "credentials", "26-4410", *AGENCY, *more, cwd=folder, env=told)


def test_a_person_sees_which_they_are_and_nothing_secret(world: World, tmp_path: Path) -> None:
    ran = case(tmp_path, *SOURCE)
    assert ran.code == 0
    for said in ("CNDD0000000000000001", "2026-03-02 10:00 UTC", "https://rekognition.candid.test", "--export"):
        assert said in ran.out
    assert "it's secret" not in ran.out + ran.err
    assert world.credentials == [{"probe_source": "surveillance_still", "duration_seconds": 3_600}]


def test_a_shell_gets_variables_alone(world: World, tmp_path: Path) -> None:
    ran = case(tmp_path, *SOURCE, "--minutes", "15", "--export")
    assert (ran.code, ran.err) == (0, "")
    shown = subprocess.run(
        ["sh", "-c", f"{ran.out}\nenv"], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    ).stdout.splitlines()
    for line in (
        "AWS_ACCESS_KEY_ID=CNDD0000000000000001",
        "AWS_SECRET_ACCESS_KEY=it's secret",
        "AWS_SESSION_TOKEN=token",
        "AWS_REGION=us-east-1",
        "AWS_ENDPOINT_URL_REKOGNITION=https://rekognition.candid.test",
    ):
        assert line in shown
    assert world.credentials[-1]["duration_seconds"] == 900


def test_a_program_gets_them_all(world: World, tmp_path: Path) -> None:
    told = case(tmp_path, *SOURCE, "--json").json
    assert told == {
        "AccessKeyId": "CNDD0000000000000001",
        "SecretAccessKey": "it's secret",
        "SessionToken": "token",
        "Expiration": "2026-03-02T10:00:00Z",
        "region": "us-east-1",
        "endpoint": "https://rekognition.candid.test",
    }
    process = json.loads(case(tmp_path, *SOURCE, "--process").out)
    assert (process["Version"], process["Expiration"]) == (1, "2026-03-02T10:00:00Z")


def test_a_profile_is_one_that_botocore_reads_and_the_others_stay(world: World, tmp_path: Path) -> None:
    config = tmp_path / "aws" / "config"
    config.parent.mkdir()
    config.write_text("# my own\n[default]\nregion = eu-west-1\n\n[profile other]\nregion = eu-north-1\n")
    for _ in range(2):
        ran = case(tmp_path, *SOURCE, "--profile", "lakeside", config=config)
        assert ran.code == 0, ran.err
    text = config.read_text()
    assert text.startswith("# my own\n[default]\nregion = eu-west-1\n\n[profile other]\nregion = eu-north-1\n")
    assert text.count("[profile lakeside]") == text.count("[services lakeside]") == 1
    assert "it's secret" not in text
    session = Session(profile="lakeside")
    session.set_config_variable("config_file", str(config))
    asked = session.get_scoped_config()
    assert (asked["region"], asked["services"]) == ("us-east-1", "lakeside")
    command = shlex.split(asked["credential_process"])
    # From any folder: AWS's clients run it wherever they are.
    done = subprocess.run(
        [*command[:2], sys.executable, "-c", "from candid.cli.main import run; run()", *command[3:]],
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["SecretAccessKey"] == "it's secret"
    assert command[:2] == ["env", f"CANDID_HOME={tmp_path / '.candid'}"]


@pytest.mark.parametrize("name", ["mine", "served", "default"])
def test_a_profile_that_is_somebody_elses_stays_as_it_is(world: World, tmp_path: Path, name: str) -> None:
    config = tmp_path / "config"
    before = (
        "[default]\nregion = eu-west-1\n[profile mine]\nregion = eu-west-1\naws_access_key_id = AKIA\n"
        "[services served]\ns3 =\n  endpoint_url = http://127.0.0.1:9\n"
    )
    config.write_text(before)
    ran = case(tmp_path, *SOURCE, "--profile", name, config=config)
    assert (ran.code, "stays as it is" in ran.err) == (1, True)
    assert config.read_text() == before


def test_a_profile_that_has_keys_elsewhere_or_another_process_is_somebody_elses(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, keys = tmp_path / "config", tmp_path / "credentials"
    keys.write_text("[county]\naws_access_key_id = AKIA\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    ran = case(tmp_path, *SOURCE, "--profile", "county", config=config)
    assert (ran.code, "stays as it is" in ran.err, config.exists()) == (1, True, False)
    before = "[profile okta]\ncredential_process = /opt/okta/creds county\nregion = us-east-1\nservices = corp\n"
    config.write_text(before)
    assert case(tmp_path, *SOURCE, "--profile", "okta", config=config).code == 1
    assert config.read_text() == before


def test_a_comment_behind_the_profile_is_no_part_of_it_and_stays(world: World, tmp_path: Path) -> None:
    config = tmp_path / "config"
    assert case(tmp_path, *SOURCE, "--profile", "lakeside", config=config).code == 0
    config.write_text(config.read_text() + "# production\n[profile prod]\nregion = eu-west-1\n")
    assert case(tmp_path, *SOURCE, "--profile", "lakeside", config=config).code == 0
    assert "# production\n[profile prod]\nregion = eu-west-1\n" in config.read_text()


def test_a_new_profiles_file_is_its_owners_alone(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "new" / "config"
    assert case(tmp_path, *SOURCE, "--profile", "lakeside", config=config).code == 0
    assert config.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    client = boto3.Session(profile_name="lakeside").client(
        "rekognition", aws_access_key_id="x", aws_secret_access_key="x"
    )
    assert client.meta.endpoint_url == "https://rekognition.candid.test"


def test_a_file_that_can_not_be_written_is_one_sentence(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = case(tmp_path, *SOURCE, "--profile", "lakeside", config=tmp_path / "file" / "config")
    assert (ran.code, ran.out) == (1, "")
    assert "can't be written" in ran.err
    assert "Set AWS_CONFIG_FILE to another file." in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Say where the probes come from."),
        ((*SOURCE, "--export", "--json"), "Give one of --export"),
        ((*SOURCE, "--export", "--profile", "x"), "Give one of --export"),
        ((*SOURCE, "--profile", "a]b"), "A profile's name is 1 to 64"),
        ((*SOURCE, "--minutes", "14"), "Input should be greater than or equal to 15"),
        (("--source", "hearsay"), "'hearsay' is not one of"),
    ],
)
def test_wrong_use_is_told(world: World, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    ran = case(tmp_path, *options)
    assert (ran.code, said in ran.err) == (2, True), ran.err


def test_they_are_taken_back(world: World, tmp_path: Path) -> None:
    ran = case(tmp_path, "--revoke")
    assert (ran.code, "of no use any more" in ran.out) == (0, True)
    assert "revoked 2026-03-02 09:00 UTC" in candid("case", "show", "26-4410", *AGENCY, cwd=tmp_path).out
    ran = candid("credentials", "--revoke", *AGENCY, cwd=tmp_path)
    assert (ran.code, "of no use any more" in ran.out) == (0, True)


def test_records_have_their_own(world: World, tmp_path: Path) -> None:
    ran = candid("credentials", "--export", *AGENCY, cwd=tmp_path)
    assert (ran.code, "AWS_SESSION_TOKEN=token" in ran.out) == (0, True)
    assert world.credentials == [{"duration_seconds": 3_600}]
