"""The federation's TOML file: what is wrong in it is named before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quickthorn.server.config import FederationSettings
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

SERVER = 'defense = "nnm | trimmed_mean"\nbyzantine = 1\nmodel = "a:b"\n'


def read(folder: Path, text: str) -> FederationSettings:
    path = folder / "federation.toml"
    path.write_text(text, encoding="utf-8")
    return FederationSettings.from_toml(path)


def test_a_whole_file(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f'[server]\n{SERVER}rounds = 5\nround_timeout = 30\n[client]\ndataset = "digits"\n'
        '[organizations]\nNorth = "key:0123456789abcdef"\n'
        'South = ["key:00112233aabbccdd", "node:7"]\n',
    )

    assert (found.server.rounds, found.server.round_timeout) == (5, 30.0)
    assert found.client.dataset == "digits"
    assert found.names == {
        "key:0123456789abcdef": "North",
        "key:00112233aabbccdd": "South",
        "node:7": "South",
    }


def test_what_may_be_left_out_has_a_default(tmp_path: Path) -> None:
    found = read(tmp_path, f"[server]\n{SERVER}")

    assert (found.server.rounds, found.server.quorum, found.organizations) == (3, 0, {})
    assert (found.server.optimizer, found.server.spill_bytes) == ("sgd", 2 << 30)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"[server]\n{SERVER}quorumm = 3\n",
            "unknown key of [server] 'quorumm'; did you mean 'quorum'?",
        ),
        (f"[sever]\n{SERVER}", "unknown key of the federation 'sever'; did you mean 'server'?"),
        (f"[server]\n{SERVER}[client]\nbatchsize = 3\n", "'batchsize'; did you mean 'batch_size'?"),
        (
            f'[server]\n{SERVER}optimizer = "adem"\n',
            "unknown optimizer 'adem'; did you mean 'adam'?",
        ),
        (f"[server]\n{SERVER.replace('nnm', 'nmn')}", "unknown rule 'nmn'; did you mean 'nnm'?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_near_miss(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        read(tmp_path, text)

    assert words in str(caught.value)


@pytest.mark.parametrize("missing", ["defense", "byzantine", "model"])
def test_a_required_key_is_asked_for(tmp_path: Path, missing: str) -> None:
    kept = "\n".join(line for line in SERVER.splitlines() if not line.startswith(missing))

    with pytest.raises(ConfigurationError, match=rf"^\[server\] lacks {missing}; add it\.$"):
        read(tmp_path, f"[server]\n{kept}\n")


def test_the_server_table_is_required(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the federation lacks server"):
        read(tmp_path, "[client]\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('optimizer = "sgd(learning_rate=0)"', "learning_rate of sgd must be above 0; got 0"),
        ("rounds = 0", r"rounds in \[server\] must be at least 1; got 0"),
        ('rounds = "3"', r"rounds in \[server\] must be an integer; got '3'"),
        ("rounds = true", r"rounds in \[server\] must be an integer; got True"),
        ("round_timeout = 0", r"round_timeout in \[server\] must be above 0 seconds"),
        ("round_timeout = nan", r"round_timeout in \[server\] must be a finite number"),
        ("patience = -1", r"patience in \[server\] must be 0 seconds or more"),
        ("fraction_train = 1.5", r"fraction_train in \[server\] must be from 0 to 1; got 1\.5"),
        ("fraction_evaluate = -0.1", r"fraction_evaluate in \[server\] must be from 0 to 1"),
        ("seed = -1", r"seed in \[server\] must be an integer, 0 or more; got -1"),
        ("spill_bytes = -1", r"spill_bytes in \[server\] must be an integer, 0 or more; got -1"),
        ("quorum = -1", r"quorum in \[server\] must be an integer, 0 or more; got -1"),
    ],
)
def test_a_value_out_of_range_is_refused(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read(tmp_path, f"[server]\n{SERVER}{line}\n")


def test_a_defense_needs_a_possible_number_of_liars(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="byzantine must be 0 or more; got -1"):
        read(tmp_path, f"[server]\n{SERVER.replace('= 1', '= -1')}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"\xff")

    for name, words in (("none.toml", "cannot read"), ("latin.toml", "is not valid TOML")):
        with pytest.raises(ConfigurationError, match=words):
            FederationSettings.from_toml(tmp_path / name)
    with pytest.raises(ConfigurationError, match="is not valid TOML"):
        read(tmp_path, "[server")


def test_a_defense_may_be_written_as_tables(tmp_path: Path) -> None:
    text = SERVER.replace(
        '"nnm | trimmed_mean"', '[{rule = "clip", radius = 2.0}, {rule = "median"}]'
    )

    found = read(tmp_path, f"[server]\n{text}")

    assert found.server.defense == ({"rule": "clip", "radius": 2.0}, {"rule": "median"})
    with pytest.raises(ConfigurationError, match="radius of clip must be above 0"):
        read(tmp_path, f"[server]\n{text.replace('2.0', '-2.0')}")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('North = "kee:1"', "North in .organizations. must be 'key:' and 16 hexadecimal digits"),
        (
            'North = ["node:1", "1"]',
            "North in .organizations. must be .* or a list of these; got '1'",
        ),
        ('North = "node:1"\nSouth = "node:1"', "'node:1' stands twice .* under North and South"),
        ('A = ["node:1", "node:2"]\nB = ["node:2"]', "'node:2' stands twice .* under A and B"),
        ("North = []", "North in .organizations. must be .*; got ''"),
        ('A = ["node:1", "node:1"]', "'node:1' stands twice .* under A and A"),
        ("North = 3", "North in organizations in the federation must be a text or a list; got 3"),
        ("North = [3]", "North in organizations in the federation must be a text or a list"),
    ],
)
def test_organizations_that_cannot_be_are_refused(table: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read(tmp_path, f"[server]\n{SERVER}[organizations]\n{table}\n")
