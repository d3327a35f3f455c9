"""Two nodes on one machine: network namespaces with an address and a host name each, joined by a switch.

    with Nodes(folder) as nodes:
        jobs = [nodes.start(node, ["python", ...], environment) for node in (0, 1)]
        nodes.cut()    # from now on every packet between them is lost, and nobody is told
        nodes.mend()

A process sees the machine's files, as on a cluster with a shared file system, its own loopback, and the other node
under its name. Cutting takes a node's port off the switch: both keep address and carrier, as when a switch between
them fails. Needs root (or CAP_SYS_ADMIN) and Debian's iproute2; `missing()` says what is not there.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from launching import BIN, ROOT, environment

NAMES = ("node-a", "node-b")
LAUNCHERS = ("torchrun", "deepspeed", "srun")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
_numbers = itertools.count()


def missing() -> str:
    """Why there can be no two nodes here; empty where there can."""
    for tool in ("ip", "unshare", "mount", "hostname"):
        if not shutil.which(tool):
            return f"two nodes need the command `{tool}`"
    try:
        with Nodes(Path("/tmp")) as nodes:
            job = nodes.start(1, ["true"], environment())
            return "" if job.wait(20) == 0 else f"two nodes: no process starts there: {job.output.strip()[-200:]}"
    except (subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return f"two nodes: network namespaces are not allowed here: {said.strip()[-200:]}"


class NodeJob:
    """A command on a node, and what it has said."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        self._said: list[str] = []
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """What it has said so far."""
        return "".join(self._said)

    def wait(self, seconds: float) -> int | None:
        """Its exit code, negative for a signal; None where it is still at work by then."""
        try:
            code = self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(1)  # what was said last; a child that lives on holds the pipe open
        return code

    def _read(self) -> None:
        for line in self._process.stdout:
            self._said.append(line)


class Nodes:
    """The namespaces, for as long as the context lasts; processes still in them at its end are killed."""

    def __init__(self, folder: Path):
        # Tests of several runs at once must not meet: names are those of the process.
        self._tag = f"ll{os.getpid()}-{next(_numbers)}"
        self._switch, *self._spaces = (f"{self._tag}-{part}" for part in ("sw", "a", "b"))
        self._hosts, self._hostfile = folder / f"{self._tag}.hosts", folder / f"{self._tag}.hostfile"
        self._jobs: list[NodeJob] = []

    def __enter__(self) -> "Nodes":
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception) -> None:
        for space in self._spaces:
            self._kill_all(space)
        for job in self._jobs:
            job.wait(10)
        for space in (self._switch, *self._spaces):  # the links go with them
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        for path in (self._hosts, self._hostfile):
            path.unlink(missing_ok=True)

    def hostfile(self, slots: int) -> Path:
        """A hostfile of DeepSpeed's launcher."""
        self._hostfile.write_text("".join(f"{name} slots={slots}\n" for name in NAMES))
        return self._hostfile

    def start(self, node: int, command: list[str], environment: dict[str, str]) -> NodeJob:
        """Start a command on a node (0 or 1), under its host name, in the repository root."""
        # `ip netns exec` gives it mounts of its own: the names reach nobody else.
        inside = 'hostname "$1" && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"'
        enter = ["ip", "netns", "exec", self._spaces[node], "unshare", "--uts", "sh", "-c", inside, "node"]
        job = NodeJob([*enter, NAMES[node], str(self._hosts), *command], environment)
        self._jobs.append(job)
        return job

    def cut(self) -> None:
        """Lose every packet between the nodes from now on."""
        _ip("-n", self._switch, "link", "set", "port1", "nomaster")

    def mend(self) -> None:
        """Join the nodes again."""
        _ip("-n", self._switch, "link", "set", "port1", "master", "bridge")

    def _make(self) -> None:
        _remove_left_behind()
        self._hosts.write_text("127.0.0.1 localhost\n" + "".join(map("{} {}\n".format, ADDRESSES, NAMES)))
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for number, (space, address) in enumerate(zip(self._spaces, ADDRESSES)):
            port = f"port{number}"
            _ip("netns", "add", space)
            _ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", space, "link", "set", device, "up")

    def _kill_all(self, space: str) -> None:
        for _ in range(20):  # what is being started while it is asked for is found the next time
            listed = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False)
            if not (pids := listed.stdout.split()):
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.1)


def launch_on_both(nodes: Nodes, launcher: str, port: int, *arguments: str, ranks: int = 1) -> list[NodeJob]:
    """launch/train.py with `ranks` processes on each node, started as the launcher is on a cluster without ssh: the
    same command on every node (torchrun, deepspeed), or a task per rank (srun). srun has a job per rank."""
    script = [str(ROOT / "launch/train.py"), *arguments]
    plain = {k: v for k, v in environment().items() if not k.startswith(("SLURM_", "MASTER_"))}
    if launcher == "torchrun":
        run = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", str(ranks)]
        run += ["--master_addr", NAMES[0], "--master_port", str(port)]
        return [nodes.start(node, [*run, "--node_rank", str(node), *script], plain) for node in (0, 1)]
    if launcher == "deepspeed":
        run = [str(BIN / "deepspeed"), "--hostfile", str(nodes.hostfile(ranks)), "--no_ssh"]
        run += ["--master_addr", NAMES[0], "--master_port", str(port)]
        return [nodes.start(node, [*run, "--node_rank", str(node), *script], plain) for node in (0, 1)]
    # What srun tells its tasks, and launch/slurm/job.sh beside it.
    job = plain | {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_NTASKS": str(2 * ranks), "SLURM_NNODES": "2"}
    job |= {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_TASKS_PER_NODE": f"{ranks}(x2)"}
    job |= {"SLURM_NTASKS_PER_NODE": str(ranks), "MASTER_ADDR": NAMES[0], "MASTER_PORT": str(port)}
    jobs = []
    for rank in range(2 * ranks):
        node, local = divmod(rank, ranks)
        task = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local), "SLURM_NODEID": str(node)}
        jobs.append(nodes.start(node, [sys.executable, *script], job | task))
    return jobs


def _remove_left_behind() -> None:
    """Namespaces of processes that were killed before they could remove them."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    for name, owner in re.findall(r"^(ll(\d+)-\S+)", listed, re.MULTILINE):
        if not Path("/proc", owner).exists():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)
