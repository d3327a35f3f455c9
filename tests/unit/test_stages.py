"""What a recipe's stages mean, and what they may not say."""

from pathlib import Path

import pytest
import tiny
import yaml

from lingualift_ds.cli.main import main
from lingualift_ds.config.load import dump_config, load_config
from lingualift_ds.errors import CheckpointError, ConfigError
from lingualift_ds.train.inherit import read_handover
from lingualift_ds.train.stages import check_stage, find_stage, stage_of


@pytest.fixture
def recipe(tmp_path) -> Path:
    return tiny.write_recipe(tmp_path)


def with_stage3(recipe: Path, **settings) -> Path:
    values = yaml.safe_load(recipe.read_text())
    values["stage3"] = values["stage2"] | settings
    recipe.write_text(yaml.safe_dump(values))
    return recipe


def test_lingualifts_stages_need_no_statement(recipe):
    config = load_config(recipe)
    first, second = stage_of(config, 1), stage_of(config, 2)
    assert (first.name, first.trains, first.start, first.leaves) == ("language-align", ("alignment",), None, "trained")
    assert (second.name, second.trains, second.start, second.leaves) == ("task-transfer", ("llm",), 1, "model")
    assert first.prompt == second.prompt == ("soft_prompt", "instruction")
    for stage in (first, second):
        check_stage(config, stage)


def test_stages_are_found_by_number_and_by_name(recipe):
    config = load_config(with_stage3(recipe, name="more"), ["stage1.kind=translation"])
    assert [find_stage(config, name).number for name in ("1", "translation", "task-transfer", "3", "more")] == [
        1, 1, 2, 3, 3,
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"--stage 4: no such stage; there are: 1 \(translation\), .*3 \(more\)"):
        find_stage(config, "4")
    with pytest.raises(ConfigError, match="several are called so"):
        find_stage(load_config(recipe, ["stage3.name=task-transfer"]), "task-transfer")


