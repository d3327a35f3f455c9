"""Every setting of a run, typed and frozen. The string under a field is its documentation.

Units stand in the documentation: steps are optimizer steps, tokens are the tokenizer's, samples are rows.
Paths are relative to the folder the command is started from.
"""

from dataclasses import dataclass, field
from typing import Literal

GROUPS = ("encoder", "alignment", "llm")
"""The freezing groups: every parameter of the bridged model belongs to exactly one."""


@dataclass(frozen=True)
class WatchdogConfig:
    """When a run that stands still is ended, after every rank has printed where it is. 0 switches a limit off."""

    step_seconds: float = 600.0
    """Longest time without progress between two micro-batches, in seconds."""
    first_step_seconds: float = 3600.0
    """The same while models load, in the first step (which may compile) and in a held-out evaluation."""
    save_seconds: float = 3600.0
    """The same while a checkpoint or an artefact is written."""
    silence_seconds: float = 30.0
    """Longest time that a process may not be heard of: its node or the network is gone, or it was stopped."""


@dataclass(frozen=True)
class MonitoringConfig:
    """Where the monitors put their curves. API keys are in the environment, never here."""

    project: str = "lingualift_ds"
    """W&B's and Comet's project."""
    team: str | None = None
    """W&B's team (entity), Comet's workspace; null: the key's own."""
    group: str | None = None
    """W&B's group, which shows runs side by side."""
    name: str | None = None
    """Name of the run; null: the last folder of OUTPUT. The stage is put behind it."""
    online: bool | None = None
    """false: W&B and Comet write files, to be uploaded later (`wandb sync`, `comet upload`).
    null: online, unless WANDB_MODE or COMET_START_ONLINE says otherwise."""
    folder: str | None = None
    """Folder of the monitors' files; several runs share one as FOLDER/NAME/stageN. null: OUTPUT/stageN/monitor."""


@dataclass(frozen=True)
class RunConfig:
    """Where the run lives and what makes it reproducible."""

    output: str = "runs/default"
    """Run folder: stage 1 writes OUTPUT/stage1, stage 2 reads it and writes OUTPUT/stage2."""
    seed: int = 0
    """Seed of initial weights, data order, dropout and code-switching."""
    monitors: tuple[Literal["tensorboard", "csv", "wandb", "comet"], ...] = ()
    """DeepSpeed monitors to feed, besides metrics.jsonl. wandb and comet need an API key in the environment."""
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)
    """Settings of those monitors."""
    world_size: int | None = None
    """How many ranks the run must have; another number is an error before anything is loaded. null: any."""
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)
    """When a run that stands still is ended."""
    cache: str = "runs/prepared"
    """Where tokenised data are kept, by content, for all runs. All ranks should see the same folder."""


@dataclass(frozen=True)
class AlignmentConfig:
    """The language alignment layer between encoder and LLM (LinguaLIFT, section 3)."""

    kind: Literal["linear", "ffn", "latent"] = "ffn"
    """linear: one Linear and an end boundary. ffn: two Linears with GELU between and both boundaries.
    latent: a Perceiver resampler and an end boundary."""
    latents: int = 64
    """Soft-prompt tokens per text of kind `latent`; the other kinds give one per encoder token."""
    layers: Literal["last", "all"] = "last"
    """Which of the encoder's layers it reads. all: every one, embeddings included, summed with learned weights (the
    fusion of LayAlign, once for the LLM's input)."""


@dataclass(frozen=True)
class AttentionConfig:
    """Who computes attention. auto: the fastest that works here; the choice and its reason are logged."""

    llm: Literal["auto", "flash_attention_2", "varlen", "sdpa", "eager"] = "auto"
    """flash_attention_2: the flash-attn package. varlen: PyTorch's own fused kernel for packed samples (GPU).
    sdpa: PyTorch's scaled dot product, sample by sample where packed. eager: plain matrix products."""
    encoder: Literal["auto", "varlen", "sdpa", "eager"] = "auto"
    """The same for the encoder. T5 kinds add a position bias, which varlen cannot."""


