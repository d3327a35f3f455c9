"""Bytes of activations of a packed micro-batch: what autograd keeps, and what comes on top at the worst moments.

Derived from what each block of transformers 5.23 saves for its backward pass (its modeling files, PyTorch 2.13's
derivatives), tensor by tensor; `benchmarks/memory.py` holds it against what is measured. In the formulas D is the
LLM's width, F its feed-forward width, Q all query heads and K all key heads, e the bytes of an element.

What is left out: indices and masks of a few bytes a token, dropout masks, kernels' scratch space.
"""

from dataclasses import dataclass, replace

from lingualift_ds.config.layout import prompt_layout
from lingualift_ds.config.schema import AlignmentConfig
from lingualift_ds.config.shapes import EncoderShape, LlmShape

CHUNK_LOGITS = 1 << 25
"""Logits that exist at a time, in elements: as in model/loss.py, which this room cannot import."""
_FP32 = 4


@dataclass(frozen=True)
class Work:
    """What a micro-batch of one rank holds."""

    tokens: int
    """LLM positions, soft prompt included."""
    targets: int
    """LLM positions that predict a token."""
    encoder_tokens: int
    """Encoder positions of all texts."""
    longest: int
    """LLM positions of the longest sample: what computes score by score needs its square."""


@dataclass(frozen=True)
class Autograd:
    """What decides which tensors are kept."""

    element: int
    """Bytes of an activation: 2 in bf16, 4 in fp32."""
    weights: bool
    """Whether the LLM's weights get gradients: then the inputs of norms and linear layers are kept."""
    inputs: bool
    """Whether the inputs of linear layers are kept. With frozen weights autograd drops them, but under ZeRO-3
    DeepSpeed (0.19.8, zero/linear.py) puts its own linear function everywhere, and that keeps them always."""
    fused: bool
    """Whether a kernel computes attention of the whole row at once. Else (sdpa on packed samples) the samples'
    outputs are put together in a tensor of their own."""


def layer_bytes(llm: LlmShape, work: Work, grad: Autograd) -> int:
    """What autograd keeps of one LLM layer that is not recomputed."""
    per_token = _gpt2_layer(llm, grad) if llm.kind == "gpt2" else _llama_layer(llm, grad)
    scores = 0
    if llm.kind == "gemma2" and not grad.fused:
        # Softcapping in plain operations: tanh, softmax in fp32 and, in bf16, its rounded copy for every head, and a
        # mask. Keys and values are repeated for every query head.
        copies = grad.element + _FP32 + (grad.element if grad.element != _FP32 else 0)
        scores = work.tokens * work.longest * (llm.heads * copies + 1)
        per_token += grad.element * (2 * llm.query_width - 2 * llm.kv_width - llm.query_width) - _FP32 * llm.heads
    return work.tokens * per_token + scores


def _llama_layer(llm: LlmShape, grad: Autograd) -> int:
    """Bytes a token of Llama, Mistral, Qwen2 and Gemma-2 layers."""
    e, ffn, queries = grad.element, llm.ffn, llm.query_width
    before = 2 * _norm(llm, grad, feeds_linear=True)
    after = 2 * _norm(llm, grad, feeds_linear=False) if llm.kind == "gemma2" else 0
    # Rotated queries and keys, values, the output; logsumexp of every head. The output is also the input of the
    # last projection, unless that is another tensor.
    attention = e * (2 * queries + 2 * llm.kv_width) + _FP32 * llm.heads
    attention += e * queries if grad.inputs and not grad.fused else 0
    # Gate, its activation, up; their product is the input of down.
    mlp = e * (3 * ffn + (ffn if grad.inputs else 0))
    return before + after + attention + mlp


def _norm(llm: LlmShape, grad: Autograd, feeds_linear: bool) -> int:
    """Bytes a token of an RMSNorm: its input in fp32 (in bf16 a copy), the root; for the gradient of its weight the
    normalised input (Gemma keeps that in fp32); its output, where a linear layer keeps it."""
    normalised = (_FP32 if llm.kind == "gemma2" else grad.element) * llm.width if grad.weights else 0
    output = grad.element * llm.width if grad.inputs and feeds_linear else 0
    return _FP32 * (llm.width + 1) + normalised + output


def _gpt2_layer(llm: LlmShape, grad: Autograd) -> int:
    """Bytes a token of a GPT-2 layer. Its linear layers are Conv1D, which DeepSpeed leaves alone."""
    e, width, ffn = grad.element, llm.width, llm.ffn
    norms = 2 * (e * width + 2 * _FP32)
    attention = e * 4 * width + _FP32 * llm.heads
    # gelu_new in Python keeps its input, tanh, tanh + 1 and half of its input.
    mlp = e * 4 * ffn
    inputs = e * (3 * width + ffn) if grad.weights else 0
    return norms + attention + mlp + inputs


def backward_bytes(llm: LlmShape, work: Work, grad: Autograd) -> int:
    """What the backward pass of a layer adds before it frees: the gradient that comes in, and three of the
    feed-forward width (of the product, of gate and of up); where the product itself is kept, it is freed by then."""
    return work.tokens * grad.element * (llm.width + (2 if grad.inputs else 3) * llm.ffn)


def norm_backward_bytes(llm: LlmShape, work: Work, grad: Autograd) -> int:
    """What the backward pass of a norm adds: five fp32 tensors of the LLM's width, and the gradient; LayerNorm one."""
    copies = 1 if llm.kind == "gpt2" else 5
    return work.tokens * llm.width * (copies * _FP32 + (0 if llm.kind == "gpt2" else grad.element))


