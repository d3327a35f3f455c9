"""The shapes of LLMs and encoders, from their Hugging Face configs: every tensor's size, without torch or weights.

A plan of memory needs to know how many parameters there are, how they are split into tensors (ZeRO-3 keeps the
small ones whole and gathers the others one module at a time), and how wide the activations are. The counts are
exact: a test compares them with the models that transformers 5.23 builds.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingualift_ds.config.published import PUBLISHED
from lingualift_ds.config.schema import AlignmentConfig
from lingualift_ds.errors import ConfigError

_LLAMA_KINDS = ("llama", "mistral", "qwen2", "gemma2")
_LLM_KINDS = (*_LLAMA_KINDS, "gpt2")
_T5_KINDS = ("t5", "mt5", "umt5")
_BERT_KINDS = ("bert", "roberta", "camembert", "xlm-roberta", "xlm-roberta-xl")
_ENCODER_KINDS = (*_T5_KINDS, *_BERT_KINDS, "m2m_100")


@dataclass(frozen=True)
class Shape:
    """Widths and tensors of a stack of equal transformer layers. Sizes are in elements."""

    name: str
    """Folder or hub name, for messages."""
    kind: str
    """`model_type` of the Hugging Face config."""
    width: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    gated: bool
    """Whether the feed-forward part multiplies two projections (SwiGLU, GeGLU)."""
    layer_tensors: tuple[int, ...]
    """Sizes of the parameters of one layer."""
    embedding_tensors: tuple[int, ...]
    """Sizes of the embeddings: tokens first, then positions and what stands before the first layer."""
    last_tensors: tuple[int, ...]
    """Sizes of the parameters after the last layer, without the LM head."""

    @property
    def query_width(self) -> int:
        """Elements of all heads' queries for one token."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Elements of all heads' keys (or values) for one token."""
        return self.kv_heads * self.head_dim

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        return sum(self.layer_tensors)

    def tensors(self) -> Iterator[int]:
        """Sizes of all parameters, in the order of the forward pass; a tied tensor counts once."""
        yield from self.embedding_tensors
        for _ in range(self.layers):
            yield from self.layer_tensors
        yield from self.last_tensors

    @property
    def parameters(self) -> int:
        """All parameters; a tied tensor counts once."""
        return sum(self.tensors())


@dataclass(frozen=True)
class LlmShape(Shape):
    """A causal LM with its LM head."""

    tied: bool
    """Whether the LM head is the token embedding."""

    @property
    def head_parameters(self) -> int:
        """Elements of the LM head's matrix, tied or not."""
        return self.vocabulary * self.width

    def tensors(self) -> Iterator[int]:
        """Sizes of all parameters, in the order of the forward pass; a tied head counts once."""
        yield from super().tensors()
        if not self.tied:
            yield self.head_parameters


@dataclass(frozen=True)
class EncoderShape(Shape):
    """An encoder as it is bridged: of T5 and M2M100 kinds the encoder half, of BERT kinds all but the pooler."""


