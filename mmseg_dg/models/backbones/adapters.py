"""Low-rank adapters on the linear layers of attention blocks, and their merging into plain
layers.

Shapes: R rank, P parts of a stacked layer, I channels in, O channels out of a part.
"""
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: What a target is called in the encoders at hand: DINOv2 and timm, SwiGLU (w12, w3), EVA-02.
TARGETS = {
    'qkv': ('qkv', 'q_proj', 'k_proj', 'v_proj'),
    'proj': ('proj', ),
    'fc1': ('fc1', 'w12', 'fc1_g', 'fc1_x'),
    'fc2': ('fc2', 'w3'),
}
STARTS = ('zeros', 'minor')
#: Part of the names of all that an adapter adds to a state dict.
MARK = '.lora_'
#: How many matrices of one size are stacked in the weight of a layer of this name; each gets an
#: adapter of its own. Other layers have one.
_PACKED = {'qkv': 3, 'w12': 2}


class LoRALinear(nn.Linear):
    """A linear layer ``W x + b`` that learns ``s (B A - B0 A0) x`` beside its frozen ``W``; ``b``
    is trained.

    ``B0 A0`` is what the adapter starts from, so that the first output is that of ``W`` alone, bit
    for bit, and ``W`` stays the tensor of the weight file. ``start='zeros'``: A Kaiming-uniform, B
    zero, no A0 and B0 (LoRA, Hu et al., ICLR 2022). ``start='minor'``: A and B from the last
    ``rank`` singular triples of W (SoMA, docs/behavior/foundation_encoders.md#adapters): SoMA
    freezes ``W - B0 A0`` and learns ``B A``, the same function.

    Parameters ``lora_a`` (parts, rank, in), ``lora_b`` (parts, out / parts, rank); buffers
    ``lora_a0``, ``lora_b0`` of the same shapes with ``'minor'``. A state dict without them (a
    weight file) starts the adapter anew.

    Args:
        linear: Taken over: its tensors are this layer's.
        rank: At most the smaller side of each part's matrix.
        alpha: The scale is ``s = alpha / rank``.
        start: One of ``STARTS``.
        parts: Matrices packed along the outputs (3 for q, k, v).
    """
    lora_a0: Tensor
    lora_b0: Tensor

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, start: str,
                 parts: int = 1) -> None:
        # the base allocates nothing: weight and bias are those of the given layer
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None,
                         device='meta')
        self.weight, self.bias = linear.weight, linear.bias
        self.rank, self.scale, self.start, self.parts = rank, alpha / rank, start, parts
        self.started = False  # whether the adapter was fitted to the present W
        device, dtype = self.weight.device, self.weight.dtype
        self.lora_a = nn.Parameter(
            torch.empty(parts, rank, self.in_features, device=device, dtype=dtype))
        self.lora_b = nn.Parameter(
            torch.zeros(parts, self.out_features // parts, rank, device=device, dtype=dtype))
        if start == 'minor':
            self.register_buffer('lora_a0', torch.zeros_like(self.lora_a.detach()))
            self.register_buffer('lora_b0', torch.zeros_like(self.lora_b.detach()))
        self._kaiming()

    def _kaiming(self) -> None:
        """Start ``A`` at random and ``B`` at 0, so that the adapter changes nothing yet."""
        bound = 1 / math.sqrt(self.in_features)  # Kaiming-uniform with a = sqrt(5), as nn.Linear
        nn.init.uniform_(self.lora_a, -bound, bound)
        nn.init.zeros_(self.lora_b)

    @torch.no_grad()
    def restart(self) -> None:
        """Start from the present ``W``: ``B`` is 0 (``'zeros'``), or ``A`` and ``B`` are the
        directions of the smallest singular values of ``W`` (``'minor'``, SoMA).
        """
        self.started = True
        if self.weight.is_meta:  # built without memory, to look at names and shapes only
            return
        if self.start == 'zeros':
            self._kaiming()
            return
        for i, weight in enumerate(self.weight.float().chunk(self.parts)):
            # (O, n), (n,) in falling order, (n, I) with n = min(O, I)
            u, sigma, v = torch.linalg.svd(weight, full_matrices=False)
            # of the last ``rank`` directions, which the pretrained layer uses least. B A is their
            # part of W divided by the scale; each side gets the root of the singular values
            root = (sigma[-self.rank:] / self.scale).sqrt()
            self.lora_a0[i] = root[:, None] * v[-self.rank:]
            self.lora_b0[i] = u[:, -self.rank:] * root
        self.lora_a.copy_(self.lora_a0)
        self.lora_b.copy_(self.lora_b0)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out): ``W x + b + s (B A - B0 A0) x``."""
        change = self._low_rank(x, self.lora_a, self.lora_b)
        if self.start == 'minor':
            change = change - self._low_rank(x, self.lora_a0, self.lora_b0)
        return F.linear(x, self.weight, self.bias) + self.scale * change

    def _low_rank(self, x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """``B A x`` of every part, (..., in) -> (..., out of all parts), for ``a`` (P, R, I) and
        ``b`` (P, O, R).
        """
        inner = F.linear(x, a.flatten(0, 1))  # (..., parts * rank)
        if self.parts == 1:
            return F.linear(inner, b[0])
        # (..., P * R) -> (..., P, R): each part has its own inner vector
        inner = inner.unflatten(-1, (self.parts, self.rank))
        # (..., P, R) x (P, O, R) -> (..., P, O) -> (..., P * O)
        return torch.einsum('...pr,por->...po', inner, b).flatten(-2)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer that computes the same: ``W + s (B A - B0 A0)`` is its weight."""
        change = torch.matmul(self.lora_b, self.lora_a)  # (parts, out / parts, in)
        if self.start == 'minor':
            change = change - torch.matmul(self.lora_b0, self.lora_a0)
        plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None,
                          device='meta')
        # (P, O, I) -> (P * O, I), the rows of the stacked weight
        plain.weight = nn.Parameter(self.weight + self.scale * change.flatten(0, 1))
        plain.bias = None if self.bias is None else nn.Parameter(self.bias.clone())
        return plain.train(self.training)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict,
                              strict: bool, missing_keys: list[str], unexpected_keys: list[str],
                              error_msgs: list[str]) -> None:
        """Load the layer as ``nn.Module`` does. A file that has the weight but none of the
        adapter's tensors is complete: the adapter starts anew from this weight.
        """
        absent: list[str] = []  # names of this layer that the file lacks, with ``prefix``
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, absent,
                                      unexpected_keys, error_msgs)
        absent_of_adapter = [key for key in absent if MARK in key]
        # MARK begins with a dot, which the names of the layer itself (lora_a, ...) do not
        size_of_adapter = sum(MARK in f'.{name}' for name in self.state_dict())
        # the file is of the plain layer
        plain = prefix + 'weight' in state_dict and len(absent_of_adapter) == size_of_adapter
        missing_keys.extend(key for key in absent if not (plain and key in absent_of_adapter))
        if plain:
            self.restart()
        elif not absent_of_adapter:  # the file has the whole adapter
            self.started = True
        # else the file has a part of it, or nothing of this layer: reported as missing


