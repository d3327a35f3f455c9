"""Who we are among our peers, told by the environment of whichever launcher."""

import pytest

from lingualift_ds.dist import Place, read_place
from lingualift_ds.errors import LaunchError
from lingualift_ds.log import rank


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, Place(0, 1, 0, "python")),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Place(3, 8, 1, "deepspeed or torchrun")),
        (
            {"SLURM_PROCID": "5", "SLURM_NTASKS": "16", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0"},
            Place(5, 16, 1, "srun"),
        ),
        # The shell of a batch script is no task of srun.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_LOCALID": "0"}, Place(0, 1, 0, "python")),
        (
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            Place(1, 2, 1, "mpirun"),
        ),
    ],
)
def test_place_comes_from_the_environment(environment, place, monkeypatch):
    assert read_place(environment) == place
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
        read_place(environment)