def llm_shape(config: Mapping[str, Any], name: str) -> LlmShape:
    """The shape of a causal LM from its config.json. Raises ConfigError: an unknown kind, a missing key."""
    kind = config.get("model_type")
    if kind == "gpt2":
        return _gpt2(config, name)
    if kind not in _LLAMA_KINDS:
        raise ConfigError(f"{name}: model_type {kind!r} cannot be planned as an LLM; known: {', '.join(_LLM_KINDS)}")
    get = _Reader(config, name)
    width, ffn, heads = get("hidden_size"), get("intermediate_size"), get("num_attention_heads")
    # Defaults of the config classes of transformers 5.23, for keys that older files leave out.
    kv_heads = get("num_key_value_heads", {"mistral": 8, "gemma2": 4}.get(kind, heads))
    head_dim = get("head_dim", 256 if kind == "gemma2" else width // heads)
    queries, keys = heads * head_dim, kv_heads * head_dim
    in_bias = kind == "qwen2" or bool(config.get("attention_bias"))
    out_bias = kind != "qwen2" and bool(config.get("attention_bias"))
    mlp_bias = bool(config.get("mlp_bias"))
    layer = [
        *_linear(width, queries, in_bias), *_linear(width, keys, in_bias), *_linear(width, keys, in_bias),
        *_linear(queries, width, out_bias),
        *_linear(width, ffn, mlp_bias), *_linear(width, ffn, mlp_bias), *_linear(ffn, width, mlp_bias),
        *[width] * (4 if kind == "gemma2" else 2),
    ]  # fmt: skip
    vocabulary = get("vocab_size")
    return LlmShape(
        name, kind, width, ffn, get("num_hidden_layers"), heads, kv_heads, head_dim, vocabulary, True,
        tuple(layer), (vocabulary * width,), (width,), bool(config.get("tie_word_embeddings", kind == "gemma2")),
    )  # fmt: skip


def encoder_shape(config: Mapping[str, Any], name: str) -> EncoderShape:
    """The shape of an encoder from its config.json. Raises ConfigError: an unknown kind, a missing key."""
    kind = config.get("model_type")
    for kinds, build in ((_T5_KINDS, _t5), (_BERT_KINDS, _bert), (("m2m_100",), _m2m100)):
        if kind in kinds:
            return build(config, name)
    raise ConfigError(
        f"{name}: model_type {kind!r} cannot be planned as an encoder; known: {', '.join(_ENCODER_KINDS)}"
    )


def width_of(config: Mapping[str, Any], name: str) -> int:
    """The width of a model of any kind from its config.json. Raises ConfigError where it does not say."""
    # The names that transformers knows for it (attribute_map of its config classes).
    key = next((key for key in ("hidden_size", "n_embd", "d_model") if key in config), "hidden_size")
    return _Reader(config, name)(key)


def alignment_tensors(
    alignment: AlignmentConfig, encoder_width: int, llm_width: int, encoder_layers: int = 0
) -> tuple[int, ...]:
    """Sizes of the alignment layer's parameters (model/alignment.py). `encoder_layers` counts where it reads all."""
    width = encoder_width
    fusion = (encoder_layers + 1,) if alignment.layers == "all" else ()
    if alignment.kind == "linear":
        return (*fusion, *_linear(width, llm_width), llm_width)
    if alignment.kind == "ffn":
        return (*fusion, *_linear(width, 2 * width), *_linear(2 * width, llm_width), llm_width, llm_width)
    block = [*[width] * 4, *_linear(width, width, False), *_linear(width, 2 * width, False)]
    block += [*_linear(width, width, False), *[width] * 2, *_linear(width, 4 * width), *_linear(4 * width, width)]
    return (*fusion, alignment.latents * width, *block, *block, *[width] * 2, *_linear(width, llm_width), llm_width)


def read_model_config(name: str, key: str) -> dict[str, Any]:
    """The config.json of a local folder, of the table of published shapes, or of the local hub cache, in this order.

    `key` is the setting that names the model. Raises ConfigError in one line where there is none of these.
    """
    path = Path(name) / "config.json"
    if not path.is_file() and name in PUBLISHED:
        return PUBLISHED[name]
    if not path.is_file() and not Path(name).is_dir():
        path = _cached(name) or path
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(
            f"{key}: {name}: no config.json there, and no published shape of that name; known: {', '.join(PUBLISHED)}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{key}: {path}: not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{key}: {path}: holds no JSON object")
    return config


def _cached(name: str) -> Path | None:
    """config.json of a hub model that was downloaded before; nothing is downloaded here."""
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(name, "config.json")
    except (ImportError, ValueError):  # ValueError: no hub name at all
        return None
    return Path(found) if isinstance(found, str) else None


class _Reader:
    """Whole numbers from a config, and a clear line where one is missing."""

    def __init__(self, config: Mapping[str, Any], name: str):
        self.config, self.name = config, name

    def __call__(self, key: str, default: int | None = None) -> int:
        value = self.config.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            found = "is missing" if value is None else f"is {value!r}, must be a whole number above 0"
            raise ConfigError(f"{self.name}: config.json: {key} {found}")
        return value


def _linear(inputs: int, outputs: int, bias: bool = True) -> tuple[int, ...]:
    return (inputs * outputs, outputs) if bias else (inputs * outputs,)


def _gpt2(config: Mapping[str, Any], name: str) -> LlmShape:
    get = _Reader(config, name)
    width, heads = get("n_embd"), get("n_head")
    ffn, vocabulary = get("n_inner", 4 * width), get("vocab_size")
    layer = (*[width] * 4, *_linear(width, 3 * width), *_linear(width, width))
    layer += (*_linear(width, ffn), *_linear(ffn, width))
    return LlmShape(
        name, "gpt2", width, ffn, get("n_layer"), heads, heads, width // heads, vocabulary, False,
        layer, (vocabulary * width, get("n_positions", 1024) * width), (width, width),
        bool(config.get("tie_word_embeddings", True)),
    )  # fmt: skip


def _t5(config: Mapping[str, Any], name: str) -> EncoderShape:
    get = _Reader(config, name)
    kind, width, ffn, heads = config["model_type"], get("d_model"), get("d_ff"), get("num_heads")
    head_dim, vocabulary = get("d_kv"), get("vocab_size")
    inner = heads * head_dim
    gated = str(config.get("feed_forward_proj", "relu" if kind == "t5" else "gated-gelu")).startswith("gated")
    bias = get("relative_attention_num_buckets", 32) * heads
    layer = [width * inner] * 4 + [width * ffn] * (3 if gated else 2) + [width] * 2
    # umT5 has a table of position biases in every layer, T5 and mT5 one in the first.
    layer, first = (layer + [bias], ()) if kind == "umt5" else (layer, (bias,))
    return EncoderShape(
        name, kind, width, ffn, get("num_layers"), heads, heads, head_dim, vocabulary, gated,
        tuple(layer), (vocabulary * width, *first), (width,),
    )  # fmt: skip


def _bert(config: Mapping[str, Any], name: str) -> EncoderShape:
    get = _Reader(config, name)
    kind, width, ffn = config["model_type"], get("hidden_size"), get("intermediate_size")
    heads, vocabulary = get("num_attention_heads"), get("vocab_size")
    rows = (vocabulary, get("max_position_embeddings", 512), get("type_vocab_size", 2))
    layer = (*_linear(width, width) * 4, *_linear(width, ffn), *_linear(ffn, width), *[width] * 4)
    # XLM-R XL normalises before each part and once more at the end, the others after the embedding.
    norms = (width, width)
    before, after = ((), norms) if kind == "xlm-roberta-xl" else (norms, ())
    return EncoderShape(
        name, kind, width, ffn, get("num_hidden_layers"), heads, heads, width // heads, vocabulary, False,
        layer, (*[n * width for n in rows], *before), after,
    )  # fmt: skip


def _m2m100(config: Mapping[str, Any], name: str) -> EncoderShape:
    get = _Reader(config, name)
    width, ffn, heads = get("d_model"), get("encoder_ffn_dim"), get("encoder_attention_heads")
    layer = (*_linear(width, width) * 4, *_linear(width, ffn), *_linear(ffn, width), *[width] * 4)
    vocabulary = get("vocab_size")
    return EncoderShape(
        name, "m2m_100", width, ffn, get("encoder_layers"), heads, heads, width // heads, vocabulary, False,
        layer, (vocabulary * width,), (width, width),
    )  # fmt: skip
