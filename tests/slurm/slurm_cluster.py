"""A Slurm cluster of its own on this machine: two nodes of eight imagined cores and one imagined GPU.

Everything lies in one folder; ports are free ones; the daemons are children of this process, and are gone when it says.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
NODES = ("127.0.0.1", "127.0.0.2")
"""Names of nodes must be addresses that a rank can connect to; these need no line in /etc/hosts."""
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY")
_CONF = """\
ClusterName=lingualift
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits as long as a credential lives: two minutes, unless told otherwise; five seconds are the least.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
GresTypes=gpu
# The cores that the scripts ask for (--cpus-per-gpu=8) need not be there.
SlurmdParameters=config_overrides
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
FirstJobId={first_job}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 Gres=gpu:1
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 Gres=gpu:1
PartitionName=batch Nodes=ALL Default=YES PriorityTier=1 State=UP
PartitionName=urgent Nodes=ALL PriorityTier=2 State=UP
"""


def missing() -> str | None:
    """Why no cluster can be brought up here; None where it can."""
    absent = [name for name in (*DAEMONS, "sbatch", "srun", "scontrol") if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (launch/setup.sh adds no system packages; tests/slurm/run.sh does)"
    return None if os.geteuid() == 0 else "Slurm's daemons need root here"


@dataclass(frozen=True)
class Job:
    """What scontrol says of a job. `code` is the exit code of its script."""

    state: str
    code: int
    restarts: int


class Cluster:
    """A running cluster; `environment` is what a command needs to speak to it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))}
        self.environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}
        self._daemons: dict[str, subprocess.Popen] = {}

    def up(self) -> None:
        """Start the daemons and wait until both nodes are idle."""
        ports = _free_ports(3)
        host = socket.gethostname().split(".")[0]
        # Jobs take their ports from their numbers, 20000 + number % 20000: below those that systems give away.
        first = 1000 + os.getpid() % 8000
        text = _CONF.format(folder=self.folder, host=host, ports=ports, nodes=NODES, first_job=first)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # without a file none is counted
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        munge = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        kept = [f"--{option}={self.folder}/munge.{ending}" for option, ending in munge.items()]
        self._start("munged", "munged", "--foreground", *kept)
        wait_for((self.folder / "munge.socket").exists, 20, self.logs)
        self._start("slurmctld", "slurmctld", "-D", "-i")
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
            self._start(node, "slurmd", "-D", "-N", node)
        wait_for(lambda: self._idle() == len(NODES), 30, self.logs)

    def down(self) -> None:
        """End all jobs and daemons, whatever state they are in; nothing of them is left running."""
        with contextlib.suppress(subprocess.SubprocessError, OSError, AssertionError):
            self.run("scancel", "--user=root", limit=10)
            wait_for(lambda: not self.run("squeue", "--noheader", limit=10).strip(), 20)
        daemons = list(reversed(self._daemons.values()))
        for daemon in daemons:
            daemon.terminate()
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for daemon in daemons:
            daemon.wait(10)
        wait_for(lambda: not self.processes(), 10)

    def processes(self) -> list[int]:
        """Ids of all processes that know this cluster, its jobs' too, this process aside."""
        ours, found = f"SLURM_CONF={self.folder}/".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if ours in path.read_bytes() and int(path.parent.name) != os.getpid():
                    found.append(int(path.parent.name))
        return found

    def run(self, *command: str, cwd: Path | None = None, limit: int = 60, **environment: str) -> str:
        """What a command says; fails where it fails."""
        done = subprocess.run(
            command, cwd=cwd, env=self.environment | environment, capture_output=True, text=True, timeout=limit
        )
        assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def job(self, number: str) -> Job:
        """The job's state now."""
        said = self.run("scontrol", "show", "job", number, "--oneliner").splitlines()[0]
        told = dict(word.split("=", 1) for word in said.split() if "=" in word)
        return Job(told["JobState"], int(told["ExitCode"].split(":")[0]), int(told["Restarts"]))

    def wait(self, number: str, limit: int = 120) -> Job:
        """The job's state once it has ended for good."""
        wait_for(lambda: self.job(number).state in _ENDED, limit, lambda: f"{self.job(number)}\n{self.logs()}")
        return self.job(number)

    def logs(self) -> str:
        """The last lines of the daemons."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files)

    @contextlib.contextmanager
    def deaf(self, node: str) -> Iterator[None]:
        """Inside the block a node does not hear the controller; what runs on it goes on."""
        self._daemons[node].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemons[node].send_signal(signal.SIGCONT)

    def _start(self, name: str, *daemon: str) -> None:
        command = ("setpriv", "--pdeathsig", "TERM", *daemon)  # should this process be killed, they go too
        with (self.folder / f"{name}.out.log").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output, cwd=self.folder, start_new_session=True
            )

    def _idle(self) -> int:
        with contextlib.suppress(AssertionError):
            return self.run("sinfo", "--noheader", "--Node", "--partition=batch", "--format=%T").split().count("idle")
        return 0


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster that is up inside the block."""
    # Not below pytest's folders: munge asks that everyone may reach its socket, and its path must be short.
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)
    made = Cluster(folder)
    try:
        made.up()
        yield made
    finally:
        made.down()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(is_so: Callable[[], bool], limit: float, why: Callable[[], str] = str) -> None:
    """Wait until it is so; fails after `limit` seconds with what `why` says."""
    end = time.monotonic() + limit
    while not is_so():
        assert time.monotonic() < end, f"not within {limit} s\n{why()}"
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    for made in taken:
        made.bind(("", 0))
    ports = [made.getsockname()[1] for made in taken]
    for made in taken:
        made.close()
    return ports