class Target(NamedTuple):
    """A linear layer that may get an adapter.

    Attributes:
        owner: The module whose attribute ``name`` the layer is.
        name: See ``owner``.
        path: Dotted name of the layer within the encoder.
        block: Number of its attention block, from 0.
    """
    owner: nn.Module
    name: str
    path: str
    block: int


def attention_targets(encoder: nn.Module) -> Iterator[Target]:
    """The linear layers of all attention blocks that have a name of ``TARGETS``, in order.

    A block is a module whose child ``attn`` has a linear layer of ``TARGETS['qkv']``, or which has
    such a layer itself.
    """
    names = {name for group in TARGETS.values() for name in group}
    seen: set[int] = set()  # ids of the attentions and blocks that were visited
    block = -1
    for path, module in encoder.named_modules():  # parents come before their children
        attention = dict(module.named_children()).get('attn', module)
        layers = dict(attention.named_children())
        has_query = any(isinstance(layers.get(name), nn.Linear) for name in TARGETS['qkv'])
        # the attention inside a block comes again as a module of its own
        if not has_query or id(attention) in seen:
            continue
        seen |= {id(attention), id(module)}
        block += 1
        for sub, owner in module.named_modules():
            for name, child in owner.named_children():
                if name in names and isinstance(child, nn.Linear):
                    # ``sub`` is empty for the block itself
                    yield Target(owner, name, '.'.join(part for part in (path, sub, name) if part),
                                 block)


