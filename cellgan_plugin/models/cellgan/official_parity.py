"""Are our numbers the authors'? Compares our models with numbers computed by their program."""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

import torch
from torch import Tensor

from cellgan_plugin.models.losses import HingeGANLoss, R1Penalty, ReconstructionLoss

from .discriminator import CROP_SOURCE_SIZE
from .official_checkpoint import build_part, from_official, to_official

TOLERANCE = 1e-4
# Another program rounds differently: its distance from the exact gradient may be as large as ours,
# on the other side.
NOISE_MARGIN = 2.0
# A gradient that cancels exactly is pure rounding; this share of the network's largest is nothing.
NEGLIGIBLE = 1e-6


# Verdict: what the table says about such rows.
VERDICTS = {
    'agrees': 'Agree: the relative difference is at most {tolerance:g}',
    'ill-conditioned': 'Ill-conditioned in float32: our own float32 and float64 gradients are '
    'further apart than\n{tolerance:g} (column "noise"), and the difference is at most '
    '{margin:g} times that',
    'cancelled': 'Cancelled: zero but for rounding (our float32 gradient is further from the '
    'float64 one than\nthat is long), and both norms are below {negligible:g} of the largest '
    'gradient of the network',
    'differs': 'DIFFER, and float32 does not explain it',
}


@dataclass
class ParityRow:
    """One quantity of the reference beside ours.

    Attributes:
        name (str): What it is; gradients by the authors' name of the weight.
        ours (float): Our value in float32; a norm for tensors.
        reference (float): Theirs.
        difference (float): Relative: norm of the difference over their norm for tensors.
        noise (float, optional): For gradients: relative distance of our float32 gradient from our
            float64 one. None for the others.
        tolerance (float): Largest difference where float32 can resolve the quantity.
        scale (float): Largest reference gradient norm of the same network.
    """

    name: str
    ours: float
    reference: float
    difference: float
    noise: Optional[float] = None
    tolerance: float = TOLERANCE
    scale: float = math.inf

    @property
    def verdict(self) -> str:
        """One of :data:`VERDICTS`."""
        if self.difference <= self.tolerance:
            return 'agrees'
        if self.noise is None or self.noise <= self.tolerance:
            return 'differs'
        if self.noise < 1:
            explained = self.difference <= NOISE_MARGIN * self.noise
            return 'ill-conditioned' if explained else 'differs'
        vanishes = max(self.ours, self.reference) <= NEGLIGIBLE * self.scale
        return 'cancelled' if vanishes else 'differs'


def measure(
    reference: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> Dict[str, Dict[str, Tensor]]:
    """Compute with our models what the reference file holds.

    Args:
        reference (Mapping): ``generator``, ``discriminator`` (authors' state dicts under
            ``'model'``), ``z``, ``label``, ``real``, ``crop_offset`` (pixels), ``fake``,
            ``weights`` (``r1``, ``recon``).
        dtype (torch.dtype): Of all arithmetic. Defaults to float32.

    Returns:
        dict: ``values`` and the gradients ``disc_grad_norms``, ``gen_grad_norms`` as tensors, by
        the reference's names.
    """
    nets = {}
    for part in ('generator', 'discriminator'):
        state = from_official(reference[part]['model'], part)
        nets[part] = build_part(state, part).eval().to(dtype)
    generator, discriminator = nets['generator'], nets['discriminator']
    z, real, their_fake = (reference[key].to(dtype) for key in ('z', 'real', 'fake'))
    label = reference['label']
    scale = discriminator.in_size // CROP_SOURCE_SIZE
    offset = [pixels // scale for pixels in reference['crop_offset']]

    hinge = HingeGANLoss()
    seen = discriminator(real, label, crop_offset=offset)
    rows, columns = discriminator.crop_box(offset)
    recon = ReconstructionLoss()(seen.crop, seen.half, real[:, :, rows, columns], real)
    logits_fake = discriminator(their_fake, label)
    losses = hinge.discriminator(seen.logits, logits_fake)
    r1 = R1Penalty(loss_weight=1.0)(lambda img: discriminator(img, label), real)
    weights = reference['weights']
    (sum(losses.values()) + weights['recon'] * recon + weights['r1'] * r1).backward()
    discriminator_gradients = _gradients(discriminator, 'discriminator')

    discriminator.requires_grad_(False)
    fake = generator(z, label=label)
    loss_gen = hinge.generator(discriminator(fake, label))
    loss_gen.backward()
    values = dict(
        fake=fake,
        logits_real=seen.logits,
        logits_fake=logits_fake,
        loss_recon=recon,
        **losses,
        loss_gen=loss_gen,
        r1_sum_of_squares=r1,
    )
    return dict(
        values={name: value.detach() for name, value in values.items()},
        disc_grad_norms=discriminator_gradients,
        gen_grad_norms=_gradients(generator, 'generator'),
    )


def _gradients(net: torch.nn.Module, part: str) -> Dict[str, Tensor]:
    return to_official({name: p.grad.double() for name, p in net.named_parameters()}, part)


def compare_with_official(
    reference: Mapping[str, Any], tolerance: float = TOLERANCE
) -> List[ParityRow]:
    """Compare our models with a reference file of the authors' program.

    A gradient of which our own float32 and float64 values differ by more than the tolerance cannot
    be compared more closely than that: beyond the tolerance it may differ by twice that distance,
    and is marked so.

    Args:
        reference (Mapping): See :func:`measure`.
        tolerance (float): Relative. Defaults to 1e-4.

    Returns:
        list[ParityRow]: One for every quantity.
    """
    single = measure(reference)
    double = measure(reference, torch.float64)
    rows = []
    for name, ours in single['values'].items():
        theirs = torch.as_tensor(reference[name])
        difference = ((ours - theirs).norm() / theirs.norm()).item()
        rows.append(
            ParityRow(name, ours.norm().item(), theirs.norm().item(), difference, None, tolerance)
        )
    for group in ('disc_grad_norms', 'gen_grad_norms'):
        scale = max(reference[group].values())
        for name, theirs in reference[group].items():
            ours, exact = single[group][name], double[group][name]
            norm = ours.norm().item()
            noise = ((ours - exact).norm() / exact.norm().clamp_min(1e-300)).item()
            rows.append(
                ParityRow(
                    f'{group[:-6]} {name}',
                    norm,
                    theirs,
                    abs(norm - theirs) / theirs,
                    noise,
                    tolerance,
                    scale,
                )
            )
    return rows


def format_comparisons(rows: List[ParityRow]) -> str:
    """The comparisons as a text table, one block for each verdict."""
    lines = []
    for verdict, title in VERDICTS.items():
        chosen = [row for row in rows if row.verdict == verdict]
        if not chosen:
            continue
        lines.append(
            title.format(tolerance=chosen[0].tolerance, margin=NOISE_MARGIN, negligible=NEGLIGIBLE)
        )
        width = max(len(row.name) for row in rows)
        lines.append(
            f'  {"":{width}}  {"ours":>13}  {"authors":>13}  {"difference":>10}  {"noise":>8}'
        )
        for row in chosen:
            noise = '' if row.noise is None else f'{row.noise:.1e}'
            lines.append(
                f'  {row.name:{width}}  {row.ours:13.7g}  {row.reference:13.7g}  '
                f'{row.difference:10.1e}  {noise:>8}'
            )
        lines.append('')
    counts = [f'{sum(row.verdict == v for row in rows)} {v}' for v in VERDICTS]
    lines.append(f'{len(rows)} quantities: ' + ', '.join(counts))
    return '\n'.join(lines)
