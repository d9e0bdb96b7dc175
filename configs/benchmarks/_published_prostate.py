# Tables 3 and 8 of Li et al. 2022, copied from the paper. Table 8 calls its second number the variance over
# five seeds; it is shown as printed.
_columns = ('J/stroma', 'J/benign', 'J/low grade', 'J/high grade', 'mIoU', 'OPA', 'SMA')
_shares = ('0.2', '0.4', '0.6', '0.8')
published = dict(
    source='Li et al. 2022, Tables 3 and 8 (the paper calls the number after the ± of Table 8 a variance)',
    tables=dict(
        pixel_scores={
            name: dict(zip(_columns, values))
            for name, values in {
                'm-FCDenseNet': (0.566, 0.492, 0.614, 0.524, 0.549, 0.694, 0.679),
                'Ours': (0.826, 0.741, 0.713, 0.786, 0.767, 0.876, 0.872),
                'Handcrafted features (Gertych et al. 2015)': (
                    0.595, 0.352, 0.495, None, 0.481, None, None),
                'Multi-scale U-Net (Li et al. 2017)': (
                    0.824, 0.721, 0.587, 0.784, 0.729, 0.873, 0.860),
                'FCN-8s (Ing et al. 2018)': (None, None, None, None, 0.759, 0.873, None),
                'Path R-CNN (Li et al. 2018)': (
                    0.831, 0.839, 0.715, 0.797, 0.796, 0.894, 0.888),
            }.items()
        },
        mIoU={
            name: dict(zip(_shares, values))
            for name, values in {
                'm-FCDenseNet': ((0.387, 0.037), (0.420, 0.027), (0.406, 0.025), (0.492, 0.012)),
                'm-FCDenseNet + pyramid': (
                    (0.437, 0.051), (0.500, 0.039), (0.581, 0.029), (0.661, 0.017)),
                'Consistency-based': (
                    (0.470, 0.076), (0.499, 0.042), (0.612, 0.070), (0.658, 0.023)),
                'Consistency-based (transductive)': (
                    (0.497, 0.056), (0.531, 0.040), (0.629, 0.037), (0.667, 0.028)),
                'Ours': ((0.527, 0.063), (0.573, 0.045), (0.632, 0.030), (0.694, 0.021)),
                'Ours (transductive)': (
                    (0.577, 0.045), (0.620, 0.028), (0.664, 0.027), (0.721, 0.013)),
            }.items()
        }))
