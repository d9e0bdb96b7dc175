#!/usr/bin/env bash
# Environments of the table in docs/install.md, made again, and the tests run in each:
#
#   .ci/matrix.sh newest python3.13 [pytest arguments]   requirements/constraints.txt
#   .ci/matrix.sh oldest python3.10 [pytest arguments]   requirements/oldest.txt
#   .ci/matrix.sh forks  python3.12 [pytest arguments]   onedl-mmengine, -mmcv and -mmpretrain instead of the originals
#   .ci/matrix.sh beside python3.12 PACKAGE...           an ordinary `pip install .` beside torch and these packages:
#                                                        fails if it changes the version of anything that was there
#   .ci/matrix.sh lock                                   write requirements/constraints.txt anew (needs uv)
#
# Where uv is on the path it fills the environments, but `pip install .` is pip's own. An environment is kept
# in MATRIX (default: .matrix) and used again while the list it was made from is the same.
set -euo pipefail
cd "$(dirname "$0")/.."
MATRIX=${MATRIX:-.matrix}
NEWEST=requirements/constraints.txt
usage() { sed -n 's/^# \{0,1\}//p' "$0" | sed -n '2,14p' >&2; exit 2; }

install() {  # FOLDER PIP-ARGUMENTS...: with uv, which is faster, where it is on the path
    if command -v uv > /dev/null; then
        uv pip install --quiet --python "$1/bin/python" "${@:2}"
    else
        "$1/bin/python" -m pip install --quiet "${@:2}"
    fi
}

make_environment() {  # PYTHON FOLDER LIST: what the list names, and nothing else
    [ -x "$2/bin/python" ] || "$1" -m venv "$2"
    if ! cmp -s "$3" "$2/made-from.txt"; then
        install "$2" --no-deps -r "$3"
        cp "$3" "$2/made-from.txt"
    fi
}

run_tests() {  # FOLDER PYTEST-ARGUMENTS...: of this checkout, whatever is installed
    local python
    python=$(realpath "$1")/bin/python
    shift
    # As `make env` does: mim looks for the package in site-packages only.
    "$python" -m pip install --quiet --no-deps --no-build-isolation -e .
    ln -sfn "$PWD/cellgan_plugin" \
        "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cellgan_plugin"
    "$python" -c 'import platform, torch, numpy; print("python", platform.python_version(), "torch", torch.__version__, "numpy", numpy.__version__)'
    PYTHONPATH=$PWD PATH=$(dirname "$python"):$PATH "$python" -m pytest -q "$@"
}

[ $# -ge 1 ] || usage
case $1 in
newest | oldest | forks)
    [ $# -ge 2 ] || usage
    set_name=$1 list=$NEWEST
    mkdir -p "$MATRIX"
    if [ "$set_name" = oldest ]; then
        list=requirements/oldest.txt
    elif [ "$set_name" = forks ]; then
        list=$MATRIX/forks.txt
        grep -vE '^(mmengine|mmcv-lite|mmpretrain)==' "$NEWEST" > "$list"
        printf '%s\n' onedl-mmengine==0.10.12 onedl-mmcv==2.3.6 onedl-mmpretrain==1.3.6 >> "$list"
    fi
    make_environment "$2" "$MATRIX/$set_name" "$list"
    run_tests "$MATRIX/$set_name" "${@:3}"
    ;;
beside)
    [ $# -ge 2 ] || usage
    folder=$MATRIX/beside
    rm -rf "$folder"
    "$2" -m venv "$folder"
    install "$folder" torch torchvision "${@:3}"
    "$folder/bin/python" -m pip freeze | sort > "$folder/before.txt"
    had=$(wc -l < "$folder/before.txt")
    "$folder/bin/python" -m pip install --quiet .
    "$folder/bin/python" -m pip freeze | sort > "$folder/after.txt"
    if changed=$(comm -23 "$folder/before.txt" "$folder/after.txt" | grep .); then
        printf 'pip install . has changed or removed:\n%s\n' "$changed" >&2
        exit 1
    fi
    (cd "$folder" && bin/python -c 'import cellgan_plugin, cv2; print("cellgan_plugin", cellgan_plugin.__version__, "imports; cv2", cv2.__version__)')
    echo "$had packages were there and have the versions that they had; $(comm -13 "$folder/before.txt" "$folder/after.txt" | wc -l) are new"
    ;;
lock)
    # Everything that `make` installs, for all supported Pythons at once. PyTorch is given, as its wheels are large.
    {
        echo '# Exact versions known to work together on Python 3.10-3.14 (resolved for all of them at once by'
        echo '# .ci/matrix.sh lock). Complete: `make` installs it with --no-deps. It leaves out what'
        echo '# requirements/not_imported.txt names, and keeps one OpenCV, the headless one.'
        printf '%s\n' torch==2.14.1 torchvision==0.29.1 albumentations imageio opencv-python-headless setuptools |
            uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header \
                --overrides requirements/not_imported.txt requirements/runtime.txt requirements/tests.txt - |
            grep -vE "'never'|^pip=="
    } > "$NEWEST.new"
    mv "$NEWEST.new" "$NEWEST"
    ;;
*) usage ;;
esac
