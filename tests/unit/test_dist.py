"""Who we are among our peers, told by the environment of whichever launcher."""

import pytest

from lingualift_ds.dist import Place, launched_place
from lingualift_ds.dist.group import _master_address
from lingualift_ds.dist.place import check_gpus
from lingualift_ds.errors import LaunchError
from lingualift_ds.log import rank


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, Place(0, 1, 0, "python", 1)),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Place(3, 8, 1, "deepspeed or torchrun")),
        (
            {"SLURM_PROCID": "5", "SLURM_NTASKS": "16", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0"},
            Place(5, 16, 1, "srun"),
        ),
        # The shell of a batch script is no task of srun.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_LOCALID": "0"}, Place(0, 1, 0, "python", 1)),
        (
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            Place(1, 2, 1, "mpirun"),
        ),
    ],
)
def test_place_comes_from_the_environment(environment, place, monkeypatch):
    assert launched_place(environment) == place
    for key in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert rank() == place.rank


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RANK": "0", "WORLD_SIZE": "two", "LOCAL_RANK": "0"}, "WORLD_SIZE=two"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "LOCAL_RANK=unset"),
        ({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK=2 is not below WORLD_SIZE=2"),
    ],
)
def test_contradictions_are_named(environment, said):
    with pytest.raises(LaunchError, match=said):
        launched_place(environment)


def task(rank: int = 3, tasks: int = 8, local: int = 1, **more: object) -> dict[str, str]:
    """What srun tells a task."""
    told = {"SLURM_PROCID": rank, "SLURM_NTASKS": tasks, "SLURM_LOCALID": local, "SLURM_STEP_ID": 0, "SLURM_NODEID": 0}
    return {name: str(value) for name, value in (told | more).items()}


def torchrun(rank: int, ranks: int, local: int, on_node: int) -> dict[str, str]:
    told = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": on_node}
    return {name: str(value) for name, value in told.items()}


def mpirun(rank: int, ranks: int, local: int, on_node: int) -> dict[str, str]:
    told = {"RANK": rank, "SIZE": ranks, "LOCAL_RANK": local, "LOCAL_SIZE": on_node}
    return {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in told.items()}


@pytest.mark.parametrize(
    ("told", "node", "here"),
    [
        ("8", 0, 8),
        ("8(x4)", 3, 8),
        ("2(x3),1", 2, 2),
        ("2(x3),1", 3, 1),
        ("1,4(x2)", 0, 1),
        ("1,4(x2)", 2, 4),
        ("4(x2)", 2, None),  # no such node
        ("many", 0, None),
        ("4(x", 0, 4),
        ("", 0, None),
    ],
)
def test_tasks_on_this_node_are_read_as_slurm_writes_them(told, node, here):
    place = launched_place(task(SLURM_STEP_TASKS_PER_NODE=told, SLURM_NODEID=node))
    assert place == Place(3, 8, 1, "srun", here)


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        # srun starts torchrun once a node
        (task(1, 2, 0, SLURM_STEP_NUM_NODES=2) | torchrun(11, 16, 3, 8), Place(11, 16, 3, "deepspeed or torchrun", 8)),
        (task(0, 1, 0, SLURM_STEP_NUM_NODES=1) | torchrun(3, 8, 3, 8), Place(3, 8, 3, "deepspeed or torchrun", 8)),
        # a script that states srun's ranks in torchrun's words
        (
            task(5, 16, 5, SLURM_STEP_NUM_NODES=2) | {"RANK": "5", "WORLD_SIZE": "16", "LOCAL_RANK": "5"},
            Place(5, 16, 5, "deepspeed or torchrun"),
        ),
        # mpirun in a job: its daemons were started by srun, on the nodes that are not its own
        (mpirun(9, 16, 1, 8) | task(0, 1, 0, SLURM_STEP_NUM_NODES=1), Place(9, 16, 1, "mpirun", 8)),
        (mpirun(25, 32, 1, 8) | task(2, 3, 0, SLURM_STEP_NUM_NODES=3), Place(25, 32, 1, "mpirun", 8)),
        # srun --mpi states both alike
        (mpirun(3, 8, 1, 4) | task(3, 8, 1, SLURM_STEP_NUM_NODES=2), Place(3, 8, 1, "mpirun", 4)),
        # the batch script's own shell is no task, whatever it says of the job
        (
            {"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_LOCALID": "0"} | torchrun(1, 2, 1, 2),
            Place(1, 2, 1, "deepspeed or torchrun", 2),
        ),
    ],
)
def test_launchers_may_start_each_other_once_a_node(environment, place):
    assert launched_place(environment) == place


