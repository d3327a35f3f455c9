"""The language alignment layer: encoder states to soft-prompt rows in the LLM's embedding space.

Shapes: B texts, N encoder tokens of all texts, S encoder positions (padded), K hidden states of a token, E encoder
width, D LLM width, R soft rows of all texts, boundaries included.
Source: LinguaLIFT section 3 for `ffn`; the resampler follows Perceiver (arXiv 2103.03206) and Flamingo. That all of
the encoder's layers are summed with learned weights is LayAlign's (arXiv 2502.11405), which does it for the keys and
values of every LLM layer and with weights of any size; here it is done once, for the soft prompt, and the weights are
positive and sum to 1, as ELMo's are (arXiv 1802.05365, equation 1).
"""

import math

import torch
from torch import Tensor, nn

from lingualift_ds.config.layout import PromptLayout, prompt_layout
from lingualift_ds.config.schema import AlignmentConfig


class AlignmentLayer(nn.Module):
    """A projection of encoder states, of the last layer or of all, and learned boundary vectors around it."""

    def __init__(self, config: AlignmentConfig, encoder_width: int, llm_width: int, states_per_token: int = 1):
        """states_per_token: K, see encoders.states_per_token; only needed where all layers are read."""
        super().__init__()
        self.layout: PromptLayout = prompt_layout(config)
        self.layers = config.layers
        self.layer_weights = first_weights(states_per_token) if config.layers == "all" else None
        if config.kind == "linear":
            self.project: nn.Module = nn.Linear(encoder_width, llm_width)
        elif config.kind == "ffn":
            self.project = nn.Sequential(
                nn.Linear(encoder_width, 2 * encoder_width), nn.GELU(), nn.Linear(2 * encoder_width, llm_width)
            )
        else:
            self.project = Resampler(encoder_width, llm_width, config.latents)
        # Small, as an LLM's own embeddings are: a boundary of norm sqrt(D) would drown its neighbours.
        self.begin = nn.Parameter(torch.randn(llm_width) * 0.02) if self.layout.begin else None
        self.end = nn.Parameter(torch.randn(llm_width) * 0.02)

    def forward(self, states: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """Soft-prompt rows [R, D]: those of all texts in order, then a begin boundary per text (where the kind has
        one), then an end boundary per text.

        states: encoder states of all texts, back to back, [N, E] or, where all layers are read, [K, N, E]; lengths:
        tokens of each text.
        """
        states_NE = states if self.layer_weights is None else fused(states, self.layer_weights)
        if self.layout.latents:
            texts = states_NE.split(lengths)
            states_BSE = nn.utils.rnn.pad_sequence(texts, batch_first=True)
            mask_BS = nn.utils.rnn.pad_sequence([t.new_ones(len(t), dtype=torch.bool) for t in texts], batch_first=True)
            rows_ND = self.project(states_BSE, mask_BS).flatten(0, 1)
        else:
            rows_ND = self.project(states_NE)
        boundaries = [b for b in (self.begin, self.end) if b is not None]
        return torch.cat([rows_ND, *(b.to(rows_ND.dtype).expand(len(lengths), -1) for b in boundaries)])


def first_weights(states_per_token: int) -> nn.Parameter:
    """The layers' weights before softmax [K]. The last layer starts with half of the whole: a soft prompt is near the
    one that it alone would make, and no weight is so small that it gets no gradient."""
    assert states_per_token > 1, "to read all layers, the alignment layer needs to know how many there are"
    weights = torch.zeros(states_per_token)
    weights[-1] = math.log(states_per_token - 1)
    return nn.Parameter(weights)


def fused(states_KNE: Tensor, weights_K: Tensor) -> Tensor:
    """The layers' states summed by the softmax of their weights [N, E]."""
    return torch.tensordot(weights_K.float().softmax(0).to(states_KNE.dtype), states_KNE, dims=1)


class Resampler(nn.Module):
    """Learned latents that read the encoder states by cross-attention: a soft prompt of fixed length."""

    def __init__(self, encoder_width: int, llm_width: int, latents: int, depth: int = 2, heads: int = 8):
        super().__init__()
        while encoder_width % heads:
            heads //= 2
        self.latents = nn.Parameter(torch.randn(latents, encoder_width) * 0.02)
        self.blocks = nn.ModuleList(_ResamplerBlock(encoder_width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(encoder_width)
        self.out = nn.Linear(encoder_width, llm_width)

    def forward(self, states_BSE: Tensor, mask_BS: Tensor) -> Tensor:
        """The latents after reading each text's tokens, [B, latents, D]."""
        latents_BLE = self.latents.to(states_BSE.dtype).expand(states_BSE.shape[0], -1, -1)
        for block in self.blocks:
            latents_BLE = block(latents_BLE, states_BSE, mask_BS)
        return self.out(self.norm(latents_BLE))


class _ResamplerBlock(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_latents, self.norm_states = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.ffn = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, latents: Tensor, states: Tensor, mask_BS: Tensor) -> Tensor:
        normed = self.norm_latents(latents)
        # Keys are the text's tokens and the latents themselves, so no row is ever without a key.
        keys = torch.cat([self.norm_states(states), normed], dim=1)
        visible = torch.cat([mask_BS, mask_BS.new_ones(normed.shape[:2])], dim=1)[:, None, None, :]
        query = self._split(self.query(normed))
        key, value = (self._split(x) for x in self.key_value(keys).chunk(2, dim=-1))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        latents = latents + self.out(mixed.transpose(1, 2).flatten(2))
        return latents + self.ffn(latents)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
