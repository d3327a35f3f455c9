"""The errors a user can cause. Each ends the command in one clear line and exit code 2.

A message says what is wrong, where (file, line or key), and what is allowed. Anything else that
escapes is a bug of ours and keeps its traceback.
"""


class UserError(Exception):
    """Base of all errors that the user can mend. `str(error)` is the line they read."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration, a flag or an override that cannot be meant. May carry several problems.

    `problems` lists them all, so that a user mends a config in one go and not key by key.
    """

    def __init__(self, *problems: str):
        self.problems = problems
        if len(problems) == 1:
            super().__init__(problems[0])
        else:
            super().__init__(f"{len(problems)} problems:\n" + "\n".join(f"  - {p}" for p in problems))


class DataError(UserError):
    """A data file, lexicon or record that cannot be read or used."""


class ModelError(UserError):
    """A model or tokenizer folder that cannot serve in the role it was given."""


class CheckpointError(UserError):
    """A checkpoint, artefact or run folder that is missing, damaged or of another run."""


class LaunchError(UserError):
    """Processes, devices or settings of the launch that contradict each other."""


class TrainingError(Exception):
    """Training found something wrong that no setting explains (non-finite loss, a dead gradient).

    Exit code 3: the run is not usable as it stands, and the message names the parameter or sample.
    """

    exit_code = 3


class Interrupted(BaseException):
    """This process was told to leave (a signal, the time limit, the loss of another rank), and does, in good order.

    Exit code 75, "try again later", unless another is given: what was done is kept, and the same command goes on from
    there. No Exception: nothing that handles errors is to handle it.
    """

    exit_code = 75

    def __init__(self, message: str, code: int = exit_code):
        super().__init__(message)
        self.exit_code = code