@pytest.mark.parametrize(
    ("environment", "numbers"),
    [
        (task(3, 8, 3, SLURM_STEP_NUM_NODES=1) | torchrun(2, 8, 2, 8), ("8 ranks", "8 on this", "8 tasks", "1 nodes")),
        (task(3, 16, 3, SLURM_STEP_NUM_NODES=2) | torchrun(2, 8, 2, 8), ("8 ranks", "16 tasks on 2 nodes")),
        # once a node, but each for itself
        (task(1, 4, 0, SLURM_STEP_NUM_NODES=4) | torchrun(2, 8, 2, 8), ("8 ranks, 8 on this node", "4 tasks on 4")),
        (task(1, 4, 0, SLURM_STEP_NUM_NODES=4) | mpirun(2, 8, 2, 8), ("8 ranks, 8 on this node", "4 tasks on 4")),
        (mpirun(3, 4, 3, 4) | torchrun(2, 8, 2, 8), ("8 ranks", "mpirun started 4 tasks")),
    ],
)
def test_two_launchers_with_a_world_each_are_an_error_with_the_numbers(environment, numbers):
    with pytest.raises(LaunchError) as caught:
        launched_place(environment)
    said = str(caught.value)
    assert "two launchers at once" in said and "\n" not in said
    for number in numbers:
        assert number in said


@pytest.mark.parametrize(
    ("place", "visible", "environment"),
    [
        (Place(0, 1, 0, "python", 1), 8, {}),  # uses one of them
        (Place(5, 8, 5, "deepspeed or torchrun", 8), 8, {}),
        (Place(5, 8, 5, "deepspeed or torchrun"), 8, {}),
        (Place(13, 16, 5, "srun", 8), 8, {}),
        (Place(13, 16, 5, "srun", 8), 1, {"SLURM_GPUS_ON_NODE": "8"}),  # --gpus-per-task=1
        (Place(13, 16, 5, "srun", 8), 1, {}),
    ],
)
def test_a_gpu_for_every_process_is_fine(place, visible, environment):
    check_gpus(place, visible, environment)


@pytest.mark.parametrize(
    ("place", "visible", "environment", "said"),
    [
        (Place(3, 4, 3, "deepspeed or torchrun", 4), 2, {}, "local rank 3 has no GPU: 2 visible"),
        (Place(3, 4, 3, "srun", 4), 2, {}, "local rank 3 has no GPU: 2 visible"),
        (Place(0, 4, 0, "deepspeed or torchrun", 4), 8, {}, "4 processes on this node, but 8 visible GPUs"),
        (Place(0, 8, 0, "srun", 1), 8, {}, "1 processes on this node, but 8 visible GPUs"),
        (Place(0, 8, 0, "srun", 8), 1, {"SLURM_GPUS_ON_NODE": "4"}, "8 tasks on this node, which has 4 GPUs"),
    ],
)
def test_processes_and_gpus_that_do_not_go_together_are_an_error_with_the_numbers(place, visible, environment, said):
    with pytest.raises(LaunchError, match=said):
        check_gpus(place, visible, environment)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node7", "node7"),
        ("node7,node8", "node7"),
        ("node[03-07,12],login1", "node03"),
        ("gpu-a[1,3]", "gpu-a1"),
        ("login1,node[03-07]", "login1"),
    ],
)
def test_rank_0_is_on_the_first_node_of_the_step(monkeypatch, nodes, first):
    monkeypatch.setenv("SLURM_STEP_NODELIST", nodes)
    monkeypatch.setenv("SLURM_JOB_NODELIST", "another")
    assert _master_address(Place(0, 2, 0, "srun", 1)) == first


def test_mpirun_on_several_nodes_must_say_where_rank_0_is():
    with pytest.raises(LaunchError, match="-x MASTER_ADDR"):
        _master_address(Place(0, 16, 0, "mpirun", 8))
