"""Training steps whose random numbers come from (seed, purpose, iteration)."""

from typing import Optional

from mmengine import MessageHub
from mmengine.dist import get_rank, get_world_size

from cellgan_plugin.randomness import StepRandom


class RepeatableStep:
    """Mixin for models with a ``train_step`` of their own and a ``device``.

    Attributes:
        seed (int): Base seed of the steps where no Runner has said one.
        step_random (StepRandom | None): The numbers of the current step.
    """

    seed: int = 0
    step_random: Optional[StepRandom] = None
    _own_iteration: int = -1

    def begin_step(self) -> int:
        """Set :attr:`step_random` for a new training step and return the iteration, from 0.

        Works without a Runner too: iterations are then counted from 0.
        """
        hub = MessageHub.get_current_instance()
        # The hub is global: outside of a Runner's training loop its count is somebody else's.
        if hub.get_info('loop_stage') == 'train':
            seed = hub.get_info('seed', self.seed)
        else:
            seed = self.seed
            self._own_iteration += 1
            hub.update_info('iter', self._own_iteration)
        iteration = hub.get_info('iter')
        self.step_random = StepRandom(seed, iteration, get_rank(), get_world_size(), self.device)
        return iteration
