#!/usr/bin/env python
"""Run the Dockerfile's very steps without Docker: every stage in a copy of a root folder, entered by chroot.

BASE stands in for the image that the Dockerfile starts from, a Debian root folder with Python 3.11; this makes one:

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
    """A root folder and what the instructions so far have set in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": SYSTEM_PATH})
    folder: str = "/"
    user: str = "root"


def main() -> None:
    """Run every instruction, then the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="root folder to start from")
    parser.add_argument("work", type=Path, help="new folder for the stages")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--carry", action="append", default=["/etc/resolv.conf"], metavar="FILE", help="file of this machine to copy in"
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
            raise SystemExit(f"{instruction} cannot be rehearsed yet")
    enter(stage, command, offline=True)


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Split a Dockerfile into instructions: comments dropped, continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    parts = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name.upper(), text.strip()) for name, text in parts]


def inside(root: Path, path: str) -> Path:
    """Where an absolute path of the image lies on this machine."""
    return root / path.lstrip("/")


def copy_into(stage: Stage, words: list[str], stages: dict[str, Stage]) -> None:
    """Do what COPY does: files go into a folder that ends with a slash; a folder's content goes into the target."""
    origin = REPOSITORY
    if words[0].startswith("--from="):
        origin, words = stages[words[0].removeprefix("--from=")].root, words[1:]
    *sources, target = words
    place = inside(stage.root, os.path.join(stage.folder, target))
    for source in sources:
        found = inside(origin, source)
        copy(found, place / found.name if target.endswith("/") else place)


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder's content, with modes, links and devices."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--archive", "--no-target-directory", source, target], check=True)


def enter(stage: Stage, command: list[str], offline: bool = False) -> None:
    """Run a command in a stage; its mounts, and its network where it is cut off, end with it."""
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
    """Home folder of a stage's user, who is named or numbered."""
    users = [line.split(":") for line in inside(stage.root, "/etc/passwd").read_text().splitlines()]
    return next(fields[5] for fields in users if stage.user in (fields[0], fields[2]))


if __name__ == "__main__":
    main()