def add_adapters(encoder: nn.Module, rank: int = 16, alpha: Optional[float] = None,
                 start: str = 'zeros', first_block: int = 0, layers: Sequence[str] = tuple(TARGETS),
                 packed: bool = True) -> list[str]:
    """Exchange linear layers of an encoder's attention blocks for :class:`LoRALinear`.

    Args:
        encoder: Changed in place.
        rank: Of every adapter.
        alpha: Numerator of the scale; None: ``rank``, a scale of 1.
        start: ``'zeros'`` or ``'minor'``.
        first_block: Blocks before it stay plain (SoMA on 24 blocks: 8).
        layers: Which of ``qkv``, ``proj``, ``fc1``, ``fc2``.
        packed: Whether q, k and v lie in equal thirds of a ``qkv`` layer (TinyViT: interleaved by
            heads).

    Returns:
        Paths of the exchanged layers.

    Raises:
        ValueError: An encoder without such layers, a rank larger than a layer, an unknown name or
            value.
    """
    alpha = rank if alpha is None else alpha
    _check(rank, alpha, start, layers)
    kind = type(encoder).__name__
    targets = list(attention_targets(encoder))
    if not targets:
        raise ValueError(
            f'lora: {kind} has no attention layers with a linear query projection, which adapters '
            'are for: use an encoder that has them (PlainViT, TinyViT, TimmEncoder), or '
            'trainable="all"')
    wanted = {name for layer in layers for name in TARGETS[layer]}
    chosen = [target for target in targets if target.block >= first_block and target.name in wanted]
    if not chosen:
        raise ValueError(
            f'lora.first_block={first_block}: {kind} has {targets[-1].block + 1} attention blocks')
    for target in chosen:
        linear = target.owner.get_submodule(target.name)
        assert isinstance(linear, nn.Linear)  # attention_targets looks for such
        parts = _PACKED.get(target.name, 1) if packed else 1
        # the rank of a matrix is at most its smaller side
        most = min(linear.in_features, linear.out_features // parts)
        if rank > most:
            raise ValueError(
                f'lora.rank={rank} is larger than the layer {target.path} of {kind} allows: its '
                f'matrix has {linear.out_features // parts} x {linear.in_features} entries, a rank '
                f'of at most {most}')
        setattr(target.owner, target.name, LoRALinear(linear, rank, alpha, start, parts))
    return [target.path for target in chosen]


def _check(rank: int, alpha: float, start: str, layers: Sequence[str]) -> None:
    """Refuse settings of ``lora`` without meaning (ValueError); arguments of :func:`add_adapters`.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1 or alpha <= 0:
        raise ValueError(
            f'lora: rank={rank} and alpha={alpha} must be positive, rank a whole number')
    if start not in STARTS:
        raise ValueError(f'lora.start={start!r}: use one of {STARTS}')
    if not layers or not set(layers) <= set(TARGETS):
        raise ValueError(f'lora.layers={tuple(layers)}: use some of {tuple(TARGETS)}')


def adapters_of(module: nn.Module) -> Iterator[LoRALinear]:
    """The layers with an adapter at or below ``module``."""
    return (m for m in module.modules() if isinstance(m, LoRALinear))
