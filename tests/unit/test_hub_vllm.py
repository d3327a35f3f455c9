"""What is written for vLLM: the plain LLM, fed with the bridge's embeddings, says what the bridged model says."""

import pytest
import torch
from test_hub_model import TEXTS, bases, build
from transformers import AutoModelForCausalLM, AutoTokenizer

from lingualift_ds.errors import CheckpointError, ModelError
from lingualift_ds.hub.vllm import PromptBridge, write_for_vllm

__all__ = ["bases"]


@pytest.mark.parametrize("llm", ["llama", "gemma2", "gpt2", "qwen2"])
def test_the_plain_llm_continues_the_bridges_embeddings_alike(bases, tmp_path, llm):
    model = build(bases, llm, "xlm-roberta")
    write_for_vllm(model, tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out/llm")
    assert type(plain) is type(model.llm)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out/llm")
    bridge = PromptBridge.from_pretrained(tmp_path / "out")
    assert sum(p.numel() for p in bridge.model.parameters()) < sum(p.numel() for p in model.parameters())
    prompts = bridge.prompts(TEXTS, batch_size=3)
    answers = model.answer(TEXTS, max_new_tokens=6)
    for prompt, answer in zip(prompts, answers, strict=True):
        made = plain.generate(
            inputs_embeds=prompt[None], attention_mask=torch.ones(1, len(prompt)).long(), max_new_tokens=6
        )
        assert tokenizer.decode(made[0], skip_special_tokens=True).strip() == answer.text


def test_what_cannot_be_written_or_read_is_said(bases, tmp_path):
    with pytest.raises(ModelError, match="no encoder"):
        write_for_vllm(build(bases, encoder=None), tmp_path / "out")
    with pytest.raises(CheckpointError, match="holds no bridge"):
        PromptBridge.from_pretrained(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="is a file"):
        write_for_vllm(build(bases), tmp_path / "file")
    with pytest.raises(CheckpointError, match="is not empty"):
        write_for_vllm(build(bases), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
