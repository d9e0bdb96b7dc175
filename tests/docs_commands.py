"""Commands in the shell blocks of the documentation."""

import re
import shlex


def commands(page):
    """Words of every command of a page, in order, without settings of variables before it."""
    for block in re.findall(r'```bash\n(.*?)```', page.read_text(encoding='utf-8'), re.DOTALL):
        for line in block.replace('\\\n', ' ').splitlines():
            words = [word.replace('REPO/', '') for word in shlex.split(line, comments=True)]
            while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
                words.pop(0)
            if words and '...' not in words:
                yield words
