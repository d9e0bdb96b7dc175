# Tables 3 and 8: the rows that the paper marks "operating on 512x512 scale". With the segmenter, the paper's
# GPU fitted at most 512 px (Sec. 5.4.3), so the pyramid ends there: tiles of 1024 px, resized to 512.
_base_ = 'pyramid_prostate.py'
model = dict(
    tile_size=1024,
    scales=[  # Sec. 3.4 and 4.2.1
        dict(size=64, batch_size=8, epochs=200),
        dict(size=128, batch_size=6, epochs=200),
        dict(size=256, batch_size=4, epochs=200),
        dict(size=512, batch_size=4, epochs=200),
    ])