def test_a_third_stage_goes_on_from_the_second_and_survives_its_dump(recipe, tmp_path):
    config = load_config(with_stage3(recipe), ["stage3.epochs=2"])
    assert stage_of(config, 3).start == 2 and config.stage(3).epochs == 2
    (tmp_path / "dump.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "dump.yaml") == config


def test_a_setting_of_a_stage_that_is_not_there_is_an_error(recipe):
    with pytest.raises(ConfigError, match="the recipe has no stage3; it has stage1, stage2"):
        load_config(recipe, ["stage3.epochs=2"])


@pytest.mark.parametrize(
    "settings, start",
    [
        ((), None),  # Stage I has nothing that a text-only model could take over
        (("stage1.train=[alignment]",), None),
        (("stage1.kind=translation",), 1),
        (("stage1.train=[llm]",), 1),
        (("stage2.start_from=scratch",), None),
        (("stage2.start_from=some/artefact",), "some/artefact"),
    ],
)
def test_text_alone_goes_on_from_what_an_earlier_stage_trained_of_it(recipe, settings, start):
    stage = stage_of(load_config(recipe, ["model.encoder=null", *settings]), 2)
    assert stage.start == start and stage.prompt == ("text", "instruction") and stage.trains == ("llm",)


@pytest.mark.parametrize(
    "settings, leaves",
    [
        (["stage2.train=[alignment]"], "trained"),
        (["stage2.train=[alignment,llm]", "stage2.adapter={rank: 4}"], "trained"),
        (["stage2.train=[encoder,alignment]"], "model"),
        (["stage2.train=['llm.model.layers.0.*']"], "model"),
        (["stage2.train=['llm\\.model\\.norm\\.weight']"], "model"),
        (["stage2.train=['alignment.end']"], "trained"),
    ],
)
def test_what_is_trained_beside_layer_and_adapter_makes_the_artefact_a_whole_model(recipe, settings, leaves):
    assert stage_of(load_config(recipe, settings), 2).leaves == leaves


@pytest.mark.parametrize(
    "settings, said",
    [
        (["stage2.train=[]"], "stage2.train: empty, nothing would be trained; choose from encoder, alignment, llm"),
        (["stage2.train=[lm]"], "stage2.train: 'lm': begins with no group; allowed: encoder, alignment, llm, or"),
        (["stage2.train=['llm.(']"], "stage2.train: 'llm.(': is no regular expression"),
        (["model.encoder=null", "stage2.train=[alignment,llm]"], "but model.encoder is null: only llm can be trained"),
        (["model.encoder=null", "stage2.prompt=[soft_prompt,text]"], "stage2.prompt: soft_prompt, but model.encoder"),
        (["model.encoder=null", "stage2.prompt=[instruction]"], "stage2.prompt: has no text, and without an encoder"),
        (["stage2.prompt=[text]"], "stage2.prompt: has no soft_prompt, but model.encoder makes one"),
        (["stage2.prompt=[text,soft_prompt,text]"], "names a part twice"),
        (["stage2.prompt=[soft]"], "'soft' is not one of soft_prompt, instruction, text"),
        (["stage2.encoder_input='{question}'"], "stage2.encoder_input: '{question}': needs {text}"),
        (["stage2.llm_input='Q: {text}'"], "stage2.llm_input: stated, but prompt has no text: nothing reads it"),
        (
            ["model.encoder=null", "stage2.llm_input='{instruction} {text}'"],
            "stage2.prompt: has instruction, and llm_input has {instruction}",
        ),
        (["model.encoder=null", "stage2.llm_input='{text} {text}'"], "stage2.llm_input: '{text} {text}': needs {text}"),
        (
            ["stage2.train=[alignment]", "stage2.adapter={kind: dora}"],
            "stage2.adapter: stated, but train does not",
        ),
        (["stage2.train=[llm,'llm.model.norm.*']", "stage2.adapter={}"], "llm.model.norm.*: beside an adapter"),
        (["stage2.adapter={kind: qlora}"], "stage2.adapter.kind: 'qlora' is not one of lora, dora"),
        (["stage2.optimizer.groups.alignment.lr=1e-3"], "stage2.optimizer.groups.alignment: has settings, but stage 2"),
        (["stage2.prompt=[]"], "stage2.prompt: has no soft_prompt"),
        (["stage2.kind=translation", "stage2.data.codeswitch.lexicons=[x]"], "is what language-align is trained on"),
        (["stage2.data.codeswitch.lexicons=[x]"], "stage2.data.codeswitch: code-switched text is what language-align"),
    ],
)
def test_contradictions_are_said_in_a_line(recipe, capsys, settings, said):
    assert main(["check", "--config", str(recipe), "--stage", "2", *settings]) == 2
    assert said in capsys.readouterr().err


def test_all_contradictions_are_said_at_once(recipe):
    config = load_config(recipe, ["stage2.train=[]", "stage2.epochs=0", "stage2.encoder_input=nothing"])
    with pytest.raises(ConfigError) as caught:
        check_stage(config, stage_of(config, 2))
    assert len(caught.value.problems) == 3


def test_a_first_stage_that_trains_no_layer_must_say_that_it_wants_a_random_one(recipe):
    settings = ["stage1.kind=task-transfer", "stage1.train=[llm]"]
    config = load_config(recipe, settings)
    with pytest.raises(ConfigError, match="stage1.start_from: auto, but no stage comes before"):
        check_stage(config, stage_of(config, 1))
    config = load_config(recipe, [*settings, "stage1.start_from=scratch"])
    check_stage(config, stage_of(config, 1))


def test_a_missing_artefact_names_the_stage_that_makes_it(recipe):
    config = load_config(recipe)
    with pytest.raises(CheckpointError, match="stage1/artefact: no such artefact; run --stage 1 first, or set stage2"):
        read_handover(config, stage_of(config, 2), {"encoder": {}, "llm": {}, "alignment": {}})
