"""OpenMMLab's ``mim`` beside a setuptools that it does not know; arguments as of ``mim``.

python -m cellgan_plugin.mim train cellgan_plugin cellgan_phantom.py --gpus 0
"""

import sys

from cellgan_plugin.compat import UnavailableError, mim_command

if __name__ == '__main__':
    try:
        command = mim_command()
    except UnavailableError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    sys.exit(command(prog_name='mim'))