@dataclass(frozen=True)
class PackingConfig:
    """Whether samples lie back to back, without padding. auto: where the model reads them so as it reads them
    apart, which is tried before the first step."""

    llm: Literal["auto", "on", "off"] = "auto"
    """on: an error where it cannot be. off: samples of like length side by side, padded to the longest."""
    encoder: Literal["auto", "on", "off"] = "auto"
    """The same for the encoder."""


@dataclass(frozen=True)
class ModelConfig:
    """What is bridged. Each model is a local folder or a hub name."""

    llm: str
    """The English-centric LLM: any AutoModelForCausalLM."""
    encoder: str | None = None
    """The multilingual encoder: T5, mT5, umT5, BERT, XLM-R, M2M100 or NLLB kinds. null: text only."""
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    """The alignment layer."""
    encoder_max_tokens: int = 1024
    """Longest encoder input, in tokens; longer texts are cut at the end and counted."""
    llm_max_tokens: int = 1280
    """Longest LLM input, soft prompt, instruction and target together, in tokens."""
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Dtype of weights and activations. bf16 and fp16 keep fp32 master weights in the optimizer."""
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    """Attention kernels, per module."""
    packing: PackingConfig = field(default_factory=PackingConfig)
    """Padding-free batches, per module."""
    activation_checkpointing: Literal["auto", "none", "all"] | int = "auto"
    """LLM layers that are computed again in the backward pass (less memory, up to a third more time): none, all,
    or how many. auto: as many as the memory plan needs."""
    compile: bool = False
    """torch.compile of the LLM's and the encoder's layers."""
    whitespace_tokens: bool = True
    """Let encoder tokenizers that drop newlines and runs of spaces (T5's) keep them as tokens of their own."""


@dataclass(frozen=True)
class CodeSwitchConfig:
    """How English becomes Stage I text; `lingualift-ds codeswitch` has the same settings as options."""

    lexicons: tuple[str, ...] = ()
    """Word lists: folders, or files such as en-sw.txt. None: the rows are Stage I records already."""
    languages: tuple[str, ...] = ()
    """Codes of the languages to switch to, each with a weight where one is stated: sw, or sw:2. None: all that the
    lexicons have."""
    temperature: float | None = None
    """Languages without a weight are drawn by the entries of their lexicon, to the power of 1/temperature.
    null: all alike."""
    mix: int = 1
    """Languages in one sentence, at most."""
    ratio: str | float = "0.5"
    """Share of the switchable words that are switched: 0.5; a range 0.3-1.0, drawn anew for every sentence; or a
    schedule 0.2..0.8, from the first row of the data to the last."""
    units: Literal["phrases", "words"] = "phrases"
    """phrases: the longest entry of the lexicon that fits is switched as a whole. words: single words only."""
    choice: Literal["rank", "uniform", "first", "frequency"] = "rank"
    """Among translations: with weight 1, 1/2, 1/3 ... in the lexicon's order; all alike; the first; or by the
    lexicon's frequencies."""
    inflections: bool = False
    """Look a word that the lexicon lacks up by its base form too: apples as apple."""
    names: Literal["keep", "switch"] = "keep"
    """keep: what is written with a capital inside a sentence stays as it is."""
    keep: tuple[str, ...] = ()
    """Words that are never switched; @FILE: those of a file, one a line."""
    split_sentences: bool = False
    """A sample a sentence, not a row."""
    variants: int = 1
    """Samples that one English text gives, each switched in its own way."""
    columns: str | None = None
    """Columns of lexicons that are tables, by name or number from 1: english=WORD,translation=3,frequency=COUNT.
    null: found by their names."""
    unclean: tuple[str, ...] = ()
    """Cleaning steps of the lexicons that are left out."""


@dataclass(frozen=True)
class DataConfig:
    """The rows a stage reads."""

    train: tuple[str, ...] = ()
    """Training files: JSON lines, one record a line. With `codeswitch` English text, in any file that the command
    `lingualift-ds codeswitch` reads."""
    heldout: tuple[str, ...] = ()
    """Held-out files of the same shape: their loss is measured during training, per language. With `codeswitch`
    English too, switched as in the first epoch."""
    shape: Literal["auto", "records", "gsm8k", "metamath", "alpaca"] = "auto"
    """Shape of the rows. auto: found from the keys of each file's first row."""
    instruction: str | None = None
    """Instruction for rows that carry none; null: the stage's own."""
    limit: int | None = None
    """Use only the first rows of the training data, in rows as an epoch sees them, after `languages` and `mix`; null:
    all. With `codeswitch`, rows of English."""
    languages: tuple[str, ...] = ()
    """Use only the training rows of these languages, by code (sw, swh and swa are one); empty: all. A row in several
    languages (es,sw) is used where all of them are named. Not with `codeswitch`, which has its own."""
    mix: dict[str, float] = field(default_factory=dict)
    """Training file: how many times its rows are seen in an epoch. 2: each twice; 0.5: every second one; 1.5: every
    second one twice; 1: as without. Of rows that `languages` leaves. Not with `codeswitch`."""
    columns: dict[str, str] = field(default_factory=dict)
    """Where rows have them under other keys: what a record has (text, target, instruction, language, id), and the key
    it is found under, in all files of the stage: {text: swahili, target: english}. Every row needs the keys that are
    named; with them `shape` is records."""
    order: Literal["shuffled", "file"] = "shuffled"
    """Order of the samples of an epoch. file: as the files have them, for data that go from easy to hard."""
    codeswitch: CodeSwitchConfig = field(default_factory=CodeSwitchConfig)
    """Stage 1: make samples of English rows, switched anew for every epoch; `lexicons` turns it on."""
    english_field: str | None = None
    """Column of the English that `codeswitch` reads; null: found by its name."""


@dataclass(frozen=True)
class BatchConfig:
    """The batch of one optimizer step, over all ranks, in `samples` or in `tokens`: state one of the two."""

    samples: int | None = None
    """Global batch, in samples."""
    tokens: int | None = None
    """Global batch, in LLM tokens (prompt, soft prompt and target): as many whole samples as fit."""
    micro_tokens: int = 8192
    """Token budget of one rank's micro-batch, in LLM tokens; whole samples fill it, never a part of one."""


@dataclass(frozen=True)
class ShardingConfig:
    """Where a frozen module's weights live. What is trained follows the DeepSpeed JSON alone.

    auto: resident where the memory plan says that it fits, else as the DeepSpeed JSON says.
    """

    encoder: Literal["auto", "resident", "sharded"] = "auto"
    """resident: whole on every rank, nothing is gathered. sharded: partitioned, gathered when used (ZeRO-3)."""
    llm: Literal["auto", "resident", "sharded"] = "auto"
    """The same for the LLM in a stage that does not train it."""


@dataclass(frozen=True)
class GroupConfig:
    """Settings of one freezing group that differ from the stage's optimizer settings."""

    lr: float | None = None
    """Peak learning rate of this group; null: the stage's."""
    weight_decay: float | None = None
    """Weight decay of this group; null: the stage's."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its schedule."""

    lr: float = 1e-4
    """Peak learning rate."""
    weight_decay: float = 0.0
    """Decoupled weight decay; biases, norms and boundary vectors (one dimension) get none."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's two moments."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    clip: float = 1.0
    """Largest norm of the gradient over all ranks; 0: no clipping."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Learning rate after warm-up: constant, or falling to 0 at the last step."""
    warmup_ratio: float = 0.0
    """Share of all steps in which the learning rate rises linearly from 0."""
    implementation: Literal["auto", "torch", "deepspeed"] = "auto"
    """auto: torch's fused AdamW; DeepSpeed's CPUAdam where the optimizer is offloaded to the CPU."""
    groups: dict[str, GroupConfig] = field(default_factory=dict)
    """Settings per freezing group: encoder, alignment or llm."""


@dataclass(frozen=True)
class AdapterConfig:
    """Low-rank weights beside the LLM's own, which stay frozen, through PEFT."""

    kind: Literal["lora", "dora"] = "lora"
    """lora: LoRA (arXiv 2106.09685). dora: DoRA (arXiv 2402.09353), which learns the columns' lengths too."""
    rank: int = 16
    """Rank of the low-rank weights."""
    alpha: float = 32.0
    """Their scale is alpha / rank."""
    dropout: float = 0.0
    """Dropout of their input while training."""
    targets: tuple[str, ...] = ()
    """Names of the LLM's linear layers that get them, such as q_proj, v_proj; empty: all but the head."""


@dataclass(frozen=True)
class CheckpointConfig:
    """When training is saved."""

    every: int = 500
    """Steps between checkpoints; 0: only at the end."""
    keep_last: int = 2
    """How many of the newest checkpoints are kept."""
    keep_every: int = 0
    """Checkpoints of steps that this divides are kept for good, in steps; 0: none."""
    background: Literal["auto", "on", "off"] = "auto"
    """Whether a checkpoint is written while training goes on, from a copy in host memory. auto: where it has room."""


@dataclass(frozen=True)
class StageConfig:
    """One stage of training: a statement of what is trained on what. What it leaves open its kind says, see
    train/stages.py."""

    kind: Literal["language-align", "translation", "task-transfer"] | None = None
    """What the stage is where its other settings say nothing; null: stage 1 language-align, others task-transfer."""
    name: str | None = None
    """Name that `--stage` finds it by, beside its number; null: its kind."""
    data: DataConfig = field(default_factory=DataConfig)
    """What it reads."""
    train: tuple[str, ...] | None = None
    """What is trained: freezing groups (encoder, alignment, llm), or regular expressions that match whole names of
    parameters, such as llm.model.layers.[0-3].*; null: what its kind says."""
    adapter: AdapterConfig | None = None
    """Train the LLM by LoRA or DoRA, its own weights frozen; null: in full."""
    prompt: tuple[Literal["soft_prompt", "instruction", "text"], ...] | None = None
    """What the LLM reads between BOS and target, in this order; text: the question's own embeddings. null: soft_prompt,
    instruction; for a model without an encoder text, instruction."""
    encoder_input: str = "{text}"
    """What the encoder reads: a text with {text}, and {instruction} where it is to read that too."""
    llm_input: str = "{text}"
    """What the LLM reads as the prompt's part `text`: the template that it was tuned with, around {text}; it may have
    {instruction} too."""
    start_from: str = "auto"
    """Which artefact it goes on from: what that holds (alignment layer, adapter, LLM, encoder) is taken from there.
    auto: stage 1 starts fresh, stage N takes OUTPUT/stage{N-1}/artefact; scratch: fresh; or an artefact's path."""
    batch: BatchConfig = field(default_factory=BatchConfig)
    """The global batch."""
    sharding: ShardingConfig = field(default_factory=ShardingConfig)
    """Where frozen weights live."""
    epochs: int = 1
    """Passes over the training data; every sample is seen once in each."""
    steps: int | None = None
    """Stop after this many steps, whatever `epochs` says; null: at the end of the epochs."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW and its schedule."""
    deepspeed: str = ""
    """DeepSpeed's JSON: sharding, offload, buckets. What stands in this config must not contradict it."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """When training is saved."""
    heldout_every: int = 0
    """Steps between measurements of the held-out loss; 0: at the end only."""
    nonfinite: Literal["stop", "skip"] = "stop"
    """A loss or gradient that is not finite. stop: end with exit code 3, naming samples. skip: leave the weights as
    they are, name the samples, count the step in metrics.jsonl and go on; ten in a row stop the run."""


@dataclass(frozen=True)
class Config:
    """A whole run: one model, and the stages it goes through."""

    model: ModelConfig
    """What is bridged."""
    run: RunConfig = field(default_factory=RunConfig)
    """Where the run lives."""
    stages: dict[int, StageConfig] = field(default_factory=dict)
    """The stages by their number from 1; in a recipe the keys stage1, stage2 and so on."""

    def stage(self, number: int) -> StageConfig:
        """The settings of a stage; the schema's defaults for one that the recipe does not state."""
        return self.stages.get(number) or StageConfig()

    def kind(self, number: int) -> str:
        """The kind of a stage, as it states it or by its number."""
        return self.stage(number).kind or ("language-align" if number == 1 else "task-transfer")
