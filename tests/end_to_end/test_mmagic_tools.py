"""CellGAN under MMagic's own hooks and visualizer."""

import cv2
import torch
from mmagic.visualization import Visualizer

from cellgan_plugin.models import generated_pixels
from cellgan_plugin.runs.train import load_config, train


def test_mmagics_visualization_hook_draws_the_model_in_its_colours(tiny):
    work_dir = tiny.root / 'visualized'
    config = load_config(tiny.config, work_dir)
    config.train_cfg.max_iters = 2
    config.custom_hooks = [
        dict(
            type='VisualizationHook',
            interval=2,
            fixed_input=True,
            n_samples=4,
            n_row=2,
            vis_kwargs_list=dict(type='GAN', name='fake_img', sample_model='ema'),
        )
    ]
    config.visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='VisBackend')], save_dir=str(work_dir)
    )
    runner = train(config)
    (picture,) = work_dir.rglob('*fake_img*.png')
    assert cv2.imread(str(picture)).std() > 0

    model = runner.model.eval()
    inputs = dict(noise=torch.randn(3, model.noise_size), labels=[0, 1, 2])
    with torch.no_grad():
        expected = (model(inputs, mode='tensor') + 1) * 127.5
        samples = model(inputs)
    drawn = Visualizer._post_process_image(torch.stack([s.fake_img for s in samples]))
    torch.testing.assert_close(drawn, expected)
    assert torch.equal(generated_pixels(samples), expected.round().to(torch.uint8))
