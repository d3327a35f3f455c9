"""The language alignment layer: encoder states to soft-prompt rows in the LLM's embedding space.

Shapes: B texts, S encoder positions (padded), E encoder width, D LLM width, R soft-prompt rows (padded).
Source: LinguaLIFT section 3 for `ffn`; the resampler follows Perceiver (arXiv 2103.03206) and Flamingo.
"""

import torch
from torch import Tensor, nn

from lingualift_ds.config.layout import PromptLayout, prompt_layout
from lingualift_ds.config.schema import AlignmentConfig


class AlignmentLayer(nn.Module):
    """A projection of encoder states and learned boundary vectors around it.

    `forward` gives rows [B, R, D] and which of them are real [B, R]; the real rows of a text, in order, are its
    soft prompt: `layout.length(tokens)` of them.
    """

    def __init__(self, config: AlignmentConfig, encoder_width: int, llm_width: int):
        super().__init__()
        self.layout: PromptLayout = prompt_layout(config)
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

    def forward(self, states_BSE: Tensor, mask_BS: Tensor) -> tuple[Tensor, Tensor]:
        """states_BSE: encoder output; mask_BS: True where a position is a token. Returns (rows_BRD, real_BR)."""
        texts = states_BSE.shape[0]
        mask_BS = mask_BS.bool()
        if self.layout.latents:
            rows = self.project(states_BSE, mask_BS)
            real = mask_BS.new_ones(texts, self.layout.latents)
        else:
            rows, real = self.project(states_BSE), mask_BS
        always = real.new_ones(texts, 1)
        parts, reals = [rows, self.end.to(rows.dtype).expand(texts, 1, -1)], [real, always]
        if self.begin is not None:
            parts.insert(0, self.begin.to(rows.dtype).expand(texts, 1, -1))
            reals.insert(0, always)
        return torch.cat(parts, dim=1), torch.cat(reals, dim=1)


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
