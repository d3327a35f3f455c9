"""The optimizer's groups: each freezing group has its own settings, and one-dimensional tensors no decay."""

from torch import nn

from lingualift_ds.config.schema import GroupConfig, OptimizerConfig
from lingualift_ds.engine.build import parameter_groups
from lingualift_ds.model.groups import group_of


def test_groups_have_their_own_learning_rate_and_weight_decay():
    model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "alignment": nn.Linear(2, 2), "llm": nn.Linear(2, 2)})
    model["encoder"].requires_grad_(False)
    groups = {"alignment": GroupConfig(lr=5e-3), "llm": GroupConfig(weight_decay=0.1)}
    settings = OptimizerConfig(lr=1e-3, weight_decay=0.01, groups=groups)
    found = {
        g["name"]: (g["lr"], g["weight_decay"], len(g["params"])) for g in parameter_groups(model, group_of, settings)
    }
    assert found == {
        "alignment": (5e-3, 0.01, 1),
        "alignment, one-dimensional": (5e-3, 0.0, 1),
        "llm": (1e-3, 0.1, 1),
        "llm, one-dimensional": (1e-3, 0.0, 1),
    }
