#!/usr/bin/env python
"""Execute the steps of the Dockerfile without Docker: every stage in a copy of a root folder, entered by chroot.

BASE takes the place of the image that the Dockerfile starts from: a Debian root folder with Python 3.11, made by

    debootstrap --variant=minbase --include=ca-certificates,python3-venv,python-is-python3 bookworm BASE

The command of the finished image runs last, as its user and cut off from the network. Needs Linux, root and 10 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

REPOSITORY = Path(__file__).parents[2]
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Stage:
    """A root folder, and what the instructions so far have set in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": SYSTEM_PATH})
    folder: str = "/"
    user: str = "root"


def main() -> None:
    """Execute every instruction, then the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="root folder to start from")
    parser.add_argument("work", type=Path, help="new folder for the stages")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--carry",
        action="append",
        default=["/etc/resolv.conf"],
        metavar="FILE",
        help="file of this machine to copy into the stages",
    )
    arguments = parser.parse_args()
    given = dict(pair.split("=", 1) for pair in arguments.build_arg)
    stages: dict[str, Stage] = {}
    command: list[str] = []
    for instruction, text in instructions((REPOSITORY / "Dockerfile").read_text(encoding="utf-8")):
        print(f"== {instruction} {text[:100]}", flush=True)
        if instruction == "FROM":
            words = text.split()
            name = words[2] if len(words) == 3 else str(len(stages))
            stage = stages[name] = Stage(arguments.work.absolute() / name)
            copy(arguments.base, stage.root)
            for file in arguments.carry:
                copy(Path(file), inside(stage.root, file))
        elif instruction == "ARG":
            name, default = text.split("=", 1)
            stage.environment[name] = given.get(name, default)
        elif instruction == "ENV":
            name, value = text.split("=", 1)
            stage.environment[name] = Template(value).substitute(stage.environment)
        elif instruction == "WORKDIR":
            stage.folder = text
            inside(stage.root, text).mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            copy_into(stage, text.split(), stages)
        elif instruction == "RUN":
            enter(stage, ["sh", "-c", text])
        elif instruction == "USER":
            stage.user = text
        elif instruction == "CMD":
            command = json.loads(text)
        else:
            raise SystemExit(f"{instruction} is not supported by this script")
    enter(stage, command, offline=True)


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Split a Dockerfile into instructions: comments dropped, continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    parts = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name.upper(), text.strip()) for name, text in parts]


def inside(root: Path, path: str) -> Path:
    """Return the path on this machine of an absolute path in the image."""
    return root / path.lstrip("/")


def copy_into(stage: Stage, words: list[str], stages: dict[str, Stage]) -> None:
    """Do what COPY does: copy files into a folder that ends with a slash, or a folder's content into the target."""
    origin = REPOSITORY
    if words[0].startswith("--from="):
        origin, words = stages[words[0].removeprefix("--from=")].root, words[1:]
    *sources, target = words
    place = inside(stage.root, os.path.join(stage.folder, target))
    for source in sources:
        found = inside(origin, source)
        copy(found, place / found.name if target.endswith("/") else place)


def copy(source: Path, target: Path) -> None:
    """Copy a file, or the content of a folder, with modes, links and devices."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--archive", "--no-target-directory", source, target], check=True)


def enter(stage: Stage, command: list[str], offline: bool = False) -> None:
    """Run a command in a stage, without network where ``offline``; its mounts end with it."""
    root = shlex.quote(str(stage.root))
    variables = [f"{name}={value}" for name, value in stage.environment.items()]
    wanted = [
        "env",
        "-i",
        f"HOME={home(stage)}",
        *variables,
        "sh",
        "-c",
        f'cd {stage.folder} && exec "$@"',
        "sh",
        *command,
    ]
    script = " && ".join(
        [
            f"mount --rbind /dev {root}/dev",
            f"mount -t proc proc {root}/proc",
            *(["ip link set lo up"] if offline else []),
            f"exec chroot --userspec={stage.user} {root} {shlex.join(wanted)}",
        ]
    )
    networks = ["--net"] if offline else []
    subprocess.run(["unshare", "--mount", *networks, "sh", "-c", script], check=True)


def home(stage: Stage) -> str:
    """Return the home folder of a stage's user, given by name or number."""
    users = [line.split(":") for line in inside(stage.root, "/etc/passwd").read_text().splitlines()]
    return next(fields[5] for fields in users if stage.user in (fields[0], fields[2]))


if __name__ == "__main__":
    main()
