"""Trains under torchrun and compares the ranks: torchrun distributed_worker.py CONFIG WORK_DIR."""

import hashlib
import sys

from mmengine.dist import all_gather_object, get_world_size

from cellgan_plugin.apis.train import train

runner = train(sys.argv[1], work_dir=sys.argv[2], launcher='pytorch')
digest = hashlib.sha256()
for key, value in sorted(runner.model.module.state_dict().items()):
    digest.update(key.encode() + value.contiguous().numpy().tobytes())
assert get_world_size() == 2
digests = all_gather_object(digest.hexdigest())
assert len(set(digests)) == 1, 'weights, buffers or EMA differ between the ranks'
print('ranks agree')