def final_norm_bytes(llm: LlmShape, work: Work, grad: Autograd) -> int:
    """What autograd keeps of the norm after the last layer; its output is not kept, only picked from."""
    if llm.kind == "gpt2":
        return work.tokens * (grad.element * llm.width + 2 * _FP32)
    return work.tokens * _norm(llm, grad, feeds_linear=False)


def loss_bytes(llm: LlmShape, work: Work, grad: Autograd) -> tuple[int, int]:
    """(hidden states and their gradient, logits) while the loss is made: model/loss.py.

    Hidden states of every position and of the targets, and the gradient of the latter. Of a chunk the logits, in
    bf16 an fp32 copy that turns into their gradient, what logsumexp takes while it runs, and the gradient of the
    chunk before; softcapped ones go through autograd, with three fp32 copies. Where the head is trained, the fp32 sum
    of its gradient, and this chunk's share of it or its copy in the model's precision.
    """
    e, head = grad.element, llm.head_parameters
    rows = max(1, CHUNK_LOGITS // llm.vocabulary)
    chunk, several = min(work.targets, rows) * llm.vocabulary, work.targets > rows
    copied = _FP32 if e != _FP32 else 0
    logits = chunk * (2 * e + 3 * _FP32 if llm.kind == "gemma2" else e + copied + _FP32)
    logits += e * chunk if several else 0
    if grad.weights:
        logits = _FP32 * head + max(logits, e * (head + (2 if copied else 1) * chunk))
    return e * llm.width * (work.tokens + 2 * work.targets), logits


def embedding_bytes(llm: LlmShape, work: Work, grad: Autograd, recomputed: int) -> int:
    """The input embeddings, which the model holds to the end of the forward pass; 0 where autograd keeps the same
    tensor: the first norm in fp32, the first layer where it is recomputed. GPT-2 adds positions to them first."""
    kept = llm.kind != "gpt2" and (grad.element == _FP32 or recomputed > 0)
    return 0 if kept else work.tokens * grad.element * llm.width


def rotary_bytes(llm: LlmShape, work: Work, grad: Autograd) -> int:
    """Cosines and sines of the positions, which all layers share."""
    return 0 if llm.kind == "gpt2" else 2 * work.tokens * llm.head_dim * grad.element


def alignment_bytes(
    alignment: AlignmentConfig, encoder: EncoderShape, llm: LlmShape, work: Work, element: int, trained: bool
) -> int:
    """What autograd keeps of the alignment layer: the inputs of its linear layers and of its activation, and the
    soft prompt; where it sums all of the encoder's layers, their states. Nothing where it is frozen: its input has no
    graph."""
    if not trained:
        return 0
    width = encoder.width
    if alignment.layers == "all":
        states = element * (encoder.layers + 1) * work.encoder_tokens * width
        return states + alignment_bytes(replace(alignment, layers="last"), encoder, llm, work, element, trained)
    if prompt_layout(alignment).latents:
        # Two blocks: both norms and their inputs, keys, values and queries, and a feed-forward part of 4 widths
        # for the latents; the keys are the text's tokens and the latents.
        texts = max(1, work.tokens // work.longest)
        latents = texts * alignment.latents
        keys = texts * work.longest + latents
        return element * (2 * (4 * keys + 14 * latents) * width + latents * (width + llm.width))
    hidden = 4 * width if alignment.kind == "ffn" else 0
    return element * work.encoder_tokens * (width + hidden + llm.width)


def encoder_bytes(encoder: EncoderShape, work: Work, element: int, all_layers: bool = False) -> int:
    """The most that a frozen encoder holds while it runs, without a graph: a layer's states, and the activation of
    its feed-forward part, which is written out in Python for T5 kinds; their position bias of the longest text. Where
    the alignment layer reads all layers, at the end their states and the stack that is made of them, if that is more.
    """
    ffn = (5 if encoder.gated else 3) * encoder.ffn
    wide = max(ffn, 5 * encoder.query_width + encoder.width)
    bias = 0
    if encoder.kind in ("t5", "mt5", "umt5"):
        longest = min(work.longest, work.encoder_tokens)
        bias = 2 * element * encoder.heads * longest * longest
    running = element * work.encoder_tokens * (3 * encoder.width + wide) + bias
    states = element * work.encoder_tokens * (encoder.layers + 1) * encoder.width if all_layers else 0
    return states + max(running, states)


def trained_encoder_bytes(encoder: EncoderShape, work: Work, element: int) -> int:
    """What autograd keeps of an encoder that is trained.

    Of a layer both norms with input and output (T5 kinds write theirs out in Python, which keeps the normalised input
    too and in bf16 an fp32 copy), attention's four tensors and the input of its last projection, the feed-forward part
    with its activation (T5's gated one is written out as well), and a byte an element for the masks of dropout.
    """
    written_out, width, ffn = encoder.kind in ("t5", "mt5", "umt5"), encoder.width, encoder.ffn
    copy = _FP32 if element != _FP32 else 0
    norms = 2 * width * (3 * element + copy if written_out else 2 * element)
    # M2M100's ReLU keeps its output, which is the next linear layer's input.
    kept = 7 if encoder.gated else 1 if encoder.kind == "m2m_100" else 2
    masks = 2 * width + (ffn if written_out else 0)
    layer = norms + element * (5 * encoder.query_width + kept * ffn) + masks
    return work.encoder_tokens * encoder.layers * layer
